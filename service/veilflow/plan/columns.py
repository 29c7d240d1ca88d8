"""What becomes of each column: its rule, its treatment, the type that comes out, its key domain."""

from __future__ import annotations

import pyarrow as pa

from veilflow.config import PolicyConfig, RuleConfig
from veilflow.errors import Place, VeilError
from veilflow.keys import KEY_DOMAIN
from veilflow.model import ColumnPlan, SourceColumn, Step, type_name
from veilflow.plan.matching import Labels, choice, steps_of, undecidable
from veilflow.policies import Match, Unlisted
from veilflow.treatments import TREATMENTS, every_step, key_uses, make_step


def decided(column: SourceColumn, policy: PolicyConfig, labels: Labels, errors: list[VeilError]) -> ColumnPlan:
    found = choice(column.name, policy, labels)
    problems = undecidable(column.name, found, policy)
    if problems:
        errors.extend(problems)
        return _undecided(column)
    if found.winner is None:
        return _unlisted(column, found.unlisted, policy, errors)
    return _ruled(column, found.winner, policy, errors)


def _undecided(column: SourceColumn) -> ColumnPlan:
    return ColumnPlan(column.name, column.type, column.type.arrow, None, (), None, None, None, "load")


def _ruled(column: SourceColumn, match: Match[RuleConfig], policy: PolicyConfig, errors: list[VeilError]) -> ColumnPlan:
    rule = match.rule
    steps = steps_of(rule, errors)
    if any(step.treatment == "keep" for step in every_step(steps)) and not (rule.reason or "").strip():
        errors.append(
            VeilError("VEIL304", f'column "{column.name}" is kept in clear without a reason',
                      "add `reason: …` that a report can print, or treat the column", rule.place)
        )  # fmt: skip
    if any(step.treatment in ("keep", "drop") for step in steps) and len(steps) > 1:
        errors.append(
            VeilError(
                "VEIL205", f'column "{column.name}": keep and drop stand alone', "remove them from the list", rule.place
            )
        )
    output = _output(column, steps, rule.place, errors)
    dropped = any(step.treatment == "drop" for step in steps)
    return ColumnPlan(
        name=column.name, type=column.type, output=output, classification=rule.classification, steps=steps,
        key_domain=_key_domain(column.name, rule, steps, policy, errors), rule=rule.place, reason=rule.reason,
        outcome="drop" if dropped else "load", matched_by=match.words, unsafe_weaken=rule.unsafe_weaken,
    )  # fmt: skip


def _unlisted(column: SourceColumn, found: Unlisted, policy: PolicyConfig, errors: list[VeilError]) -> ColumnPlan:
    steps: tuple[Step, ...] = ()
    if found.outcome == "refuse":
        errors.append(
            VeilError(
                "VEIL301", f'no rule covers the column "{column.name}"' + (f" of {column.file}" if column.file else ""),
                f"add to columns: in {policy.place.file}:  {column.name}: {{class: …, treatment: …}}", policy.place,
            )
        )  # fmt: skip
    else:
        steps = (make_step(found.outcome, {}, policy.place),)
    return ColumnPlan(
        name=column.name, type=column.type, output=_output(column, steps, policy.place, errors), classification=None,
        steps=steps, key_domain=None, rule=policy.place if steps else None, reason=found.reason,
        outcome="drop" if found.outcome == "drop" else "load",
    )  # fmt: skip


def _output(column: SourceColumn, steps: tuple[Step, ...], place: Place, errors: list[VeilError]) -> pa.DataType:
    """The type after all steps; VEIL303 where a step does not take what the one before it makes."""
    name, kind = column.type.name, column.type.arrow
    for step in steps:
        treatment = TREATMENTS[step.treatment]
        fits = ", ".join(sorted(other.name for other in TREATMENTS.values() if name in other.takes))
        try:
            if name not in treatment.takes:
                raise TypeError(f"it takes {', '.join(sorted(treatment.takes))}")
            kind = treatment.output(kind, step.parameters)
        except TypeError as error:
            errors.append(
                VeilError("VEIL303", f'the treatment {step.treatment} does not fit the column "{column.name}" of type {name}: {error}',
                          f"treatments that take {name}: {fits}; or declare the column's type in the pipeline", place)
            )  # fmt: skip
            return kind
        name = type_name(kind, name)
    return kind


def read_columns_fit(columns: tuple[ColumnPlan, ...], errors: list[VeilError]) -> None:
    """VEIL303 where a treatment reads a column whose type does not fit."""
    types = {column.name: column.type.arrow for column in columns}
    for column, step in ((one, step) for one in columns for step in every_step(one.steps)):
        treatment = TREATMENTS[step.treatment]
        read = {name: types[name] for name in treatment.reads(step.parameters) if name in types}
        try:
            if treatment.fits is not None and len(read) == len(set(treatment.reads(step.parameters))):
                treatment.fits(step.parameters, read)
        except TypeError as error:
            errors.append(
                VeilError("VEIL303", f'the treatment {step.treatment} of "{column.name}" does not fit a column that it reads: {error}',
                          "declare the column's type in the pipeline, or write a value of its type", column.rule)
            )  # fmt: skip


def _key_domain(
    column: str, rule: RuleConfig, steps: tuple[Step, ...], policy: PolicyConfig, errors: list[VeilError]
) -> str | None:
    if not key_uses(steps):
        if rule.key_domain is not None:
            errors.append(
                VeilError(
                    "VEIL202",
                    f'column "{column}" names a key domain, and its treatment uses no key',
                    "remove key_domain",
                    rule.place,
                )
            )
        return None
    domain = rule.key_domain if rule.key_domain is not None else f"{policy.name}.{column}"
    if not KEY_DOMAIN.fullmatch(domain):
        errors.append(
            VeilError("VEIL202", f'the key domain of column "{column}" is not made of a-z, 0-9, _, . and - (at most 64)',
                      "name one: `key_domain: …`", rule.place)
        )  # fmt: skip
    return domain
