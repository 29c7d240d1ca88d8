"""What an entry of a suite becomes, and what is refused before Great Expectations is even imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from veilflow.checks import REFUSED_EXPECTATIONS, plan_check
from veilflow.errors import Place, VeilError

PLACE = Place("pipelines/expectations/people.json", 3)
IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
REGEX = "expect_column_values_to_match_regex"
PAIR = "expect_column_pair_values_a_to_be_greater_than_b"


def refused(raw: dict[str, Any]) -> VeilError:
    with pytest.raises(VeilError) as caught:
        plan_check(raw, PLACE)
    assert caught.value.place == PLACE
    return caught.value


def expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


def test_a_plan_holds_type_columns_arguments_and_mostly_apart() -> None:
    """Columns and mostly do not stand among the arguments; null arguments are not there at all."""
    check = plan_check(expectation(PAIR, column_A="end", column_B="start", or_equal=True, mostly=0.9), PLACE)
    assert (check.columns, check.arguments, check.mostly) == (("end", "start"), {"or_equal": True}, 0.9)
    assert plan_check(expectation(BETWEEN, column="age", min_value=1, max_value=None), PLACE).arguments == {
        "min_value": 1
    }


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (expectation(IN_SET, column="state", value_set=list("abcdefgh")), "state is one of 8 values"),
        (
            expectation("expect_column_values_to_match_strftime_format", column="born", strftime_format="%Y%m%d"),
            "born matches the date format %Y%m%d",
        ),
        (expectation(BETWEEN, column="age", min_value=0, max_value=120), "age is between 0 and 120"),
        (expectation(BETWEEN, column="age", min_value=0, strict_min=True), "age is above 0"),
        (expectation("expect_column_value_lengths_to_equal", column="zip", value=4), "the length of zip is 4"),
        (
            expectation("expect_multicolumn_values_to_be_equal", column_list=["a", "b", "c"]),
            "a, b and c are equal",
        ),
        (expectation(IN_SET, column="state", value_set=["a"]) | {"notes": "A real\n state"}, "A real state"),
        (
            expectation(IN_SET, column="state", value_set=["a"])
            | {"notes": "no", "meta": {"veilflow": {"title": "Known state"}}},
            "Known state",
        ),
    ],
)
def test_titles_are_sentences(raw: dict[str, Any], title: str) -> None:
    """A set is told by its size, and the suite's own words win."""
    assert plan_check(raw, PLACE).title == title


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (expectation("expect_column_values_to_be_in_sett", column="a", value_set=["b"]), f"did you mean {IN_SET}?"),
        (expectation(IN_SET, column="a", value_sett=["b"]), "did you mean value_set?"),
        (expectation(IN_SET, column="a", value_set=["b"]) | {"kwarg": {}}, "did you mean kwargs?"),
        ({"type": IN_SET}, "kwargs"),
        ({"kwargs": {}}, "reference"),
        (expectation(IN_SET, column="a"), "value_set"),
        (expectation(IN_SET, column="a", value_set=[]), "value_set takes"),
        (expectation(IN_SET, column="a", value_set={"$PARAMETER": "x"}), "value_set takes"),
        (expectation(IN_SET, column=1, value_set=["b"]), "column takes"),
        (expectation(BETWEEN, column="a"), "add one of them"),
        (expectation(BETWEEN, column="a", min_value=2, max_value=1), "swap"),
        (expectation(BETWEEN, column="a", min_value=float("nan")), "min_value takes"),
        (expectation(REGEX, column="a", regex="(["), "regex takes"),
        (expectation(REGEX, column="a", regex="a", mostly=1.5), "0 to 1"),
        (expectation(REGEX, column="a", regex="a", mostly=True), "0 to 1"),
        (expectation(PAIR, column_A="a", column_B="a"), "two columns"),
        (expectation(PAIR, column_A="a", column_B="b", ignore_row_if="never"), "both_values_are_missing"),
        (expectation("expect_column_values_to_match_strftime_format", column="a", strftime_format="%Q"), "strftime"),
    ],
)
def test_refuses_what_great_expectations_would_drop_or_fail_on(raw: dict[str, Any], word: str) -> None:
    """VEIL207, with the nearest name or what the argument takes."""
    error = refused(raw)
    assert error.code == "VEIL207"
    assert word in error.hint


