"""What stands between the staging and the published table: the gate sees the table as it will be, or nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from stores import ROWS, SCHEMA, Store, receipt

from veilflow.errors import VeilError
from veilflow.model import Mode, OutputView
from veilflow.targets import open_target

DATABASES = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
    pytest.param("postgresql+psycopg", marks=pytest.mark.live),
    pytest.param("mysql+pymysql", marks=pytest.mark.live),
]
KINDS = pa.schema(
    [
        ("t", pa.string()), ("i", pa.int16()), ("u", pa.uint64()), ("f", pa.float64()), ("d", pa.decimal128(18, 2)),
        ("b", pa.bool_()), ("day", pa.date32()), ("at", pa.timestamp("us")), ("utc", pa.timestamp("us", "UTC")),
        ("x", pa.binary()),
    ]
)  # fmt: skip
EVERY_KIND = pa.Table.from_pylist(
    [
        {"t": "a,\"\n王", "i": -3, "u": 2**64 - 1, "f": 0.1, "d": Decimal("-99999999999999.90"), "b": True,
         "day": date(1, 1, 1), "at": datetime(1900, 1, 2, 3, 4, 5, 678901), "utc": datetime(2024, 2, 29, 1, tzinfo=UTC), "x": b"\x00\xff"},
        {"t": "", "i": 0, "u": 0, "f": -1e300, "d": Decimal("0.00"), "b": False, "day": date(9999, 12, 31),
         "at": datetime(2024, 2, 29), "utc": datetime(1970, 1, 1, tzinfo=UTC), "x": b""},
        dict.fromkeys(KINDS.names),
    ],
    KINDS,
)  # fmt: skip


@pytest.fixture(params=[*DATABASES, "csv", "jsonl", "parquet", "memory"])
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


def publish(store: Store, run_id: str, rows: pa.Table, gate: Callable[[OutputView], None], **more: Any) -> None:
    target = store.target(schema=rows.schema, **more)
    try:
        target.open(run_id)
        with target.writer() as writer:
            writer.load(rows, receipt(0, rows.num_rows))
        target.publish({}, gate)
    finally:
        target.discard()
        target.close()


class Seen:
    """A gate that keeps what it saw, and may refuse."""

    def __init__(self, *columns: str, refuse: bool = False) -> None:
        self.columns, self.refuse, self.rows = columns, refuse, pa.table({})

    def __call__(self, view: OutputView) -> None:
        self.rows = pa.Table.from_batches(view.rows(self.columns))
        if self.refuse:
            raise VeilError("VEIL306", "no", "no")


def test_the_gate_reads_every_type_as_it_was_staged(store: Store) -> None:
    """Null apart from the empty text, big numbers, old dates, moments, bytes; in the very types of the output."""
    schema = KINDS if store.kind not in ("csv", "jsonl") else KINDS.remove(KINDS.get_field_index("x"))
    seen = Seen(*schema.names)
    publish(store, "01A", EVERY_KIND.select(schema.names), seen)
    assert seen.rows.schema == schema
    assert seen.rows.to_pylist() == EVERY_KIND.select(schema.names).to_pylist()


def test_the_gate_reads_the_columns_that_it_asks_for(store: Store) -> None:
    """In its order; without a name it still learns how many rows there are."""
    seen = Seen("n", "select")
    publish(store, "01A", ROWS, seen)
    assert seen.rows.to_pylist() == ROWS.select(["n", "select"]).to_pylist()
    count = Seen()
    publish(store, "01B", ROWS, count)
    assert count.rows.num_rows == 3


@pytest.mark.parametrize("packed", ["o.csv.gz", "o.jsonl.zst"])
def test_the_gate_reads_packed_files(tmp_path: Path, packed: str) -> None:
    """As they were written."""
    seen = Seen("select", "day")
    target = open_target(kind=packed.split(".")[1], table="t", mode="replace", schema=SCHEMA, path=tmp_path / packed)
    target.open("01A")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    target.publish({}, seen)
    assert seen.rows.to_pylist() == ROWS.select(["select", "day"]).to_pylist()


@pytest.mark.parametrize(
    ("mode", "more", "expected"),
    [
        ("replace", {}, [(2, "new"), (3, "more")]),
        ("append", {}, [(1, "kept"), (2, "old"), (2, "new"), (3, "more")]),
        ("merge", {"key": ("id",)}, [(1, "kept"), (2, "new"), (3, "more")]),
        ("merge", {"key": ("id",), "delete": True}, [(2, "new"), (3, "more")]),
    ],
)
def test_the_gate_sees_what_is_kept_beside_what_is_new(
    database: Store, mode: Mode, more: dict[str, Any], expected: list[Any]
) -> None:
    """Replace, append and merge, as the table is after the run; also where something depends on the table."""
    old = pa.table({"id": [1, 2], "name": ["kept", "old"]})
    database.run("01A", old)
    if mode == "replace":
        database.sql('create index by_id on "order" (id)')
    seen = Seen("id", "name")
    publish(database, "01B", pa.table({"id": [2, 3], "name": ["new", "more"]}), seen, mode=mode, **more)
    rows = sorted(tuple(row.values()) for row in seen.rows.to_pylist())
    assert rows == sorted(expected) == sorted(database.sql('select id, name from "order"'))


@pytest.mark.parametrize(
    ("mode", "depends"), [("replace", False), ("replace", True), ("append", False), ("merge", False)]
)
def test_a_gate_that_refuses_leaves_the_table_as_it_was(database: Store, mode: Mode, depends: bool) -> None:
    """No row came, none went, and no staging stays."""
    database.run("01A", pa.table({"id": [1, 2], "name": ["kept", "old"]}))
    if depends:
        database.sql('create index by_id on "order" (id)')
    with pytest.raises(VeilError, match="no"):
        key = {"key": ("id",)} if mode == "merge" else {}
        publish(database, "01B", pa.table({"id": [2], "name": ["new"]}), Seen("id", refuse=True), mode=mode, **key)
    assert sorted(database.sql('select id, name from "order"')) == [(1, "kept"), (2, "old")]
    target = database.target(schema=pa.schema([("id", pa.int64()), ("name", pa.string())]))
    assert target.publication("01B") is None
    target.close()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "memory"])
def test_a_gate_that_refuses_leaves_the_file_as_it_was(make_store: Callable[[str], Store], kind: str) -> None:
    """Under its name stands what stood there, and no part beside it."""
    store = make_store(kind)
    if store.path is not None:
        store.path.write_bytes(b"before")
    with pytest.raises(VeilError, match="no"):
        publish(store, "01A", ROWS, Seen("n", refuse=True))
    if store.path is not None:
        assert store.path.read_bytes() == b"before"
        assert [path.name for path in store.path.parent.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.live
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_nobody_adds_a_row_between_the_gate_and_the_commit(make_store: Callable[[str], Store], kind: str) -> None:
    """An insert of somebody else waits, and gives up first here: what was judged is what is published."""
    store = make_store(kind)
    store.run("01A", pa.table({"id": [1]}))
    wait = "set lock_timeout = '200ms'" if kind == "postgresql" else "set innodb_lock_wait_timeout = 1"
    failed: list[str] = []

    def gate(view: OutputView) -> None:
        assert len(pa.Table.from_batches(view.rows(["id"]))) == 2
        with store._connect() as other:
            cursor = other.cursor()
            cursor.execute(wait)
            try:
                cursor.execute('insert into "order" (id) values (9)')
            except Exception as error:
                failed.append(type(error).__name__)

    publish(store, "01B", pa.table({"id": [2]}), gate, mode="append")
    assert len(failed) == 1
    assert sorted(store.sql('select id from "order"')) == [(1,), (2,)]


@pytest.mark.live
@pytest.mark.parametrize("mode", ["replace", "append"])
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_nobody_changes_the_other_table_between_the_gate_and_the_commit(
    make_store: Callable[[str], Store], kind: str, mode: Mode
) -> None:
    """Somebody else's delete waits for the publication, and gives up first here; afterwards it may."""
    store = make_store(kind)
    store.run("01A", pa.table({"id": [1, 2]}), table="customers")
    store.run("01B", pa.table({"id": [1]}))
    wait = "set lock_timeout = '200ms'" if kind == "postgresql" else "set innodb_lock_wait_timeout = 1"
    seen: list[Any] = []

    def gate(view: OutputView) -> None:
        seen.append(view.hold("customers"))
        seen.extend(pa.Table.from_batches(view.plain(["id"], "customers")).column(0).to_pylist())
        with store._connect() as other:
            cursor = other.cursor()
            cursor.execute(wait)
            for change in ("delete from customers where id = 1", "insert into customers (id) values (3)"):
                try:
                    cursor.execute(change)
                except Exception as error:
                    seen.append(type(error).__name__)

    publish(store, "01C", pa.table({"id": [2]}), gate, mode=mode)
    assert seen[:3] == [True, 1, 2] and len(seen) == 5
    store.sql("delete from customers where id = 1")
    assert store.sql("select id from customers") == [(2,)]
    assert len(store.sql('select id from "order"')) == (1 if mode == "replace" else 2)


