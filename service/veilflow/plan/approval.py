"""A plan that somebody looked at and wrote to a file: a run carries out exactly this one, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from veilflow.errors import Place, VeilError
from veilflow.model import Plan

#: How a person calls the parts of a plan.
_WORDS = {
    "policy": "the policy", "suite": "the suite", "schema": "the source's columns or their types", "target": "the target",
    "source": "how the source is read", "filters": "the filters", "limits": "the limits", "incremental": "what is loaded incrementally", "as_of": "the date of the plan",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Approved:
    """What ``run --plan`` holds a plan against."""

    pipeline: str
    environment: str
    plan_hash: str
    parts: Mapping[str, str]
    key_versions: Mapping[str, int]


def parse_approved(document: Any, shown: str) -> Approved:
    """The facts of a plan file. VEIL202 if it is not what ``veil plan --out`` writes."""
    place = Place(shown)
    try:
        if document["schema"] != "veilflow/plan/1" or document["would_exit"] != 0:
            raise ValueError
        found = Approved(
            _text(document["pipeline"]), _text(document["environment"]), _text(document["plan_hash"]),
            {_text(name): _text(value) for name, value in document["parts"].items()},
            {_text(name): _version(value) for name, value in document["key_versions"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        raise VeilError(
            "VEIL202", f"{shown} is not a plan that can be run", "`veil plan PIPELINE --out FILE` writes one", place
        ) from None
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _version(value: Any) -> int:
    if type(value) is not int:
        raise ValueError
    return value


def refuse_moved(approved: Approved, plan: Plan, key_versions: Mapping[str, int]) -> None:
    """VEIL321, naming what moved, unless the plan and its key versions are the approved ones."""
    found = moved(approved, plan, key_versions)
    if found:
        raise VeilError(
            "VEIL321", f"moved since the plan was written: {'; '.join(found)}",
            "look at `veil plan`, then write it again with --out", None,
        )  # fmt: skip


def moved(approved: Approved, plan: Plan, key_versions: Mapping[str, int]) -> list[str]:
    """What is another one than in the approved plan, in words."""
    found = [] if approved.pipeline == plan.pipeline else ["the pipeline"]
    if approved.environment != plan.environment:
        found.append(f"the environment (planned for {approved.environment})")
    parts = approved.parts.keys() | plan.parts.keys()
    differ = {name for name in parts if approved.parts.get(name) != plan.parts.get(name)}
    found += [words for name, words in _WORDS.items() if name in differ]
    if differ and not differ & _WORDS.keys():
        found.append("what happens to a column (" + ", ".join(sorted(differ)) + ")")
    if approved.plan_hash != plan.plan_hash and not found:
        found.append("the plan")
    domains = approved.key_versions.keys() | key_versions.keys()
    rotated = [name for name in sorted(domains) if approved.key_versions.get(name) != key_versions.get(name)]
    return found + ([f"the key version of {', '.join(rotated)}"] if rotated else [])
