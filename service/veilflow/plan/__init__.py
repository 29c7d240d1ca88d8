"""Config and a source's schema -> a plan: every column decided before a row is read. Pure.

``decide`` collects what forbids the plan instead of stopping at the first problem, so that a person sees it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from veilflow.checks import COLUMN_EXPECTATIONS, fit_check, holds, plan_check
from veilflow.config import NamesConfig, NotASecret, PipelineConfig, PolicyConfig, RuleConfig, SuiteConfig
from veilflow.errors import WORST_FIRST, Place, VeilError
from veilflow.keys import KEY_DOMAIN
from veilflow.model import (
    CheckPlan,
    ColumnPlan,
    ColumnType,
    FilterPlan,
    Plan,
    Publish,
    SourceColumn,
    SourcePlan,
    SourceSchema,
    Step,
    TargetConfig,
    TargetPlan,
    type_name,
)
from veilflow.plan.incremental import incremental_plan
from veilflow.plan.inheritance import weaker_than_parents
from veilflow.plan.linting import Elsewhere, findings, refusals
from veilflow.plan.matching import Labels, choice, closed_rules, plain_parameters, steps_of, undecidable
from veilflow.plan.meaning import dated, digest, meaning_of, parts_of, policy_meaning
from veilflow.policies import Match, Unlisted
from veilflow.policies.lint import Finding
from veilflow.treatments import TREATMENTS, every_step, key_uses, make_step, makes_a_key


@dataclass(frozen=True)
class Decision:
    """A plan, and what forbids it. Undecided columns stand in the plan without steps."""

    plan: Plan
    errors: tuple[VeilError, ...]
    findings: tuple[Finding, ...] = ()
    #: Lines of the project's files of which a person says that no credential stands there.
    not_secrets: tuple[NotASecret, ...] = ()

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(c.name)}</td><td>{escape(c.classification or '')}</td><td>{escape(c.treatment)}</td></tr>"
            for c in self.plan.columns
        )
        return f"<table><tr><th>column</th><th>class</th><th>treatment</th></tr>{rows}</table>"


def decide(
    pipeline: PipelineConfig,
    policy: PolicyConfig,
    suite: SuiteConfig | None,
    names: NamesConfig | None,
    schema: SourceSchema,
    environment: str,
    publish: Publish,
    as_of: date,
    lengths: Mapping[str, int] | None = None,
    elsewhere: Elsewhere | None = None,
) -> Decision:
    """Decide every column, check and filter of a run; never raises for what a person wrote. ``as_of`` is its date.

    ``lengths`` are typical lengths of columns, ``elsewhere`` the purposes of other policies, for the linter.
    """
    errors: list[VeilError] = closed_rules(policy)
    columns = tuple(_column(column, policy, pipeline.labels, errors) for column in schema.columns)
    present = [column.name for column in schema.columns]
    errors += weaker_than_parents(policy, present, pipeline.labels)
    _names_present(pipeline, policy, columns, present, errors)
    _read_columns_fit(columns, errors)
    checks = _checks(suite, columns, errors)
    filters = tuple(_filter(rule, columns, errors) for rule in pipeline.filters)
    if columns and not any(column.outcome == "load" for column in columns):
        errors.append(
            VeilError("VEIL206", f"policy {policy.name} drops every column", "leave at least one to load", policy.place)
        )
    keyring = names.keyring if names else None
    target = pipeline.target
    for end in (pipeline.source, target):
        if end.connection is not None and (names is None or end.connection not in names.connections):
            errors.append(_unknown_connection(end.connection, names, end.place))
    errors += _merge_key(target, columns)
    errors += _uneven(schema, columns, pipeline.source.place)
    errors += _undivided(pipeline)
    meaning = meaning_of(pipeline, policy, columns, checks, filters) | dated(columns, as_of)
    incremental = incremental_plan(pipeline, columns, names, meaning, errors)
    plan = Plan(
        pipeline=pipeline.name,
        environment=environment,
        as_of=as_of,
        purpose=policy.facts.get("purpose"),
        facts=policy.facts,
        policy=policy.name,
        policy_hash=digest(policy_meaning(policy)),
        columns=columns,
        checks=checks,
        filters=filters,
        source=SourcePlan(pipeline.source.kind, pipeline.source.shown, schema.files, pipeline.workers),
        target=TargetPlan(
            target.kind,
            target.shown,
            target.table,
            target.mode,
            publish,
            target.key,
            target.delete,
            target.on_refused_row,
            target.columns,
        ),  # fmt: skip
        secrets=secrets_needed(pipeline, names),
        keyring=keyring,
        on_bad_row=pipeline.source.on_bad_row,
        max_quarantined=pipeline.max_quarantined,
        timeout_seconds=pipeline.timeout_seconds,
        chunk_rows=pipeline.chunk_rows,
        allow_empty=pipeline.allow_empty,
        unlisted_columns=policy.unlisted_columns,
        plan_hash=digest(meaning),
        parts=parts_of(meaning, columns, target, names),
        show_values=policy.show_values,
        incremental=incremental,
    )
    found = findings(policy, columns, pipeline.labels, as_of, lengths or {}, elsewhere or {})
    return Decision(plan, _each_once([*errors, *refusals(found)]), found)


def _names_present(
    pipeline: PipelineConfig, policy: PolicyConfig, columns: tuple[ColumnPlan, ...], present: list[str],
    errors: list[VeilError],
) -> None:  # fmt: skip
    """VEIL302 for each column that a rule, the pipeline or a treatment names and the source does not have."""
    for rule in policy.columns.values():
        if not rule.inherited:
            _present(rule.column, present, "a rule names the column", rule.place, errors)
    for name, label in pipeline.labels.items():
        _present(name, present, "columns: names the column", label.place, errors)
    for name in policy.unsafe_keep:
        _present(name, present, "unsafe_keep names the column", policy.place, errors)
    for name in pipeline.source.types.keys() - pipeline.labels.keys():
        _present(name, present, "columns: names the column", pipeline.place, errors)
    for column in columns:
        for name in dict.fromkeys(
            name for step in column.steps for name in TREATMENTS[step.treatment].reads(step.parameters)
        ):
            _present(name, present, f'the treatment of "{column.name}" reads the column', column.rule, errors)


def _each_once(errors: list[VeilError]) -> tuple[VeilError, ...]:
    """What two readers of one rule found is told once."""
    return tuple({(error.code, error.problem, error.place): error for error in errors}.values())


# --- columns -----------------------------------------------------------------------------


def _column(column: SourceColumn, policy: PolicyConfig, labels: Labels, errors: list[VeilError]) -> ColumnPlan:
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


def _read_columns_fit(columns: tuple[ColumnPlan, ...], errors: list[VeilError]) -> None:
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


#: Why the workers of a database would read different states of it, or none at all.
_ONE_READER = {
    "mariadb": "MariaDB shows one state of its tables to one connection only",
    "sqlite": "SQLite shows one state of its tables to one connection only",
    "duckdb": "DuckDB reads with all cores by itself",
}


def _undivided(pipeline: PipelineConfig) -> list[VeilError]:
    """VEIL202 for workers that could not share the source."""
    source, workers = pipeline.source, pipeline.workers or 1
    why = _ONE_READER.get(source.kind)
    if source.kind == "postgresql" and not source.order_by:
        why = "without `order_by` on a unique key there are no ranges to share"
    if workers == 1 or why is None:
        return []
    return [
        VeilError("VEIL202", f"{workers} workers cannot share this source: {why}", "leave `workers` out", source.place)
    ]


def _uneven(schema: SourceSchema, columns: tuple[ColumnPlan, ...], place: Place | None) -> list[VeilError]:
    """VEIL326 where the files of a source differ, but for columns that are refused already."""
    undecided = {column.name for column in columns if not column.steps}
    return [
        VeilError(
            "VEIL326", f'the column "{column.name}" {column.difference}',
            "give all files the same columns, declare the column's type in the pipeline, or read them by a pipeline each",
            place,
        )
        for column in schema.uneven
        if column.name not in undecided
    ]  # fmt: skip


def _present(
    name: str, there: list[str], what: str, place: Place | None, errors: list[VeilError], where: str = "source"
) -> None:
    if name in there:
        return
    near = get_close_matches(name, there, n=1)
    hint = (f"did you mean {near[0]}? " if near else "rename or remove it. ") + f"The {where} has: " + ", ".join(there)
    errors.append(VeilError("VEIL302", f'{what} "{name}", which is not in the {where}', hint, place))


# --- checks and filters ------------------------------------------------------------------


def _checks(
    suite: SuiteConfig | None, columns: tuple[ColumnPlan, ...], errors: list[VeilError]
) -> tuple[CheckPlan, ...]:
    checks = []
    types_at = {
        "source": {column.name: column.type for column in columns},
        "output": {column.name: column.output_type for column in columns if column.outcome == "load"},
    }
    for expectation in suite.expectations if suite else ():
        try:
            check = plan_check(expectation.raw, expectation.place, suite.meta if suite else None)
            types = types_at[check.stage]
            missing = [column for column in check.reads if column not in types]
            for column in missing:
                _present(column, list(types), "an expectation names the column", check.place, errors, check.stage)
            if not missing:
                check = fit_check(check, types)
                errors += _undone(check, types)
            checks.append(check)
        except VeilError as error:
            errors.extend(error.parts)
    return tuple(checks)


def _undone(check: CheckPlan, types: Mapping[str, ColumnType]) -> list[VeilError]:
    """VEIL306 for an expectation about the columns themselves that does not hold: no row needs to be read for it."""
    columns = [SourceColumn(name, kind) for name, kind in types.items()]
    if check.type not in COLUMN_EXPECTATIONS or check.on_fail != "refuse":
        return []
    if holds(check.type, check.arguments, check.columns, columns):
        return []
    shown = ", ".join(f"{name} ({kind.name})" for name, kind in types.items())
    return [VeilError("VEIL306", f"{check.title}: this does not hold", f"the {check.stage} has: {shown}", check.place)]


def _filter(rule: FilterPlan, columns: tuple[ColumnPlan, ...], errors: list[VeilError]) -> FilterPlan:
    found = next((column for column in columns if column.name == rule.column), None)
    rule = rule if found is None else _exact(rule, found.type.arrow)
    if found is None:
        _present(rule.column, [column.name for column in columns], "a filter names the column", rule.place, errors)
    elif not _filter_fits(rule, found.type.arrow):
        errors.append(
            VeilError("VEIL209", f'the filter {rule.name} does not fit the column "{rule.column}" of type {found.type.name}',
                      "in and not_in take a list, is_null and not_null take no value, the others one value of the column's type", rule.place)
        )  # fmt: skip
    return rule


def _exact(rule: FilterPlan, kind: pa.DataType) -> FilterPlan:
    """Numbers for a decimal column as decimals: neither rounded by a float nor too wide as an integer."""
    if not pa.types.is_decimal(kind):
        return rule
    many = isinstance(rule.value, list)
    values = [
        Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for value in (rule.value if many else [rule.value])
    ]
    return replace(rule, value=values if many else values[0])


def _filter_fits(rule: FilterPlan, kind: pa.DataType) -> bool:
    if rule.op in ("is_null", "not_null"):
        return rule.value is None
    values = rule.value if rule.op in ("in", "not_in") else [rule.value]
    if (
        not isinstance(values, list)
        or not values
        or any(value is None or isinstance(value, dict | list) for value in values)
    ):
        return False
    if rule.op in ("<", "<=", ">", ">=") and pa.types.is_string(kind) and not isinstance(values[0], str):
        return False  # as text "9" is above "18": the column needs a type first
    if pa.types.is_boolean(kind) != all(isinstance(value, bool) for value in values):
        return False
    try:
        pa.array(values).cast(kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def secrets_needed(pipeline: PipelineConfig, names: NamesConfig | None) -> tuple[str, ...]:
    """The names of the secrets that a run opens."""
    if names is None:
        return ()
    connections = (names.connections.get(end.connection or "") for end in (pipeline.target, pipeline.source))
    wanted = [names.keyring, *(connection.credential for connection in connections if connection)]
    return tuple(dict.fromkeys(name for name in wanted if name is not None))


def _merge_key(target: TargetConfig, columns: tuple[ColumnPlan, ...]) -> list[VeilError]:
    """What forbids the key of a merge: a column that is not loaded, or whose treatment brings different people together."""
    errors: list[VeilError] = []
    loaded = {column.name: column for column in columns if column.outcome == "load"}
    for name in target.key:
        if name not in loaded:
            _present(name, list(loaded), "target: key names the column", target.place, errors)
            continue
        steps = loaded[name].steps
        unsafe = [step.treatment for step in steps if not makes_a_key(TREATMENTS[step.treatment], step.parameters)]
        if unsafe:
            errors.append(
                VeilError("VEIL318", f'the treatment {unsafe[0]} of the merge key "{name}" is no key: it can give two rows the same value, or one value two',
                          "use token (of 128 bits), pseudonym or keep for a key, or name another column", target.place)
            )  # fmt: skip
    return errors


def _unknown_connection(name: str, names: NamesConfig | None, place: Place | None) -> VeilError:
    there = sorted(names.connections) if names else []
    return VeilError(
        "VEIL220", f'there is no connection "{name}"', "secrets/names.yaml has: " + (", ".join(there) or "none"), place
    )


# --- the document ------------------------------------------------------------------------


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