def test_other_tables_are_read_as_the_database_holds_them(database: Store) -> None:
    """By their name; one that is not there, or has not the column, is VEIL302."""
    database.run("01A", pa.table({"id": [1, 2]}), table="customers")
    found: list[Any] = []
    codes: list[str] = []

    def gate(view: OutputView) -> None:
        found.extend(pa.Table.from_batches(view.plain(["id"], "customers")).column(0).to_pylist())
        assert sum(batch.num_rows for batch in view.plain([], "customers")) == 2
        assert view.hold("customers") is not database.by_dialect
        for column, table in (("nothing", "customers"), ("id", "nothing")):
            try:
                list(view.plain([column], table))
            except VeilError as error:
                codes.append(error.code)
                raise

    with pytest.raises(VeilError):
        publish(database, "01B", pa.table({"id": [1]}), gate)
    assert sorted(found) == [1, 2] and codes == ["VEIL302"]


def test_a_value_of_another_type_in_a_kept_row_is_told_and_not_shown(tmp_path: Path) -> None:
    """SQLite holds anything in any column: VEIL307 names the column."""
    store = Store("sqlite", tmp_path / "o.sqlite")
    store.run("01A", pa.table({"id": [1]}))
    store.sql("insert into \"order\" values ('secret')")
    with pytest.raises(VeilError) as caught:
        publish(store, "01B", pa.table({"id": [2]}), Seen("id"), mode="append")
    assert caught.value.code == "VEIL307" and "secret" not in str(caught.value)
