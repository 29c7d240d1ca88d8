"""What every target keeps."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from veilflow.errors import VeilError
from veilflow.model import Mode, Receipt, Target
from veilflow.targets import open_target

SCHEMA = pa.schema([("select", pa.string()), ('a "b"', pa.decimal128(18, 2)), ("day", pa.date32()), ("n", pa.int64())])
ROWS = pa.table(
    [["", None, "王\n,"], [Decimal("99999999999999.99"), None, Decimal("0.10")], [date(1908, 12, 9), None, date(2024, 2, 29)], [1, None, -(2**62)]],
    schema=SCHEMA,
)  # fmt: skip
Make = Callable[[str], Target]


def receipt(number: int, rows: int = 3) -> Receipt:
    return Receipt(number, rows, rows, 0, 0, "d", {}, {}, {})


@pytest.fixture(params=["sqlite", "csv", "jsonl", "parquet", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def open_one(table: str) -> Target:
        path = None if request.param == "memory" else tmp_path / f"out.{request.param}"
        return open_target(kind=request.param, table=table, mode="replace", schema=SCHEMA, path=path)

    return open_one


def test_what_was_loaded_is_staged_receipted_and_published(make: Make) -> None:
    """Counts agree at each step, and a chunk is there once."""
    target = make("order")
    target.inspect()
    target.open("01RUN")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
        writer.load(ROWS.slice(0, 0), receipt(1, 0))
    assert target.staged_rows() == 3 and set(target.receipts()) == {0, 1}
    assert target.publish({}) == 3
    target.close()
    target.close()


def test_discarding_leaves_nothing(make: Make, tmp_path: Path) -> None:
    """No table, no file, no part of one."""
    target = make("order")
    target.open("01RUN")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    target.discard()
    target.close()
    for path in tmp_path.iterdir():
        assert path.suffix in (".sqlite", ".lock"), path
        if path.suffix == ".sqlite":
            tables = sqlite3.connect(path).execute("select name from sqlite_master where type = 'table'").fetchall()
            assert tables == [("_veilflow",)]


def sqlite(path: Path, mode: Mode = "replace", schema: pa.Schema = SCHEMA) -> Target:
    return open_target(kind="sqlite", table="order", mode=mode, schema=schema, path=path)


def run(target: Target, run_id: str, versions: dict[str, int] | None = None) -> int:
    target.inspect()
    target.open(run_id)
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    try:
        return target.publish(versions or {})
    finally:
        target.close()


def test_sqlite_keeps_values_exactly(tmp_path: Path) -> None:
    """Decimals as text, dates as ISO, null apart from the empty string, any Unicode."""
    run(sqlite(tmp_path / "o.db"), "01A")
    rows = sqlite3.connect(tmp_path / "o.db").execute('select * from "order"').fetchall()
    assert rows == [
        ("", "99999999999999.99", "1908-12-09", 1),
        (None, None, None, None),
        ("王\n,", "0.10", "2024-02-29", -(2**62)),
    ]


def test_a_second_publish_of_the_same_run_changes_nothing(tmp_path: Path) -> None:
    """Idempotent per run, in append too."""
    target = sqlite(tmp_path / "o.db", "append")
    target.open("01A")
    with target.writer() as writer:
        writer.load(ROWS, receipt(0))
    assert target.publish({}) == target.publish({}) == 3
    assert target.publication("01A") is not None and target.publication("01B") is None
    assert sqlite3.connect(tmp_path / "o.db").execute('select count(*) from "order"').fetchone() == (3,)


def test_a_dead_runs_staging_is_dropped_by_the_next(tmp_path: Path) -> None:
    """The lock went with its process; its rows must not stay behind."""
    dead = sqlite(tmp_path / "o.db")
    dead.open("01A")
    with dead.writer() as writer:
        writer.load(ROWS, receipt(0))
    dead.close()
    run(sqlite(tmp_path / "o.db"), "01B")
    names = {
        name
        for (name,) in sqlite3.connect(tmp_path / "o.db").execute("select name from sqlite_master where type = 'table'")
    }
    assert names == {"_veilflow", "order"}


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


def test_a_live_run_keeps_others_out(tmp_path: Path) -> None:
    """VEIL308 while the lock is held."""
    first = sqlite(tmp_path / "o.db")
    first.open("01A")
    with pytest.raises(VeilError) as caught:
        sqlite(tmp_path / "o.db").open("01B")
    assert caught.value.code == "VEIL308"
    first.close()


def test_a_table_of_another_shape_is_refused_and_stays(tmp_path: Path) -> None:
    """VEIL307 names the columns that differ."""
    run(sqlite(tmp_path / "o.db"), "01A")
    other = pa.schema([("select", pa.string()), ("more", pa.string())])
    with pytest.raises(VeilError) as caught:
        sqlite(tmp_path / "o.db", schema=other).inspect()
    assert caught.value.code == "VEIL307" and "more" in caught.value.problem


def test_replacing_keeps_an_index_and_appending_needs_the_same_key_version(tmp_path: Path) -> None:
    """Rewrite where something depends on the table; VEIL313 under another version."""
    run(sqlite(tmp_path / "o.db"), "01A", {"select": 1})
    with sqlite3.connect(tmp_path / "o.db") as connection:
        connection.execute('create index kept on "order" (n)')
    assert sqlite(tmp_path / "o.db").inspect() == "rewrite"
    run(sqlite(tmp_path / "o.db"), "01B", {"select": 1})
    assert sqlite3.connect(tmp_path / "o.db").execute("select 1 from sqlite_master where name = 'kept'").fetchone()
    with pytest.raises(VeilError) as caught:
        run(sqlite(tmp_path / "o.db", "append"), "01C", {"select": 2})
    assert caught.value.code == "VEIL313"


def test_files_tell_null_from_the_empty_string(tmp_path: Path) -> None:
    """Unquoted and quoted in CSV; Parquet keeps types."""
    for kind in ("csv", "parquet"):
        run(open_target(kind=kind, table="t", mode="replace", schema=SCHEMA, path=tmp_path / f"o.{kind}"), "01A")
    lines = (tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith('"",') and lines[2] == ",,,"
    assert pq.read_table(tmp_path / "o.parquet").equals(ROWS)
