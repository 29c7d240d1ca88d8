"""`veil policy`, `veil treatments`, plan files and shown values: tried as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Finished, Project


def edit(project: Project, name: str, before: str, after: str) -> None:
    path = project.directory / name
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def same_twice(project: Project, *arguments: str) -> tuple[Finished, Finished]:
    """The command in words and as JSON: one exit status."""
    words, document = project.veil(*arguments), project.veil(*arguments, "--json")
    assert words.status == document.status, words.err
    return words, document


# --- lint --------------------------------------------------------------------------------


def test_lint_tells_warnings_and_exits_0(project: Project) -> None:
    """Typical lengths come from the source; no value of it is shown."""
    words, document = same_twice(project, "policy", "lint", "people")
    assert document.status == 0 and document.json["counts"]["errors"] == 0
    found = {(one["code"], one["column"]) for one in document.json["findings"]}
    assert {("LINT201", "name"), ("LINT201", "email"), ("LINT204", "name")} <= found
    assert "LINT204" in words.out and "policies/people.yaml:5" in words.out and "Ada" not in words.out
    words, document = same_twice(project, "explain", "lint204")
    assert document.json["severity"] == "warning" and "The length of a name is kept (warning)" in words.out


def test_a_lint_error_refuses_lint_plan_and_run(project: Project) -> None:
    """One key domain for two purposes: 3, and nothing is published."""
    project.write(
        "policies/ads.yaml", (project.directory / "policies/people.yaml").read_text().replace("tests", "marketing")
    )
    words, document = same_twice(project, "policy", "lint", "people")
    assert document.status == 3 and "LINT103" in words.out
    assert [one["code"] for one in document.json["findings"] if one["severity"] == "error"] == ["LINT103"]
    for command in (["plan", "people"], ["run", "people", "--direct"]):
        done = project.veil(*command, "--json")
        assert done.status == 3 and [error["code"] for error in done.json["errors"]] == ["VEIL311"]
    assert not (project.directory / "out").exists()


def test_a_policy_is_linted_where_the_data_is_not(project: Project) -> None:
    """A build has no source: what needs it is not judged, and that is said."""
    (project.directory / "data/people.csv").unlink()
    words, document = same_twice(project, "policy", "lint")
    assert document.status == 0 and document.json["policies"][0]["source_read"] is False and not document.json["errors"]
    assert "LINT204" in words.out and "source was not read" in words.out


def test_an_acknowledged_warning_is_told_as_agreed(project: Project) -> None:
    """By whom and until when; the plan counts it."""
    agreed = "acknowledge: [{finding: LINT204, column: name, reason: why, owner: DPO, expires: 2999-01-01}]\n"
    policy = project.directory / "policies/people.yaml"
    policy.write_text(policy.read_text() + agreed)
    words, document = same_twice(project, "policy", "lint")
    assert document.json["counts"]["acknowledged"] == 1 and "DPO until 2999-01-01" in words.out
    plan = project.veil("plan", "people")
    assert "1 warnings are acknowledged" in plan.out and "LINT204" not in plan.out and "warning LINT201" in plan.out


def test_a_policy_without_a_pipeline_is_linted_by_itself(project: Project) -> None:
    """By its name, and by its file."""
    project.write(
        "policies/alone.yaml",
        "version: 1\ncolumns:\n  iban: {class: direct_identifier, treatment: {keep_prefix: {length: 6}}}\n",
    )
    for name in ("alone", "policies/alone.yaml"):
        done = project.veil("policy", "lint", name, "--json")
        assert {one["code"] for one in done.json["findings"]} == {"LINT201", "LINT203"}, done.out


# --- explain, coverage, diff -------------------------------------------------------------


def test_explain_tells_the_rule_that_won_and_those_that_lost(project: Project) -> None:
    """Exact name over pattern over tag."""
    edit(project, "policies/people.yaml", "  id:", '  "na*": {class: sensitive, treatment: redact}\n  id:')
    edit(project, "policies/people.yaml", "purpose: tests", "tags: {who: {class: sensitive, treatment: drop}}")
    edit(project, "pipelines/people.yaml", "  age: {type: integer}", "  age: {type: integer}\n  name: {tags: [who]}")
    words, document = same_twice(project, "policy", "explain", "name", "--pipeline", "people")
    decided = document.json["decided_by"]
    assert (decided["kind"], decided["treatment"], decided["place"]["line"]) == ("exact", "mask", 6)
    assert [(loser["kind"], loser["pattern"]) for loser in document.json["losers"]] == [("glob", "na*"), ("tag", "who")]
    assert "its exact name" in words.out and "the pattern na*" in words.out and "the tag who" in words.out
    nobody = project.veil("policy", "explain", "emial", "--json").json
    assert nobody["outcome"] == "refuse" and nobody["decided_by"] is None and nobody["in_source"] is False
    assert "did you mean email" in project.veil("policy", "explain", "emial").out


def test_coverage_has_undecided_columns_first_and_exits_as_a_run(project: Project) -> None:
    """With the share that is treated."""
    assert same_twice(project, "policy", "coverage", "people")[1].json["share_treated"] == 0.8
    edit(project, "data/people.csv", "age,city", "age,town")
    words, document = same_twice(project, "policy", "coverage", "people")
    assert document.status == 3 and document.json["columns"][0]["state"] == "undecided"
    assert words.out.splitlines()[1].startswith("town")


@pytest.mark.parametrize(
    ("before", "after", "change", "status"),
    [
        ("{mask: {keep_first: 1}}", "redact", "stricter", 0),
        ("{mask: {keep_first: 1}}", "{mask: {keep_first: 2}}", "weaker", 3),
        ("treatment: mask_email", "treatment: keep, reason: why", "weaker", 3),
        ("{mask: {keep_first: 1}}", "token", "incomparable", 3),
        ("purpose: tests", "purpose: others", "same", 0),
    ],
)
def test_diff_says_what_is_weaker(project: Project, before: str, after: str, change: str, status: int) -> None:
    """By names and by files; facts that differ are told and are no weakening."""
    text = (project.directory / "policies/people.yaml").read_text()
    project.write("policies/next.yaml", text.replace(before, after))
    words, document = same_twice(project, "policy", "diff", "people", "policies/next.yaml")
    assert document.status == status, words.out
    assert document.json["counts"][change] >= 1 and (change == "same" or change in words.out)
    assert project.veil("policy", "diff", "people", "people").status == 0


# --- treatments --------------------------------------------------------------------------


def test_treatments_are_listed_and_shown_from_the_registry(project: Project) -> None:
    """Without a project; with parameters, ranges, types, traits and an example."""
    words, document = same_twice(project, "treatments", "list")
    names = [one["name"] for one in document.json["treatments"]]
    assert {"token", "mask", "keep"} <= set(names) and all(name in words.out for name in names)
    words, document = same_twice(project, "treatments", "show", "mask")
    first = document.json["parameters"][0]
    assert first == {"name": "keep_first", "required": False, "default": 0, "range": "a whole number from 0 to 64"}
    assert "a whole number from 0 to 64" in words.out and "{mask: {keep_first: 1}}" in words.out
    wrong = project.veil("treatments", "show", "maks", "--json")
    assert wrong.status == 2 and "mask" in wrong.json["errors"][0]["hint"]


# --- plan files --------------------------------------------------------------------------


def test_a_plan_that_was_written_is_run_as_it_is(project: Project) -> None:
    """With the key versions, which no other plan opens the ring for."""
    done = project.veil("plan", "people", "--out", "plan.json", "--json")
    assert done.status == 0, done.err
    written = json.loads((project.directory / "plan.json").read_text())
    assert written["key_versions"] == {"person": 1} and written | {"warnings": [], "checkpoint": None} == done.json
    assert "key_versions" not in project.veil("plan", "people", "--json").json
    done = project.veil("run", "--plan", "plan.json", "--direct", "--json")
    assert done.status == 0 and done.json["plan_hash"] == written["plan_hash"], done.err
    assert project.veil("run", "people", "--plan", "plan.json", "--direct").status == 0
    assert project.veil("run", "others", "--plan", "plan.json", "--direct").status == 2


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("policies/people.yaml", "keep_first: 1", "keep_first: 2", "the policy"),
        ("policies/people.yaml", "purpose: tests", "purpose: more", "the policy"),
        ("pipelines/expectations/people.yaml", "column: city", "column: name", "the suite"),
        ("pipelines/people.yaml", "age: {type: integer}", "age: {type: float}", "the source's columns"),
        ("pipelines/people.yaml", "table: people", "table: persons", "the target"),
        ("keyring.json", "", "", "the key version of person"),
    ],
)
def test_a_plan_that_moved_is_refused_and_says_what(
    project: Project, file: str, before: str, after: str, words: str
) -> None:
    """3, VEIL321, and nothing is published."""
    suite = "expectations:\n  - {type: expect_column_values_to_not_be_null, kwargs: {column: city, mostly: 0.1}}\n"
    project.write("pipelines/expectations/people.yaml", suite)
    edit(project, "pipelines/people.yaml", "policy: people", "policy: people\nexpectations: people")
    assert project.veil("plan", "people", "--out", "plan.json").status == 0
    if file == "keyring.json":
        assert project.veil("keys", "rotate").status == 0
    else:
        edit(project, file, before, after)
    done = project.veil("run", "--plan", "plan.json", "--direct", "--json")
    assert done.status == 3, done.err
    (error,) = done.json["errors"]
    assert error["code"] == "VEIL321" and words in error["problem"]
    assert not (project.directory / "out/people.db").exists() or not done.json["counts"]["loaded"]


def test_a_comment_moves_nothing_and_another_environment_does(project: Project) -> None:
    """Meaning counts, not spelling."""
    project.veil("plan", "people", "--out", "plan.json")
    edit(project, "policies/people.yaml", "version: 1\n", "# a comment\nversion: 1\n")
    assert project.veil("run", "--plan", "plan.json", "--direct").status == 0
    done = project.veil("run", "--plan", "plan.json", "--direct", "--env", "staging", "--json")
    assert done.status == 3 and "the environment" in done.json["errors"][0]["problem"]


def test_a_blocked_plan_is_not_written_and_no_other_file_is_a_plan(project: Project) -> None:
    """Each with its code."""
    for content, code in (("{", "VEIL203"), ("{}", "VEIL202"), ("[]", "VEIL202")):
        project.write("plan.json", content)
        done = project.veil("run", "--plan", "plan.json", "--direct", "--json")
        assert (done.status, done.json["errors"][0]["code"]) == (2, code)
    assert project.veil("run", "--plan", "nothing.json", "--direct", "--json").json["errors"][0]["code"] == "VEIL204"
    edit(project, "data/people.csv", "age,city", "age,town")
    assert project.veil("plan", "people", "--out", "blocked.json").status == 3
    assert not (project.directory / "blocked.json").exists()


# --- shown values ------------------------------------------------------------------------


def test_originals_are_shown_on_demand_and_on_record(project: Project) -> None:
    """Never by default; the record names who, when, which columns; the state holds no value."""
    assert "ada@example.com" not in project.veil("preview", "people", "-n", "1").out
    assert project.veil("runs", "disclosures", "--json").json["disclosures"] == []
    words, document = same_twice(project, "preview", "people", "-n", "1", "--show-values")
    assert "ada@example.com" in words.out and "recorded as" in words.err
    listed, found = same_twice(project, "runs", "disclosures")
    newest = found.json["disclosures"][0]
    assert newest["disclosure_id"] == document.json["disclosure"] and len(found.json["disclosures"]) == 2
    assert newest["columns"] == ["id", "name", "email", "age", "city"] and newest["who"] in listed.out
    assert b"ada@example.com" not in (project.directory / ".veil/state.db").read_bytes()


def test_a_policy_may_refuse_to_show_originals(project: Project) -> None:
    """Then nothing is shown and nothing is recorded."""
    edit(project, "policies/people.yaml", "purpose: tests", "purpose: tests\nshow_values: refuse")
    done = project.veil("preview", "people", "--show-values", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (3, "VEIL320") and "ada@" not in done.out
    assert project.veil("preview", "people").status == 0


def test_the_record_of_processing_stands_in_the_report(project: Project) -> None:
    """Purpose, basis, recipients: as the policy says them."""
    edit(project, "policies/people.yaml", "purpose: tests", "purpose: tests\nlegal_basis: contract\nrecipients: [a, b]")
    project.veil("run", "people", "--direct")
    document = project.veil("report", "last", "--json").json
    assert document["facts"] == {"purpose": "tests", "legal_basis": "contract", "recipients": "a, b"}
    project.veil("report", "last", "--out", "r.html")
    page = (project.directory / "r.html").read_text()
    assert "legal basis" in page and "LINT204" in page and "nobody" in page


def test_anonymize_knows_the_tags_of_the_pipeline_that_it_reads_like(project: Project) -> None:
    """The same rules decide as in a run."""
    edit(
        project, "policies/people.yaml", "  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}\n", ""
    )
    edit(project, "policies/people.yaml", "purpose: tests", "tags: {who: {class: sensitive, treatment: redact}}")
    edit(project, "pipelines/people.yaml", "  age: {type: integer}", "  age: {type: integer}\n  name: {tags: [who]}")
    arguments = ["anonymize", "data/people.csv", "--policy", "people", "--out", "a.csv"]
    done = project.veil(*arguments)
    assert done.status == 0, done.err
    assert (project.directory / "a.csv").read_text().count("[redacted]") == 3


# --- schemas, and what holds for all -----------------------------------------------------


def test_schemas_are_printed_and_written_and_init_brings_them(project: Project) -> None:
    """All together, one by one, and as files; what exists is replaced only when asked for."""
    everything = project.veil("policy", "schema", "--json").json["schemas"]
    assert list(everything) == ["pipeline", "policy", "names", "environment"]
    assert json.loads(project.veil("policy", "schema", "policy").out) == everything["policy"]
    done = project.veil("init", ".", "--json")
    assert done.status == 0 and "schemas/" in done.json["made"]
    path = project.directory / "schemas/policy.schema.json"
    assert json.loads(path.read_text()) == everything["policy"]
    path.write_text("{}")
    assert project.veil("init", ".").status == 0 and path.read_text() == "{}"
    assert project.veil("policy", "schema", "--out", "schemas").status == 0
    assert json.loads(path.read_text()) == everything["policy"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["policy", "lint", "peple"], 2),
        (["policy", "explain", "name", "--policy", "peple"], 2),
        (["policy", "coverage", "peple"], 2),
        (["policy", "diff", "people", "peple"], 2),
        (["policy", "schema", "suite"], 2),
        (["treatments", "show", "nothing"], 2),
        (["plan", "people", "--out", "data/people.csv/plan.json"], 1),
    ],
)
def test_a_failure_is_one_document_with_its_exit_status(project: Project, arguments: list[str], status: int) -> None:
    """As for every command."""
    words, document = same_twice(project, *arguments)
    assert document.status == status and words.out == ""
    assert all(error["code"].startswith(f"VEIL{status}") and error["hint"] for error in document.json["errors"])


def test_help_of_the_groups_imports_nothing_heavy(project: Project) -> None:
    """A person who looks around does not wait."""
    for arguments in (["policy", "--help"], ["policy", "lint", "--help"], ["treatments", "--help"], ["plan", "--help"]):
        program = (
            "import sys\nfrom veilflow.cli import main\n"
            f"try: main({arguments!r})\nexcept SystemExit as end: status = end.code\n"
            "heavy = {'pandas', 'prefect', 'great_expectations', 'pyarrow', 'polars', 'sqlalchemy'} & set(sys.modules)\n"
            "assert not heavy, heavy\nassert status == 0"
        )
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=project.directory)
