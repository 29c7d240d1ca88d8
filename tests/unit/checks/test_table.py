"""Expectations about a whole table, counted over chunks, against Great Expectations on the whole table."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from veilflow.checks import COLUMN_EXPECTATIONS, TABLE_EXPECTATIONS, TableChecker, plan_check
from veilflow.checks.comparison import fit_check
from veilflow.checks.great_expectations_import import import_great_expectations
from veilflow.checks.spill import Spill
from veilflow.checks.value_counts import Distinct, ValueCounts, _merged
from veilflow.errors import Place, VeilError
from veilflow.keys import hmac_words
from veilflow.model import TEXT, CheckPlan, Chunk, ColumnType, SourceColumn

PLACE = Place("suite.json", 1)
COLUMNS = [
    SourceColumn("text", TEXT), SourceColumn("whole", ColumnType("integer", pa.int64())),
    SourceColumn("real", ColumnType("float", pa.float64())), SourceColumn("day", ColumnType("date", pa.date32())),
]  # fmt: skip
TYPES = {column.name: column.type for column in COLUMNS}
CELLS = {
    "text": st.sampled_from(["a", "b", "", "\u00e9", "a "]), "whole": st.integers(-3, 3),
    "real": st.sampled_from([0.0, -0.0, 0.1, 0.2, 0.5, float("nan"), 1e16]),
    "day": st.dates(date(2000, 1, 1), date(2000, 1, 4)),
}  # fmt: skip


#: What Great Expectations has, and what the rows decide.
KINDS = sorted(TABLE_EXPECTATIONS.keys() - COLUMN_EXPECTATIONS.keys() - {"expect_column_max_to_be_recent"})


def check(kind: str, **kwargs: Any) -> CheckPlan:
    return plan_check({"type": kind, "kwargs": kwargs}, PLACE)


@st.composite
def rows(draw: st.DrawFn) -> pa.RecordBatch:
    count = draw(st.integers(1, 9))
    columns = {}
    for column in COLUMNS:
        cells = st.none() if draw(st.integers(0, 9)) == 0 else st.none() | CELLS[column.name]
        columns[column.name] = pa.array(draw(st.lists(cells, min_size=count, max_size=count)), column.type.arrow)
    return pa.RecordBatch.from_pydict(columns)


def bounds(draw: st.DrawFn, values: st.SearchStrategy[Any], strict: bool) -> dict[str, Any]:
    low, high = sorted(draw(st.tuples(values, values)))
    return {"min_value": low, "max_value": high} | ({"strict_min": draw(st.booleans()), "strict_max": draw(st.booleans())} if strict else {})  # fmt: skip


@st.composite
def checks(draw: st.DrawFn) -> CheckPlan:
    kind = draw(st.sampled_from(KINDS))
    condition = draw(st.sampled_from([{}, {}, {"row_condition": "whole > 0", "condition_parser": "pandas"}]))
    return check(
        kind, **draw(arguments(kind)), **(condition if "row_condition" in TABLE_EXPECTATIONS[kind].takes else {})
    )


@st.composite
def arguments(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    name = draw(st.sampled_from([column.name for column in COLUMNS]))
    mostly = {"mostly": draw(st.sampled_from([1.0, 0.8, 0.5]))}
    if kind == "expect_table_row_count_to_equal":
        return {"value": draw(st.integers(1, 9))}
    if kind == "expect_table_row_count_to_be_between":
        return bounds(draw, st.integers(0, 9), strict=True)
    if kind == "expect_column_values_to_be_unique":
        return {"column": name, **mostly}
    if kind == "expect_compound_columns_to_be_unique":
        rule = draw(st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"]))
        return {"column_list": ["text", "whole"], "ignore_row_if": rule, **mostly}
    if "value_to_be_in_set" in kind or "distinct_values" in kind:
        name = draw(st.sampled_from(["text", "whole", "real"])) if "common" in kind else name
        wanted = draw(st.lists(CELLS[name].filter(lambda one: one == one), min_size=1, max_size=5, unique=True))
        return {"column": name, "value_set": wanted} | ({"ties_okay": draw(st.booleans())} if "common" in kind else {})
    if "proportion" in kind:
        return {"column": name, **bounds(draw, st.sampled_from([0.0, 0.5, 1.0]), strict=True)}
    if "unique_value_count" in kind:
        return {"column": name, **bounds(draw, st.integers(0, 6), strict=True)}
    if "creasing" in kind:
        return {"column": draw(st.sampled_from(["whole", "real", "day"])), "strictly": draw(st.booleans()), **mostly}
    if "min_to" in kind or "max_to" in kind:
        name = draw(st.sampled_from(["whole", "real", "day"]))
        return {"column": name, **bounds(draw, CELLS[name].filter(lambda one: one == one), strict=True)}
    name = draw(st.sampled_from(["whole", "real"]))
    if "z_scores" in kind:
        return {
            "column": name,
            "threshold": draw(st.sampled_from([0.5, 1, 1.5, -1])),
            "double_sided": draw(st.booleans()),
            **mostly,
        }
    if "outliers" in kind:
        return {
            "column": name,
            "method": draw(st.sampled_from(["iqr", "std"])),
            "multiplier": draw(st.sampled_from([0, 0.5, 1, 1.5])),
            **mostly,
        }
    if "quantile" in kind:
        shares = draw(st.lists(st.sampled_from([0, 0.1, 0.25, 0.5, 0.6, 1]), min_size=1, max_size=3))
        ranges = [draw(ranges_of(name)) for _ in shares]
        how = draw(st.sampled_from([False, "linear", "lower", "higher", "midpoint", "nearest"]))
        return {
            "column": name,
            "quantile_ranges": {"quantiles": shares, "value_ranges": ranges},
            "allow_relative_error": how,
        }
    return {"column": name, **bounds(draw, CELLS[name].filter(lambda one: one == one), strict=True)}


@st.composite
def ranges_of(draw: st.DrawFn, name: str) -> list[Any]:
    low, high = sorted(draw(st.tuples(*[CELLS[name].filter(lambda one: one == one)] * 2)))
    return [draw(st.sampled_from([low, None])), draw(st.sampled_from([high, None]))]


def by_chunks(some: list[CheckPlan], table: pa.RecordBatch, size: int) -> list[bool]:
    checker = TableChecker([fit_check(one, TYPES) for one in some], COLUMNS)
    for number, start in enumerate(range(0, table.num_rows, size)):
        part = table.slice(start, size)
        checker.add(Chunk(number, part, part, np.arange(part.num_rows)))
    found = [outcome.passed for outcome in checker.outcomes()]
    checker.close()
    return found


def by_great_expectations(some: list[CheckPlan], table: pa.RecordBatch) -> list[bool]:
    gx = import_great_expectations()
    from great_expectations.expectations.registry import get_expectation_impl

    frame = pd.DataFrame({name: table.column(name).to_pandas() for name in ("text", "real")})
    frame["whole"] = table.column("whole").to_pandas()
    frame["day"] = table.column("day").cast(pa.timestamp("us")).to_pandas()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    whole = batch.get_batch({"dataframe": frame})
    found = []
    for one in some:
        columns = {"column_list": list(one.columns)} if len(one.columns) > 1 else dict.fromkeys(["column"], one.column)
        given_ = {**one.arguments, **(columns if one.columns else {})}
        if "mostly" in TABLE_EXPECTATIONS[one.type].takes:
            given_["mostly"] = one.mostly
        if one.condition is not None:
            given_ |= {"row_condition": "whole > 0", "condition_parser": "pandas"}
        if one.columns == ("day",):
            given_ = {name: pd.Timestamp(value) if isinstance(value, date) else value for name, value in given_.items()}
            if "value_set" in given_:
                given_["value_set"] = [pd.Timestamp(value) for value in given_["value_set"]]
        found.append(bool(whole.validate(get_expectation_impl(one.type)(**given_)).success))
    return found


# No shrinking, and the same examples every time: each try costs a pass of Great Expectations.
@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])  # fmt: skip
@given(rows(), st.lists(checks(), min_size=6, max_size=10))
def test_counted_over_chunks_as_great_expectations_says_of_the_whole(
    table: pa.RecordBatch, some: list[CheckPlan]
) -> None:
    """One verdict, whatever the size of the chunks."""
    whole = by_great_expectations(some, table)
    for size in (1, 2, 100):
        for one, ours, theirs in zip(some, by_chunks(some, table, size), whole, strict=True):
            assert ours == theirs, (one.type, one.arguments, size, table.to_pydict())


def test_a_chunk_is_counted_once() -> None:
    """A retry hands the same chunk in again."""
    table = pa.RecordBatch.from_pydict({"text": ["a", "b"]})
    checker = TableChecker([check("expect_column_values_to_be_unique", column="text")], COLUMNS)
    for _ in range(2):
        checker.add(Chunk(0, table, table, np.arange(2)))
    (outcome,) = checker.outcomes()
    assert (outcome.passed, outcome.evaluated, outcome.failed) == (True, 2, 0)


def test_distinct_values_are_exact_beyond_what_memory_keeps() -> None:
    """More digests than wait in memory, so most lie on disk; neither a text nor a digest is among what was written."""
    values = ValueCounts()
    texts = [f"person-{n}" for n in range(300_000)]
    values.add(pa.array(texts))
    values.add(pa.array([*texts[:7], "another"]))
    found = values.distinct()
    assert (found.rows, found.values, found.repeated) == (300_008, 300_001, 14)
    written = os.pread(values._spill._file.fileno(), 100_000_000, 0)
    assert len(written) > 1_000_000
    assert b"person" not in written
    digests = {word.to_bytes(8, "little") for word in hmac_words(pa.array(texts[:50]), values._key, 1)[:, 0].tolist()}
    assert not any(digest in written for digest in digests)
    values.close()


def test_a_value_that_stands_in_most_rows_takes_no_memory() -> None:
    """It is kept once a chunk; and a chunk's other digests are not kept alive by a view of one of them."""
    values = ValueCounts()
    for chunk in range(40):
        values.add(pa.array(["Smith"] * 9_999 + [f"rare-{chunk}"]))
    kept = sum(part.nbytes for parts in values._waiting for part in parts)
    assert all(part.base is None for parts in values._waiting for part in parts)
    assert kept == 40 * 2 * 24
    assert values.distinct() == Distinct(rows=400_000, repeated=40 * 9_999, values=41)
    values.close()


