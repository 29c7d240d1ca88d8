"""What every database source and target keeps of an incremental load."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from stores import Store, receipt

from veilflow.errors import VeilError
from veilflow.model import Advance, Checkpoint, ColumnType, Secret, SourceColumn, SourceConfig, Standing, Windowed
from veilflow.model import Window as W
from veilflow.sources import open_source
from veilflow.sources.windows import inside, largest, narrowed, text_of

KINDS = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]
START = datetime(2024, 1, 1)
ROWS = pa.table(
    {
        "n": pa.array([7, None, -3, 2**62, 7], pa.int64()),
        "amount": pa.array([Decimal("0.01"), Decimal("-5"), None, Decimal("99999999999999.99"), Decimal("10")], pa.decimal128(18, 2)),
        "day": pa.array([date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31), None, date(2024, 3, 1)]),
        "moment": pa.array([START, START + timedelta(microseconds=1), datetime(1, 1, 2), datetime(9999, 1, 1), None], pa.timestamp("us")),
        "utc": pa.array([None, START.replace(tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC), (START - timedelta(hours=1)).replace(tzinfo=UTC)], pa.timestamp("us", "UTC")),
    }
)  # fmt: skip
FIRST = Checkpoint("sha256:m", "3", {"a": "1", "b": "2"}, "k", "01A")
SECOND = Checkpoint("sha256:m", "7", {"b": "3"}, "k", "01C")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


# --- sources -----------------------------------------------------------------------------


def source(store: Store, **more: Any) -> Any:
    types = {field.name: ColumnType(NAMES[field.name], field.type) for field in ROWS.schema if field.name != "n"}
    config = SourceConfig(store.kind, store.path or Path(), "warehouse", **({"table": "order", "types": types} | more))
    return open_source(config, None if store.url is None else (lambda: Secret(store.url or "")))


NAMES = {"n": "integer", "amount": "decimal", "day": "date", "moment": "timestamp", "utc": "timestamp"}


@pytest.mark.parametrize("column", ROWS.column_names)
def test_a_window_holds_its_rows_and_those_without_a_value(store: Store, column: str) -> None:
    """Each value of the column as either bound, with and without it: the database leaves out what Arrow would, and no more."""
    store.run("01A", ROWS)
    whole, columns = source(store), (SourceColumn(column, ColumnType(NAMES[column], ROWS.schema.field(column).type)),)
    assert isinstance(whole, Windowed)
    values = ROWS[column].combine_chunks()
    bounds = [text_of(value) for value in values.drop_null()]
    assert whole.newest(columns[0]) == largest(bounds, values.type)
    # SQLite orders only integers as Arrow does, and MariaDB has no moments with a zone: there all is read, and judged here.
    exact = (store.kind, column) != ("mariadb", "utc") and (store.kind != "sqlite" or column == "n")
    for bound in bounds:
        for included in (True, False):
            for window in (W(column, bound, included), W(column, None, True, bound, included)):
                read = [piece.read() for piece in whole.within(window).slices(whole.schema().columns, 2)]
                found = [value for chunk in read for value in narrowed(chunk, window).values.column(column).to_pylist()]
                expected = values.filter(pa.array(inside(values, window) | values.is_null().to_numpy(False)))
                assert sorted(map(str, found)) == sorted(map(str, expected.to_pylist())), window
                if exact:
                    assert sum(chunk.rows_read for chunk in read) == len(expected)


def test_a_window_of_a_query_with_a_percent_and_a_comment(store: Store) -> None:
    """The query's text is left as it is."""
    store.run("01A", ROWS)
    quote = "`" if store.kind == "mariadb" else '"'
    query = f"select n, day as {quote}a day{quote} from {quote}order{quote} where 'a%s' like 'a%' -- %s :low $1 ?"
    whole = source(store, table=None, query=query, types={})
    read = [piece.read() for piece in whole.within(W("n", "0", True)).slices(whole.schema().columns, 10)]
    assert sorted(str(value) for chunk in read for value in chunk.values.column("n").to_pylist()) == sorted(["7", "7", str(2**62), "None"])  # fmt: skip
    assert whole.newest(SourceColumn("n", ColumnType("integer", pa.int64()))) == str(2**62)


def test_a_column_that_the_database_orders_otherwise_is_judged_by_us(store: Store) -> None:
    """Numbers that stand as text: "10" is below "9" there, and above it here."""
    store.run("01A", pa.table({"n": ["9", "10", "8", None]}))
    column = SourceColumn("n", ColumnType("integer", pa.int64()))
    whole = source(store, types={"n": column.type})
    assert whole.newest(column) == "10"
    window = W("n", "9", False)
    read = [narrowed(piece.read(), window) for piece in whole.within(window).slices((column,), 10)]
    assert [value for chunk in read for value in chunk.values.column("n").to_pylist()] == [10, None]


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgresql", marks=pytest.mark.live)])
def test_an_infinite_moment_is_no_newest_value_and_is_not_lost(kind: str, make_store: Callable[[str], Store]) -> None:
    """It is rejected as a row that cannot be read, in every window."""
    store = make_store(kind)
    store.sql('create table "order" (moment timestamp)')
    store.sql("insert into \"order\" values ('infinity'), ('-infinity'), ('2024-01-01')")
    whole = source(store, types={})
    column = SourceColumn("moment", ColumnType("timestamp", pa.timestamp("us")))
    assert whole.newest(column) == "2024-01-01 00:00:00.000000"
    for window in (W("moment", "2025-01-01 00:00:00"), W("moment", None, True, "2020-01-01 00:00:00")):
        read = [piece.read() for piece in whole.within(window).slices((column,), 10)]
        assert [row.position for chunk in read for row in chunk.rejected] == [0, 1]


