"""What a person can get wrong in checks and data, each with its code, its place and the way on."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from veilflow.model import RunResult
from veilflow.run import Request, execute

VALUES = "expect_column_values_to_"


def run(project: Any, suite: str, source: str | None = None) -> RunResult:
    project.write("pipelines/expectations/people.yaml", suite)
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    if source is not None:
        pipeline = pipeline.replace("source: {kind: csv, path: data/people.csv}", source)
    if "expectations:" not in pipeline:
        pipeline += "expectations: people\n"
    project.write("pipelines/people.yaml", pipeline)
    return execute(Request(project.directory, "dev", "people"))


def expectation(kind: str, more: str = "", **kwargs: Any) -> str:
    return f"expectations:\n  - {{type: {kind}, kwargs: {json.dumps(kwargs)}{more}}}\n"


@pytest.mark.parametrize(
    ("suite", "code", "status", "word"),
    [
        (expectation(VALUES + "be_uniqe", column="id"), "VEIL207", 2, "did you mean expect_column_values_to_be_unique?"),
        (expectation("expect_column_median_to_be_betwen", column="age"), "VEIL207", 2, "median"),
        (expectation(VALUES + "be_between", column="age", min=1), "VEIL207", 2, "did you mean min_value?"),
        (expectation(VALUES + "be_unique", column="agee"), "VEIL302", 3, "did you mean age?"),
        (expectation("expect_column_stdev_to_be_between", column="stdev", max_value=1), "VEIL302", 3, "The source has"),
        (expectation(VALUES + "match_regex", column="name", regex="(a"), "VEIL207", 2, "regular expression"),
        (expectation(VALUES + "match_regex", column="name", regex="(?=a)(a+)+$"), "VEIL207", 2, "forever"),
        (expectation(VALUES + "match_regex", ", meta: {veilflow: {engine: great_expectations}}", column="name", regex="(a+)+$"), "VEIL207", 2, "forever"),
        (expectation(VALUES + "be_between", column="name", min_value=1), "VEIL207", 2, "text"),
        (expectation(VALUES + "be_between", column="age", min_value="x"), "VEIL207", 2, "numbers"),
        (expectation("expect_column_median_to_be_between", column="age", min_value="2020-01-01"), "VEIL207", 2, "number"),
        (expectation("expect_column_mean_to_be_between", column="name", min_value=1), "VEIL207", 2, "integer"),
        (expectation("expect_column_to_exist", column="nobody"), "VEIL306", 3, "the source has: id (text)"),
        (expectation(VALUES + "be_of_type", column="age", type_="str"), "VEIL306", 3, "age (integer)"),
        ("expectations: []\n", "VEIL208", 2, "allow_empty"),
        ("{}\n", "VEIL201", 2, "expectations"),
    ],
)  # fmt: skip
def test_refuses_before_a_row_is_read(project: Any, suite: str, code: str, status: int, word: str) -> None:
    """Code, exit status, and the nearest name or what is wanted; the place is the suite's."""
    result = run(project, suite)
    assert [error.code for error in result.errors] == [code] and result.exit_status == status
    assert word in result.errors[0].problem + " " + result.errors[0].hint
    assert result.errors[0].place is not None and result.errors[0].place.file.endswith("people.yaml")
    assert result.counts.read == 0


def test_an_empty_suite_passes_where_it_says_so(project: Any) -> None:
    """`meta.veilflow.allow_empty`."""
    assert run(project, "meta: {veilflow: {allow_empty: true}}\nexpectations: []\n").status == "succeeded"


@pytest.mark.parametrize("engine", ["compiled", "great_expectations"])
def test_a_pattern_that_explodes_elsewhere_ends_on_fifty_letters(project: Any, engine: str) -> None:
    """Compiled at once; for Great Expectations, which takes `re` for such cells, refused by the plan."""
    project.write("data/people.csv", f'id,name,email,age,city\n1,"{"a" * 50}!\n",,36,é{"a" * 50}!\n')
    more = f", meta: {{veilflow: {{engine: {engine}}}}}"
    result = run(project, expectation(VALUES + "not_match_regex", more, column="name", regex="(a+)+$"))
    assert (result.status, len(result.errors)) == (("succeeded", 0) if engine == "compiled" else ("refused", 1))


