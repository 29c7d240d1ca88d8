"""A policy told to a person: which rule decides a column and why, what is covered, and what another version changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilflow.config import PolicyConfig, RuleConfig
from veilflow.plan.decision import Decision
from veilflow.plan.matching import Labels, choice, decided, steps_of, treated, undecidable
from veilflow.policies import Choice, Comparison, Decided, Match, Rules, Treated, choose, compare

_UNLISTED = ("refuse", "drop", "redact")


# --- explain -----------------------------------------------------------------------------


def explain_document(column: str, policy: PolicyConfig, labels: Labels, in_source: bool | None) -> dict[str, Any]:
    """Every rule that matches a column, the one that decides first, and why the others lost."""
    found = choice(column, policy, labels)
    label = labels.get(column)
    tied = bool(undecidable(column, found, policy))
    winner = None if tied else found.winner
    return {
        "schema": "veilflow/policy_explain/1",
        "column": column,
        "policy": policy.name,
        "in_source": in_source,
        "tags": list(label.tags) if label else [],
        "outcome": _outcome(found, tied),
        "decided_by": None if winner is None else {**_rule(winner), "why": _why(found)},
        "losers": [
            {**_rule(match), "why": _lost(match, found, tied)} for match in (found.matches if tied else found.losers)
        ],
        "unlisted_columns": None if found.matches else found.unlisted.outcome,
    }


def _outcome(found: Choice[RuleConfig], tied: bool) -> str:
    if tied:
        return "tie"
    if found.winner is None:
        return found.unlisted.outcome
    names = [name for name, _raw in found.winner.rule.treatments]
    return names[0] if names in (["drop"], ["keep"]) else "treat"


def _rule(match: Match[RuleConfig]) -> dict[str, Any]:
    rule = match.rule
    return {
        "matched_by": match.words,
        "kind": match.kind,
        "pattern": match.pattern,
        "class": rule.classification,
        "treatment": " + ".join(name for name, _raw in rule.treatments),
        "key_domain": rule.key_domain,
        "reason": rule.reason,
        "place": {"file": rule.place.file, "line": rule.place.line},
        "treatment_from": None if rule.default is None else {"file": rule.default.file, "line": rule.default.line},
    }


def _why(found: Choice[RuleConfig]) -> str:
    assert found.winner is not None
    if not found.losers:
        return f"{found.winner.words} is the only rule that matches"
    second = found.losers[0]
    return f"{found.winner.words} is more specific than {second.words}" + _measure(found.winner, second)


def _lost(match: Match[RuleConfig], found: Choice[RuleConfig], tied: bool) -> str:
    if tied:
        return "another rule claims the column with equal right"
    assert found.winner is not None
    return f"{found.winner.words} is more specific" + _measure(found.winner, match)


def _measure(winner: Match[RuleConfig], loser: Match[RuleConfig]) -> str:
    if (winner.kind, loser.kind) != ("glob", "glob"):
        return ""
    return f" ({winner.specificity[1]} literal characters against {loser.specificity[1]})"


# --- coverage ----------------------------------------------------------------------------

_STATES = ("undecided", "kept", "treated", "dropped")


def coverage_document(decision: Decision) -> dict[str, Any]:
    """A pipeline's columns with what happens to each, undecided ones first, and the shares."""
    plan = decision.plan
    rows = [
        {
            "name": column.name,
            "type": column.type.name,
            "class": column.classification,
            "treatment": column.treatment,
            "state": _state(column.treatment, column.outcome),
            "matched_by": column.matched_by,
            "rule": None if column.rule is None else {"file": column.rule.file, "line": column.rule.line},
        }
        for column in plan.columns
    ]
    rows.sort(key=lambda row: _STATES.index(str(row["state"])))
    counts = {state: sum(row["state"] == state for row in rows) for state in _STATES}
    covered = counts["treated"] + counts["dropped"]
    return {
        "schema": "veilflow/policy_coverage/1",
        "pipeline": plan.pipeline,
        "policy": plan.policy,
        "columns": rows,
        "counts": counts,
        "share_treated": round(covered / len(rows), 4) if rows else 0.0,
    }


