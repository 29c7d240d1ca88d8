"""A decision as the ``veilflow/plan/1`` document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from veilflow.errors import WORST_FIRST, Place, VeilError
from veilflow.plan.decision import Decision
from veilflow.plan.matching import plain_parameters
from veilflow.plan.meaning import dated
from veilflow.policies.lint import Finding
from veilflow.treatments import TREATMENTS, every_step


def document(decision: Decision) -> dict[str, Any]:
    """The ``veilflow/plan/1`` document."""
    plan = decision.plan
    statuses = [error.exit_status for error in decision.errors]
    return {
        "schema": "veilflow/plan/1",
        "pipeline": plan.pipeline,
        "environment": plan.environment,
        "plan_hash": plan.plan_hash,
        "parts": dict(plan.parts),
        "policy": plan.policy,
        "policy_hash": plan.policy_hash,
        **dated(plan.columns, plan.as_of),
        "facts": dict(plan.facts),
        "would_exit": next((status for status in WORST_FIRST if status in statuses), 0),
        "source": asdict(plan.source),
        "publish": plan.target.publish,
        "adds_columns": list(plan.target.added),
        "quarantine_store": plan.held_in,
        "incremental": None if (by := plan.incremental) is None else {"column": by.column, "lag": by.shown_lag, "files": "all" if by.column else "new"},
        "columns": [
            {
                "name": column.name,
                "type": column.type.name,
                "class": column.classification,
                "treatment": column.treatment,
                "parameters": [plain_parameters(step) for step in column.steps],
                "outside_guarantees": any(not TREATMENTS[step.treatment].guaranteed for step in every_step(column.steps)),
                "key_domain": column.key_domain,
                "rule": _place(column.rule),
                "matched_by": column.matched_by,
                "reason": column.reason,
                "unsafe_weaken": column.unsafe_weaken,
                "outcome": column.outcome,
            }
            for column in plan.columns
        ],
        "checks": [
            {"type": check.type, "column": check.column, "kind": check.kind, "stage": check.stage, "engine": check.engine,
             "on_fail": check.on_fail, "mostly": check.mostly, "title": check.title}
            for check in plan.checks
        ],
        "secrets": list(plan.secrets),
        "unsafe_not_a_secret": [{"place": _place(one.place), "reason": one.reason} for one in decision.not_secrets],
        "findings": [finding_document(one) for one in decision.findings],
        "hints": list(decision.hints),
        "errors": [
            {"code": error.code, "problem": error.problem, "hint": error.hint, "place": _error_place(error)}
            for error in decision.errors
        ],
    }  # fmt: skip


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding of the linter as it stands in plans and in ``veil policy lint``."""
    agreed = finding.acknowledged
    return {
        "code": finding.code,
        "severity": finding.severity,
        "column": finding.column,
        "problem": finding.problem,
        "place": _place(finding.place),
        "acknowledged": None
        if agreed is None
        else {"reason": agreed.reason, "owner": agreed.owner, "expires": agreed.expires.isoformat()},
    }


def _place(place: Place | None) -> Mapping[str, Any] | None:
    return None if place is None else {"file": place.file, "line": place.line}


def _error_place(error: VeilError) -> Mapping[str, Any] | None:
    place = error.place
    return None if place is None else {"file": place.file, "line": place.line, "column": place.column}
