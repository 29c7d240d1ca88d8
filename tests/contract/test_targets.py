"""What every target keeps: one body over all kinds, and what only some of them have."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import ROWS, SCHEMA, Store, receipt

from veilflow.errors import VeilError
from veilflow.model import TEXT, ColumnKey, Mode, SourceConfig, Target
from veilflow.sources import open_source
from veilflow.targets import open_target

STORED = {
    ("", "99999999999999.99", "1908-12-09", 1),
    (None, None, None, None),
    ("王\n,", "0.10", "2024-02-29", -(2**62)),
}


DATABASES = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
    pytest.param("postgresql+psycopg", marks=pytest.mark.live),
    pytest.param("mysql+pymysql", marks=pytest.mark.live),
]


@pytest.fixture(params=[*DATABASES, "csv", "jsonl", "parquet", "memory"])
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


# --- all kinds ---------------------------------------------------------------------------


def test_what_was_loaded_is_staged_receipted_and_published(store: Store) -> None:
    """Counts agree at each step, and a chunk is there once."""
    target = store.target()
    target.inspect()
    target.open("01RUN")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
        writer.load(ROWS.slice(0, 0), receipt(1, 0))
    assert target.staged_rows() == 3 and set(target.receipts()) == {0, 1}
    assert target.publish({}) == 3
    target.close()
    target.close()


def test_a_chunk_of_which_a_statement_fails_is_not_told_to_be_loaded(database: Store) -> None:
    """Drivers' commit() is silent where the transaction had failed before: here the receipt is one that is there."""
    target = database.target()
    target.open("01A")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
        with pytest.raises(VeilError):
            writer.load(ROWS, receipt(0))
        assert target.staged_rows() == 3
        writer.load(ROWS, receipt(1))
    assert (target.publish({}), sorted(target.receipts())) in [(6, [0, 1]), (6, [])]
    target.close()


def test_discarding_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """No table, no file, no part of one."""
    target = store.target()
    target.open("01RUN")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    target.discard()
    target.close()
    for path in tmp_path.iterdir():
        assert path.suffix in (".sqlite", ".duckdb", ".lock"), path
    if store.kind in ("sqlite", "duckdb", "postgresql", "mariadb"):
        assert tables(store) == {"_veilflow"}
        assert store.sql("select * from _veilflow") == []


def tables(store: Store) -> set[str]:
    """The tables that are there, staging included."""
    sql = {
        "sqlite": "select name from sqlite_master where type = 'table'",
        "duckdb": "select table_name from duckdb_tables()",
        "postgresql": "select tablename from pg_tables where schemaname in ('public', 'veilflow_staging')",
        "mariadb": "select table_name from information_schema.tables where table_schema in (database(), 'veilflow_staging')",
    }
    return {name for (name,) in store.sql(sql[store.kind])} - {"veilflow_staging_locks"}


# --- databases ---------------------------------------------------------------------------


def test_values_are_kept_exactly(database: Store) -> None:
    """Large decimals, old dates, null apart from the empty string, any Unicode, and awkward names."""
    assert database.run("01A")[1] == 3
    assert set(database.sql('select "select", "a ""b""", day, n from "order"')) == STORED
    assert tables(database) == {"_veilflow", "order"}


def test_a_second_publish_of_the_same_run_changes_nothing(database: Store) -> None:
    """Idempotent per run, in append too."""
    target = database.target(mode="append")
    target.open("01A")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    assert target.publish({}) == target.publish({}) == 3
    assert target.publication("01A") is not None and target.publication("01B") is None
    target.close()
    assert database.sql('select count(*) from "order"') == [(3,)]
    assert database.run("01B", mode="append") == ("transaction", 3)
    assert database.sql('select count(*) from "order"') == [(6,)]


def test_cleaning_drops_the_staging_of_dead_runs_and_of_no_other(database: Store) -> None:
    """The lock went with the process; its rows must not stay behind. A run's own stay."""
    dead = database.target()
    dead.open("01A")
    with dead.writer() as writer:
        writer.load(ROWS, receipt(0))
    dead.close()
    target = database.target()
    target.open("01B")
    assert target.clean() == ("01A",)
    assert target.clean() == () and target.staged_rows() == 0
    target.close()
    database.run("01B")
    assert tables(database) == {"_veilflow", "order"}


