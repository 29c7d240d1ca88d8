"""The JSON Schemas of a project's files: what a loader takes passes, and what they can see of its refusals does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from veilflow.config import load_names, load_pipeline, load_policy
from veilflow.config.environments import overlay
from veilflow.config.nodes import read_yaml
from veilflow.errors import VeilError, raise_all
from veilflow.plan.schemas import NAMES, schemas
from veilflow.treatments import TREATMENTS
from veilflow.treatments.catalogue import EXAMPLES, example_step

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """\
version: 1
source: {kind: csv, path: data/people.csv, trim: true, null_values: [""], on_bad_row: quarantine, delimiter: ";"}
columns:
  born: {type: date, format: "%Y%m%d"}
  email: {tags: [contact]}
  price: {type: decimal, precision: 12, scale: 3}
filters: [{name: adults, keep: {column: age, op: ">=", value: 18}}]
policy: people
target: {kind: sqlite, path: out/people.db, mode: merge, key: [id]}
limits: {max_quarantined: 5 %, timeout_seconds: 60}
as_of: 2026-01-31
quarantine: {retention_days: 30}
on_overlap: wait
"""
POLICY = """\
version: 1
purpose: tests
recipients: [a, b]
review_date: 2027-01-31
unlisted_columns: {unsafe_keep: {city: reports}}
classes: {sensitive: {treatment: drop}}
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}, reason: why}
  born: {class: quasi_identifier, treatment: [{generalise: {to: year}}, redact]}
  note: {class: free_text, treatment: null}
  "x_*": {class: sensitive}
tags: {contact: {class: direct_identifier, treatment: {redact: {with: "-"}}}}
acknowledge: [{finding: LINT204, column: name, reason: why, owner: DPO, expires: 2027-01-31}]
"""
SECRETS = """\
version: 1
stores: {local: {kind: prefect}}
secrets: {keyring: {store: local, path: ring, owner: DPO}}
connections: {warehouse: {url: "postgresql://db.example/warehouse", credential: keyring}}
keyring: keyring
"""
ENVIRONMENT = (
    'version: 1\nlimits: {max_quarantined: 10}\nconnections: {warehouse: {url: "postgresql://db.example/w"}}\n'
)
FILES = {
    "pipeline": ("pipelines/people.yaml", PIPELINE),
    "policy": ("policies/people.yaml", POLICY),
    "names": ("secrets/names.yaml", SECRETS),
    "environment": ("environments/dev.yaml", ENVIRONMENT),
}


def refused_by_schema(name: str, path: Path) -> bool:
    """As an editor judges the file."""
    document = read_yaml(path, path.name).plain
    return any(Draft202012Validator(schemas()[name]).iter_errors(document))


def refused_by_loader(name: str, project: Path) -> bool:
    """As the product judges it; a policy's treatments are made as a plan makes them."""
    problems: list[VeilError] = []
    loaders: dict[str, Callable[[], Any]] = {
        "pipeline": lambda: load_pipeline(project, "people", "none"),
        "policy": lambda: _steps(project),
        "names": lambda: load_names(project, "none"),
        "environment": lambda: (
            overlay(project, "dev", problems),
            load_names(project, "dev"),
            load_pipeline(project, "people", "dev"),
        ),
    }
    try:
        loaders[name]()
        raise_all(problems)
    except VeilError:
        return True
    return False


def _steps(project: Path) -> None:
    from veilflow.plan.matching import closed_rules, steps_of

    policy = load_policy(project, "people")
    problems = closed_rules(policy)
    for rule in policy.columns.values():
        steps_of(rule, problems)
    raise_all(problems)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for shown, content in FILES.values():
        path = tmp_path / shown
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_takes_what_the_loader_takes(name: str, project: Path) -> None:
    """A file with nearly every key."""
    Draft202012Validator.check_schema(schemas()[name])
    assert not refused_by_loader(name, project)
    assert not refused_by_schema(name, project / FILES[name][0])


