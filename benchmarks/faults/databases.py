"""The databases that faults happen to: how a trial begins there, and what a reader and a stock-taking see."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg

from benchmarks.faults.proxy import Proxy
from benchmarks.server import Postgresql

Rows = Counter[tuple[Any, ...]]
_COLUMNS = "id, name, age, city"
#: One row that differs between any two states: of the old table, of the new one, and of all mixtures.
_SUMMARY = "select count(*), count(distinct id), sum(age), sum(length(city)) from people"


class Database(Protocol):
    """One kind of database, with the table ``people``."""

    name: str

    def target(self) -> str:
        """The pipeline's ``target:`` without its mode."""

    def keep_as_old(self) -> None:
        """What stands in ``people`` now is what every trial begins with."""

    def begin(self, indexed: bool) -> None:
        """The old table and nothing else; with an index it is rewritten, without one swapped."""

    def rows(self) -> Rows:
        """All rows, with how often each is there."""

    @contextmanager
    def reader(self) -> Iterator[Any]:
        """A connection for ``summary``."""

    def summary(self, connection: Any) -> tuple[Any, ...]:
        """What a reader sees in one statement."""


@dataclass
class Sqlite:
    """A file of the project."""

    project: Path
    name: str = "sqlite"

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
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("delete from _veilflow where kind <> 'keys'")
            if indexed:
                connection.execute("create index people_city on people (city)")

    def rows(self) -> Rows:
        with self.reader() as connection:
            return Counter(connection.execute(f"select {_COLUMNS} from people").fetchall())

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=60)) as connection:
            yield connection

    def summary(self, connection: sqlite3.Connection) -> tuple[Any, ...]:
        return tuple(connection.execute(_SUMMARY).fetchone())


@dataclass
class PostgresqlDatabase:
    """A server of the harness; the loader comes through the proxy, the reader does not."""

    project: Path
    server: Postgresql
    proxy: Proxy
    name: str = "postgresql"

    def target(self) -> str:
        return "kind: postgresql, connection: warehouse, table: people"

    def names(self, options: str = "") -> dict[str, Any]:
        """``secrets/names.yaml`` with the connection."""
        url = self.server.bare_url.replace(str(self.server.port), str(self.proxy.port))
        return {
            "version": 1,
            "stores": {"files": {"kind": "file"}},
            "secrets": {"keyring": {"store": "files", "path": "keyring"}, "login": {"store": "files", "path": "login"}},
            "connections": {"warehouse": {"url": f"{url}?options={options}" if options else url, "credential": "login"}},
            "keyring": "keyring",
        }  # fmt: skip

    def write_names(self, options: str = "") -> None:
        (self.project / "secrets/names.yaml").write_text(json.dumps(self.names(options)))

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[Any]]:
        with closing(psycopg.connect(self.server.url, autocommit=True)) as connection:
            yield connection

    def keep_as_old(self) -> None:
        with self.connect() as connection:
            connection.execute("create table old as table people")
            connection.execute("create table old_veilflow as select * from _veilflow where kind = 'keys'")

    def begin(self, indexed: bool) -> None:
        with self.connect() as connection:
            connection.execute("drop table people; create table people as table old")
            connection.execute("delete from _veilflow; insert into _veilflow table old_veilflow")
            connection.execute("drop schema if exists veilflow_staging cascade")
            if indexed:
                connection.execute("create index on people (city)")

    def rows(self) -> Rows:
        with self.connect() as connection:
            return Counter(connection.execute(f"select {_COLUMNS} from people").fetchall())

    reader = connect

    def summary(self, connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
        return tuple(connection.execute(_SUMMARY).fetchone() or ())