@pytest.mark.parametrize("kind", sorted(REFUSED_EXPECTATIONS))
def test_refuses_by_name_what_cannot_be_judged(kind: str) -> None:
    """They exist, so they are not unknown: VEIL305, with the reason and what to write instead."""
    error = refused(expectation(kind, column="a"))
    assert error.code == "VEIL305" and "expect" in error.hint


@pytest.mark.parametrize(
    ("kind", "kwargs", "word"),
    [
        ("expect_column_median_to_be_between", {"column": "a", "min_value": 1, "mostly": 0.5}, "no argument"),
        ("expect_column_quantile_values_to_be_between", {"column": "a", "quantile_ranges": {"quantiles": [2], "value_ranges": [[0, 1]]}}, "quantile_ranges"),
        ("expect_column_quantile_values_to_be_between", {"column": "a", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[2, 1]]}}, "quantile_ranges"),
        ("expect_column_value_z_scores_to_be_less_than", {"column": "a"}, "threshold"),
        ("expect_column_values_to_not_be_outliers", {"column": "a", "method": "mad"}, "method"),
        ("expect_column_to_exist", {"column": "a", "row_condition": "b > 1"}, "no argument"),
        ("expect_table_columns_to_match_set", {"column_set": []}, "column_set"),
        ("expect_column_max_to_be_recent", {"column": "a", "within_days": -1}, "within_days"),
        ("expect_column_values_to_match_like_pattern", {"column": "a", "like_pattern": "a%", "escape": "ab"}, "escape"),
        ("expect_column_values_to_match_json_schema", {"column": "a", "json_schema": []}, "json_schema"),
    ],
)  # fmt: skip
def test_refuses_arguments_that_do_not_fit_a_table_check(kind: str, kwargs: dict[str, Any], word: str) -> None:
    """VEIL207 names the argument."""
    error = refused(expectation(kind, **kwargs))
    assert error.code == "VEIL207" and word in error.problem


@pytest.mark.parametrize("kind", ["increasing", "decreasing"])
def test_the_output_has_no_order(kind: str) -> None:
    """VEIL305: a database keeps its rows in none."""
    raw = expectation(f"expect_column_values_to_be_{kind}", column="a") | {"meta": {"veilflow": {"stage": "output"}}}
    assert refused(raw).code == "VEIL305"


def test_a_suite_that_forces_great_expectations_forces_it_for_rows() -> None:
    """What is counted over a stream stays ours; asked for by the expectation itself, it is refused."""
    forced = {"veilflow": {"engine": "great_expectations"}}
    raw = expectation("expect_column_values_to_be_unique", column="a")
    assert plan_check(raw, PLACE, forced).engine == "compiled"
    assert refused(raw | {"meta": forced}).code == "VEIL207"


@pytest.mark.parametrize(
    ("raw", "on_fail", "mostly"),
    [
        ({}, "quarantine", 1.0),
        ({"severity": "critical"}, "refuse", 1.0),
        ({"severity": "warning"}, "quarantine", 0.0),
        ({"severity": "info"}, "warn", 1.0),
        ({"meta": {"veilflow": {"on_fail": "warn"}}, "severity": "critical"}, "warn", 1.0),
        ({"meta": {"veilflow": {"on_fail": "quarantine"}}}, "quarantine", 0.0),
        ({"kwargs": {"column": "a", "regex": "a", "mostly": 0.9}, "severity": "warning"}, "quarantine", 0.9),
    ],
)
def test_what_a_failure_does_is_said_by_on_fail_or_by_severity(raw: Any, on_fail: str, mostly: float) -> None:
    """Asked for a quarantine without a share, a failing row is held back and refuses nothing by itself."""
    check = plan_check(expectation(REGEX, column="a", regex="a") | raw, PLACE)
    assert (check.on_fail, check.mostly) == (on_fail, mostly)


@pytest.mark.parametrize(
    ("raw", "word"),
    [({"severity": "fatal"}, "critical"), ({"meta": {"veilflow": {"on_fail": "stop"}}}, "refuse, quarantine, warn")],
)
def test_refuses_unknown_severities_and_outcomes(raw: Any, word: str) -> None:
    """VEIL207 with what there is."""
    error = refused(expectation(REGEX, column="a", regex="a") | raw)
    assert error.code == "VEIL207" and word in error.hint


def test_planning_imports_nothing_heavy() -> None:
    """`veil plan` reads suites without Great Expectations and pandas."""
    code = "import sys, veilflow.checks; print([m for m in ('great_expectations', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