@pytest.mark.parametrize("same_half", [False, True])
@given(st.lists(st.lists(st.integers(0, 12), max_size=30), max_size=5))
def test_merging_counts_as_a_counter_does(same_half: bool, chunks: list[list[int]]) -> None:
    """Also where digests share their first half and differ in the second, which chance never brings about."""
    merged = np.empty((0, 3), np.uint64)
    for chunk in chunks:
        counted = np.array([[7 if same_half else one % 3, one, 1] for one in chunk], np.uint64).reshape(-1, 3)
        merged = _merged(np.concatenate([merged, _merged(counted)]))
    times = Counter(one for chunk in chunks for one in chunk)
    assert {int(word): int(count) for _half, word, count in merged} == times
    assert len(merged) == len(times)


def test_what_was_written_to_disk_is_refused_if_it_changed_or_lies_elsewhere() -> None:
    """A flipped bit, another place, and two pieces exchanged: never a wrong count."""
    spill = Spill()
    first, second = spill.write(b"one" * 100, 1), spill.write(b"two" * 100, 1)
    assert spill.read(first, 1) == b"one" * 100
    for piece, place in ((first, 2), (replace(first, offset=second.offset), 1)):
        with pytest.raises(VeilError) as caught:
            spill.read(piece, place)
        assert caught.value.code == "VEIL105"
    os.pwrite(spill._file.fileno(), b"\0", first.offset + 5)
    with pytest.raises(VeilError):
        spill.read(first, 1)
    spill.close()


