"""Verdicts of Great Expectations on chunks, row by row, and what never leaves it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from veilflow.checks import KNOWN_EXPECTATIONS, ROW_EXPECTATIONS, fit_check, open_checker, plan_check
from veilflow.checks.great_expectations_engine import GreatExpectationsChecker
from veilflow.errors import Place, VeilError
from veilflow.model import CheckPlan, Chunk, ColumnType, SourceColumn

PLACE = Place("suite.json", 1)
VALUES = "expect_column_values_to_"
RAW = {
    "text": ["nsw", "zz-secret", None, "vic"],
    "day": ["20010203", "20019999", None, "20020101"],
    "end": ["2002-01-01", "2001-01-01", None, "2003-01-01"],
    "whole": ["1", "2", None, "9"],
    "other": ["1", "3", "4", "9"],
    "money": ["1.10", "2.20", None, "0.10"],
    "flag": ["true", "false", None, "true"],
    "json": ["{}", "[", None, "1"],
}
TYPED = {
    "text": ("text", RAW["text"]),
    "day": ("date", [date(2001, 2, 3), None, None, date(2002, 1, 1)]),
    "end": ("date", [date(2002, 1, 1), date(2001, 1, 1), None, date(2003, 1, 1)]),
    "whole": ("integer", [1, 2, None, 9]),
    "other": ("integer", [1, 3, 4, 9]),
    "money": ("decimal", [Decimal("1.10"), Decimal("2.20"), None, Decimal("0.10")]),
    "flag": ("boolean", [True, False, None, True]),
    "json": ("text", RAW["json"]),
}


def chunk(rows: int = 4) -> Chunk:
    raw = pa.RecordBatch.from_pydict({name: pa.array(cells, pa.string()) for name, cells in RAW.items()})
    values = pa.RecordBatch.from_pydict({name: pa.array(cells) for name, (_, cells) in TYPED.items()})
    return Chunk(0, raw.slice(0, rows), values.slice(0, rows), np.arange(rows))


COLUMNS = [SourceColumn(name, ColumnType(kind, chunk().values.column(name).type)) for name, (kind, _) in TYPED.items()]


def plan(kind: str, **kwargs: Any) -> CheckPlan:
    return plan_check({"type": kind, "kwargs": kwargs}, PLACE)


def forced(kind: str, **kwargs: Any) -> CheckPlan:
    """The same, judged by Great Expectations itself."""
    return replace(plan(kind, **kwargs), engine="great_expectations")


CASES = [
    # a cell that does not fit its type is not missing
    (plan(VALUES + "not_be_null", column="day"), 4, [2]),
    (plan(VALUES + "be_null", column="day"), 4, [0, 1, 3]),
    (plan(VALUES + "be_in_set", column="text", value_set=["nsw", "vic"]), 3, [1]),
    (plan(VALUES + "not_be_in_set", column="text", value_set=["nsw"]), 3, [0]),
    (plan(VALUES + "be_in_set", column="day", value_set=["2001-02-03"]), 2, [3]),
    (plan(VALUES + "be_in_set", column="money", value_set=[1.1, 2.2]), 3, [3]),
    (plan(VALUES + "be_in_set", column="flag", value_set=[True]), 3, [1]),
    (plan(VALUES + "be_between", column="day", min_value="2001-06-01"), 2, [0]),
    # 0.10 and 1.10 lie on the bounds, which no Decimal does against a double
    (plan(VALUES + "be_between", column="money", min_value=0.1, max_value=1.1), 3, [1]),
    (plan(VALUES + "be_between", column="whole", min_value=2), 3, [0]),
    (plan(VALUES + "match_regex", column="text", regex="^n(?=s)"), 3, [1, 3]),
    (plan(VALUES + "match_regex", column="whole", regex=r"^\d$"), 3, []),
    (plan(VALUES + "not_match_regex", column="text", regex="-"), 3, [1]),
    (plan(VALUES + "match_regex_list", column="text", regex_list=["n", "(v)"]), 3, [1]),
    (plan(VALUES + "not_match_regex_list", column="text", regex_list=["-", "^v"]), 3, [1, 3]),
    (plan(VALUES + "match_strftime_format", column="day", strftime_format="%Y%m%d"), 3, [1]),
    (plan(VALUES + "be_dateutil_parseable", column="day"), 3, [1]),
    (plan(VALUES + "be_json_parseable", column="json"), 3, [1]),
    (plan("expect_column_value_lengths_to_equal", column="text", value=3), 3, [1]),
    (plan("expect_column_value_lengths_to_be_between", column="text", max_value=3), 3, [1]),
    (plan("expect_column_pair_values_a_to_be_greater_than_b", column_A="end", column_B="day"), 3, [1]),
    (
        plan(
            "expect_column_pair_values_a_to_be_greater_than_b",
            column_A="end", column_B="day", ignore_row_if="either_value_is_missing",
        ),
        2, [],
    ),
    (plan("expect_column_pair_values_to_be_equal", column_A="whole", column_B="other"), 4, [1, 2]),
    (
        plan(
            "expect_column_pair_values_to_be_in_set",
            column_A="whole", column_B="other", value_pairs_set=[[1, 1], [9, 9]],
        ),
        4, [1, 2],
    ),
    (plan("expect_select_column_values_to_be_unique_within_record", column_list=["whole", "other"]), 4, [0, 3]),
    (plan("expect_multicolumn_values_to_be_equal", column_list=["whole", "other"]), 4, [1, 2]),
    (plan("expect_multicolumn_sum_to_equal", column_list=["whole", "other"], sum_total=2), 4, [1, 2, 3]),
]  # fmt: skip


def test_every_row_expectation_has_a_case() -> None:
    """The cases above cover the whole table, but for what test_texts.py has."""
    texts = {name for name in ROW_EXPECTATIONS if "_like_pattern" in name or name.endswith("json_schema")}
    assert {check.type for check, _, _ in CASES} == set(ROW_EXPECTATIONS) - texts


@pytest.mark.parametrize("engine", ["compiled", "great_expectations"])
def test_all_checks_together_flag_exactly_the_failing_rows(engine: str) -> None:
    """One pass over a chunk; outcomes come in the plan's order with rows judged and rows failed."""
    outcomes = open_checker([replace(check, engine=engine) for check, _, _ in CASES], COLUMNS).check(chunk())
    found = [(outcome.check, outcome.evaluated, outcome.failed.tolist()) for outcome in outcomes]
    assert found == [(number, judged, failed) for number, (_, judged, failed) in enumerate(CASES)]


