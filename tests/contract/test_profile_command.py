"""`veil profile`: a suite proposed from a sample, as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from stores import Store

SAMPLE = pa.table({
    "id": pa.array(range(300), pa.int32()),
    "name": [f"Person{n:03} Smith" for n in range(300)],
    "state": [("nsw", "vic", None)[n % 3] for n in range(300)],
    "born": [date(1950, 1, 1) + timedelta(days=97 * n) for n in range(300)],
    "seen": pa.array([datetime(2024, 1, 1, 1, n % 60) for n in range(300)], pa.timestamp("us")),
    "height": [1.5 + n % 50 / 100 for n in range(300)],
    "paid": pa.array([Decimal(n) / 4 for n in range(300)], pa.decimal128(9, 2)),
    "member": [n % 2 == 0 for n in range(300)],
    "written": [f"{1 + n % 28:02}.{1 + n % 12:02}.1999" for n in range(300)],
})  # fmt: skip
NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets: {keyring: {store: files, path: keyring.json}, login: {store: files, path: login.json}}
connections: {warehouse: {url: "URL", credential: login}}
keyring: keyring
"""
KINDS = ["csv", "jsonl", "parquet", "sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.live), pytest.param("mariadb", marks=pytest.mark.live)]  # fmt: skip
STATES = ("nsw", "vic", "wa")
ROWS = "".join(f"Person{n:03} Smith,p{n}@example.com,{STATES[n % 3]},{20 + n % 40}\n" for n in range(300))
PIPELINE = """\
version: 1
source: {kind: csv, path: in.csv}
columns: {age: {type: integer}}
policy: people
expectations: proposed
target: {kind: sqlite, path: out.db, table: people, mode: replace}
"""
POLICY = """\
version: 1
purpose: testing
unlisted_columns: refuse
columns:
  name: {class: direct_identifier, treatment: drop}
  email: {class: direct_identifier, treatment: drop}
  state: {class: quasi_identifier, treatment: keep, reason: reports are per state}
  age: {class: quasi_identifier, treatment: keep, reason: reports are per age}
"""


@pytest.fixture
def project(make_project: Any) -> Any:
    made = make_project()
    made.write("in.csv", "name,email,state,age\n" + ROWS)
    made.write("policies/people.yaml", POLICY)
    made.write("pipelines/people.yaml", PIPELINE)
    return made


def test_what_is_proposed_for_a_pipeline_is_planned_and_holds(project: Any) -> None:
    """Its suite need not exist before; afterwards plan and run accept it as it is, and nothing is held back."""
    done = project.veil("profile", "people", "--out", "pipelines/expectations/proposed.yaml")
    assert done.status == 0, done.err
    assert "proposed from 300 of 300 rows of in.csv" in done.err
    suite = (project.directory / "pipelines/expectations/proposed.yaml").read_text()
    assert 'value_set: ["nsw", "vic", "wa"]' in suite
    assert "min_value: 20, max_value: 60" in suite
    assert "Person" not in suite and "Smith" not in suite and "example" not in suite
    planned = project.veil("plan", "people", "--json")
    assert (planned.status, len(planned.json["checks"])) == (0, suite.count("- type:"))
    ran = project.veil("run", "people", "--direct", "--json")
    assert ran.json["counts"] == {"read": 300, "loaded": 300, "quarantined": 0, "filtered": 0}


def test_a_file_needs_no_project(project: Any, tmp_path: Path) -> None:
    """Every column of a text file is text then; the document says how many rows of how many."""
    done = project.veil("profile", "in.csv", "--rows", "100", "--json")
    assert (done.json["schema"], done.json["rows"], done.json["sampled"]) == ("veilflow/profile/1", 300, 75)
    assert {column["type"] for column in done.json["columns"]} == {"text"}
    assert not any("unique" in one["type"] for one in done.json["suite"]["expectations"])
    again = project.veil("profile", "in.csv", "--rows", "100", "--json")
    assert again.json == done.json


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("people", "--out", "in.csv"), "VEIL200"), (("people", "--rows", "0"), "VEIL200"), (("peopel",), "VEIL204"),
        (("few.csv",), "VEIL208"), (("header.csv",), "VEIL211"), (("empty.csv",), "VEIL211"),
    ],
)  # fmt: skip
def test_refuses(project: Any, arguments: tuple[str, ...], code: str) -> None:
    """A file that exists is never written over; of too few rows nothing is told."""
    project.write("few.csv", "name\n" + "Ada\n" * 19)
    project.write("header.csv", "name\n")
    project.write("empty.csv", "")
    done = project.veil("profile", *arguments, "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (2, code)
    assert "Ada" not in done.out + done.err


def test_a_hostile_column_name_stays_in_its_place(project: Any) -> None:
    """The suite is YAML whose scalars are JSON: a name with quotes, a colon or a control character ends nowhere."""
    name = 'a": }] # \U0001f600 e'
    quoted = name.replace('"', '""')
    project.write("in.csv", f'name,email,state,"{quoted}"\n' + ROWS)
    project.write("pipelines/people.yaml", PIPELINE.replace("columns: {age: {type: integer}}\n", ""))
    keep = "unlisted_columns: drop"
    project.write("policies/people.yaml", POLICY.replace("unlisted_columns: refuse", keep).rsplit("  age", 1)[0])
    assert project.veil("profile", "people", "--out", "pipelines/expectations/proposed.yaml").status == 0
    planned = project.veil("plan", "people", "--json")
    assert planned.status == 0, planned.out
    assert name in {check["column"] for check in planned.json["checks"]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proposed_for_each_kind_of_source_holds_on_it(
    project: Any, make_store: Callable[[str], Store], kind: str
) -> None:
    """Types where the source has them, no person, and every check passes when the source is run."""
    store = make_store(kind)
    store.run("01A", SAMPLE, table="sample")
    place = "connection: warehouse, table: sample" if store.url else f"path: {store.path}"
    if kind in ("sqlite", "duckdb"):
        place += ", table: sample"
    project.write("secrets/names.yaml", NAMES.replace("URL", (store.url or "postgresql://none.example/x").replace(":loopback-only-secret", "")))  # fmt: skip
    project.write("login.json", json.dumps({"username": "veil", "password": "loopback-only-secret"})).chmod(0o600)
    columns = "".join(f"  {name}: {{class: quasi_identifier, treatment: keep, reason: a test}}\n" for name in SAMPLE.column_names)  # fmt: skip
    project.write("policies/people.yaml", POLICY.split("\ncolumns:")[0] + "\ncolumns:\n" + columns)
    pipeline = PIPELINE.replace("kind: csv, path: in.csv", f"kind: {kind}, {place}").replace("columns: {age: {type: integer}}\n", "")  # fmt: skip
    project.write("pipelines/people.yaml", pipeline)
    done = project.veil("profile", "people", "--out", "pipelines/expectations/proposed.yaml")
    assert done.status == 0, done.err
    suite = (project.directory / "pipelines/expectations/proposed.yaml").read_text()
    assert "Person" not in suite and "Smith" not in suite
    typed = 0 if kind in ("csv", "jsonl") else len(SAMPLE.column_names)
    assert suite.count("values_to_be_of_type") == typed
    assert 'strftime_format: "%d.%m.%Y"' in suite
    ran = project.veil("run", "people", "--direct", "--json")
    assert (ran.status, ran.json["counts"]) == (0, {"read": 300, "loaded": 300, "quarantined": 0, "filtered": 0})
    assert all(check["passed"] and not check["failed"] for check in ran.json["checks"])
    assert len(ran.json["checks"]) == suite.count("- type:")