def test_the_file_on_disk_has_no_name() -> None:
    """So that neither a crash nor a kill leaves one."""
    spill = Spill()
    assert os.fstat(spill._file.fileno()).st_nlink == 0
    spill.close()


def test_columns_together_are_told_apart_whatever_they_hold() -> None:
    """Lengths stand before the texts, so no separator can be forged; null is not the empty text."""
    table = pa.RecordBatch.from_pydict({"text": ["1:a", "a", None, ""], "other": ["b", "1:ab", "", None]})
    columns = [SourceColumn("text", TEXT), SourceColumn("other", TEXT)]
    checker = TableChecker([check("expect_compound_columns_to_be_unique", column_list=["text", "other"])], columns)
    checker.add(Chunk(0, table, table, np.arange(4)))
    assert checker.outcomes()[0].failed == 0


@pytest.mark.parametrize(
    ("raw", "on_fail"),
    [({}, "refuse"), ({"severity": "warning"}, "warn"), ({"meta": {"veilflow": {"on_fail": "warn"}}}, "warn")],
)
def test_refuses_or_warns_and_never_holds_rows_back(raw: Any, on_fail: str) -> None:
    """There is no single row at fault."""
    expectation = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "text"}}
    found = plan_check(expectation | raw, PLACE)
    assert (found.kind, found.on_fail) == ("table", on_fail)
    with pytest.raises(VeilError, match="cannot hold rows back"):
        plan_check(expectation | {"meta": {"veilflow": {"on_fail": "quarantine"}}}, PLACE)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_sum_to_be_between", {"column": "text", "min_value": 1}),
        ("expect_column_min_to_be_between", {"column": "text", "min_value": 1}),
        ("expect_column_max_to_be_between", {"column": "day", "min_value": 1}),
    ],
)
def test_refuses_what_does_not_fit_its_column(kind: str, kwargs: Any) -> None:
    """VEIL207 in the plan."""
    with pytest.raises(VeilError) as caught:
        fit_check(check(kind, **kwargs), TYPES)
    assert caught.value.code == "VEIL207"
