"""Rows in quarantine as a user meets them: listed, shown, replayed, released, erased, purged."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from veilflow.run import Request, execute
from veilflow.run.held_rows import expired, list_quarantine

SUITE = """\
expectations:
  - {type: expect_column_values_to_be_in_set, kwargs: {column: city, value_set: [London]}, severity: warning}
  - {type: expect_column_values_to_be_between, kwargs: {column: age, min_value: 18}, severity: warning}
"""


@pytest.fixture
def held(make_project: Any) -> Any:
    """A project whose run held back Bo: wrong city, too young."""
    project = make_project()
    project.write("pipelines/expectations/people.yaml", SUITE)
    pipeline = (project.directory / "pipelines/people.yaml").read_text() + "expectations: people\n"
    project.write("pipelines/people.yaml", pipeline)
    assert project.veil("run", "people", "--direct").status == 0
    return project


def pipe(project: Any, value: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "veilflow.cli", "quarantine", *arguments]
    return subprocess.run(command, cwd=project.directory, input=value, capture_output=True, text=True, check=False)


def last(project: Any) -> str:
    return str(project.veil("quarantine", "list", "--json").json["runs"][0]["run_id"])


def test_lists_and_shows_without_values_unless_asked(held: Any) -> None:
    """Counts and reasons; the values need the private key and a record of who looked."""
    listed, shown = held.veil("quarantine", "list"), held.veil("quarantine", "show", "last")
    assert "held" in listed.out and "1 row" in shown.out
    assert "Bo" not in listed.out + shown.out + listed.err + shown.err
    values = held.veil("quarantine", "show", "last", "--show-values", "--json").json
    assert (
        "0 of 1 row: --limit 1 shows all"
        in held.veil("quarantine", "show", "last", "--show-values", "--limit", "0").err
    )
    assert values["total"] == 1 and values["rows"][0]["values"]["name"] == "Bo" and values["rows"][0]["position"] == 1
    events = held.veil("quarantine", "show", "last", "--json").json["events"]
    assert [(event["action"], event["rows"]) for event in events] == [("quarantine show", 1), ("quarantine show", 0)]


def test_replays_repaired_rules_once(held: Any) -> None:
    """The row joins the table through the same plan; a second replay would load it twice."""
    run = last(held)
    held.write("pipelines/expectations/people.yaml", SUITE.replace("London", "London, Oslo").replace("18", "16"))
    done = held.veil("quarantine", "replay", "--direct", run, "--json")
    assert done.json["counts"] == {"read": 1, "loaded": 1, "quarantined": 0, "filtered": 0}
    assert (done.json["parent_run"], done.json["mode"], len(held.rows())) == (run, "append", 3)
    again = held.veil("quarantine", "replay", "--direct", run, "--json")
    assert (again.status, again.json["errors"][0]["code"], len(held.rows())) == (3, "VEIL322", 3)


def test_a_replay_takes_parameters_of_the_suite_as_the_run_did(held: Any) -> None:
    """One without a default is asked for, by both."""
    suite = SUITE.replace("[London]", "[London, Oslo]").replace("min_value: 18", "min_value: {$PARAMETER: youngest}")
    held.write("pipelines/expectations/people.yaml", suite)
    assert held.veil("run", "people", "--direct", "--param", "youngest=18").status == 0
    run = last(held)
    assert held.veil("quarantine", "replay", run, "--direct").status == 2
    again = held.veil("quarantine", "replay", run, "--direct", "--param", "youngest=16", "--json")
    assert (again.status, again.json["counts"]["loaded"]) == (0, 1), again.err


def test_a_replay_joins_its_table_under_the_key_version_that_made_it(held: Any) -> None:
    """Though another version is active since; a re-key moves both."""
    held.write("pipelines/expectations/people.yaml", SUITE.replace("18", "16"))
    assert held.veil("run", "people", "--direct").status == 0
    assert held.veil("keys", "rotate").status == 0
    held.write("pipelines/expectations/people.yaml", SUITE.replace("18", "16").replace("London", "London, Oslo"))
    again = held.veil("quarantine", "replay", last(held), "--direct", "--json")
    assert (again.status, set(again.json["key_versions"].values())) == (0, {1}), again.err
    assert len(held.rows()) == 3


def test_what_fails_again_is_held_back_by_the_replay(held: Any) -> None:
    """Nothing lost: the rows stand in the newer run's quarantine."""
    done = held.veil("quarantine", "replay", "--direct", last(held), "--json")
    assert (done.status, done.json["counts"]["quarantined"], len(held.rows())) == (0, 1, 2)


