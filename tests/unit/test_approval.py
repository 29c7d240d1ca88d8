"""A plan that was written to a file, held against the plan of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from veilflow.config import ConnectionConfig, NamesConfig, PolicyConfig, load_pipeline, load_policy
from veilflow.errors import VeilError
from veilflow.model import TEXT, Plan, SourceColumn, SourceSchema
from veilflow.plan import decide, document
from veilflow.plan.approval import moved, parse_approved
from veilflow.state import today

PIPELINE = "version: 1\nsource: {path: data/p.csv}\npolicy: p\ntarget: {kind: postgresql, connection: w, table: p}\n"
POLICY = "version: 1\ncolumns:\n  id: {class: direct_identifier, treatment: token}\n"


def plan(directory: Path, url: str = "postgresql://db.example/w") -> Plan:
    """The plan of one column, loaded over a connection."""
    for name, content in (("pipelines/p.yaml", PIPELINE), ("policies/p.yaml", POLICY)):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(content, encoding="utf-8")
    policy: PolicyConfig = load_policy(directory, "p")
    names = NamesConfig({}, {}, {"w": ConnectionConfig(url, None)}, None)
    schema = SourceSchema((SourceColumn("id", TEXT),))
    decision = decide(
        load_pipeline(directory, "p", "dev"), policy, None, names, schema, "dev", publish="swap", as_of=today()
    )
    assert decision.errors == ()
    return decision.plan


def written(of: Plan, **changes: Any) -> dict[str, Any]:
    from veilflow.plan import Decision

    return {**document(Decision(of, ())), "key_versions": {"p.id": 1}, **changes}


def test_the_same_plan_has_not_moved(tmp_path: Path) -> None:
    """Nor has one whose way of publishing the target decides anew."""
    found = plan(tmp_path)
    approved = parse_approved(written(found), "plan.json")
    assert moved(approved, found, {"p.id": 1}) == []
    rewritten = replace(found, target=replace(found.target, publish="rewrite"))
    assert moved(approved, rewritten, {"p.id": 1}) == []


def test_a_connection_that_leads_elsewhere_is_another_target(tmp_path: Path) -> None:
    """The name alone says little: production and a copy are called alike."""
    approved = parse_approved(written(plan(tmp_path)), "plan.json")
    assert moved(approved, plan(tmp_path, "postgresql://other.example/w"), {"p.id": 1}) == ["the target"]


def test_all_that_moved_is_named_at_once(tmp_path: Path) -> None:
    """A key domain that is gone counts like one of another version."""
    found = plan(tmp_path)
    approved = parse_approved(written(found, environment="prod"), "plan.json")
    assert moved(approved, found, {}) == ["the environment (planned for prod)", "the key version of p.id"]
    other = replace(found, plan_hash="sha256:0", parts={**found.parts, "columns": "sha256:1"})
    assert moved(parse_approved(written(found), "x"), other, {"p.id": 1}) == ["what happens to a column (columns)"]


@pytest.mark.parametrize(
    "change",
    [{"schema": "veilflow/run/1"}, {"would_exit": 3}, {"key_versions": None}, {"key_versions": {"p.id": "1"}},
     {"parts": []}, {"plan_hash": 7}],
)  # fmt: skip
def test_what_is_no_plan_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """Also one that was blocked, and one without key versions."""
    with pytest.raises(VeilError) as caught:
        parse_approved(written(plan(tmp_path), **change), "plan.json")
    assert caught.value.code == "VEIL202"
