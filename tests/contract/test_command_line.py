"""The contract of the command line, tried as a user would: real processes, real files, real SQLite."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from conftest import Project

MARKER = "Zq7marker"


def test_a_run_loads_every_row_treated(project: Project) -> None:
    """The table holds what the policy says and nothing else."""
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    assert done.json["counts"] == {"read": 3, "loaded": 3, "quarantined": 0, "filtered": 0}
    rows = sorted(project.rows(), key=lambda row: row[1])
    assert [row[1:] for row in rows] == [
        ("A**", "a**@e******.com", 30, "London"),
        ("B*", "b*@e******.org", 10, "Oslo"),
        ("C*", None, 40, None),
    ]


def test_a_stranger_recomputes_a_token_with_standard_parts(project: Project) -> None:
    """HKDF-SHA-256 and HMAC-SHA-256 as the contract spells them give the token that was loaded."""
    project.veil("run", "people", "--direct")
    root = bytes(range(32))
    info = b"veilflow/1\0token\0person\0001"
    key = HKDF(algorithm=SHA256(), length=32, salt=b"", info=info).derive(root)
    expected = {
        "v1." + hmac.new(key.hex().encode(), str(n).encode(), hashlib.sha256).hexdigest()[:32] for n in (1, 2, 3)
    }
    assert {row[0] for row in project.rows()} == expected


@pytest.mark.parametrize(
    ("file", "before", "after", "status", "code"),
    [
        ("policies/people.yaml", "  city:", "  town:", 3, "VEIL301"),
        ("policies/people.yaml", "treatment: mask_email", "treatment: maks_email", 2, "VEIL205"),
        ("policies/people.yaml", "keep, reason: reports are per city", "keep", 3, "VEIL304"),
        ("policies/people.yaml", "purpose: tests", "porpoise: tests", 2, "VEIL201"),
        ("policies/people.yaml", "columns:\n", "columns: {}\nolumns:\n", 2, "VEIL201"),
        ("pipelines/people.yaml", "kind: sqlite", "kind: sqlight", 2, "VEIL202"),
        ("pipelines/people.yaml", "policy: people", "policy: poeple", 2, "VEIL204"),
        ("pipelines/people.yaml", "data/people.csv", "data/nobody.csv", 2, "VEIL210"),
        ("data/people.csv", "id,name", "id,id", 2, "VEIL212"),
        ("data/people.csv", "id,name,email,age,city", "id,name,email,age,city,diagnosis", 3, "VEIL301"),
        ("data/people.csv", "3,Cy,,44,", "3,Cy,,forty,", 2, "VEIL213"),
        ("data/people.csv", "3,Cy,,44,", "3,Cy,,44,,,,", 2, "VEIL213"),
        ("secrets/names.yaml", "path: keyring.json", "path: nothing.json", 2, "VEIL221"),
        ("keyring.json", "veilflow_keyring", "keyring", 2, "VEIL222"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_code_and_leaves_the_target_untouched(
    project: Project, file: str, before: str, after: str, status: int, code: str
) -> None:
    """Each mistake ends with its status and code, a hint, and the table of the run before."""
    assert project.veil("run", "people", "--direct").status == 0
    published = project.rows()
    path = project.directory / file
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == status, done.err
    assert code in {error["code"] for error in done.json["errors"]}
    assert all(error["hint"] for error in done.json["errors"])
    assert project.rows() == published


def test_a_removed_rule_names_column_file_and_fix(project: Project) -> None:
    """Rerunning with one policy line less shows a refusal that a person can act on."""
    path = project.directory / "policies/people.yaml"
    path.write_text(path.read_text().replace("  email: {class: direct_identifier, treatment: mask_email}\n", ""))
    done = project.veil("run", "people", "--direct")
    assert done.status == 3
    assert "VEIL301" in done.err and '"email"' in done.err and "policies/people.yaml" in done.err
    assert "3 columns treated · 1 kept with a reason · 0 dropped · 1 undecided" in done.out


def test_rows_that_cannot_be_read_are_quarantined_when_the_pipeline_says_so(project: Project) -> None:
    """A ragged row and a bad cell cost one row each, encrypted on disk."""
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("people.csv}", "people.csv, on_bad_row: quarantine}", 1))
    with (project.directory / "data/people.csv").open("a") as file:
        file.write(f"4,{MARKER},x@y.z,old,Rome\n5,{MARKER},too,many,fields,here\n6,Eve,e@e.ee,50,Bern\n")
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    assert done.json["counts"] == {"read": 6, "loaded": 4, "quarantined": 2, "filtered": 0}
    assert sum(row["rows"] for row in done.json["quarantine"]) == 2
    kept = list((project.directory / ".veil/quarantine").rglob("*.age"))
    assert len(kept) == 1 and kept[0].stat().st_mode & 0o777 == 0o600


def test_no_value_is_found_outside_the_source(project: Project) -> None:
    """A marker in good, failing and ragged rows stands in no output, error, state or quarantine file."""
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("people.csv}", "people.csv, on_bad_row: quarantine}", 1))
    policy = project.directory / "policies/people.yaml"
    policy.write_text(policy.read_text().replace("treatment: keep, reason: reports are per city", "treatment: redact"))
    columns = ",".join([MARKER] * 5)
    good = f"{MARKER},{MARKER},{MARKER}@{MARKER}.com,1,{MARKER}\n"
    project.write("data/people.csv", f"id,name,email,age,city\n{good}{columns}\n{columns},{MARKER}\n")
    outputs = []
    for command in (["run", "people", "--direct"], ["plan", "people"], ["preview", "people"], ["runs", "show", "last"]):
        for json_too in ([], ["--json"]):
            done = project.veil(*command, *json_too)
            outputs += [done.out, done.err]
    pipeline.write_text(pipeline.read_text().replace("on_bad_row: quarantine", "on_bad_row: refuse"))
    refused = project.veil("run", "people", "--direct")
    assert refused.status == 2
    outputs += [refused.out, refused.err]
    assert not any(MARKER in text for text in outputs)
    for path in [*(project.directory / ".veil").rglob("*"), project.directory / "out/people.db"]:
        if path.is_file():
            assert MARKER.encode() not in path.read_bytes(), path


def test_filters_count_what_they_leave_out(project: Project) -> None:
    """read = loaded + filtered, and the filter's rows are the right ones."""
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + 'filters: [{name: adults, keep: {column: age, op: ">=", value: 18}}]\n')
    done = project.veil("run", "people", "--direct", "--json")
    assert done.json["counts"] == {"read": 3, "loaded": 2, "quarantined": 0, "filtered": 1}