def test_a_run_that_opens_again_goes_on(database: Store) -> None:
    """With its id, what is staged and receipted is there."""
    for chunk in (0, 1):
        target = database.target()
        target.open("01A")
        assert set(target.receipts()) == set(range(chunk))
        with target.writer() as writer:
            writer.load(ROWS, receipt(chunk))
        assert target.staged_rows() == 3 * (chunk + 1)
        target.close()


def test_a_live_run_keeps_others_out(database: Store) -> None:
    """VEIL308 while the lock is held, and not any longer."""
    first = database.target()
    first.open("01A")
    refused("VEIL308", lambda: database.target().open("01B"))
    first.close()
    second = database.target()
    second.open("01B")
    second.close()


@pytest.mark.live
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_lock_that_is_about_to_be_given_back_is_waited_for(make_store: Callable[[str], Store], kind: str) -> None:
    """A server may notice a moment late that a process has died."""
    store = make_store(kind)
    first, second = store.target(), store.target()
    first.open("01A")
    waiting = threading.Thread(target=lambda: second.open("01B"))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    first.close()
    waiting.join(30)
    assert second.clean() == ("01A",)
    second.close()


def test_a_table_of_another_shape_is_refused_and_stays(database: Store) -> None:
    """VEIL307 names the columns that differ."""
    database.run("01A")
    other = pa.schema([("select", pa.string()), ("more", pa.string())])
    error = refused("VEIL307", lambda: database.target(schema=other).inspect())
    assert "more" in error.problem
    assert database.sql('select count(*) from "order"') == [(3,)]


def test_replacing_keeps_a_view_and_an_index(database: Store) -> None:
    """Both still work and show the new rows."""
    database.run("01A", versions={"select": ColumnKey(1, "as ever")})
    database.sql('create index kept on "order" (n)')
    database.sql('create view shown as select n from "order"')
    how, _rows = database.run("01B", ROWS.slice(0, 2), versions={"select": ColumnKey(1, "as ever")})
    assert how == ("transaction" if database.kind == "duckdb" else "rewrite")
    assert database.sql("select count(*) from shown") == [(2,)]
    if database.kind != "duckdb":
        index = {
            "sqlite": "select 1 from sqlite_master where name = 'kept'",
            "postgresql": "select 1 from pg_indexes where indexname = 'kept'",
            "mariadb": "select 1 from information_schema.statistics where index_name = 'kept' and table_schema = database()",
        }
        assert database.sql(index[database.kind]) == [(1,)]
    else:
        assert database.sql("select index_name from duckdb_indexes()") == [("kept",)]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_another_key_version_is_refused_beside_rows_of_the_old_one(database: Store, mode: Mode) -> None:
    """It would insert every person a second time."""
    database.run("01A", KEYED, versions={"id": ColumnKey(1, "as ever")})
    key = {"key": ("id",)} if mode == "merge" else {}
    refused("VEIL313", lambda: database.run("01B", KEYED, versions={"id": ColumnKey(2, "as ever")}, mode=mode, **key))
    assert sorted(database.sql('select * from "order"')) == [("a", 1), ("b", 2), ("c", 3)]


# --- merge -------------------------------------------------------------------------------

KEYED = pa.table({"id": ["a", "b", "c"], "n": pa.array([1, 2, 3], pa.int64())})
LATER = pa.table({"id": ["b", "c", "d"], "n": pa.array([20, None, 40], pa.int64())})


def test_merge_updates_and_inserts_by_key(database: Store) -> None:
    """Rows that are not in the source stay; a value that became null is null."""
    first = (
        "transaction"
        if database.by_dialect
        else {"duckdb": "transaction", "mariadb": "rename"}.get(database.kind, "swap")
    )
    assert database.run("01A", KEYED, mode="merge", key=("id",)) == (first, 3)
    assert database.run("01B", LATER, mode="merge", key=("id",)) == ("transaction", 3)
    assert sorted(database.sql('select * from "order"')) == [("a", 1), ("b", 20), ("c", None), ("d", 40)]
    assert tables(database) == {"_veilflow", "order"}


