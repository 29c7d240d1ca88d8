"""Which rule decides a column. Pure: names in, a decision out; closed by default.

In this version rules name columns exactly. To add a way of matching: extend ``choose`` and keep the rule that ``keep``
needs the exact name and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Rule = TypeVar("Rule")

__all__ = ["Unlisted", "choose"]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A column that no rule lists, and what the policy does with such: refuse, drop, redact, or keep for a reason."""

    outcome: Literal["refuse", "drop", "redact", "keep"]
    reason: str | None = None


def choose(
    column: str, rules: Mapping[str, Rule], unlisted_columns: str, unsafe_keep: Mapping[str, str]
) -> Rule | Unlisted:
    """The rule of exactly this name, else what the policy says of unlisted columns. Unknown words refuse."""
    if column in rules:
        return rules[column]
    if column in unsafe_keep:
        return Unlisted("keep", unsafe_keep[column])
    if unlisted_columns == "drop":
        return Unlisted("drop")
    return Unlisted("redact") if unlisted_columns == "redact" else Unlisted("refuse")