def test_zero_rows_are_refused_unless_the_pipeline_allows_them(project: Project) -> None:
    """A header alone must not empty a table by accident."""
    project.write("data/people.csv", "id,name,email,age,city\n")
    assert project.veil("run", "people", "--direct").status == 3
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "allow_empty: true\n")
    assert project.veil("run", "people", "--direct").status == 0
    assert project.rows() == []


def test_a_second_run_replaces_and_an_append_adds(project: Project) -> None:
    """replace is idempotent; append adds each run's rows once."""
    for _ in range(2):
        assert project.veil("run", "people", "--direct").status == 0
    assert len(project.rows()) == 3
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("mode: replace", "mode: append"))
    assert project.veil("run", "people", "--direct").status == 0
    assert len(project.rows()) == 6


def test_a_killed_run_leaves_the_target_and_the_next_run_is_exact(project: Project) -> None:
    """kill -9 in the middle of loading publishes nothing; a second run gives every row once."""
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(300_000))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "chunk_rows: 5000\n")
    database = project.directory / "out/people.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", "run", "people", "--direct", "--quiet"], cwd=project.directory
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if database.exists() and database.stat().st_size > 2_000_000:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    listed = project.veil("run", "people", "--direct", "--json")
    assert listed.status == 0, listed.err
    assert listed.json["counts"]["loaded"] == 300_000
    rows = project.rows()
    assert len(rows) == 300_000 and len({row[0] for row in rows}) == 300_000
    statuses = [run["status"] for run in project.veil("runs", "list", "--json").json["runs"]]
    assert statuses == ["succeeded", "interrupted"]


def test_sigterm_ends_a_run_as_interrupted(project: Project) -> None:
    """A stopped run exits 143, publishes nothing and says so in its record."""
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(400_000))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "chunk_rows: 2000\n")
    database = project.directory / "out/people.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", "run", "people", "--direct", "--quiet"],
        cwd=project.directory,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if database.exists() and database.stat().st_size > 500_000:
            break
        time.sleep(0.01)
    process.terminate()
    assert process.wait() == 143
    assert project.veil("runs", "show", "last", "--json").json["status"] == "interrupted"