def test_releases_one_check_and_never_treatment(held: Any) -> None:
    """The other check still holds the row back; with both repaired or waived it is loaded, treated."""
    first = held.veil("quarantine", "release", "--direct", last(held), "--waive", "expect_column_values_to_be_in_set",
                      "--reason", "a new office", "--json")  # fmt: skip
    assert first.json["counts"]["quarantined"] == 1
    held.write("pipelines/expectations/people.yaml", SUITE.replace("18", "16"))
    second = held.veil("quarantine", "release", "--direct", last(held), "--waive", "expect_column_values_to_be_in_set",
                       "--reason", "a new office", "--json")  # fmt: skip
    assert second.json["counts"]["loaded"] == 1
    assert any("Oslo" in row and "Bo" not in row for row in held.rows())
    wrong = held.veil(
        "quarantine", "release", "--direct", last(held), "--waive", "expect_nothing", "--reason", "x", "--json"
    )
    assert wrong.status in (2, 3)


BOTH_STAGES = """\
expectations:
  - {type: expect_column_values_to_be_in_set, kwargs: {column: city, value_set: [London]}, severity: warning}
  - {type: expect_column_values_to_be_in_set, kwargs: {column: city, value_set: [London]}, meta: {veilflow: {stage: output}}}
"""


def test_a_release_waives_the_check_that_held_the_rows_and_the_gate_only_by_its_name(held: Any) -> None:
    """Of an expectation at both stages: the output still refuses what a release adds, unless both are waived."""
    held.write("pipelines/expectations/people.yaml", BOTH_STAGES)
    assert held.veil("run", "people", "--direct").status == 0
    run, before = last(held), held.rows()
    waive = (
        "quarantine",
        "release",
        "--direct",
        run,
        "--waive",
        "expect_column_values_to_be_in_set",
        "--reason",
        "moved",
    )
    for stage in ((), ("--stage", "source"), ("--stage", "output")):
        done = held.veil(*waive, *stage, "--json")
        code = [error["code"] for error in done.json["errors"]]
        assert (done.status, code) == ((0, []) if stage == ("--stage", "output") else (3, ["VEIL306"]))
        assert held.rows() == before
    run = held.veil("quarantine", "list", "--json").json["runs"][0]["run_id"]
    both = held.veil("quarantine", "release", "--direct", run, *waive[4:], "--stage", "both", "--json")
    assert (both.status, both.json["counts"]["loaded"]) == (0, 1)
    events = held.veil("quarantine", "show", run, "--json").json["events"]
    assert (events[0]["waived"], events[0]["stage"]) == ("expect_column_values_to_be_in_set", "both")


def test_a_release_is_told_by_list_show_and_its_own_run(held: Any) -> None:
    """Which check was waived, by whom and why; what a record says steers no terminal."""
    run = last(held)
    waive = ("--waive", "expect_column_values_to_be_in_set", "--stage", "source", "--reason", "a new\x1b[31m\noffice")
    released = held.veil("quarantine", "release", "--direct", run, *waive, "--json").json
    assert released["waived"]["expectation"] == "expect_column_values_to_be_in_set" and released["waived"]["by"]
    words = f"expect_column_values_to_be_in_set, stage source, by {released['waived']['by']}: a new\\x1b[31m\\noffice"
    assert f"waived: {words}" in held.veil("quarantine", "list").out
    shown = held.veil("runs", "show", released["run_id"]).out
    assert f"rows    held back by run {run}" in shown and f"waived  {words}" in shown
    assert "reason a new\\x1b[31m\\noffice" in held.veil("quarantine", "show", run).out
    ours, theirs = held.veil("quarantine", "list", "--json").json["runs"]
    assert (ours["waived"], theirs["waived"]) == (None, released["waived"])


HOSTILE = "\x1b]0;title\x07 \u202eoslO"


def test_values_that_are_shown_cannot_steer_the_terminal_or_forge_a_line(held: Any) -> None:
    """What marks of control, or of direction, a cell has is written out; a null is no word None."""
    table = f'id,name,email,age,city\n1,"Bo\nrow 9: forged",,30,{HOSTILE}\n'
    held.write("data/people.csv", table)
    assert held.veil("run", "people", "--direct").status == 0
    for command in (("quarantine", "show", "last"), ("preview", "people")):
        shown = held.veil(*command, "--show-values").out
        assert "\nrow 9: forged" not in shown and "Bo\\nrow 9: forged" in shown
        assert not any(mark in shown for mark in "\x1b\x07\u202e")
    assert "email is null" in held.veil("quarantine", "show", "last", "--show-values").out


def test_a_dry_run_has_no_table_to_replay_into_and_replaces_none(held: Any) -> None:
    """It published nothing: its rows join nothing, and it stands in the way of no replay."""
    run = last(held)
    assert held.veil("run", "people", "--direct", "--dry-run").status == 0
    dry = held.veil("quarantine", "replay", "--direct", "last", "--json")
    assert (dry.status, dry.json["errors"][0]["code"]) == (3, "VEIL322")
    assert "published nothing" in dry.json["errors"][0]["problem"]
    assert held.veil("quarantine", "replay", "--direct", run).status == 0


