"""How rows reach MariaDB: its LOAD DATA changes values with no more than a warning, and its servers may ask for files."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pymysql
import pytest
from stores import Store, receipt

from veilflow.databases.mariadb import connect
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret
from veilflow.targets.mariadb_rows import lines, load_statement

# --- what LOAD DATA would change -----------------------------------------------------------


@pytest.fixture
def database(mariadb: Any, make_store: Callable[[str], Store]) -> Store:
    return make_store("mariadb")


def loaded_by_data(database: Store) -> int:
    """How many times the server was sent LOAD DATA."""
    return int(database.sql("show global status like 'Com_load'")[0][1])


def load(database: Store, rows: pa.Table) -> None:
    target = database.target("t", schema=rows.schema, mode="append")
    target.open("01A")
    try:
        with target.writer() as writer:
            writer.load(rows, receipt(0, rows.num_rows))
        assert target.staged_rows() == rows.num_rows
    finally:
        assert set(target.receipts()) == ({0} if target.staged_rows() else set())
        target.discard()
        target.close()


CHANGED = {
    "a text that is cut off": ("v varchar(3)", pa.array(["abc", "abcd"])),
    "a blank that is cut off": ("v varchar(3)", pa.array(["abc", "abc "])),
    "a character that becomes a question mark": ("v varchar(9) character set latin1", pa.array(["é", "Ł"])),
    "a number that becomes the largest": ("v smallint", pa.array([1, 77_000], pa.int64())),
    "a decimal that is rounded": ("v decimal(5,2)", pa.array([Decimal("1.005")], pa.decimal128(10, 3))),
    "a null that becomes zero": ("v int not null", pa.array([1, None], pa.int64())),
    "bytes that are cut off": ("v varbinary(2)", pa.array([b"ab", b"abc"])),
    "a row that is left out": ("v int, constraint small check (v < 9)", pa.array([1, 10], pa.int64())),
}  # fmt: skip


@pytest.mark.live
@pytest.mark.parametrize("settings", ["", "sql_notes = 0", "max_error_count = 0"], ids=str)
@pytest.mark.parametrize("name", CHANGED)
def test_what_load_data_changes_is_refused(database: Store, name: str, settings: str) -> None:
    """VEIL319 with nothing kept, also by a server that makes no notes or keeps no warnings."""
    columns, values = CHANGED[name]
    database.sql(f"create table t ({columns})")
    if settings:
        variable = settings.partition(" ")[0]
        before = database.sql(f"select @@global.{variable}")[0][0]
        database.sql(f"set global {settings}")
    sent = loaded_by_data(database)
    try:
        with pytest.raises(VeilError) as caught:
            load(database, pa.table({"v": values}))
    finally:
        if settings:
            database.sql(f"set global {variable} = {before}")
    assert caught.value.code == "VEIL319" and loaded_by_data(database) == sent + 1
    assert not any(word in str(caught.value) for word in ("abcd", "Ł", "77000", "1.005"))


@pytest.mark.live
@pytest.mark.parametrize("variable", ["local_infile = 0", "wsrep_load_data_splitting = 1"])
def test_a_server_that_takes_no_load_data_or_splits_it_gets_statements(database: Store, variable: str) -> None:
    """Galera may commit in the midst of a LOAD DATA, and a receipt would be apart from its rows."""
    name = variable.partition(" ")[0]
    before = database.sql(f"select @@global.{name}")[0][0]
    database.sql(f"set global {variable}")
    sent = loaded_by_data(database)
    try:
        load(database, pa.table({"v": ["a", None, ""]}))
    finally:
        database.sql(f"set global {name} = {before}")
    assert loaded_by_data(database) == sent


@pytest.mark.live
def test_rows_that_are_no_line_each_arrive_as_they_are(database: Store) -> None:
    """Names and values full of what separates, quotes and escapes; a line without a character; the word that means null."""
    values = ["", None, "NULL", "\\N", "\n", '"', '"",""', '",\n"', "\\", "\\\n", "'", "\t", "\r\n", "\0", "\x1a", "@v0", "é👩‍👧"]  # fmt: skip
    names = ["`", "a`b", 'a "b",', "@v0", "select", "%s"]
    rows = pa.table({name: values[turn:] + values[:turn] for turn, name in enumerate(names)})
    rows = rows.append_column("v0", pa.array([None, b"", b"\0\xff", *[b"x"] * (len(values) - 3)]))
    sent = loaded_by_data(database)
    assert database.run("01A", rows)[1] == len(values)
    assert loaded_by_data(database) == sent + 1
    assert database.sql('select * from "order"') == [tuple(row.values()) for row in rows.to_pylist()]


def test_rows_as_large_as_a_statement_may_be_are_no_lines() -> None:
    """They go by statements, which say what is too large."""
    rows = pa.table({"a": ["x" * 900, "y"], "b": [b"z" * 40, None]})
    assert lines(rows, 980) is None
    content = lines(rows, 981)
    assert content is not None and bytes(content).endswith(b'"y",NULL\n')
    assert load_statement("s.t", rows).endswith(b"(`a`, @v1) set `b` = unhex(@v1)")


# --- what a server may ask for -------------------------------------------------------------


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


GREETING = (
    b"\x0a10.11.0-MariaDB\0" + struct.pack("<I", 1) + b"saltsalt\0" + struct.pack("<HBHH", 0xF7FF, 45, 2, 0x000F)
    + b"\x15" + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
)  # fmt: skip
DONE = b"\0\0\0\2\0\0\0"
WANTED = b"\xfb/etc/passwd"


class EvilServer:
    """Answers as ``answers`` says, and asks for a file where it says nothing; what it was sent then is in ``taken``."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = Secret(f"mariadb://veil:x@127.0.0.1:{self._socket.getsockname()[1]}/x?ssl=false")
        self.taken: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError), self._socket.accept()[0] as peer, peer.makefile("rwb") as stream:
            self._say(stream, packet(0, GREETING))
            while received := stream.read(4):
                content = stream.read(int.from_bytes(received[:3], "little"))
                logged_in = received[3] == 1 or content[:1] == b"\3" and b"set " in content.lower()
                if logged_in and b"load data" not in content:
                    self._say(stream, packet(received[3] + 1, DONE))
                    continue
                self.taken.append(content)
                if content[:1] == b"\3" or not content:
                    answer = self._answers.pop(0) if self._answers else WANTED
                    self._say(stream, packet((received[3] + 1) % 256, answer))

    @staticmethod
    def _say(stream: Any, content: bytes) -> None:
        stream.write(content)
        stream.flush()

    def close(self) -> None:
        self._thread.join(5)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture
