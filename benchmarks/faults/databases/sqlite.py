"""SQLite: a file of the project."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.databases import COLUMNS, NO_TABLE, POISON, SUMMARY, Look, Rows, Summary, left_over, small_disk
from benchmarks.faults.project import HOLDINGS, MODES, write_project


@dataclass
class Sqlite:
    """``out/people.db``."""

    project: Path
    disk: Path | None
    name: str = "sqlite"
    modes: tuple[str, ...] = tuple(MODES)
    holdings: tuple[str, ...] = tuple(HOLDINGS)
    shared: bool = True
    resumes: bool = True
    room: tuple[int, int] = (20_000, 600_000)

    @property
    def _path(self) -> Path:
        return self.project / "out/people.db"

    def target(self) -> str:
        return "kind: sqlite, path: out/people.db, table: people"

    def keep_as_old(self) -> None:
        shutil.copy(self._path, self.project / "old.db")

    def begin(self, indexed: bool) -> None:
        for path in self._path.parent.glob("people.db*"):
            path.unlink()
        shutil.copy(self.project / "old.db", self._path)
        self._change("delete from _veilflow where kind <> 'keys'")
        if indexed:
            self._change("create index people_city on people (city)")

    def rows(self) -> Rows:
        with closing(self._connect()) as connection:
            return Counter(connection.execute(f"select {COLUMNS} from people").fetchall())

    def staging(self) -> list[str]:
        with closing(self._connect()) as connection:
            return left_over(connection.execute("select name from sqlite_master where name like 'veilflow_staging%'"))

    @contextmanager
    def reader(self) -> Iterator[Look]:
        with closing(self._connect()) as connection:

            def look() -> Summary | None:
                try:
                    return tuple(connection.execute(SUMMARY).fetchone())
                except sqlite3.OperationalError as error:
                    if "no such table" in str(error):
                        return NO_TABLE
                    return None if "locked" in str(error) or "busy" in str(error) else (str(error),)

            yield look

    @contextmanager
    def poisoned(self) -> Iterator[None]:
        when = POISON.replace("city", "new.city").replace("age", "new.age")
        self._change(
            f"create trigger poison before insert on people when {when} begin select raise(abort, 'poison'); end"
        )
        yield
        self._change("drop trigger poison")

    @contextmanager
    def busy(self) -> Iterator[None]:
        with closing(self._connect()) as connection:
            connection.execute("begin immediate")
            yield

    def on_disk(self) -> nullcontext[None]:
        return nullcontext()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)

    def _change(self, statement: str) -> None:
        with closing(self._connect()) as connection, connection:
            connection.execute(statement)


@contextmanager
def opened(project: Path) -> Iterator[Sqlite]:
    """In a project of its own."""
    write_project(project)
    with small_disk(project / "out") as disk:
        yield Sqlite(project, disk)