def test_a_chunk_without_rows_judges_nothing() -> None:
    """Great Expectations would say that an empty frame passes; here nothing was judged."""
    (outcome,) = open_checker([CASES[0][0]], COLUMNS).check(chunk(0))
    assert (outcome.evaluated, len(outcome.failed)) == (0, 0)


def test_threads_do_not_mix_their_verdicts() -> None:
    """Two threads judge different chunks by one checker, again and again, and each gets its own answer."""
    checker = open_checker([forced(VALUES + "be_in_set", column="text", value_set=["nsw", "vic"])], COLUMNS)
    wrong: list[int] = []

    def judge(rows: int, expected: list[int]) -> None:
        for _ in range(8):
            if checker.check(chunk(rows))[0].failed.tolist() != expected:
                wrong.append(rows)

    threads = [threading.Thread(target=judge, args=case) for case in ((1, []), (4, [1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "check",
    [
        plan(VALUES + "be_in_set", column="text", value_set=[1]),
        plan(VALUES + "be_in_set", column="whole", value_set=["1"]),
        plan(VALUES + "be_in_set", column="flag", value_set=[1]),
        plan(VALUES + "be_in_set", column="day", value_set=["20010203x"]),
        plan(VALUES + "be_between", column="text", min_value=1),
        plan(VALUES + "be_between", column="day", min_value="2001-02-03", max_value="2001-02-02"),
        plan(VALUES + "match_regex", column="text", regex="(?=a)(a+)+"),
        forced(VALUES + "match_regex", column="text", regex="a{1,2000}"),
        forced(VALUES + "match_regex_list", column="text", regex_list=["a", "(?#comment)b"]),
    ],
)
def test_refuses_sets_bounds_and_patterns_that_cannot_be_judged(check: CheckPlan) -> None:
    """VEIL207 when the checker is opened, before a row is read."""
    with pytest.raises(VeilError) as caught:
        open_checker([check], COLUMNS)
    assert (caught.value.code, caught.value.place) == ("VEIL207", PLACE)


@pytest.mark.parametrize(
    ("check", "word"),
    [
        (plan("expect_column_pair_values_a_to_be_greater_than_b", column_A="text", column_B="day"), "text and date cannot"),
        (plan("expect_column_pair_values_a_to_be_greater_than_b", column_A="whole", column_B="end"), "integer and date"),
        (plan("expect_multicolumn_sum_to_equal", column_list=["whole", "text"], sum_total=1), "added up"),
        (forced(VALUES + "match_regex", column="text", regex="(a+)+$"), "forever"),
    ],
)  # fmt: skip
def test_the_plan_refuses_what_great_expectations_would_raise_on_or_never_end(check: CheckPlan, word: str) -> None:
    """VEIL207 from the types alone, with the way out."""
    with pytest.raises(VeilError, match=word) as caught:
        fit_check(check, {column.name: column.type for column in COLUMNS})
    assert (caught.value.code, caught.value.place) == ("VEIL207", PLACE)
    assert ("linear time" if word == "forever" else "columns:") in caught.value.hint


def test_values_appear_in_no_outcome_log_record_or_stream(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Failing checks tell positions only."""
    with caplog.at_level(0):
        outcomes = open_checker([check for check, _, _ in CASES], COLUMNS).check(chunk())
    streams = capfd.readouterr()
    told = repr(outcomes) + caplog.text + streams.out + streams.err
    assert not [value for value in ("zz-secret", "20019999", "2.20") if value in told]


def test_an_expectation_that_raises_is_an_error_without_its_text(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Text against number, which the plan refuses, given all the same: VEIL105, and neither message, cause nor log
    quotes a cell."""
    failing = plan("expect_column_pair_values_a_to_be_greater_than_b", column_A="text", column_B="whole")
    engine = GreatExpectationsChecker({0: (failing, failing.arguments)}, COLUMNS)
    with caplog.at_level(0), pytest.raises(VeilError) as caught:
        engine.judge(chunk())
    streams = capfd.readouterr()
    assert (caught.value.code, caught.value.place) == ("VEIL105", PLACE)
    assert caught.value.__cause__ is None
    assert "zz-secret" not in str(caught.value) + caplog.text + streams.out + streams.err


def test_the_table_knows_every_expectation_that_great_expectations_registers() -> None:
    """A new release brings new types: this says which."""
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    theirs = {
        name for name in list_registered_expectation_implementations()
        if get_expectation_impl(name).__module__.startswith("great_expectations.")
    }  # fmt: skip
    assert theirs <= KNOWN_EXPECTATIONS
    assert KNOWN_EXPECTATIONS - theirs == {
        "expect_column_max_to_be_recent", "expect_column_values_to_be_in_other_table",
        "expect_compound_columns_to_be_in_other_table", "expect_column_sum_to_equal_other_table",
    }  # fmt: skip


def test_what_is_missing_is_one_value_to_great_expectations_too() -> None:
    """Also where pandas keeps one column as objects, for the sake of integers that no double holds, and one as doubles."""
    rows = pa.RecordBatch.from_pydict({"big": pa.array([2**53 + 1, None]), "small": pa.array([1, None])})
    columns = [SourceColumn(name, ColumnType("integer", pa.int64())) for name in ("big", "small")]
    check = plan("expect_select_column_values_to_be_unique_within_record", column_list=["big", "small"], ignore_row_if="never")  # fmt: skip
    for engine in ("compiled", "great_expectations"):
        (outcome,) = open_checker([replace(check, engine=engine)], columns).check(Chunk(0, rows, rows, np.arange(2)))
        assert (outcome.evaluated, outcome.failed.tolist()) == (2, [1]), engine
