"""What a failing check does to a run, as suites say it."""

from __future__ import annotations

from typing import Any

import pytest

from veilflow.errors import VeilError
from veilflow.model import RunResult
from veilflow.run import Request, execute, run_document
from veilflow.run.result import result_from_document

ADULT = "type: expect_column_values_to_be_between, kwargs: {column: age, min_value: 18}"


def run(project: Any, suite: str, **parameters: Any) -> RunResult:
    """The sample of three people (one is a minor) under a suite."""
    project.write("pipelines/expectations/people.yaml", suite)
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    project.write("pipelines/people.yaml", pipeline + "expectations: people\n")
    return execute(Request(project.directory, "dev", "people", parameters=parameters))


@pytest.mark.parametrize(
    ("meta", "status", "loaded", "quarantined"),
    [
        ("", "refused", 0, 1),
        (", severity: critical", "refused", 0, 1),
        (", severity: warning", "succeeded", 2, 1),
        (", severity: info", "succeeded", 3, 0),
        (", meta: {veilflow: {on_fail: warn}}", "succeeded", 3, 0),
        (", meta: {veilflow: {on_fail: refuse}}", "refused", 0, 1),
    ],
)
def test_on_fail_decides_about_rows_and_run(
    project: Any, meta: str, status: str, loaded: int, quarantined: int
) -> None:
    """Refused, held back, or loaded with a warning; the counts balance in each case."""
    result = run(project, f"expectations:\n  - {{{ADULT}{meta}}}\n")
    assert (result.status, result.counts.loaded, result.counts.quarantined) == (status, loaded, quarantined)
    (check,) = result.checks
    assert (check.evaluated, check.failed, check.passed, check.first, check.engine) == (3, 1, False, (1,), "compiled")
    assert bool(result.quarantine) == (quarantined > 0)


def test_results_go_through_their_document_and_back(project: Any) -> None:
    """Counts, shares, expectation, column and first positions; no value."""
    result = run(project, f"expectations:\n  - {{{ADULT}, severity: warning}}\n")
    document = run_document(result)
    assert result_from_document(document).checks == result.checks
    assert document["checks"][0]["place"]["file"] == "pipelines/expectations/people.yaml"


def test_parameters_are_given_when_a_run_starts(project: Any) -> None:
    """Over the suite's own defaults."""
    suite = "suite_parameters: {least: 18}\nexpectations:\n  - {type: expect_column_values_to_be_between, kwargs: {column: age, min_value: {$PARAMETER: least}}}\n"
    assert run(project, suite).status == "refused"
    assert execute(Request(project.directory, "dev", "people", parameters={"least": 1})).status == "succeeded"
    (error,) = execute(Request(project.directory, "dev", "people", parameters={"leest": 1})).errors
    assert (error.code, error.hint) == ("VEIL207", "it asks for: least")


def test_a_parameter_without_a_value_refuses_the_run(project: Any) -> None:
    """VEIL207 with the way to give it."""
    result = run(
        project,
        "expectations:\n  - {type: expect_column_values_to_be_between, kwargs: {column: age, min_value: {$PARAMETER: least}}}\n",
    )
    assert [error.code for error in result.errors] == ["VEIL207"]
    assert "--param least=" in result.errors[0].hint


def test_a_condition_on_a_column_that_is_not_there_refuses_the_run(project: Any) -> None:
    """VEIL302, as for the column that is judged."""
    condition = "{type: nullity, column: {name: agee}, is_null: false}"
    result = run(
        project,
        f"expectations:\n  - {{type: expect_column_values_to_not_be_null, kwargs: {{column: city, row_condition: {condition}}}}}\n",
    )
    assert [error.code for error in result.errors] == ["VEIL302"]


def test_reads_parameters_as_yaml() -> None:
    """Numbers, lists and texts; anything else is a mistake in the command."""
    from veilflow.config import parse_parameters

    assert parse_parameters(("a=1", "b=[x, y]", "c=text")) == {"a": 1, "b": ["x", "y"], "c": "text"}
    with pytest.raises(VeilError, match="name=value"):
        parse_parameters(("a",))


@pytest.mark.parametrize(("meta", "status"), [("", "refused"), (", severity: info", "succeeded")])
def test_a_check_about_the_whole_table_refuses_or_warns(project: Any, meta: str, status: str) -> None:
    """Over every row that was read; the message tells no observed value."""
    project.write("data/people.csv", "id,name,email,age,city\n1,Ada,a@b.c,36,x\n1,Bo,b@b.c,44,x\n2,Cy,c@b.c,50,y\n")
    result = run(
        project, f"expectations:\n  - {{type: expect_column_values_to_be_unique, kwargs: {{column: id}}{meta}}}\n"
    )
    assert (result.status, result.counts.quarantined) == (status, 0)
    (check,) = result.checks
    assert (check.kind, check.evaluated, check.failed, check.passed) == ("table", 3, 2, False)
    assert [error.code for error in result.errors] == (["VEIL306"] if status == "refused" else [])


def test_a_retry_of_the_staging_reads_again_what_it_did_not_count(project: Any) -> None:
    """Chunks that are staged already are skipped by the staging, and still judged."""
    from veilflow.run.execute import _Run

    counted: list[set[int]] = []
    judge = _Run._judge_tables

    def forget(self: Any) -> None:
        self._tables.counted.clear()
        for number in list(self._tables._counting):
            self._tables._counting[number].rows = 0
        judge(self)
        counted.append(set(self._tables.counted))

    suite = "expectations:\n  - {type: expect_table_row_count_to_equal, kwargs: {value: 3}}\n"
    _Run._judge_tables = forget  # type: ignore[method-assign]
    try:
        assert run(project, suite).status == "succeeded"
    finally:
        _Run._judge_tables = judge  # type: ignore[method-assign]
    assert counted == [{0}]
