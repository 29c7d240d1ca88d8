"""A policy's rules joined with the pipeline's words about a column and with the registry of treatments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from veilflow.config import ColumnLabels, PolicyConfig, RuleConfig
from veilflow.errors import VeilError
from veilflow.model import Step
from veilflow.policies import Choice, Decided, Rules, Treated, choose
from veilflow.treatments import TREATMENTS, every_step, key_uses, make_step

Labels = Mapping[str, ColumnLabels]


def choice(column: str, policy: PolicyConfig, labels: Labels) -> Choice[RuleConfig]:
    """Every rule of the policy that matches the column, the most specific first."""
    label = labels.get(column)
    rules = Rules(
        policy.columns, policy.globs, policy.tags, policy.classes, policy.unlisted_columns, policy.unsafe_keep
    )
    return choose(column, label.tags if label else (), label.classification if label else None, rules)


def undecidable(column: str, found: Choice[RuleConfig], policy: PolicyConfig) -> list[VeilError]:
    """VEIL206 for each rule after the first that claims a column with equal right."""
    claims = [(match.words, match.rule.place) for match in found.tied]
    if found.matches and column in policy.unsafe_keep:
        claims = [(match.words, match.rule.place) for match in found.matches[:1]] + [("unsafe_keep", policy.place)]
    return [
        VeilError("VEIL206", f'two rules decide the column "{column}": {claims[0][0]} at {claims[0][1]}, and {words} at {place}',
                  f"give it a rule of its exact name, or make one of the two narrower:  {column}: {{class: …, treatment: …}}",
                  place)
        for words, place in claims[1:]
    ]  # fmt: skip


def steps_of(rule: RuleConfig, errors: list[VeilError]) -> tuple[Step, ...]:
    """The rule's treatments with checked parameters; what is wrong with them goes into ``errors``."""
    steps = []
    for name, parameters in rule.treatments:
        try:
            steps.append(make_step(name, parameters, rule.place))
        except VeilError as error:
            errors.extend(error.parts)
    return tuple(steps)


# --- what only an exact name may do ------------------------------------------------------


def closed_rules(policy: PolicyConfig) -> list[VeilError]:
    """VEIL304 for a rule that keeps or weakens without naming its column exactly, VEIL205 for what no rule may say.

    A pattern that keeps would wave a new column through: globs, tags and class defaults treat or drop.
    """
    errors: list[VeilError] = []
    for rule in policy.wide_rules:
        opened = _opening(rule, steps_of(rule, errors))
        if opened is not None:
            errors.append(
                VeilError("VEIL304", f'"{rule.column}" says {opened}, and matches more than one exact name',
                          "only a rule of a column's exact name may do that, with a reason; here treat or drop", rule.place)
            )  # fmt: skip
    for rule in policy.columns.values():
        errors += _without_reason(rule)
    return errors


def _opening(rule: RuleConfig, steps: tuple[Step, ...]) -> str | None:
    """What in a rule opens something: ``keep`` in any depth, or a key that begins with ``unsafe_``."""
    if rule.unsafe_weaken is not None:
        return "unsafe_weaken"
    if any(step.treatment == "keep" for step in every_step(steps)):
        return "keep"
    return next((key for _name, raw in rule.treatments for key, _value in _unsafe(raw)), None)


def _without_reason(rule: RuleConfig) -> list[VeilError]:
    return [
        VeilError("VEIL304", f'column "{rule.column}": {key} needs a reason', f"write {key}: and why, as text", rule.place)
        for _name, raw in rule.treatments
        for key, value in _unsafe(raw)
        if not isinstance(value, str) or not value.strip()
    ]  # fmt: skip


def _unsafe(raw: Any) -> Iterator[tuple[str, Any]]:
    """The keys of raw parameters that begin with ``unsafe_``, in any depth."""
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            if str(key).startswith("unsafe_"):
                yield str(key), value
            yield from _unsafe(value)
    elif isinstance(raw, list | tuple):
        for value in raw:
            yield from _unsafe(value)


# --- strictness --------------------------------------------------------------------------


def decided(column: str, policy: PolicyConfig, labels: Labels) -> tuple[Decided, RuleConfig | None]:
    """What the policy decides of a column, as ``policies.compare`` takes it, and by which rule.

    Nothing (``refuse``) where no rule or no single rule decides, or where a treatment cannot be made: such a policy
    refuses to run.
    """
    found = choice(column, policy, labels)
    if undecidable(column, found, policy):
        return Decided(()), None
    if found.winner is None:
        outcome = found.unlisted.outcome
        unlisted = () if outcome == "refuse" else (Step(outcome, None),)
        return Decided(tuple(treated(step) for step in unlisted)), None
    errors: list[VeilError] = []
    rule = found.winner.rule
    steps = steps_of(rule, errors)
    return Decided(() if errors else tuple(treated(step) for step in steps), rule.key_domain), rule


def treated(step: Step) -> Treated:
    """A step with what the registry says of it."""
    treatment = TREATMENTS[step.treatment]
    return Treated(
        step.treatment, plain_parameters(step), key_uses([step]) if step.parameters is not None else (),
        treatment.traits.reversible, treatment.traits.linkable,
    )  # fmt: skip


def plain_parameters(step: Step) -> dict[str, Any]:
    """A step's parameters as a policy writes them."""
    return _shown(step.parameters) if is_dataclass(step.parameters) else {}


def _shown(value: Any) -> Any:
    """Parameters as plain data; fields without a ``repr`` are left out: a table stands there by its digest."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name.removesuffix("_"): _shown(getattr(value, field.name)) for field in fields(value) if field.repr
        }
    if isinstance(value, Mapping):
        return {str(key): _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value
