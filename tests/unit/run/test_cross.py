"""Checks across tables: the output beside another table, in the transaction that publishes."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from veilflow.model import RunResult
from veilflow.run import Request, execute
from veilflow.run.prepare import prepare

THERE = "type: expect_column_values_to_be_in_other_table, kwargs: {column: city, other_table_name: cities, other_column: name%s}"
COUNT = "type: expect_table_row_count_to_equal_other_table, kwargs: {other_table_name: cities}"
SUM = "type: expect_column_sum_to_equal_other_table, kwargs: {column: age, other_table_name: cities, other_column: people}"
TOGETHER = "type: expect_compound_columns_to_be_in_other_table, kwargs: {column_list: [city, age], other_table_name: cities, other_column_list: [name, people]}"


def run(project: Any, expectation: str, cities: list[tuple[str, Any]] | None = None, **more: Any) -> RunResult:
    """The three people (of London, Oslo and nowhere; 30, 10 and 40 years old when treated) beside a table of cities."""
    project.write("pipelines/expectations/people.yaml", f"expectations:\n  - {{{expectation}}}\n")
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    if "expectations:" not in pipeline:
        project.write("pipelines/people.yaml", pipeline + "expectations: people\n")
    if cities is not None:
        (project.directory / "out").mkdir(exist_ok=True)
        connection = sqlite3.connect(project.directory / "out/people.db", isolation_level=None)
        connection.execute("drop table if exists cities")
        connection.execute("create table cities (name text, people)")
        connection.executemany("insert into cities values (?, ?)", cities)
        connection.close()
    return execute(Request(project.directory, "dev", "people", **more))


@pytest.mark.parametrize(
    ("expectation", "cities", "passed", "evaluated", "failed"),
    [
        (THERE % "", [("London", 1), ("Oslo", 1), ("Rome", 1)], True, 2, 0),
        (THERE % "", [("London", 1), ("oslo", 1), (None, 1)], False, 2, 1),
        (THERE % "", [], False, 2, 2),
        (THERE % ", mostly: 0.5", [("London", 1)], True, 2, 1),
        (TOGETHER, [("London", 30), ("Oslo", 10)], True, 2, 0),
        (TOGETHER, [("London", 10), ("Oslo", 30)], False, 2, 2),
        (COUNT, [("a", 1)] * 3, True, 3, 0),
        (COUNT, [("a", 1)] * 4, False, 3, 0),
        (SUM, [("a", 79), ("b", 1), ("c", None)], True, 3, 0),
        (SUM, [("a", 79.5), ("b", 0.5)], True, 3, 0),
        (SUM, [("a", "80.0")], True, 3, 0),
        (SUM, [("a", 80.000001)], False, 3, 0),
    ],
)
def test_compares_the_output_with_another_table_of_the_target(
    project: Any, expectation: str, cities: list[Any], passed: bool, evaluated: int, failed: int
) -> None:
    """Values that stand there, alone or together; as many rows; the same sum. What is missing is left out."""
    result = run(project, expectation, cities)
    assert (result.status, result.exit_status) == (("succeeded", 0) if passed else ("refused", 3))
    (check,) = result.checks
    assert (check.kind, check.stage, check.evaluated, check.failed) == ("cross", "output", evaluated, failed)
    assert (check.passed, check.other_held) == (passed, True)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "sqlite", "duckdb"])
def test_compares_the_output_with_that_of_another_pipeline(project: Any, kind: str) -> None:
    """A file, or a table of another database."""
    target = f"{{kind: {kind}, path: out/cities.{kind}, table: cities, mode: replace}}"
    project.write("data/cities.csv", "name,people\nLondon,1\nOslo,79\n")
    project.write("policies/cities.yaml", "version: 1\npurpose: tests\ncolumns:\n" + "".join(
        f"  {name}: {{class: non_personal, treatment: keep, reason: public}}\n" for name in ("name", "people")))  # fmt: skip
    project.write("pipelines/cities.yaml", f"version: 1\nsource: {{kind: csv, path: data/cities.csv}}\ncolumns: {{people: {{type: integer}}}}\npolicy: cities\ntarget: {target}\n")  # fmt: skip
    (project.directory / "out").mkdir()
    elsewhere = THERE.replace("other_table_name: cities", "other_pipeline: cities") % ""
    assert [error.code for error in run(project, elsewhere).errors] == ["VEIL302"]
    assert execute(Request(project.directory, "dev", "cities")).status == "succeeded"
    beside = run(project, elsewhere)
    assert (beside.status, beside.checks[0].other_held) == ("succeeded", False)
    assert run(project, SUM.replace("other_table_name", "other_pipeline")).status == "succeeded"
    assert run(project, COUNT.replace("other_table_name", "other_pipeline")).status == "refused"
    missing = run(project, elsewhere.replace("other_column: name", "other_column: nome"))
    assert [error.code for error in missing.errors] == ["VEIL302"]


def test_a_dry_run_compares_too(project: Any) -> None:
    """And publishes nothing."""
    assert run(project, COUNT, [("a", 1)], dry_run=True).status == "refused"
    assert run(project, COUNT, [("a", 1)] * 3, dry_run=True).status == "succeeded"


@pytest.mark.parametrize(
    ("expectation", "code", "word"),
    [
        (COUNT.replace("cities", "citties"), "VEIL302", "citties"),
        (THERE.replace("other_column: name", "other_column: nome") % "", "VEIL302", "cities"),
        (THERE.replace("column: city", "column: citty") % "", "VEIL302", "citty"),
        (COUNT.replace("other_table_name: cities", "other_pipeline: nobody"), "VEIL204", "nobody"),
        (COUNT.replace("{other_table_name: cities}", "{}"), "VEIL207", "other_pipeline"),
        (COUNT.replace("cities}", "cities, other_pipeline: people}"), "VEIL207", "other_table_name"),
        (TOGETHER.replace("[name, people]", "[name]"), "VEIL207", "as many"),
        (SUM.replace("column: age", "column: city"), "VEIL207", "integer"),
        (COUNT + ", meta: {veilflow: {stage: source}}", "VEIL207", "stage"),
        (COUNT + ", meta: {veilflow: {on_fail: quarantine}}", "VEIL207", "on_fail"),
        (SUM, "VEIL105", "one type"),
    ],
)
def test_refuses_what_cannot_be_compared(project: Any, expectation: str, code: str, word: str) -> None:
    """By its name and place; no value is told."""
    result = run(project, expectation, [("London", "Secretville")])
    assert [error.code for error in result.errors] == [code]
    assert word in result.errors[0].problem + result.errors[0].hint
    assert "Secretville" not in str(result) and result.status != "succeeded"


def test_the_plan_shows_the_kind(project: Any) -> None:
    """`cross`, and in words what is compared."""
    run(project, THERE % "", [("London", 1)])
    (check,) = prepare(project.directory, "dev", "people").decision.plan.checks
    assert (check.kind, check.stage, check.title) == ("cross", "output", "every city stands in cities (name)")