def no_file_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the driver opens a file."""

    def opened(*_arguments: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(pymysql.connections, "open", opened, raising=False)
    monkeypatch.setattr(pymysql.connections, "_send_local_file", opened)
    yield


pytestmark = pytest.mark.usefixtures("no_file_opened")


@pytest.mark.parametrize("loads", [False, True])
@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_server_that_asks_for_a_file_gets_nothing_and_is_left(loads: bool, unbuffered: bool) -> None:
    """In answer to any statement: VEIL401, which no retry meets again, and the connection is closed."""
    server = EvilServer()
    connection = connect(server.url, loads=loads)
    with pytest.raises(VeilError, match="VEIL401.*asked for a file") as caught:
        connection.query("select 1", unbuffered=unbuffered)
    assert not isinstance(caught.value, PassingFault) and not connection.open
    server.close()
    assert server.taken == [b"\3select 1"]


def test_a_server_gets_the_rows_whatever_it_asks_for_and_gets_them_once() -> None:
    """In answer to the statement that announces them; asked again, within it or after it, the connection ends."""
    server = EvilServer()
    connection = connect(server.url, loads=True)
    with pytest.raises(VeilError, match="VEIL401"):
        connection.load(b"load data", memoryview(b"rows" * 20_000))
    server.close()
    assert server.taken[0] == b"\3load data" and b"".join(server.taken[1:]) == b"rows" * 20_000
    server = EvilServer(WANTED, DONE)
    connection = connect(server.url, loads=True)
    assert connection.load(b"load data", memoryview(b"rows")) == (0, 0)
    with pytest.raises(VeilError, match="VEIL401"):
        connection.query("commit")
    server.close()
    assert server.taken == [b"\3load data", b"rows", b"", b"\3commit"]


def test_a_load_that_was_never_asked_for_leaves_nothing_announced() -> None:
    """A server that says it is done, and asks with the next statement."""
    server = EvilServer(DONE)
    connection = connect(server.url, loads=True)
    connection.load(b"load data", memoryview(b"rows"))
    with pytest.raises(VeilError, match="VEIL401"):
        connection.query("commit")
    server.close()
    assert b"rows" not in server.taken


@pytest.mark.live
def test_a_table_of_another_database_is_refused_in_the_plan(database: Store) -> None:
    """It would become a table with a dot in its name, that no source reads."""
    with pytest.raises(VeilError) as caught:
        database.target("crm.people", schema=pa.schema([("id", pa.int64())])).inspect()
    assert (caught.value.code, "connection's" in caught.value.hint) == ("VEIL214", True)


# --- what refers to the table ---------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("action", ["restrict", "cascade", "set null"])
def test_a_replace_takes_no_row_along_that_refers_to_one_that_stays(database: Store, action: str) -> None:
    """By the key that is referred to: rows that are still there are updated; of one that is gone the key decides."""
    database.sql("create table people (a bigint, b bigint, name text, unique (a, b))")
    database.sql("insert into people values (1, 1, 'old'), (1, 2, 'old'), (2, 1, 'old')")
    key = f"foreign key (x, y) references people (a, b) on delete {action}"
    database.sql(f"create table orders (n bigint, x bigint, y bigint, {key})")
    database.sql("insert into orders values (1, 1, 1), (2, 1, 2)")
    numbers = [pa.array(values, pa.int64()) for values in ([1, 1, 2], [1, 2, 3])]
    rows = pa.table({"a": numbers[0], "b": numbers[1], "name": ["A", "B", "C"]})
    assert database.run("01A", rows, table="people") == ("rewrite", 3)
    assert database.sql("select * from people order by a, b") == [(1, 1, "A"), (1, 2, "B"), (2, 3, "C")]
    assert database.sql("select n, x, y from orders order by n") == [(1, 1, 1), (2, 1, 2)]
    if action == "restrict":
        with pytest.raises(VeilError, match="foreign key"):
            database.run("01B", rows.slice(0, 1), table="people")
        assert database.sql("select count(*) from people") == [(3,)]
        return
    database.run("01B", rows.slice(0, 1), table="people")
    assert database.sql("select n, x, y from orders order by n") == [(1, 1, 1), *([(2, None, None)] if action == "set null" else [])]  # fmt: skip