def test_a_cell_too_long_for_great_expectations_ends_the_run(project: Any) -> None:
    """VEIL105 instead of minutes in `re`."""
    project.write("data/people.csv", f'id,name,email,age,city\n1,"{"a" * 60_000}\n",,36,x\n')
    more = ", meta: {veilflow: {engine: great_expectations}}"
    result = run(project, expectation(VALUES + "match_regex", more, column="name", regex="a*b*c$"))
    assert [error.code for error in result.errors] == ["VEIL105"] and "too long" in result.errors[0].problem


@pytest.mark.parametrize(
    ("kind", "kwargs", "passed"),
    [
        (VALUES + "be_unique", {}, True), (VALUES + "not_be_null", {}, True), (VALUES + "be_increasing", {}, True),
        ("expect_column_value_z_scores_to_be_less_than", {"threshold": 1}, True), (VALUES + "not_be_outliers", {}, True),
        ("expect_column_median_to_be_between", {"min_value": 0}, False), ("expect_column_max_to_be_between", {"min_value": 0}, False),
        ("expect_column_stdev_to_be_between", {"min_value": 0}, False), ("expect_column_mean_to_be_between", {"min_value": 0}, False),
        ("expect_column_sum_to_be_between", {"min_value": 0}, True),
        ("expect_column_quantile_values_to_be_between", {"quantile_ranges": {"quantiles": [0.5], "value_ranges": [[None, None]]}}, False),
        ("expect_column_most_common_value_to_be_in_set", {"value_set": [1]}, False),
        ("expect_column_distinct_values_to_be_in_set", {"value_set": [1]}, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", ["", "1,Ada,,,x\n2,Bo,,,y\n"], ids=["empty table", "all null"])
def test_judges_an_empty_table_and_a_column_without_a_value(
    project: Any, kind: str, kwargs: Any, passed: bool, rows: str
) -> None:
    """What has no figure fails; what is about each value holds of none."""
    project.write("data/people.csv", "id,name,email,age,city\n" + rows)
    project.write(
        "pipelines/people.yaml", (project.directory / "pipelines/people.yaml").read_text() + "allow_empty: true\n"
    )
    result = run(project, expectation(kind, column="age", **kwargs))
    expected = passed if kind != VALUES + "not_be_null" else not rows
    assert result.checks[0].passed is expected
    assert result.status == ("succeeded" if expected else "refused")


def test_nan_is_as_missing_as_null(project: Any) -> None:
    """In Parquet both can stand in a column of doubles."""
    table = pa.table(
        {
            "id": ["1", "2", "3"],
            "name": ["a", "b", "c"],
            "email": ["x@y.z"] * 3,
            "age": [1.0, float("nan"), None],
            "city": ["x"] * 3,
        }
    )
    pq.write_table(table, project.directory / "data/people.parquet")
    project.write(
        "pipelines/people.yaml", (project.directory / "pipelines/people.yaml").read_text().replace("integer", "float")
    )
    policy = (project.directory / "policies/people.yaml").read_text()
    project.write("policies/people.yaml", policy.replace("treatment: {generalise: {width: 10}}", "treatment: drop"))
    for kind, evaluated, failed in (
        (VALUES + "not_be_null", 3, 2),
        (VALUES + "be_unique", 1, 0),
        ("expect_column_median_to_be_between", 1, 0),
    ):
        kwargs = {"min_value": 1, "max_value": 1} if "median" in kind else {}
        result = run(
            project,
            expectation(kind, ", meta: {veilflow: {on_fail: warn}}", column="age", **kwargs),
            "source: {kind: parquet, path: data/people.parquet}",
        )
        (check,) = result.checks
        assert (check.evaluated, check.failed, check.passed) == (evaluated, failed, not failed), result.errors


def test_mixed_types_in_json_are_cells_that_do_not_fit(project: Any) -> None:
    """They are held back with their reason, judged as missing by what needs a number, and as there by the null check."""
    rows = [
        {"id": "1", "name": "a", "email": None, "age": 36, "city": "x"},
        {"id": "2", "name": "b", "email": None, "age": "old", "city": "x"},
        {"id": "3", "name": "c", "email": None, "age": True, "city": "x"},
    ]
    project.write("data/people.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    source = "source: {kind: jsonl, path: data/people.jsonl, on_bad_row: quarantine}"
    result = run(project, expectation("expect_column_max_to_be_between", column="age", max_value=36), source)
    assert (result.status, result.counts.loaded, result.counts.quarantined) == ("succeeded", 1, 2), result.errors
    result = run(project, expectation(VALUES + "not_be_null", column="age"), source)
    assert (result.checks[0].evaluated, result.checks[0].failed) == (3, 0)
    assert "old" not in str(result)
