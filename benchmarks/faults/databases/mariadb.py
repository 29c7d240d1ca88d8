"""MariaDB: a server of the harness, whose data lie on the small disk; the loader comes through the proxy."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql

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

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests" / "servers"))
if TYPE_CHECKING:
    from database_servers import MariadbServer

_GONE = (1053, 1927, 2002, 2003, 2006, 2013, 2055)
_BUSY = (1205, 1213, 1317)
_NO_SUCH_TABLE = 1146
_SETTINGS = {
    "innodb-buffer-pool-size": "64M", "innodb-log-file-size": "16M", "skip-log-bin": "1", "innodb-fast-shutdown": "0",
}  # fmt: skip
_OF_THE_LOADER = (
    "select id from information_schema.processlist where user = 'veil' and id <> connection_id() and command = 'Query'"
    " and (info like '%staging%' or info like '%\\_veilflow%')"
)
_WAITING = (
    "select 1 from information_schema.processlist where user = 'veil' and state like 'Waiting for table%'"
    " union all select 1 from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"
)


@dataclass
class Mariadb:
    """The database ``warehouse`` of one server."""

    project: Path
    server: MariadbServer
    proxy: Proxy
    disk: Path | None
    name: str = "mariadb"
    modes: tuple[str, ...] = tuple(MODES)
    holdings: tuple[str, ...] = tuple(HOLDINGS)
    shared: bool = True
    resumes: bool = True
    room: tuple[int, int] = (50_000, 1_500_000)

    def target(self) -> str:
        return "kind: mariadb, connection: warehouse, table: people"

    @contextmanager
    def connect(self) -> Iterator[pymysql.connections.Connection[Any]]:
        with closing(self.server.as_root()) as connection:
            connection.select_db("warehouse")
            yield connection

    def _change(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                _run(connection, statement)

    def keep_as_old(self) -> None:
        # In words of its own: ``create table … as select`` keeps a column's type and not its collation.
        self._change(
            "create table old like people", "insert into old select * from people",
            "create table old_veilflow like _veilflow",
            "insert into old_veilflow select * from _veilflow where kind = 'keys'",
        )  # fmt: skip

    def begin(self, indexed: bool) -> None:
        self._change(
            "drop table if exists people", "create table people like old", "insert into people select * from old",
            "delete from _veilflow", "insert into _veilflow select * from old_veilflow",
            "drop database if exists veilflow_staging",
        )  # fmt: skip
        if indexed:
            self._change("create index people_city on people (city(20))")

    def rows(self) -> Rows:
        with self.connect() as connection:
            return Counter(_run(connection, f"select {COLUMNS} from people"))

    def staging(self) -> list[str]:
        with self.connect() as connection:
            return left_over(_run(connection, "select table_name from information_schema.tables where table_schema = 'veilflow_staging'"))  # fmt: skip

    @contextmanager
    def reader(self) -> Iterator[Look]:
        try:
            connection = self.server.as_root()
            connection.select_db("warehouse")
        except (pymysql.Error, OSError):
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
        """All its data are there; a server that a full disk ended comes back."""
        yield
        if not self.server.alive():
            self.server.start()

    def write_names(self, lock_seconds: float = 30) -> None:
        """``secrets/names.yaml`` with the connection."""
        write_names(self.project, self.server.url.replace(str(self.server.port), str(self.proxy.port)), lock_seconds)

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.write_names(lock_seconds=1)
        with self.connect() as connection:
            connection.begin()
            _run(connection, "select count(*) from people for update")
            yield
            connection.rollback()
        self.write_names()

    def waits(self) -> bool:
        with self.connect() as connection:
            return bool(_run(connection, _WAITING))

    def crash(self) -> None:
        self.server.restart()

    def strike_statement(self, connection_too: bool) -> bool:
        with self.connect() as connection:
            struck = False
            for (number,) in _run(connection, _OF_THE_LOADER):
                with suppress(pymysql.Error):  # it has ended
                    _run(connection, f"kill {'connection' if connection_too else 'query'} {number}")
                    struck = True
            return struck

    def deadlock(self, mode: str, alive: Callable[[], bool]) -> bool:
        with self.connect() as connection:
            # InnoDB gives up the transaction that has changed less: ours has changed much.
            self._change("create table if not exists ballast (n int)")
            _run(connection, "set session transaction isolation level " + ("repeatable read" if mode == "append" else "read committed"))  # fmt: skip
            connection.begin()
            _run(connection, "insert into ballast select seq from seq_1_to_20000")
            last = _run(connection, "select id from people")[-1][0]
            where = "" if mode == "append" else f"where id = '{last}'"
            _run(connection, f"select id from people {where} for update")
            while not self.waits():
                if not alive():
                    return False
                time.sleep(0.005)
            with suppress(pymysql.Error):
                for table in self.staging() if mode == "append" else ():
                    _run(connection, f"select id from veilflow_staging.`{table}` for update")
                _run(connection, "update people set age = age")
                connection.rollback()
                return True
        return False


def _run(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def _look(connection: Any) -> Summary | None:
    try:
        count, different, ages, length = _run(connection, SUMMARY)[0]
        return count, different, int(ages), int(length)
    except (pymysql.Error, OSError) as error:
        number = error.args[0] if error.args else 0
        if number == _NO_SUCH_TABLE:
            return NO_TABLE
        if number in _BUSY:
            return None
        if number in _GONE or isinstance(error, OSError | pymysql.InterfaceError):
            raise Away from None
        return (f"error {number}",)


@contextmanager
def opened(project: Path) -> Iterator[Mariadb]:
    """With a server of its own."""
    from database_servers import PASSWORD, running_mariadb

    with running_mariadb(lambda data: small_disk(data, "mysql"), _SETTINGS) as server:
        write_project(project, PASSWORD)
        proxy = Proxy(server.port)
        database = Mariadb(project, server, proxy, server.data if server.data.is_mount() else None)
        database.write_names()
        yield database