MUTATIONS = [
    ("pipeline", "policy: people", "polizy: people"),
    ("pipeline", "version: 1", "version: 2"),
    ("pipeline", "policy: people\n", ""),
    ("pipeline", "kind: csv", "kind: cvs"),
    ("pipeline", "trim: true", "trim: 1"),
    ("pipeline", 'null_values: [""]', "null_values: [0]"),
    ("pipeline", 'delimiter: ";"', 'delimiter: ";;"'),
    ("pipeline", "path: data/people.csv, ", ""),
    ("pipeline", "on_bad_row: quarantine", "on_bad_row: keep"),
    ("pipeline", "type: date", "type: day"),
    ("pipeline", "tags: [contact]", "tags: contact"),
    ("pipeline", "email: {tags: [contact]}", "email: {}"),
    ("pipeline", "precision: 12", "precision: 60"),
    ("pipeline", 'op: ">="', 'op: "=>"'),
    ("pipeline", "name: adults, ", ""),
    ("pipeline", "kind: sqlite", "kind: postgresql"),
    ("pipeline", "kind: sqlite, path: out/people.db", "kind: sqlite"),
    ("pipeline", "mode: merge, key: [id]", "mode: merge"),
    ("pipeline", "mode: merge, key: [id]", "mode: replace, key: [id]"),
    ("pipeline", "max_quarantined: 5 %", "max_quarantined: some"),
    ("pipeline", "timeout_seconds: 60", "timeout_seconds: 0"),
    ("pipeline", "as_of: 2026-01-31", "as_of: today"),
    ("pipeline", "retention_days: 30", "retention_days: 0"),
    ("pipeline", "retention_days: 30", "recipient: me"),
    ("pipeline", "on_overlap: wait", "on_overlap: hope"),
    ("pipeline", "as_of: 2026-01-31", "chunk_rows: 0"),
    ("policy", "purpose: tests", "porpoise: tests"),
    ("policy", "review_date: 2027-01-31", "review_date: soon"),
    ("policy", "{unsafe_keep: {city: reports}}", "keep"),
    ("policy", "{unsafe_keep: {city: reports}}", "{unsafe_keep: {city: ''}}"),
    ("policy", "classes: {sensitive:", "classes: {sensible:"),
    ("policy", "class: free_text, ", ""),
    ("policy", "class: free_text", "class: text"),
    ("policy", "treatment: token", "treatment: tokn"),
    ("policy", "treatment: token", "treatment: keep_prefix"),
    ("policy", "{mask: {keep_first: 1}}", "{mask: {keep_frist: 1}}"),
    ("policy", "{mask: {keep_first: 1}}", "{mask: {keep_first: 65}}"),
    ("policy", "{mask: {keep_first: 1}}", "{mask: {keep_first: one}}"),
    ("policy", "{mask: {keep_first: 1}}", "{mask: {keep_first: 1}, redact: {}}"),
    ("policy", "{generalise: {to: year}}", "{generalise: {to: decade}}"),
    ("policy", "[{generalise: {to: year}}, redact]", "[]"),
    ("policy", "key_domain: person", "key_domain: 7"),
    ("policy", "key_domain: person", "match: fuzzy"),
    ("policy", "key_domain: person", "unsafe_weaken: ''"),
    ("policy", "owner: DPO, ", ""),
    ("policy", "expires: 2027-01-31", "expires: never"),
    ("names", "keyring: keyring", "keyrung: keyring"),
    ("names", "kind: prefect", "kund: prefect"),
    ("names", "path: ring, ", ""),
    ("names", "owner: DPO", "version: 0"),
    ("names", 'url: "postgresql://db.example/warehouse", ', ""),
    ("environment", "limits:", "limit:"),
    ("environment", "max_quarantined: 10", "max_quarantined: -1"),
]


@pytest.mark.parametrize(("name", "before", "after"), MUTATIONS)
def test_the_schema_refuses_what_the_loader_refuses(name: str, before: str, after: str, project: Path) -> None:
    """A misspelling is red while one types."""
    path = project / FILES[name][0]
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    assert refused_by_loader(name, project)
    assert refused_by_schema(name, path)


def test_the_sample_files_pass_and_name_their_schema() -> None:
    """Their first line leads an editor to it."""
    for name, shown in (
        ("pipeline", "pipelines/people.yaml"),
        ("policy", "policies/people.yaml"),
        ("names", "secrets/names.yaml"),
        ("environment", "environments/prod.yaml"),
    ):
        path = ROOT / shown
        assert not refused_by_schema(name, path), shown
        (found,) = re.findall(r"\$schema=(\S+)", path.read_text(encoding="utf-8").splitlines()[0])
        assert (path.parent / found).resolve() == ROOT / f"schemas/{name}.schema.json" and (
            path.parent / found
        ).is_file()


def test_every_key_that_a_loader_reads_stands_in_a_schema() -> None:
    """The schemas are written beside the loaders: here both are compared."""
    loaders = {"files.py", "policies.py", "names.py", "environments.py"}
    text = "".join((ROOT / "service/veilflow/config" / name).read_text(encoding="utf-8") for name in loaders)
    text = text.replace(text[text.index("def load_suite(") : text.index("def load_suite(") + 3000], "")
    read = set(re.findall(r'\.(?:text|take|choice|sub|node)\(\s*"(\w+)"', text)) - {"expectations"}
    known: set[str] = set()

    def collect(schema: Any) -> None:
        if isinstance(schema, dict):
            known.update(schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else ())
            for one in schema.values():
                collect(one)
        elif isinstance(schema, list):
            for one in schema:
                collect(one)

    collect(schemas())
    assert read - known == set()


def test_every_treatment_stands_in_the_schema_of_policies_with_its_example() -> None:
    """From the registry, whatever packages add to it."""
    validator = Draft202012Validator(schemas()["policy"])
    for name in TREATMENTS:
        if example_step(name) is None:
            continue  # it needs parameters, and nobody wrote an example yet
        treatment: Any = {name: EXAMPLES[name]} if name in EXAMPLES else name
        document = {"version": 1, "columns": {"a": {"class": "sensitive", "treatment": treatment}}}
        assert not list(validator.iter_errors(document)), name
