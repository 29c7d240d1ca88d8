"""The project that the benchmark runs."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.server import Postgresql

TREATED_COLUMNS = (
    ("id", "text"), ("name", "text"), ("email", "text"), ("phone", "text"), ("national_id", "text"), ("card", "text"),
    ("birth_date", "date"), ("postcode", "text"), ("note", "text"), ("amount", "numeric(12,2)"),
)  # fmt: skip

_PIPELINE = """\
version: 1
source: {kind: csv, path: people.csv}
columns:
  birth_date: {type: date}
  amount: {type: decimal, precision: 12, scale: 2}
policy: people
EXPECTATIONS
target: {kind: postgresql, connection: warehouse, table: TABLE, mode: replace}
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
  - {type: expect_column_value_lengths_to_be_between, kwargs: {column: note, min_value: 0, max_value: 60}}
  - {type: expect_column_value_lengths_to_equal, kwargs: {column: national_id, value: 11}}
  - {type: expect_column_values_to_not_be_in_set, kwargs: {column: postcode, value_set: ["x"]}}
"""


def write_project(directory: Path, server: Postgresql) -> None:
    """Pipelines over one file: `people`, and with ten expectations `checked` and `checked_by_gx`."""
    from veilflow.keys import KeyRing

    for folder in ("pipelines/expectations", "policies", "secrets"):
        (directory / folder).mkdir(parents=True)
    (directory / "pipelines/people.yaml").write_text(_PIPELINE.replace("EXPECTATIONS\n", "").replace("TABLE", "people"))
    for name, head in (("checked", ""), ("checked_by_gx", "meta: {veilflow: {engine: great_expectations}}\n")):
        checked = _PIPELINE.replace("EXPECTATIONS", f"expectations: {name}").replace("TABLE", name)
        (directory / f"pipelines/{name}.yaml").write_text(checked)
        (directory / f"pipelines/expectations/{name}.yaml").write_text(head + _SUITE)
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