def test_merge_with_delete_removes_what_is_gone(database: Store) -> None:
    """And twice the same gives the same."""
    database.run("01A", KEYED)
    for run_id in ("01B", "01C"):
        database.run(run_id, LATER, mode="merge", key=("id",), delete=True)
        assert sorted(database.sql('select * from "order"')) == [("b", 20), ("c", None), ("d", 40)]


def test_merge_by_a_key_of_several_columns(database: Store) -> None:
    """A table that is all key has nothing to update."""
    database.run("01A", KEYED)
    both = pa.table({"id": ["a", "a"], "n": pa.array([1, 2], pa.int64())})
    database.run("01B", both, mode="merge", key=("id", "n"))
    assert sorted(database.sql('select * from "order"')) == [("a", 1), ("a", 2), ("b", 2), ("c", 3)]


def test_a_merge_key_differs_in_case_blanks_and_accents(database: Store) -> None:
    """No collation brings two people together."""
    similar = pa.table({"id": ["a", "A", "a ", "ä", ""], "n": pa.array(range(5), pa.int64())})
    database.run("01A", KEYED)
    assert database.run("01B", similar, mode="merge", key=("id",))[1] == 5
    assert database.sql('select count(*) from "order"') == [(7,)]


@pytest.mark.parametrize(("ids", "problem"), [(["x", "x"], "more than once"), (["x", None], "null")])
@pytest.mark.parametrize("existing", [True, False])
def test_a_key_that_does_not_tell_rows_apart_is_refused(
    database: Store, ids: list[str | None], problem: str, existing: bool
) -> None:
    """VEIL318 before anything changes, also where the table is made anew; the key's values are not told."""
    if existing:
        database.run("01A", KEYED)
    rows = pa.table({"id": pa.array(ids, pa.string()), "n": pa.array([1, 2], pa.int64())})
    error = refused("VEIL318", lambda: database.run("01B", rows, mode="merge", key=("id",)))
    assert problem in error.problem and "x" not in error.problem.replace("exist", "")
    there = sorted(database.sql('select * from "order"')) if existing else "order" in tables(database)
    assert there == ([("a", 1), ("b", 2), ("c", 3)] if existing else False)


def test_a_key_that_stands_twice_in_the_table_is_refused(database: Store) -> None:
    """Nobody could say which of the two rows is meant."""
    database.run("01A", pa.table({"id": ["a", "a"], "n": pa.array([1, 2], pa.int64())}))
    refused("VEIL318", lambda: database.run("01B", KEYED, mode="merge", key=("id",)))


def test_a_constraint_that_refuses_a_row_refuses_the_run(database: Store) -> None:
    """VEIL319, and the table is as it was."""
    database.run("01A", KEYED)
    database.sql('create unique index once on "order" (n)')
    rows = pa.table({"id": ["secret-person", "y"], "n": pa.array([7, 7], pa.int64())})
    for mode in ("append", "merge", "replace"):
        key = {"key": ("id",)} if mode == "merge" else {}
        error = refused("VEIL319", lambda mode=mode, key=key: database.run(f"01{mode}", rows, mode=mode, **key))
        assert "secret-person" not in str(error)
    assert sorted(database.sql('select * from "order"')) == [("a", 1), ("b", 2), ("c", 3)]


def refused(code: str, call: Callable[[], object]) -> VeilError:
    with pytest.raises(VeilError) as caught:
        call()
    assert caught.value.code == code, str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


# --- MariaDB -----------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("renamed", [True, False])
@pytest.mark.parametrize("completed_by", ["publication", "clean"])
def test_a_rename_that_lost_its_process_is_completed_or_undone(
    make_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch, renamed: bool, completed_by: str
) -> None:
    """The journal tells a later command whether the tables were exchanged: old or new, never a mixture."""
    from veilflow.targets import mariadb

    store = make_store("mariadb")
    store.run("01A", KEYED)
    run_statement = mariadb.run

    def die(connection: Any, sql: str, values: Any = None) -> Any:
        if sql.startswith("rename table"):
            if renamed:
                run_statement(connection, sql, values)
            raise KeyboardInterrupt
        return run_statement(connection, sql, values)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(mariadb, "run", die)
        store.run("01B", LATER)
    later = store.target(schema=KEYED.schema)
    if completed_by == "clean":
        later.open("01C")
        assert later.clean() == ("01B",)
    found = later.publication("01B")
    assert (found is not None and found.rows == 3) == renamed
    later.discard()
    later.close()
    assert sorted(store.sql("select id from `order`")) == [(c,) for c in ("bcd" if renamed else "abc")]
    assert store.sql("select count(*) from _veilflow where kind = 'publishing'") == [(0,)]
    if completed_by == "clean":
        assert tables(store) == {"_veilflow", "order"}


