"""The project that the benchmark runs."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import QUIETLY, VEIL, Sample, measure
from benchmarks.people import write_people
from benchmarks.server import Postgresql, running

TREATED_COLUMNS = (
    ("id", "text"), ("name", "text"), ("email", "text"), ("phone", "text"), ("national_id", "text"), ("card", "text"),
    ("birth_date", "date"), ("postcode", "text"), ("note", "text"), ("amount", "numeric(12,2)"),
)  # fmt: skip

SOURCE = "kind: csv, path: people.csv"
_PIPELINE = """\
version: 1
source: {{{source}}}
columns:
  birth_date: {{type: date}}
  amount: {{type: decimal, precision: 12, scale: 2}}
policy: people
target: {{{target}}}
{more}
"""

_POLICY = """\
version: 1
purpose: benchmark
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
  email: {class: direct_identifier, treatment: token}
  phone: {class: direct_identifier, treatment: {mask_phone: {keep_last: 2}}}
  national_id: {class: direct_identifier, treatment: token}
  card: {class: direct_identifier, treatment: {mask: {keep_last: 4}}}
  birth_date: {class: quasi_identifier, treatment: {generalise: {to: year}}}
  postcode: {class: quasi_identifier, treatment: {keep_prefix: {length: 2}}}
  note: {class: free_text, treatment: redact}
  amount: {class: non_personal, treatment: keep, reason: what the benchmark sums}
"""

_SUITE = """\
expectations:
  - {type: expect_column_values_to_not_be_null, kwargs: {column: id}}
  - {type: expect_column_values_to_not_be_null, kwargs: {column: name}}
  - {type: expect_column_values_to_not_be_null, kwargs: {column: email}}
  - {type: expect_column_values_to_match_regex, kwargs: {column: email, regex: "^[^@]+@[^@]+$"}}
  - {type: expect_column_values_to_match_regex, kwargs: {column: phone, regex: "^[+][0-9]+$"}}
  - {type: expect_column_values_to_match_regex, kwargs: {column: card, regex: "^4[0-9]{15}$"}}
  - {type: expect_column_value_lengths_to_equal, kwargs: {column: postcode, value: 5}}
  - {type: expect_column_values_to_be_between, kwargs: {column: birth_date, min_value: "1900-01-01", max_value: "2100-01-01"}}
  - {type: expect_column_values_to_be_between, kwargs: {column: amount, min_value: -1000000000, max_value: 1000000000}}
  - {type: expect_column_values_to_not_be_in_set, kwargs: {column: postcode, value_set: ["x"]}}
"""


def write_project(directory: Path, server: Postgresql) -> None:
    """The policy and the connection, and the pipeline `people` over `people.csv`."""
    from veilflow.keys import KeyRing

    for folder in ("pipelines/expectations", "policies", "secrets"):
        (directory / folder).mkdir(parents=True)
    write_pipeline(directory, "people")
    (directory / "policies/people.yaml").write_text(_POLICY)
    names = {
        "version": 1,
        "stores": {"files": {"kind": "file"}},
        "secrets": {"keyring": {"store": "files", "path": "keyring"}, "login": {"store": "files", "path": "login"}},
        "connections": {"warehouse": {"url": server.bare_url, "credential": "login"}},
        "keyring": "keyring",
    }
    (directory / "secrets/names.yaml").write_text(json.dumps(names))
    for name, value in (("keyring", KeyRing.generate("2026-01-01T00:00:00Z")), ("login", server.password)):
        (directory / name).write_text(value)
        (directory / name).chmod(0o600)


def into(table: str, mode: str = "replace") -> str:
    """A pipeline's target in the benchmark's PostgreSQL."""
    return f"kind: postgresql, connection: warehouse, table: {table}, mode: {mode}" + (
        ", key: [id]" if mode == "merge" else ""
    )


def write_pipeline(directory: Path, name: str, source: str = SOURCE, target: str = "", more: str = "") -> None:
    """`pipelines/<name>.yaml`; without a target it replaces the table of its name."""
    text = _PIPELINE.format(source=source, target=target or into(name), more=more)
    (directory / f"pipelines/{name}.yaml").write_text(text)


def write_suites(directory: Path) -> None:
    """Pipelines with ten expectations: `checked`, and `checked_by_gx` in Great Expectations itself."""
    for name, head in (("checked", ""), ("checked_by_gx", "meta: {veilflow: {engine: great_expectations}}\n")):
        write_pipeline(directory, name, more=f"expectations: {name}")
        (directory / f"pipelines/expectations/{name}.yaml").write_text(head + _SUITE)


@contextmanager
def people(rows: int) -> Iterator[tuple[Path, Postgresql]]:
    """A project over a file of so many people, and a running server; `people` was loaded once, and `treated.csv` is
    what it came to."""
    directory = Path(tempfile.mkdtemp(prefix="veilflow-bench-"))
    try:
        with running() as server:
            write_people(directory / "people.csv", rows)
            write_project(directory, server)
            run(directory, "people")
            server.psql(f"\\copy people to '{directory / 'treated.csv'}' (format csv, header)")
            yield directory, server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run(directory: Path, pipeline: str) -> Sample:
    """`veil run` without Prefect, measured."""
    return measure([*VEIL, "run", pipeline, *QUIETLY], directory)


def by_psql(directory: Path, server: Postgresql, table: str = "ready") -> Sample:
    """The limit: psql copies the treated file into a table without indexes."""
    columns = ", ".join(f"{name} {kind}" for name, kind in TREATED_COLUMNS)
    server.psql(f"drop table if exists {table}; create table {table} ({columns})")
    copy = f"\\copy {table} from '{directory / 'treated.csv'}' (format csv, header)"
    return measure(["psql", "-q", server.url, "-c", copy], directory)
