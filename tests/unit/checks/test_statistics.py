"""Figures of all numbers in little memory, order over chunks, commonest values, and columns that the plan decides."""

from __future__ import annotations

import random
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.checks import COLUMN_EXPECTATIONS, TableChecker, holds, plan_check
from veilflow.checks.comparison import fit_check
from veilflow.checks.great_expectations_engine import _series
from veilflow.checks.great_expectations_import import import_great_expectations
from veilflow.checks.numbers import Numbers
from veilflow.checks.statistics import InOrder
from veilflow.checks.value_counts import ValueCounts
from veilflow.errors import Place, VeilError
from veilflow.model import TEXT, Chunk, ColumnType, SourceColumn

NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-3, 3).map(float)


def numbers(values: list[float]) -> Numbers:
    found = Numbers()
    for start in range(0, len(values), 3):
        found.add(np.array(values[start : start + 3], np.float64))
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(NUMBER, min_size=1, max_size=30), st.floats(0, 1), st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest"]))  # fmt: skip
def test_quantiles_are_those_of_pandas(values: list[float], share: float, how: Any) -> None:
    """To the last bit, for every way to fall between two numbers."""
    found = numbers(values)
    assert found.quantile(share, how) == pd.Series(values).quantile(share, interpolation=how)
    assert found.median() == pd.Series(values).median()
    found.close()


def test_numbers_beyond_what_memory_keeps_are_ranked_exactly() -> None:
    """Most lie on disk, encrypted; every rank is found by counting."""
    values = [random.Random(7).uniform(-1e6, 1e6) for _ in range(200_001)] + [0.0, -0.0, 5e-324, -1e308, 1e308]
    found = Numbers()
    for start in range(0, len(values), 10_000):
        found.add(np.array(values[start : start + 10_000]))
    ordered = sorted(values)
    assert len(found._pieces) > 1 and found._held < 1 << 16
    for rank in (0, 1, 77_777, 100_003, len(values) - 1):
        assert found.ranked(rank) == ordered[rank]
    found.close()


def test_a_mean_is_correctly_rounded_whatever_the_order() -> None:
    """1e16 swallows ones in a plain sum."""
    values = [1e16, 1.0, -1e16, 1.0, 0.1] * 7
    first, second = numbers(values), numbers(values[::-1])
    assert first.mean() == second.mean() and first.standard_deviation() == second.standard_deviation()
    assert numbers([0.1] * 3).standard_deviation() == pd.Series([0.1] * 3).std()
    assert numbers([1.0]).standard_deviation() != numbers([1.0]).standard_deviation()  # NaN


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.sets(st.sampled_from("abcx"), min_size=1))
def test_the_commonest_values_are_those_of_pandas(values: list[str], members: set[str]) -> None:
    """Ties and all."""
    counts = ValueCounts()
    for start in range(0, len(values), 7):
        counts.add(pa.array(values[start : start + 7], pa.string()))
    modes = set(pd.Series(values, dtype="str").mode())
    assert counts.most_common(pa.array(sorted(members))) == (len(modes), len(modes & members))
    counts.close()


def test_values_are_looked_up_beyond_what_memory_keeps() -> None:
    """As often as they stand."""
    ours = ValueCounts()
    theirs = ours.beside()
    for start in range(0, 400_000, 50_000):
        ours.add(pa.array([f"p{n}" for n in range(start, start + 50_000)]))
        theirs.add(pa.array([f"p{n}" for n in range(start, start + 50_000) if n % 1000]))
    ours.add(pa.array(["p0", "p0", "q"]))
    assert sum(map(len, ours._written)) and ours.missing_in(theirs) == 400 + 3
    assert ours.missing_in(ours.beside()) == 400_003


def outcomes(kind: str, parts: dict[int, list[Any]], column_type: ColumnType, as_of: date = date.max, **kwargs: Any) -> Any:  # fmt: skip
    column = SourceColumn("a", column_type)
    check = fit_check(plan_check({"type": kind, "kwargs": {"column": "a", **kwargs}}, Place("s")), {"a": column_type})
    checker = TableChecker([check], [column], as_of=as_of)
    for number, cells in parts.items():
        rows = pa.RecordBatch.from_pydict({"a": pa.array(cells, column_type.arrow)})
        checker.add(Chunk(number, rows, rows, np.arange(len(cells))))
    (outcome,) = checker.outcomes()
    checker.close()
    return outcome.passed, outcome.evaluated, outcome.failed


WHOLE = ColumnType("integer", pa.int64())
DAY = ColumnType("date", pa.date32())


def test_order_holds_over_chunks_that_come_in_any_order() -> None:
    """The step from one chunk to the next counts, also over chunks in which nothing is there."""
    kind = "expect_column_values_to_be_increasing"
    assert outcomes(kind, {2: [4, 5], 0: [1, None, 2], 1: [None]}, WHOLE) == (True, 4, 0)
    assert outcomes(kind, {2: [1, 5], 0: [1, None, 2], 1: [None]}, WHOLE) == (False, 4, 1)
    assert outcomes(kind, {1: [2], 0: [1, 2]}, WHOLE, strictly=True) == (False, 3, 1)
    assert outcomes(kind.replace("inc", "dec"), {1: [1], 0: [3, 2]}, WHOLE, strictly=True) == (True, 3, 0)