@pytest.mark.live
def test_mariadb_refuses_what_it_would_change_in_silence(make_store: Callable[[str], Store]) -> None:
    """What strict mode only warns of is an error, with nothing kept; quotes and backslashes are text."""
    store = make_store("mariadb")
    awkward = pa.table({"t": ["\\", "it's", "\\'", "a\0b", "%s", "😀", "\\N", "NULL"], "b": [b"\x00'\xff"] * 8})
    store.run("01A", awkward)
    assert store.sql("select * from `order`") == list(zip(*awkward.to_pydict().values(), strict=True))
    for value in (float("nan"), float("inf")):
        refused("VEIL319", lambda value=value: store.run("01B", pa.table({"f": [value]}), table="floats"))
    target = store.target("narrow", schema=pa.schema([("t", pa.string())]))
    target.open("01D")
    store.sql("alter table veilflow_staging.run_01d modify t varchar(2)")
    with target.writer() as writer:
        refused("VEIL319", lambda: writer.load(pa.table({"t": ["ok", "too long"]}), receipt(0, 2)))
    assert target.staged_rows() == 0 and target.receipts() == {}
    target.close()


# --- SQLite ------------------------------------------------------------------------------


def sqlite(path: Path, mode: Mode = "replace", schema: pa.Schema = SCHEMA) -> Target:
    return open_target(kind="sqlite", table="order", mode=mode, schema=schema, path=path)


def run(target: Target, run_id: str) -> int:
    target.inspect()
    target.open(run_id)
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    try:
        return target.publish({})
    finally:
        target.close()


def test_what_a_killed_process_left_half_written_is_rolled_back(tmp_path: Path) -> None:
    """A hot journal beside the file: plan, run and the look for a publication still open it."""
    run(sqlite(tmp_path / "live.db"), "01A")
    writing = sqlite3.connect(tmp_path / "live.db", isolation_level=None)
    writing.execute("pragma cache_size = 1")
    writing.execute("begin immediate")
    writing.executemany('insert into "order" ("select") values (?)', [("x" * 1000,)] * 1000)
    for suffix in (".db", ".db-journal"):
        shutil.copy(tmp_path / f"live{suffix}", tmp_path / f"killed{suffix}")
    writing.execute("rollback")
    writing.close()
    target = sqlite(tmp_path / "killed.db")
    assert target.publication("01A") is not None
    assert target.inspect() == "swap"
    run(target, "01B")
    assert sqlite3.connect(tmp_path / "killed.db").execute('select count(*) from "order"').fetchone() == (3,)


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin")
connection.execute("select * from _veilflow").fetchall()
print("reading", flush=True)
sys.stdin.read(1)
"""


def test_sqlite_stores_each_cell_in_the_class_of_its_type(tmp_path: Path) -> None:
    """Also in the last statement of a chunk, which has fewer rows; a NUL character does not end a text."""
    cells: list[tuple[pa.DataType, Any, str, Any]] = [
        (pa.string(), "a\0b\U0001f600", "text", "a\0b\U0001f600"), (pa.string(), "", "text", ""),
        (pa.string(), "x" * 70_000, "text", "x" * 70_000), (pa.binary(), b"\0\xff", "blob", b"\0\xff"),
        (pa.int64(), 2**63 - 1, "integer", 2**63 - 1), (pa.int64(), -(2**63), "integer", -(2**63)),
        (pa.uint64(), 2**64 - 1, "text", "18446744073709551615"), (pa.bool_(), True, "integer", 1),
        (pa.float64(), 1.0, "real", 1.0), (pa.float32(), 0.1, "real", 0.10000000149011612),
        (pa.decimal128(38, 2), Decimal("1E+30"), "text", "1" + "0" * 30 + ".00"),
        (pa.date32(), date(1908, 12, 9), "text", "1908-12-09"), (pa.int64(), None, "null", None),
        (pa.timestamp("us"), datetime(2024, 2, 29, 1, 2, 3, 4), "text", "2024-02-29 01:02:03.000004"),
    ]  # fmt: skip
    rows = 151
    table = pa.table({f"c{number}": pa.array([cell] * rows, kind) for number, (kind, cell, _, _) in enumerate(cells)})
    store = Store("sqlite", tmp_path / "o.db")
    store.run("01A", table)
    for number, (_, _, stored, value) in enumerate(cells):
        assert store.sql(f'select typeof(c{number}), c{number} from "order"') == [(stored, value)] * rows


@pytest.mark.parametrize("child", ["orders", "people"], ids=["of another table", "of its own"])
def test_a_foreign_key_of_sqlite_that_would_lead_nowhere_refuses_the_run(tmp_path: Path, child: str) -> None:
    """SQLite itself holds it against no row. What led nowhere before is none of the run's doing."""
    store = Store("sqlite", tmp_path / "o.db")
    store.sql("create table people (id bigint primary key, boss bigint references people)")
    store.sql("create table orders (person bigint references people)")
    store.sql("create table odd (person bigint references people (boss))")  # no unique key: holds for nobody
    store.sql("insert into people values (1, null), (2, 1)")
    store.sql("insert into orders values (1), (7)")
    numbers = [pa.array([1, 2], pa.int64()), pa.array([None, 1], pa.int64())]
    rows = pa.table(numbers, names=["id", "boss"])
    assert store.run("01A", rows, table="people") == ("rewrite", 2)
    wrong = rows.slice(1) if child == "orders" else rows.set_column(1, "boss", pa.array([None, 9], pa.int64()))
    with pytest.raises(VeilError, match="foreign key") as caught:
        store.run("01B", wrong, table="people")
    assert caught.value.code == "VEIL319"
    assert store.sql("select * from people order by id") == [(1, None), (2, 1)]