def _state(treatment: str, outcome: str) -> str:
    if treatment in ("undecided", "keep"):
        return "kept" if treatment == "keep" else "undecided"
    return "dropped" if outcome == "drop" else "treated"


# --- diff --------------------------------------------------------------------------------


def diff_document(old: PolicyConfig, new: PolicyConfig) -> dict[str, Any]:
    """What ``new`` changes: stricter, weaker, the same or incomparable, a line a column and a pattern, weaker first."""
    entries = [_column_change(name, old, new) for name in _names(old, new)]
    entries += [change for kind in ("globs", "tags", "classes") for change in _wide_changes(kind, old, new)]
    entries += _settings(old, new)
    order = ("weaker", "incomparable", "stricter", "same")
    entries.sort(key=lambda entry: order.index(entry["change"]))
    facts = sorted(key for key in old.facts.keys() | new.facts.keys() if old.facts.get(key) != new.facts.get(key))
    return {
        "schema": "veilflow/policy_diff/1",
        "old": old.name,
        "new": new.name,
        "changes": entries,
        "counts": {change: sum(entry["change"] == change for entry in entries) for change in order},
        "facts": [{"fact": key, "old": old.facts.get(key), "new": new.facts.get(key)} for key in facts],
    }


def _names(old: PolicyConfig, new: PolicyConfig) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*old.columns, *old.unsafe_keep, *new.columns, *new.unsafe_keep]))


def _column_change(name: str, old: PolicyConfig, new: PolicyConfig) -> dict[str, Any]:
    before, after = decided(name, old, {})[0], decided(name, new, {})[0]
    return _entry("column", name, before, after)


def _wide_changes(kind: str, old: PolicyConfig, new: PolicyConfig) -> list[dict[str, Any]]:
    """Rules by pattern, tag and class: where one is missing, columns fall to what is said of unlisted ones."""
    before: Mapping[str, RuleConfig] = getattr(old, kind)
    after: Mapping[str, RuleConfig] = getattr(new, kind)
    word = {"globs": "pattern", "tags": "tag", "classes": "class"}[kind]
    return [
        _entry(word, name, _of_rule(before.get(name), old), _of_rule(after.get(name), new))
        for name in dict.fromkeys([*before, *after])
    ]


def _of_rule(rule: RuleConfig | None, policy: PolicyConfig) -> Decided:
    if rule is None:
        return _unlisted(policy)
    errors: list[Any] = []
    steps = steps_of(rule, errors)
    return Decided(() if errors else tuple(treated(step) for step in steps), rule.key_domain)


def _unlisted(policy: PolicyConfig) -> Decided:
    outcome = choose("", (), None, Rules[RuleConfig]({}, unlisted_columns=policy.unlisted_columns)).unlisted.outcome
    return Decided(() if outcome == "refuse" else (Treated(outcome, {}),))


def _entry(kind: str, name: str, before: Decided, after: Decided) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "change": compare(before, after),
        "old": _words(before),
        "new": _words(after),
    }


def _words(found: Decided) -> str:
    if not found.steps:
        return "refuse"
    steps = " + ".join(
        step.name + (f" {_parameters(step.parameters)}" if step.parameters else "") for step in found.steps
    )
    return steps + (f" in {found.key_domain}" if found.key_domain else "")


def _parameters(values: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{key}={value}" for key, value in values.items() if value is not None) + ")"


def _settings(old: PolicyConfig, new: PolicyConfig) -> list[dict[str, Any]]:
    """What holds for the policy as a whole."""
    shows = ("record", "refuse")
    pairs = [
        ("unlisted_columns", old.unlisted_columns, new.unlisted_columns, _UNLISTED[::-1]),
        ("show_values", shows[not old.show_values], shows[not new.show_values], shows),
    ]
    return [
        {"kind": "setting", "name": name, "change": _ordered(order.index(before), order.index(after)), "old": before, "new": after}
        for name, before, after, order in pairs
    ]  # fmt: skip


def _ordered(before: int, after: int) -> Comparison:
    return "same" if before == after else "stricter" if after > before else "weaker"