def test_refuses_a_replay_into_a_table_that_a_later_run_has_replaced(held: Any) -> None:
    """Rows of an older source would stand beside those of a newer one."""
    run = last(held)
    assert held.veil("run", "people", "--direct").status == 0
    done = held.veil("quarantine", "replay", "--direct", run, "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (3, "VEIL322")


def test_finds_and_erases_a_person_by_a_value_from_stdin(held: Any) -> None:
    """The value stands in no argument, no output and no record."""
    found = pipe(held, "bo@example.org\n", "find", "--subject")
    assert (found.returncode, "row 2  email" in found.stdout) == (0, True)
    erased = pipe(held, "bo@example.org", "erase", "--subject")
    assert "1 row erased" in erased.stdout
    assert pipe(held, "bo@example.org", "find", "--subject").stdout.strip() == "no row"
    assert "bo@example" not in found.stdout + erased.stdout
    assert b"bo@example" not in (held.directory / ".veil/state.db").read_bytes()
    assert held.veil("quarantine", "show", "last").status == 0
    assert pipe(held, "", "find", "--subject").returncode == 2


@pytest.mark.parametrize("command", ["find", "erase"])
def test_a_column_that_no_row_has_is_no_answer(held: Any, command: str) -> None:
    """A misspelt name would pass for a person who is not there."""
    missed = json.loads(pipe(held, "bo@example.org", command, "--subject", "--column", "emial", "--json").stdout)
    assert [(one["code"], "email" in one["hint"]) for one in missed["errors"]] == [("VEIL200", True)]
    done = json.loads(pipe(held, "bo@example.org", command, "--subject", "--column", "email", "--json").stdout)
    assert done["errors"] == [] and len(done["matches" if command == "find" else "erased"]) == 1


def test_a_removed_file_is_found_by_every_command(held: Any) -> None:
    """VEIL503, exit status 5."""
    run = last(held)
    (file,) = (held.directory / ".veil/quarantine" / run).glob("*.age")
    content = file.read_bytes()
    file.unlink()
    assert held.veil("quarantine", "show", run).status == 5
    assert held.veil("quarantine", "replay", "--direct", run).status == 5
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert held.veil("quarantine", "show", run).status == 5


def test_rows_go_to_the_recipient_that_the_pipeline_names(held: Any, tmp_path: Path) -> None:
    """The pipeline's own key ring does not open them; a file with the private key does."""
    reader = pyrage.x25519.Identity.generate()
    pipeline = (held.directory / "pipelines/people.yaml").read_text()
    held.write(
        "pipelines/people.yaml", pipeline + f"quarantine: {{recipient: {reader.to_public()}, retention_days: 7}}\n"
    )
    assert held.veil("run", "people", "--direct").status == 0
    assert held.veil("quarantine", "show", last(held)).status == 0
    closed = held.veil("quarantine", "show", last(held), "--show-values", "--json")
    assert (closed.status, closed.json["errors"][0]["code"]) == (2, "VEIL221")
    identity = tmp_path / "reader.txt"
    identity.write_text(f"# created today\n{reader}\n")
    opened = held.veil("quarantine", "show", last(held), "--show-values", "--identity", str(identity))
    assert opened.status == 0 and "Bo" in opened.out


def test_purges_by_name_and_leaves_what_is_not_expired(held: Any) -> None:
    """Retention is 30 days unless the pipeline says another number."""
    assert "nothing" in held.veil("quarantine", "purge", "--expired").out
    assert "1 row removed" in held.veil("quarantine", "purge", "last").out
    assert held.veil("quarantine", "replay", "--direct", "last", "--json").json["errors"][0]["code"] == "VEIL322"
    assert held.veil("quarantine", "purge").status == 2


def test_a_damaged_run_keeps_no_other_from_being_purged(held: Any) -> None:
    """Retention goes on for the others; the damaged one stays, is named, and decides the exit status."""
    damaged = last(held)
    assert held.veil("run", "people", "--direct").status == 0
    whole = last(held)
    next((held.directory / ".veil/quarantine" / damaged).glob("*.age")).unlink()
    done = held.veil("quarantine", "purge", damaged, whole, "--json")
    assert (done.status, done.json["purged"]) == (5, {whole: 1})
    assert [(one["run_id"], one["code"]) for one in done.json["errors"]] == [(damaged, "VEIL503")]


@pytest.mark.parametrize("gone", ["directory", "manifest", "manifest's text"])
def test_a_run_whose_manifest_is_gone_is_listed_and_hides_no_other(held: Any, gone: str) -> None:
    """Its record says that it held rows back: a request is not answered as if there had been none."""
    damaged, directory = last(held), held.directory / ".veil/quarantine" / last(held)
    assert held.veil("run", "people", "--direct").status == 0
    whole = last(held)
    if gone == "directory":
        shutil.rmtree(directory)
    elif gone == "manifest":
        (directory / "manifest.jsonl").unlink()
    else:
        (directory / "manifest.jsonl").write_text("garbage\n")
    listed = held.veil("quarantine", "list", "--json").json["runs"]
    assert [(one["run_id"], one["rows"], one["status"]) for one in listed] == [
        (whole, 1, "held"),
        (damaged, 1, "not whole"),
    ]
    done = pipe(held, "bo@example.org", "erase", "--subject", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["erased"]) == (5, {whole: 1})
    assert [(one["run_id"], one["code"]) for one in document["errors"]] == [(damaged, "VEIL503")]


def test_what_no_backup_restores_is_given_up_and_what_is_whole_is_not(held: Any) -> None:
    """What is left is removed, and the record says that the rows are lost."""
    run, directory = last(held), held.directory / ".veil/quarantine" / last(held)
    refused = held.veil("quarantine", "purge", run, "--lost", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (2, "VEIL200")
    (directory / "manifest.jsonl").unlink()
    assert held.veil("quarantine", "purge", run, "--lost", "--json").json["lost"] == {run: 1}
    assert [path.name for path in directory.iterdir()] == ["manifest.jsonl"]
    shown = held.veil("quarantine", "show", run, "--json").json
    assert (shown["rows"], [event["action"] for event in shown["events"]]) == (0, ["quarantine purge --lost"])
    assert [one["status"] for one in held.veil("quarantine", "list", "--json").json["runs"]] == ["empty"]
    assert held.veil("quarantine", "purge", "--expired", "--lost").status == 2


def test_exports_to_a_recipient(held: Any, tmp_path: Path) -> None:
    """One file that only the named private key opens."""
    reader = pyrage.x25519.Identity.generate()
    out = tmp_path / "rows.age"
    arguments = ("quarantine", "export", "last", "--recipient", str(reader.to_public()), "--out", str(out))
    assert held.veil(*arguments).status == 0
    assert b"bo@example.org" in pyrage.decrypt(out.read_bytes(), [reader])
    assert held.veil(*arguments).status == 2


def test_a_run_that_cannot_be_opened_hides_no_other_from_a_request(held: Any) -> None:
    """What was found or erased is told, and which run was not looked into; the exit status says so."""
    ours, reader = last(held), pyrage.x25519.Identity.generate()
    pipeline = (held.directory / "pipelines/people.yaml").read_text()
    held.write("pipelines/people.yaml", pipeline + f"quarantine: {{recipient: {reader.to_public()}}}\n")
    assert held.veil("run", "people", "--direct").status == 0
    theirs = last(held)
    done = pipe(held, "BO@example.org", "erase", "--subject")
    assert done.returncode == 2
    assert f"{ours}: 1 row erased" in done.stdout
    assert f"not looked into: {theirs}" in done.stderr
    found = json.loads(pipe(held, "bo@example.org", "find", "--subject", "--json").stdout)
    assert [(one["run_id"], one["code"]) for one in found["errors"]] == [(theirs, "VEIL221")]
    assert "1 erased" in held.veil("quarantine", "list").out
    assert held.veil("quarantine", "show", ours, "--json").json["erased"] == 1


def test_a_disk_that_fills_while_rows_are_held_back_loads_nothing(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk whose failing rows cannot be kept is not loaded: they would be lost."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = held.rows()
    monkeypatch.setattr("veilflow.quarantine.files.os.fsync", full)
    result = execute(Request(held.directory, "dev", "people"))
    assert (result.status, [error.code for error in result.errors]) == ("failed", ["VEIL101"])
    assert (result.counts.loaded, held.rows()) == (0, before)


@pytest.mark.parametrize("recipient", ["age1nothing", "AGE-SECRET-KEY-1QQQQ", ""])
def test_refuses_to_export_to_what_is_no_recipient(held: Any, recipient: str, tmp_path: Path) -> None:
    """Before anything is opened, and without repeating it: it may be a private key."""
    out = tmp_path / "rows.age"
    done = held.veil("quarantine", "export", "last", "--recipient", recipient, "--out", str(out), "--json")
    assert (done.status, done.json["errors"][0]["code"], out.exists()) == (2, "VEIL202", False)
    assert "QQQQ" not in done.out + done.err


def test_retention_is_over_by_the_clock_that_is_given(held: Any) -> None:
    """Thirty days after the run began, to the second."""
    (listed,) = list_quarantine(held.directory, "dev")
    began = datetime.fromisoformat(listed.started).replace(microsecond=0)
    assert not expired(listed, began + timedelta(days=30, seconds=-1))
    assert expired(listed, began + timedelta(days=30))
