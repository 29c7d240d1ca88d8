"""The linter's view of a decided plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from veilflow.config import PolicyConfig
from veilflow.errors import Place, VeilError
from veilflow.model import ColumnPlan
from veilflow.plan.matching import Labels, choice, treated
from veilflow.policies.lint import FINDINGS, Acknowledgement, Finding, LintColumn, LintPolicy, lint
from veilflow.treatments import every_step

#: By key domain, the other policies of the project that name it, and their purposes.
Elsewhere = Mapping[str, tuple[tuple[str, str], ...]]


def findings(
    policy: PolicyConfig, columns: tuple[ColumnPlan, ...], labels: Labels, as_of: date,
    lengths: Mapping[str, int], elsewhere: Elsewhere,
) -> tuple[Finding, ...]:  # fmt: skip
    """What is weak in the policy as it decides these columns. ``lengths`` are medians of the source's first rows."""
    review = policy.facts.get("review_date")
    return lint(
        LintPolicy(
            columns=tuple(_column(column, labels, lengths) for column in columns),
            as_of=as_of,
            place=policy.place,
            purpose=policy.facts.get("purpose"),
            review_date=date.fromisoformat(review) if review else None,
            idle=_idle(policy, columns, labels),
            elsewhere=elsewhere,
            acknowledged=tuple(
                Acknowledgement(one.finding, one.column, one.reason, one.owner, one.expires, one.place)
                for one in policy.acknowledged
            ),
        )
    )


def refusals(found: tuple[Finding, ...]) -> list[VeilError]:
    """VEIL311 for each finding that is an error."""
    return [
        VeilError("VEIL311", f"{one.code}: {one.problem}", FINDINGS[one.code].text, one.place)
        for one in found
        if one.severity == "error"
    ]


def _column(column: ColumnPlan, labels: Labels, lengths: Mapping[str, int]) -> LintColumn:
    label = labels.get(column.name)
    return LintColumn(
        name=column.name,
        type=column.type.name,
        classification=column.classification,
        steps=tuple(treated(step) for step in every_step(column.steps)),
        key_domain=column.key_domain,
        reason=column.reason,
        place=column.rule,
        tags=label.tags if label else (),
        typical_length=lengths.get(column.name),
        labelled=label.classification if label else None,
    )


def _idle(policy: PolicyConfig, columns: tuple[ColumnPlan, ...], labels: Labels) -> tuple[tuple[str, Place], ...]:
    """The rules that decide none of the columns; an own rule of an exact name is the plan's to refuse (VEIL302)."""
    busy = {match.rule.place for column in columns if (match := choice(column.name, policy, labels).winner)}
    busy |= {match.rule.default for column in columns if (match := choice(column.name, policy, labels).winner)
             and match.rule.default}  # fmt: skip
    names = {column.name for column in columns}
    idle = [(f"the pattern {rule.column}", rule.place) for rule in policy.globs.values()]
    idle += [(f"the tag {rule.column}", rule.place) for rule in policy.tags.values()]
    idle += [(f"the default of the class {rule.column}", rule.place) for rule in policy.classes.values()]
    idle += [(f"the inherited rule of {name}", rule.place) for name, rule in policy.columns.items()
             if rule.inherited and name not in names]  # fmt: skip
    return tuple((words, place) for words, place in idle if place not in busy)