# --- targets -----------------------------------------------------------------------------

KEYED = pa.table({"id": ["a", "b"], "n": pa.array([1, 2], pa.int64())})


def publish(store: Store, run_id: str, advance: Advance | None, rows: pa.Table = KEYED, **more: Any) -> None:
    target = store.target(schema=rows.schema, **({"mode": "append"} | more))
    try:
        target.open(run_id)
        with target.writer() as writer:
            writer.load(rows, receipt(0, rows.num_rows))
        target.publish({}, advance=advance)
    finally:
        target.close()


def standing(store: Store, pipeline: str = "p") -> Standing:
    return store.target(schema=KEYED.schema, mode="append").standing(pipeline)


@pytest.mark.parametrize("mode", [{"mode": "append"}, {"mode": "merge", "key": ("id",)}], ids=["append", "merge"])
def test_a_checkpoint_is_kept_for_each_pipeline_and_moves(store: Store, mode: dict[str, Any]) -> None:
    """Also by the run that makes the table."""
    assert standing(store) == Standing()
    publish(store, "01A", Advance("p", None, FIRST), **mode)
    publish(store, "01B", Advance("q", None, FIRST), **mode)
    publish(store, "01C", Advance("p", FIRST, SECOND), **mode)
    publish(store, "01D", None, **mode)
    assert standing(store) == Standing(replace(SECOND, files={"a": "1", "b": "3"}), published=True)
    assert standing(store, "q") == Standing(replace(FIRST, revision="01B"), published=True)
    assert standing(store, "r") == Standing(None, published=True)


@pytest.mark.parametrize("before", [None, SECOND], ids=["none", "another"])
def test_a_checkpoint_that_another_run_moved_publishes_nothing(store: Store, before: Checkpoint | None) -> None:
    """VEIL328: both would have loaded the same rows."""
    publish(store, "01A", Advance("p", None, FIRST))
    with pytest.raises(VeilError) as error:
        publish(store, "01B", Advance("p", before, SECOND))
    assert error.value.code == "VEIL328"
    assert store.sql('select count(*) from "order"') == [(2,)]
    assert standing(store).checkpoint == FIRST


def test_a_table_that_is_replaced_or_made_anew_has_no_checkpoint(store: Store) -> None:
    """What the checkpoints stood for is gone; to go on from there would lose rows."""
    publish(store, "01A", Advance("p", None, FIRST))
    publish(store, "01B", None, mode="replace")
    assert standing(store) == Standing(None, published=True)
    publish(store, "01C", Advance("p", None, FIRST))
    publish(store, "01D", Advance("q", None, FIRST))
    store.sql('drop table "order"')
    assert standing(store) == Standing()
    publish(store, "01E", Advance("p", None, SECOND))
    found = standing(store).checkpoint
    assert found == replace(SECOND, revision="01E") and standing(store, "q").checkpoint is None


@pytest.mark.parametrize("first", [True, False], ids=["new table", "old table"])
def test_a_process_killed_while_it_publishes_moves_both_or_neither(store: Store, first: bool) -> None:
    """kill -9 at random moments around the commit, over and over; the next run completes what was under way."""
    chance = random.Random(7)
    done = 0
    began = time.monotonic()
    publish(store, "01A", None, KEYED.slice(0, 0))
    longest = time.monotonic() - began
    store.sql('drop table "order"')
    for attempt in range(8):
        if first and attempt:
            store.sql('drop table if exists "order"')
        before = standing(store).checkpoint
        rows = dict(store.sql('select id, n from "order"')) if before else {}
        after = Checkpoint("sha256:m", str(attempt))
        _publish_and_die(store, f"01R{attempt:02}", before, after, chance.random() * longest)
        _settle(store, f"01S{attempt:02}")
        found = standing(store).checkpoint
        moved = found is not None and found.revision == f"01R{attempt:02}"
        there = dict(store.sql('select id, n from "order"')) if found else {}
        assert moved or found == (None if first else before)
        assert there == (rows | {"a": attempt} if moved else rows)
        done += moved
    assert done > 0


def _publish_and_die(store: Store, run_id: str, before: Checkpoint | None, after: Checkpoint, seconds: float) -> None:
    """In a process of its own, which is killed so many seconds after it began to publish."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            rows = pa.table({"id": ["a"], "n": pa.array([int(after.watermark)], pa.int64())})
            target = store.target(schema=rows.schema, mode="merge", key=("id",))
            target.open(run_id)
            with target.writer() as one:
                one.load(rows, receipt(0, 1))
            threading.Thread(
                target=lambda: target.publish({}, advance=Advance("p", before, after)), daemon=True
            ).start()
            os.write(writer, b"x")
            time.sleep(seconds)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    os.waitpid(child, 0)


def _settle(store: Store, run_id: str) -> None:
    """What the next run does before anything else: it waits for the dead run's publishing, and drops what it left."""
    target = store.target(schema=KEYED.schema, mode="append")
    try:
        _patiently(lambda: target.open(run_id))
        target.publication(run_id.replace("S", "R"))
        target.clean()
        target.discard()
    finally:
        target.close()


def _patiently(act: Callable[[], None]) -> None:
    """A server sees some time later that a client is dead."""
    end = time.monotonic() + 30
    while True:
        try:
            return act()
        except VeilError as error:
            if error.code != "VEIL308" or time.monotonic() > end:
                raise
            time.sleep(0.05)
