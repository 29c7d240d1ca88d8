"""Checks of the output: over the table as it will be, and the gate for publishing."""

from __future__ import annotations

from typing import Any

import pytest

from veilflow.model import RunResult
from veilflow.plan import document
from veilflow.run import Request, execute
from veilflow.run.prepare import prepare

OUTPUT = "meta: {veilflow: {stage: output}}"
UNIQUE = f"type: expect_column_values_to_be_unique, kwargs: {{column: city}}, {OUTPUT}"


def write(project: Any, *expectations: str, mode: str = "replace") -> None:
    lines = "".join(f"  - {{{one}}}\n" for one in expectations)
    project.write("pipelines/expectations/people.yaml", f"expectations:\n{lines}")
    pipeline = (project.directory / "pipelines/people.yaml").read_text().replace("mode: replace", f"mode: {mode}")
    if "expectations:" not in pipeline:
        pipeline += "expectations: people\n"
    project.write("pipelines/people.yaml", pipeline)


def run(project: Any, **more: Any) -> RunResult:
    return execute(Request(project.directory, "dev", "people", **more))


def test_judges_the_table_with_what_is_kept(project: Any) -> None:
    """Unique in the source and not in the table that an append makes: refused, and the table stays as it was."""
    write(project, UNIQUE, mode="append")
    assert run(project).status == "succeeded"
    before = project.rows()
    project.write("data/people.csv", "id,name,email,age,city\n9,Di,d@e.f,50,London\n")
    result = run(project)
    assert (result.status, result.exit_status, result.counts.loaded) == ("refused", 3, 0)
    assert [error.code for error in result.errors] == ["VEIL306"] and "as it would be" in result.errors[0].problem
    (check,) = result.checks
    assert (check.stage, check.kind, check.evaluated, check.failed, check.passed) == ("output", "table", 3, 2, False)
    assert project.rows() == before


def test_judges_treated_values(project: Any) -> None:
    """The ages are decades when they are published."""
    adult = "type: expect_column_values_to_be_in_set, kwargs: {column: age, value_set: [30, 10, 40]}"
    write(project, f"{adult}, {OUTPUT}")
    result = run(project)
    assert (result.status, result.checks[0].evaluated, result.checks[0].kind) == ("succeeded", 3, "row")


def test_a_row_expectation_counts_its_share_over_the_whole_output(project: Any) -> None:
    """`mostly` of the table, not of the rows that came."""
    known = "type: expect_column_values_to_be_in_set, kwargs: {column: city, value_set: [London], mostly: %s}"
    for mostly, status in ((1.0, "refused"), (0.5, "succeeded")):
        write(project, f"{known % mostly}, {OUTPUT}")
        assert run(project).status == status


def test_warns_and_publishes(project: Any) -> None:
    """`on_fail: warn`, or a severity below critical."""
    project.write("data/people.csv", "id,name,email,age,city\n1,A,,36,x\n2,B,,40,x\n")
    write(project, UNIQUE + ", severity: warning")
    result = run(project)
    assert (result.status, result.checks[0].passed, result.checks[0].on_fail) == ("succeeded", False, "warn")
    assert len(project.rows()) == 2


def test_a_dry_run_meets_the_gate_and_publishes_nothing(project: Any) -> None:
    """The same refusal as the run's, and the same success."""
    write(project, UNIQUE)
    result = run(project, dry_run=True)
    assert (result.status, result.checks[0].evaluated, result.checks[0].passed) == ("succeeded", 2, True)
    project.write("data/people.csv", "id,name,email,age,city\n1,A,,36,x\n2,B,,40,x\n")
    assert run(project, dry_run=True).status == "refused"
    import sqlite3

    there = sqlite3.connect(project.directory / "out/people.db").execute("select name from sqlite_master").fetchall()
    assert ("people",) not in there and not any(name.startswith("veilflow_staging") for (name,) in there)


def test_the_plan_shows_stage_and_kind(project: Any) -> None:
    """And its hash knows the stage."""
    write(project, UNIQUE)
    shown = document(prepare(project.directory, "dev", "people").decision)
    assert [(one["stage"], one["kind"], one["on_fail"]) for one in shown["checks"]] == [("output", "table", "refuse")]
    write(project, UNIQUE.replace("output", "source"))
    assert document(prepare(project.directory, "dev", "people").decision)["plan_hash"] != shown["plan_hash"]


@pytest.mark.parametrize(
    ("expectation", "code", "word"),
    [
        ("type: expect_column_values_to_be_unique, kwargs: {column: citty}, " + OUTPUT, "VEIL302", "not in the output"),
        ("type: expect_column_values_to_be_between, kwargs: {column: name, min_value: 1}, " + OUTPUT, "VEIL207", "text"),
        ("type: expect_column_values_to_not_be_null, kwargs: {column: city}, meta: {veilflow: {stage: output, on_fail: quarantine}}", "VEIL207", "cannot hold rows back"),
        ("type: expect_column_values_to_not_be_null, kwargs: {column: city}, meta: {veilflow: {stage: outputt}}", "VEIL207", "stage"),
    ],
)  # fmt: skip
def test_refuses_what_the_output_cannot_be_asked(project: Any, expectation: str, code: str, word: str) -> None:
    """By the plan, before a row is read."""
    write(project, expectation)
    errors = prepare(project.directory, "dev", "people").decision.errors
    assert [error.code for error in errors] == [code]
    assert word in errors[0].problem + errors[0].hint


def test_the_verdicts_are_on_record_before_the_table_changes(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies in publishing leaves them to whoever closes the run."""
    from veilflow.state import State
    from veilflow.targets.metadata import Metadata

    found: list[Any] = []

    def record(_self: Any, *_facts: Any) -> None:
        found.append(State(project.directory).runs(limit=1)[0]["checks"][0]["passed"])
        raise KeyboardInterrupt

    write(project, UNIQUE)
    monkeypatch.setattr(Metadata, "record", record)
    run(project)
    assert found == [True]
