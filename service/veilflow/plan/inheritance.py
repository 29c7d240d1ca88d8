"""A policy that extends another may be as strict or stricter; where it is not, its rule says so and why."""

from __future__ import annotations

from collections.abc import Iterable

from veilflow.config import PolicyConfig, RuleConfig
from veilflow.errors import Place, VeilError
from veilflow.plan.matching import Labels, decided
from veilflow.policies import compare

_UNLISTED = ("refuse", "drop", "redact")


def weaker_than_parents(policy: PolicyConfig, columns: Iterable[str], labels: Labels) -> list[VeilError]:
    """VEIL316 for each column, and for ``unlisted_columns``, where a policy is weaker than the one that it extends.

    A column that the parent refuses because no rule lists it is the child's to decide.
    """
    if policy.parent is None:
        return []
    there = tuple(columns)
    found = [_weaker(column, policy, policy.parent, labels) for column in there]
    problems = [problem for problem in found if problem is not None]
    if _UNLISTED.index(policy.unlisted_columns) > _UNLISTED.index(policy.parent.unlisted_columns):
        problems.append(
            VeilError("VEIL316", f"unlisted_columns: {policy.unlisted_columns} is weaker than {policy.parent.unlisted_columns}, "
                      f"which {policy.parent.name} says", "leave it out, or say what the extended policy says", policy.place)
        )  # fmt: skip
    return problems + weaker_than_parents(policy.parent, there, labels)


def _weaker(column: str, policy: PolicyConfig, parent: PolicyConfig, labels: Labels) -> VeilError | None:
    before, by = decided(column, parent, labels)
    after, rule = decided(column, policy, labels)
    if not before.steps or not after.steps or compare(before, after) in ("same", "stricter"):
        return None
    if rule is not None and rule.unsafe_weaken is not None:
        return None
    return VeilError(
        "VEIL316", f'column "{column}" is {_words(compare(before, after))} than in the policy {parent.name}'
        + (f", which it extends: {by.place}" if by else ", which it extends"),
        "treat it as strictly, or give it a rule of its exact name with `unsafe_weaken: reason`", _place(rule, policy),
    )  # fmt: skip


def _words(comparison: str) -> str:
    return "weaker" if comparison == "weaker" else "treated otherwise, and not known to be as strict,"


def _place(rule: RuleConfig | None, policy: PolicyConfig) -> Place:
    return rule.place if rule else policy.place