def test_two_runs_of_one_pipeline_do_not_overlap(project: Project) -> None:
    """The second is refused with 3 while the first holds the lock."""
    import fcntl

    locks = project.directory / ".veil" / "locks"
    locks.mkdir(parents=True)
    with (locks / "people.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 3 and done.json["errors"][0]["code"] == "VEIL308"


def test_a_refused_plan_does_not_say_how_a_target_would_be_published_that_nobody_looked_at(project: Project) -> None:
    """In words and as JSON."""
    assert project.veil("plan", "people", "--json").json["publish"] == "swap"
    policy = project.directory / "policies/people.yaml"
    policy.write_text(policy.read_text().replace("  city:", "  town:"))
    refused = project.veil("plan", "people", "--json")
    assert refused.status == 3 and refused.json["publish"] is None
    words = project.veil("plan", "people").out
    assert "table people: replace; rows that it refuses" in words


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["run"], 2, "VEIL200"),
        (["run", "poeple"], 2, "VEIL204"),
        (["run", "people", "--fast"], 2, "VEIL200"),
        (["frobnicate"], 2, "VEIL200"),
        (["explain", "VEIL999"], 2, "VEIL200"),
        (["runs", "show", "01ZZ"], 2, "VEIL204"),
        (["plan", "../people"], 2, "VEIL204"),
    ],
)
def test_usage_errors_are_2_and_one_json_document(
    project: Project, arguments: list[str], status: int, code: str
) -> None:
    """stdout holds exactly one document, on failure too."""
    done = project.veil(*arguments, "--json")
    assert done.status == status, done.err
    assert done.json["errors"][0]["code"] == code


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(project: Project, arguments: list[str]) -> None:
    """Help does not pay for pandas, Prefect or Great Expectations."""
    program = (
        "import sys\nfrom veilflow.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: status = end.code\n"
        "heavy = {'pandas', 'prefect', 'great_expectations', 'pyarrow', 'polars', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\nassert status == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=project.directory)


def test_a_direct_run_with_a_file_key_ring_imports_neither_prefect_nor_pandas(project: Project) -> None:
    """--direct is the same plan and code without Prefect; checks with patterns are compiled without pandas."""
    suite = "expectations:\n  - {type: expect_column_values_to_match_regex, kwargs: {column: email, regex: '^[^@]+@[^@]+$'}}\n"
    project.write("pipelines/expectations/people.yaml", suite)
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    project.write("pipelines/people.yaml", pipeline + "expectations: people\n")
    program = (
        "import sys\nfrom veilflow.cli import main\n"
        "try: main(['run', 'people', '--direct', '--quiet'])\nexcept SystemExit as end: status = end.code\n"
        "assert status == 0 and not {'prefect', 'pandas', 'great_expectations'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=project.directory)


def test_anonymize_writes_a_treated_file_under_a_key_of_its_own(project: Project) -> None:
    """Two calls give different tokens, so nobody can look production pseudonyms up."""
    tokens = []
    for out in ("a.csv", "b.csv", "c.jsonl"):
        done = project.veil("anonymize", "data/people.csv", "--policy", "people", "--out", out)
        assert done.status == 0, done.err
        text = (project.directory / out).read_text()
        assert "ada@" not in text and "London" in text
        tokens.append(re.findall(r"v1\.[0-9a-f]{32}", text))
    assert [len(found) for found in tokens] == [3, 3, 3]
    assert len({token for found in tokens for token in found}) == 9


def test_anonymize_without_a_pipeline_reads_csv_as_text(project: Project) -> None:
    """Nothing is guessed: the policy's bins need a number, and nobody said that age is one."""
    (project.directory / "pipelines/people.yaml").unlink()
    done = project.veil("anonymize", "data/people.csv", "--policy", "people", "--out", "a.parquet", "--json")
    assert done.status == 3 and done.json["errors"][0]["code"] == "VEIL303"
    assert not (project.directory / "a.parquet").exists()
    policy = project.directory / "policies/people.yaml"
    policy.write_text(policy.read_text().replace("{generalise: {width: 10}}", "redact"))
    done = project.veil("anonymize", "data/people.csv", "--policy", "people", "--out", "a.parquet")
    assert done.status == 0, done.err


def test_python_anonymize_gives_a_frame_for_a_frame(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same plan and code behind the function."""
    import pandas as pd

    import veilflow

    monkeypatch.chdir(project.directory)
    frame = pd.DataFrame(
        {"id": ["1", "2"], "name": ["Ada", "Bo"], "email": ["a@b.cd", None], "age": [36, 17], "city": ["x", "y"]}
    )
    treated = veilflow.anonymize(frame, policy=Path("policies/people.yaml"))
    assert list(treated["name"]) == ["A**", "B*"] and list(treated["age"]) == [30, 10]
    assert frame["name"].tolist() == ["Ada", "Bo"]


def test_preview_shows_originals_only_as_shapes(project: Project) -> None:
    """Letters become a, digits 9."""
    done = project.veil("preview", "people", "-n", "1")
    assert done.status == 0, done.err
    assert "aaa@aaaaaaa.aaa" in done.out and "ada@example.com" not in done.out


def test_plan_reads_no_row_and_exits_as_run_would(project: Project) -> None:
    """A file whose rows are all broken still has a plan; an unlisted column blocks it."""
    project.write("data/people.csv", "id,name,email,age,city\n,,,,,,,,\n")
    done = project.veil("plan", "people", "--json")
    assert done.status == 0 and done.json["schema"] == "veilflow/plan/1" and done.json["would_exit"] == 0
    project.write("data/people.csv", "id,name,email,age,city,extra\n")
    done = project.veil("plan", "people", "--json")
    assert done.status == 3 and done.json["would_exit"] == 3


def test_the_plan_hash_covers_meaning_not_spelling(project: Project) -> None:
    """A comment does not change it; a parameter does."""
    first = project.veil("plan", "people", "--json").json["plan_hash"]
    policy = project.directory / "policies/people.yaml"
    policy.write_text("# a comment\n" + policy.read_text())
    assert project.veil("plan", "people", "--json").json["plan_hash"] == first
    policy.write_text(policy.read_text().replace("keep_first: 1", "keep_first: 2"))
    assert project.veil("plan", "people", "--json").json["plan_hash"] != first


def test_a_report_is_one_page_without_outside_assets(project: Project) -> None:
    """Counts that add up, every column, nothing fetched from elsewhere."""
    project.veil("run", "people", "--direct")
    done = project.veil("report", "last", "--out", "r.html")
    assert done.status == 0, done.err
    page = (project.directory / "r.html").read_text()
    assert "<table>" in page and not re.search(r"(src|href)=|https?://", page)
    document = project.veil("report", "last", "--json").json
    assert document["balanced"] and len(document["columns"]) == 5


def test_init_writes_a_project_that_runs_and_replaces_nothing(tmp_path: Path, project: Project) -> None:
    """A key ring that exists stays."""
    keyring = project.directory / "keyring.json"
    before = keyring.read_bytes()
    assert project.veil("init", ".").status == 0
    assert keyring.read_bytes() == before


def test_the_state_directory_is_private(project: Project) -> None:
    """.veil is 0700 and its database 0600."""
    project.veil("run", "people", "--direct")
    assert os.stat(project.directory / ".veil").st_mode & 0o777 == 0o700
    assert os.stat(project.directory / ".veil/state.db").st_mode & 0o777 == 0o600


def test_a_failing_check_quarantines_and_a_breach_of_mostly_refuses(project: Project) -> None:
    """Failing rows are held back while `mostly` holds over the whole run; beyond it nothing is published."""
    suite = {
        "expectations": [
            {
                "type": "expect_column_values_to_be_in_set",
                "kwargs": {"column": "city", "value_set": ["London", "Bern"], "mostly": 0.5},
            }
        ]
    }
    project.write("pipelines/expectations/people.json", json.dumps(suite))
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "expectations: people\n")
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    assert done.json["counts"] == {"read": 3, "loaded": 2, "quarantined": 1, "filtered": 0}
    suite["expectations"][0]["kwargs"]["mostly"] = 0.6  # type: ignore[index]
    project.write("pipelines/expectations/people.json", json.dumps(suite))
    published = project.rows()
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 3 and done.json["errors"][0]["code"] == "VEIL306"
    assert done.json["counts"]["loaded"] == 0 and project.rows() == published


def test_anonymize_reads_a_file_as_the_pipeline_of_its_policy_does(project: Project) -> None:
    """A CSV file says no types; rows that do not fit are left out only where the pipeline holds them back, and told."""
    arguments = ("anonymize", "data/other.csv", "--policy", "people", "--out", "treated.csv", "--json")
    project.write("data/other.csv", f"id,name,email,age,city\n7,Ada,,36,Bern\n8,Bo,,{MARKER},Oslo\n")
    done = project.veil(*arguments)
    assert (done.status, done.json["errors"][0]["code"]) == (2, "VEIL213")
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("people.csv}", "people.csv, on_bad_row: quarantine}"))
    done = project.veil(*arguments)
    assert done.status == 0, done.err
    assert done.json["counts"] == {"read": 2, "loaded": 1, "quarantined": 1, "filtered": 0}
    assert [(left["column"], left["rows"]) for left in done.json["left_out"]] == [("age", 1)]
    assert "A**" in (project.directory / "treated.csv").read_text()
    assert MARKER not in done.out + done.err + (project.directory / "treated.csv").read_text()
    assert project.veil(*arguments, "--like", "nobody").status == 2
    project.write("pipelines/second.yaml", pipeline.read_text())
    assert project.veil(*arguments).json["errors"][0]["code"] == "VEIL303"  # two say how: neither is guessed
    assert project.veil(*arguments, "--like", "second").status == 0


SUCCEEDING = {
    "init": ["init", "."],
    "plan": ["plan", "people"],
    "run": ["run", "people", "--direct"],
    "two runs": ["run", "people", "people", "--direct"],
    "preview": ["preview", "people"],
    "anonymize": ["anonymize", "data/people.csv", "--policy", "people", "--out", "anonymous.csv"],
    "report": ["report", "last"],
    "runs list": ["runs", "list"],
    "runs show": ["runs", "show", "last"],
    "explain": ["explain", "VEIL301"],
    "all codes": ["explain"],
}
FAILING = {
    "init": ["init", "data/people.csv/below"],
    "plan": ["plan", "peple"],
    "run": ["run", "peple", "--direct"],
    "no pipeline": ["run", "--direct"],
    "preview": ["preview", "people", "-n", "0"],
    "anonymize": ["anonymize", "missing.csv", "--policy", "people", "--out", "out/x.csv"],
    "report": ["report", "01ZZ"],
    "runs show": ["runs", "show", "01ZZ"],
    "runs list": ["runs", "list", "--project", "data"],
    "deploy": ["deploy", "people", "--cron", "0 2 * * *"],
    "explain": ["explain", "VEIL999"],
    "no command": ["fly"],
    "no option": ["run", "people", "--fast"],
}


def test_json_is_one_document_on_stdout_whatever_the_command_and_its_end(project: Project) -> None:
    """A script parses stdout without looking, also where a command fails; the exit status is in what failed."""
    for name, arguments in SUCCEEDING.items():
        done = project.veil(*arguments, "--json")
        assert done.status == 0, (name, done.err)
        assert done.json["schema"].startswith("veilflow/"), name
    for name, arguments in FAILING.items():
        done = project.veil(*arguments, "--json")
        assert done.status in (1, 2, 4), (name, done.err)
        assert {error["code"][:5] for error in done.json["errors"]} == {f"VEIL{done.status}"}, name
        assert all(error["problem"] and error["hint"] for error in done.json["errors"]), name


def test_quiet_leaves_results_and_errors(project: Project) -> None:
    """`init` has no result to print; a run has."""
    done = project.veil("init", ".", "--quiet")
    assert (done.status, done.out, done.err) == (0, "", "")
    done = project.veil("run", "people", "--direct", "--quiet")
    assert done.err == "" and "3 loaded" in done.out
    done = project.veil("run", "nobody", "--direct", "--quiet")
    assert (done.status, "VEIL204" in done.err) == (2, True)


def test_quotes_can_be_text(project: Project) -> None:
    """Where a file knows no quoting, inches are inches."""
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("people.csv}", 'people.csv, quote: ""}'))
    project.write("data/people.csv", 'id,name,email,age,city\n1,Ada,,36,"Lon\n2,Bo,,17,5" pipe\n')
    assert project.veil("run", "people", "--direct").status == 0
    assert sorted(row[4] for row in project.rows()) == ['"Lon', '5" pipe']
