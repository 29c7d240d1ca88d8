"""PostgreSQL: a server of the harness; the loader comes through the proxy, the reader does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.faults.databases import (
    COLUMNS,
    NO_TABLE,
    POISON,
    SUMMARY,
    Away,
    Look,
    Rows,
    Summary,
    left_over,
    small_disk,
)
from benchmarks.faults.project import HOLDINGS, MODES, write_names, write_project
from benchmarks.faults.proxy import Proxy
from benchmarks.server import Postgresql, running

_OF_THE_LOADER = (
    "pid <> pg_backend_pid() and state = 'active'"
    " and (query ilike '%staging%' or query ilike '%_veilflow%' or query ilike 'copy%')"
)
_WAITING = "select 1 from pg_locks where not granted and locktype = 'relation' and relation = 'people'::regclass"


@dataclass
class PostgresqlDatabase:
    """A schema of one server."""

    project: Path
    server: Postgresql
    proxy: Proxy
    disk: Path | None
    name: str = "postgresql"
    modes: tuple[str, ...] = tuple(MODES)
    holdings: tuple[str, ...] = tuple(HOLDINGS)
    shared: bool = True
    resumes: bool = True
    room: tuple[int, int] = (50_000, 500_000)

    def target(self) -> str:
        return "kind: postgresql, connection: warehouse, table: people"

    def write_names(self, lock_seconds: float = 30) -> None:
        """``secrets/names.yaml`` with the connection."""
        url = self.server.bare_url.replace(str(self.server.port), str(self.proxy.port))
        write_names(self.project, url, lock_seconds)

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[Any]]:
        with closing(psycopg.connect(self.server.url, autocommit=True)) as connection:
            yield connection

    def _change(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def keep_as_old(self) -> None:
        self._change(
            "create table old as table people",
            "create table old_veilflow as select * from _veilflow where kind = 'keys'",
        )

    def begin(self, indexed: bool) -> None:
        self._change(
            "drop table people", "create table people as table old", "delete from _veilflow",
            "insert into _veilflow table old_veilflow", "drop schema if exists veilflow_staging cascade",
        )  # fmt: skip
        if indexed:
            self._change("create index on people (city)")

    def rows(self) -> Rows:
        with self.connect() as connection:
            return Counter(connection.execute(f"select {COLUMNS} from people".encode()).fetchall())

    def staging(self) -> list[str]:
        with self.connect() as connection:
            found = connection.execute("select tablename from pg_tables where schemaname = 'veilflow_staging'")
            return left_over(found)

    @contextmanager
    def reader(self) -> Iterator[Look]:
        try:
            connection = psycopg.connect(self.server.url, autocommit=True)
        except psycopg.OperationalError:
            raise Away from None
        with closing(connection):
            yield lambda: _look(connection)

    # --- what can fail ---

    @contextmanager
    def poisoned(self) -> Iterator[None]:
        self._change(f"alter table people add constraint poison check (not ({POISON}))")
        yield
        self._change("alter table people drop constraint poison")

    @contextmanager
    def on_disk(self) -> Iterator[None]:
        self._change("alter role bench set default_tablespace = small")
        yield
        self._change("alter role bench reset default_tablespace")

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.write_names(lock_seconds=0.3)
        with self.connect() as connection, connection.transaction():
            connection.execute("lock table people in share mode")
            yield
        self.write_names()

    def waits(self) -> bool:
        with self.connect() as connection:
            return connection.execute(_WAITING).fetchone() is not None

    def crash(self) -> None:
        self.server.stop_at_once()
        self.server.start()

    def strike_statement(self, connection_too: bool) -> bool:
        function = "pg_terminate_backend" if connection_too else "pg_cancel_backend"
        with self.connect() as connection:
            query = f"select {function}(pid) from pg_stat_activity where {_OF_THE_LOADER}"
            return bool(connection.execute(query.encode()).fetchall())

    def deadlock(self, mode: str, alive: Callable[[], bool]) -> bool:
        with closing(psycopg.connect(self.server.url)) as connection:
            connection.execute("set deadlock_timeout = '60s'")
            connection.execute("lock table people in share mode")
            while not self.waits():
                if not alive():
                    return False
                time.sleep(0.005)
            with suppress(psycopg.Error):
                connection.execute("lock table _veilflow in access exclusive mode")
                return True
        return False


def _look(connection: psycopg.Connection[Any]) -> Summary | None:
    try:
        return tuple(connection.execute(SUMMARY).fetchone() or ())
    except (psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected):
        return None
    except psycopg.errors.UndefinedTable:
        return NO_TABLE
    except psycopg.OperationalError:
        raise Away from None


@contextmanager
def opened(project: Path) -> Iterator[PostgresqlDatabase]:
    """With a server of its own."""
    with running() as server, small_disk(server.directory / "small", "postgres") as disk:
        write_project(project, server.password)
        database = PostgresqlDatabase(project, server, Proxy(server.port), disk)
        database.write_names()
        if disk:
            database._change(f"create tablespace small location '{disk}'")
        yield database