def test_of_a_chunk_in_order_only_its_ends_are_kept() -> None:
    """A slice would keep all of it."""
    check = plan_check({"type": "expect_column_values_to_be_increasing", "kwargs": {"column": "a"}}, Place("s"))
    order = InOrder(check, rising=True)
    order.add([pa.array(range(10_000))], 10_000, 0)
    assert sum(end.get_total_buffer_size() for end in order.ends[0]) < 1_000


@pytest.mark.parametrize(("latest", "passed"), [(date(2024, 2, 28), True), (date(2024, 2, 27), False), (None, False)])
def test_recent_is_held_against_the_date_of_the_plan(latest: date | None, passed: bool) -> None:
    """No clock: the same data and plan give the same verdict tomorrow."""
    found = outcomes("expect_column_max_to_be_recent", {0: [date(2000, 1, 1) if latest else None, latest]}, DAY, date(2024, 3, 1), within_days=2)  # fmt: skip
    assert found == (passed, 2, 0)
    moment = ColumnType("timestamp", pa.timestamp("us"))
    at = None if latest is None else datetime(latest.year, latest.month, latest.day, 23)
    assert outcomes("expect_column_max_to_be_recent", {0: [at]}, moment, date(2024, 3, 1), within_days=2)[0] == passed


@pytest.mark.parametrize(
    "kind",
    [
        "expect_column_median_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_values_to_be_increasing",
    ],
)
def test_refuses_columns_that_have_no_such_figure(kind: str) -> None:
    """VEIL207 names the types that it takes."""
    bounds = {} if "increasing" in kind else {"min_value": 1}
    with pytest.raises(VeilError, match="integer, decimal, float") as caught:
        outcomes(kind, {}, TEXT, **bounds)
    assert caught.value.code == "VEIL207"


# --- about the columns ------------------------------------------------------------------------

COLUMNS = [
    SourceColumn("text", TEXT), SourceColumn("whole", WHOLE), SourceColumn("small", ColumnType("integer", pa.int16())),
    SourceColumn("real", ColumnType("float", pa.float64())), SourceColumn("flag", ColumnType("boolean", pa.bool_())),
    SourceColumn("day", DAY), SourceColumn("at", ColumnType("timestamp", pa.timestamp("us"))),
    SourceColumn("utc", ColumnType("timestamp", pa.timestamp("us", "UTC"))),
    SourceColumn("money", ColumnType("decimal", pa.decimal128(9, 2))),
]  # fmt: skip
NAMES = [
    "str", "string", "object", "int", "int64", "int16", "i8", "INT", "long", "float", "float64", "bool", "datetime64",
    "datetime64[us]", "datetime64[s]", "Timestamp", "datetime64[us, UTC]", "nonsense", "list",
]  # fmt: skip
EACH_ONCE = [column.name for column in COLUMNS]


def about_columns() -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for column in COLUMNS:
        found += [("expect_column_values_to_be_of_type", {"column": column.name, "type_": name}) for name in NAMES]
        found += [("expect_column_type_to_be", {"column": column.name, "type_": name}) for name in NAMES]
        if column.type != TEXT:  # Great Expectations does not know the text of pandas 3 in a list, though by itself
            found.append(("expect_column_values_to_be_in_type_list", {"column": column.name, "type_list": NAMES[:5]}))
    found += [("expect_column_to_exist", given_) for given_ in (
        {"column": "whole"}, {"column": "nothing"}, {"column": "whole", "column_index": 1}, {"column": "whole", "column_index": 2},
        {"column": "money", "column_index": -1}, {"column": "whole", "column_index": 99})]  # fmt: skip
    found += [("expect_table_column_count_to_equal", {"value": count}) for count in (8, 9)]
    found += [("expect_table_column_count_to_be_between", {"min_value": 9, "max_value": high}) for high in (9, 12)]
    found += [("expect_table_column_count_to_be_between", {"max_value": 8})]
    for names in (EACH_ONCE, EACH_ONCE[::-1], EACH_ONCE[1:], [*EACH_ONCE, "nothing"]):
        found.append(("expect_table_columns_to_match_ordered_list", {"column_list": names}))
        found += [("expect_table_columns_to_match_set", {"column_set": names, "exact_match": exact}) for exact in (True, False)]  # fmt: skip
    return found


def test_columns_are_judged_as_great_expectations_judges_them() -> None:
    """Names, number, order and types, each as it says of a table in pandas."""
    gx = import_great_expectations()
    from great_expectations.expectations.registry import get_expectation_impl

    cells = {
        "text": "a",
        "flag": True,
        "day": date(2024, 1, 1),
        "at": datetime(2024, 1, 1),
        "utc": datetime(2024, 1, 1),
    }
    frame = pd.DataFrame({
        column.name: _series(pa.array([cells.get(column.name, 1)], column.type.arrow).cast(
            pa.float64() if column.type.name == "decimal" else column.type.arrow))
        for column in COLUMNS
    })  # fmt: skip
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    whole = batch.get_batch({"dataframe": frame})
    some = about_columns()
    assert {kind for kind, _ in some} == set(COLUMN_EXPECTATIONS)
    for kind, given_ in some:
        check = plan_check({"type": kind, "kwargs": given_}, Place("s"))
        theirs = bool(whole.validate(get_expectation_impl(kind)(**given_)).success)
        assert holds(kind, check.arguments, check.columns, COLUMNS) == theirs, (kind, given_)
