"""DuckDB: a file of the project, which one process at a time has open."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.faults.child import CONTEXT, launch
from benchmarks.faults.databases import COLUMNS, NO_TABLE, POISON, SUMMARY, Look, Rows, Summary, left_over, small_disk
from benchmarks.faults.project import HOLDINGS, MODES, write_project

_PATIENCE_SECONDS = 20.0


@dataclass
class Duckdb:
    """``out/people.duckdb``."""

    project: Path
    disk: Path | None
    name: str = "duckdb"
    modes: tuple[str, ...] = tuple(MODES)
    holdings: tuple[str, ...] = tuple(HOLDINGS)
    shared: bool = False
    resumes: bool = True
    room: tuple[int, int] = (20_000, 1_500_000)

    @property
    def _path(self) -> Path:
        return self.project / "out/people.duckdb"

    def target(self) -> str:
        return "kind: duckdb, path: out/people.duckdb, table: people"

    def keep_as_old(self) -> None:
        self._change("checkpoint")
        shutil.copy(self._path, self.project / "old.duckdb")

    def begin(self, indexed: bool) -> None:
        for path in self._path.parent.glob("people.duckdb*"):
            path.unlink()
        shutil.copy(self.project / "old.duckdb", self._path)
        self._change("delete from _veilflow where kind <> 'keys'")
        if indexed:
            self._change("create index people_city on people (city)")

    def rows(self) -> Rows:
        return Counter(self._asked(f"select {COLUMNS} from people"))

    def staging(self) -> list[str]:
        return left_over(self._asked("select table_name from duckdb_tables() where schema_name = 'veilflow_staging'"))

    @contextmanager
    def reader(self) -> Iterator[Look]:
        def look() -> Summary | None:
            try:
                return tuple(self._asked(SUMMARY)[0])
            except duckdb.CatalogException:
                return NO_TABLE
            except duckdb.IOException:
                return None

        yield look

    @contextmanager
    def poisoned(self) -> Iterator[None]:
        self._make_again(f", check (not ({POISON}))")
        yield
        self._make_again("")

    def _make_again(self, constraint: str) -> None:
        """DuckDB adds no check to a table that is there."""
        columns = ", ".join(f"{name} {kind}" for name, kind, *_more in self._asked("describe people"))
        self._change(
            f"create table other ({columns}{constraint})", "insert into other from people", "drop table people",
            "alter table other rename to people",
        )  # fmt: skip

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Another process has the file open: it waits until it gets it."""
        ours, theirs = CONTEXT.Pipe()
        process = launch(_hold, str(self._path), theirs)
        try:
            ours.poll(_PATIENCE_SECONDS)
            yield
        finally:
            ours.send(None)
            process.join()

    def on_disk(self) -> nullcontext[None]:
        return nullcontext()

    def _asked(self, query: str) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect(str(self._path), read_only=True)) as connection:
            return connection.execute(query).fetchall()

    def _change(self, *statements: str) -> None:
        with closing(duckdb.connect(str(self._path))) as connection:
            for statement in statements:
                connection.execute(statement)


def _hold(path: str, other: Connection) -> None:
    """Have the file open until ``other`` says something."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and not other.poll():
        with suppress(duckdb.Error), closing(duckdb.connect(path)):
            other.send(None)
            other.recv()
            return
        time.sleep(0.002)


@contextmanager
def opened(project: Path) -> Iterator[Duckdb]:
    """In a project of its own."""
    write_project(project)
    with small_disk(project / "out") as disk:
        yield Duckdb(project, disk)
