"""Windows over a column: values as texts, the row before, inside and outside."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.model import BadCells, Chunk, Window
from veilflow.sources.windows import earlier, inside, largest, narrowed, number_of, text_of, value_of

MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
VALUES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.decimal128(38, 10), st.decimals(-(10**27), 10**27, places=10)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), MOMENTS),
    (pa.timestamp("us", "UTC"), MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC))),
    (pa.timestamp("us", "Europe/Oslo"), MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC))),
    (pa.timestamp("s"), MOMENTS.map(lambda moment: moment.replace(microsecond=0))),
    (pa.timestamp("ns"), st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
]
NAMES = [str(kind) for kind, _values in VALUES]


@pytest.mark.parametrize(("kind", "strategy"), VALUES, ids=NAMES)
def test_a_text_reads_back_as_the_same_value(kind: pa.DataType, strategy: st.SearchStrategy[Any]) -> None:
    """A watermark that lost a digit would lose a row."""

    @settings(deadline=None)
    @given(strategy)
    def check(value: Any) -> None:
        scalar = pa.scalar(value, kind)
        assert value_of(text_of(scalar), kind) == scalar

    check()


@pytest.mark.parametrize(("kind", "strategy"), VALUES, ids=NAMES)
def test_rows_are_inside_as_python_compares_them(kind: pa.DataType, strategy: st.SearchStrategy[Any]) -> None:
    """Each bound with and without its own value; null is never inside."""

    @settings(deadline=None)
    @given(st.lists(strategy, max_size=8), strategy, strategy, st.booleans(), st.booleans())
    def check(values: list[Any], low: Any, high: Any, low_included: bool, high_included: bool) -> None:
        bounds = [text_of(pa.scalar(bound, kind)) for bound in (low, high)]
        window = Window("c", bounds[0], low_included, bounds[1], high_included)
        column = pa.array([low, high, *values, None], kind)
        expected = [
            (low < value or (low_included and low == value)) and (value < high or (high_included and value == high))
            for value in (low, high, *values)
        ]
        assert inside(column, window).tolist() == [*expected, False]
        assert largest([None, *map(text_of, column[:-1])], kind) == text_of(
            max(column[:-1], key=lambda one: number_of(one))
        )

    check()


@pytest.mark.parametrize(
    ("kind", "value", "lag", "expected"),
    [
        (pa.int64(), 100, Decimal(7), 93),
        (pa.int64(), -(2**63), Decimal(1), None),
        (pa.uint64(), 3, Decimal(4), None),
        (pa.decimal128(38, 2), Decimal("999999999999999999999999999999999999.99"), Decimal("0.01"), Decimal("999999999999999999999999999999999999.98")),
        (pa.date32(), date(2024, 3, 1), Decimal(1), date(2024, 2, 29)),
        (pa.date32(), date.min, Decimal(1), None),
        (pa.timestamp("us"), datetime(2024, 3, 1), Decimal("0.000001"), datetime(2024, 2, 29, 23, 59, 59, 999999)),
        (pa.timestamp("ms", "UTC"), datetime(2024, 3, 1, tzinfo=UTC), Decimal(3600), datetime(2024, 2, 29, 23, tzinfo=UTC)),
        (pa.timestamp("us"), datetime.min, Decimal(1), None),
    ],
)  # fmt: skip
def test_the_lag_is_taken_off_exactly(kind: pa.DataType, value: Any, lag: Decimal, expected: Any) -> None:
    """None: the type has no value so small, and everything is read."""
    found = earlier(text_of(pa.scalar(value, kind)), lag, kind)
    assert (None if found is None else value_of(found, kind)) == (
        None if expected is None else pa.scalar(expected, kind)
    )


def test_a_lag_finer_than_the_type_reads_more_and_never_less() -> None:
    """Half a second before a whole one is the whole second before."""
    kind = pa.timestamp("s")
    found = earlier(text_of(pa.scalar(datetime(1960, 1, 1), kind)), Decimal("0.5"), kind)
    assert found is not None and value_of(found, kind).as_py() == datetime(1960, 1, 1) - timedelta(seconds=1)


def chunk(values: list[int | None], bad: list[int] | None = None) -> Chunk:
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.int64()), pa.array(range(len(values)))], names=["c", "n"])
    cells = tuple(BadCells(name, "does not fit", np.array(bad)) for name in ("c", "n") if bad)
    return Chunk(0, batch, batch, np.arange(len(values), dtype=np.int64) + 100, cells)


def test_a_chunk_keeps_its_window_and_counts_the_others() -> None:
    """Positions and bad cells go on naming the rows that they named; a row without a value becomes a bad one."""
    found = narrowed(chunk([1, 5, None, 9, None, 7], bad=[4]), Window("c", "5", True, "8", True))
    assert found.values.column("n").to_pylist() == [1, 2, 4, 5]
    assert found.positions.tolist() == [101, 102, 104, 105]
    assert (found.outside, found.rows_read, found.newest) == (2, 6, "7")
    named = {(cells.column, cells.reason[:8]): cells.rows.tolist() for cells in found.bad_cells}
    assert named == {("c", "does not"): [2], ("n", "does not"): [2], ("c", "has no v"): [1]}


def test_narrowing_twice_changes_nothing() -> None:
    """Who has narrowed a chunk for the checks hands it on to be treated."""
    window = Window("c", "5")
    once = narrowed(chunk([1, 5, None, 9]), window)
    twice = narrowed(once, window)
    assert (twice.outside, twice.newest, twice.rows_read) == (once.outside, once.newest, once.rows_read)
    assert twice.values.equals(once.values)
    assert [cells.rows.tolist() for cells in twice.bad_cells] == [cells.rows.tolist() for cells in once.bad_cells]