def test_somebody_who_reads_sqlite_makes_a_commit_wait_and_not_fail(tmp_path: Path) -> None:
    """A reader of another process holds the file for a moment."""
    target = sqlite(tmp_path / "o.db")
    target.open("01A")
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path / "o.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdin and reader.stdout and reader.stdout.readline() == b"reading\n"
        leaving = threading.Timer(0.5, reader.stdin.close)
        leaving.start()
        with target.writer() as writer:
            writer.load(ROWS, receipt(0))
        leaving.join()
    assert set(target.receipts()) == {0}
    target.close()


# --- files -------------------------------------------------------------------------------


def test_files_tell_null_from_the_empty_string(tmp_path: Path) -> None:
    """Unquoted and quoted in CSV; Parquet keeps types."""
    for kind in ("csv", "parquet"):
        run(open_target(kind=kind, table="t", mode="replace", schema=SCHEMA, path=tmp_path / f"o.{kind}"), "01A")
    lines = (tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith('"",') and lines[2] == ",,,"
    assert pq.read_table(tmp_path / "o.parquet").equals(ROWS)


def test_a_later_process_of_the_same_run_finds_what_is_staged(database: Store) -> None:
    """Rows and receipts, until they are published."""
    first = database.target()
    first.open("01A")
    with first.writer() as writer:
        writer.load(ROWS, receipt(0))
    first.close()
    second = database.target()
    second.open("01A")
    assert set(second.receipts()) == {0} and second.staged_rows() == 3
    with second.writer() as writer:
        writer.load(ROWS, receipt(1))
    assert second.publish({}) == 6
    second.close()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_half_a_file_is_removed_unless_its_run_is_alive(tmp_path: Path, kind: str) -> None:
    """The lock of the part tells; a later process of the same run begins it anew."""
    first, second = (
        open_target(kind=kind, table="t", mode="replace", schema=SCHEMA, path=tmp_path / f"o.{kind}") for _ in range(2)
    )
    first.open("01A")
    with first.writer() as writer:
        writer.load(ROWS, receipt(0))
    assert second.clean() == ()
    first.close()
    second.open("01A")
    assert second.receipts() == {} and second.clean() == ()
    with second.writer() as writer:
        writer.load(ROWS, receipt(0))
    assert second.publish({}) == 3
    third = open_target(kind=kind, table="t", mode="replace", schema=SCHEMA, path=tmp_path / f"o.{kind}")
    (tmp_path / f".o.{kind}.01B.part").write_bytes(b"half")
    assert third.clean() == ("01B",)
    assert [path.name for path in tmp_path.iterdir()] == [f"o.{kind}"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_packed_files_are_written_and_read_back(tmp_path: Path, kind: str, ending: str) -> None:
    """By the name's ending; read by the first bytes, also where two were put together; a cut one is refused."""
    path = tmp_path / f"o.{kind}.{ending}"
    run(open_target(kind=kind, table="t", mode="replace", schema=SCHEMA, path=path), "01A")
    whole = path.read_bytes()
    assert whole.startswith(b"\x1f\x8b" if ending == "gz" else b"\x28\xb5\x2f\xfd")
    config = SourceConfig(kind, path, "packed", types=dict.fromkeys(SCHEMA.names, TEXT))
    columns = open_source(config).schema().columns
    found = [piece.read() for piece in open_source(config).slices(columns, 100)]
    assert [chunk.values["select"].to_pylist() for chunk in found] == [["", None, "王\n,"]]
    path.write_bytes(whole[:-8])
    with pytest.raises(VeilError) as caught:
        [piece.read() for piece in open_source(config).slices(columns, 100)]
    assert caught.value.code == "VEIL210"
    if kind == "jsonl":
        path.write_bytes(whole * 2)
        assert sum(piece.read().rows_read for piece in open_source(config).slices(columns, 100)) == 6


# --- names -------------------------------------------------------------------------------

HOSTILE = ["select", "a b", 'q"q', "back`tick", "semi;--", "王", "%s", "?", "'", "{x}", "order", "x" * 63]


def test_hostile_names_are_names(database: Store) -> None:
    """Reserved words, quotes, blanks, placeholders: in columns, in keys, and as the table's name."""
    rows = pa.table({name: [str(number), None] for number, name in enumerate(HOSTILE)})
    rows = rows.set_column(0, "select", pa.array(["0", "1"]))
    for table in ('it"s', "drop `t`;", "x" * 63):
        for run_id in ("01A", "01B"):
            database.run(run_id + table[:2], rows, table=table, mode="merge", key=("select", 'q"q')[:1])
        quoted = table.replace('"', '""')
        assert sorted(database.sql(f'select "select", "a b", "王" from "{quoted}"')) == [
            ("0", "1", "5"),
            ("1", None, None),
        ]


def test_many_columns_are_loaded_or_refused_before_a_row_is_read(database: Store) -> None:
    """1,600 where the database has room for them, else VEIL214."""
    rows = pa.table(
        {f"c{number}": pa.array([number if number % 1599 == 0 else None], pa.int64()) for number in range(1600)}
    )
    if database.by_dialect and database.kind == "mariadb":
        target = database.target(schema=rows.schema)
        refused("VEIL214", lambda: target.open("01A"))
        target.close()
        return
    if database.kind == "mariadb":
        assert "1017" in refused("VEIL214", lambda: database.target(schema=rows.schema)).problem
        return
    database.run("01A", rows)
    assert database.sql('select c0, c1599 from "order"') == [(0, 1599)]
    if database.kind != "duckdb" and not database.by_dialect:
        more = pa.schema([(f"c{number}", pa.int64()) for number in range(2001)])
        assert "at most" in refused("VEIL214", lambda: database.target(schema=more)).problem


def test_one_row_of_fifty_megabytes_is_loaded_or_refused_alone(database: Store) -> None:
    """MariaDB takes as much as its max_allowed_packet says: such a row is refused, and those beside it are not."""
    rows = pa.table({"t": ["x" * 50_000_000, "y"], "n": pa.array([1, 2], pa.int64())})
    if database.kind == "mariadb":
        target = database.target(schema=rows.schema)
        target.open("01A")
        with target.writer() as writer:
            error = refused("VEIL319", lambda: writer.attempt(rows.slice(0, 1)))
            assert "max_allowed_packet" in error.hint
            writer.attempt(rows.slice(1))
        target.discard()
        target.close()
        return
    database.run("01A", rows)
    assert database.sql('select length(t), n from "order" order by n') == [(50_000_000, 1), (1, 2)]
