"""Config and a source's schema -> a plan: every column decided before a row is read. Pure.

``decide`` collects what forbids the plan instead of stopping at the first problem, so that a person sees it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from veilflow.config import NamesConfig, PipelineConfig, PolicyConfig, SuiteConfig
from veilflow.errors import VeilError
from veilflow.model import Plan, Publish, SourceSchema
from veilflow.plan.columns import decided, read_columns_fit
from veilflow.plan.decision import Decision
from veilflow.plan.documents import document, finding_document
from veilflow.plan.ends import ends_fit, secrets_needed, source_plan, target_hints, target_plan
from veilflow.plan.incremental import incremental_plan
from veilflow.plan.inheritance import weaker_than_parents
from veilflow.plan.linting import Elsewhere, findings, refusals
from veilflow.plan.matching import closed_rules
from veilflow.plan.meaning import dated, digest, meaning_of, parts_of, policy_meaning
from veilflow.plan.presence import names_present
from veilflow.plan.rows import planned_checks, planned_filter

__all__ = ["Decision", "decide", "document", "finding_document", "secrets_needed"]


def decide(
    pipeline: PipelineConfig,
    policy: PolicyConfig,
    suite: SuiteConfig | None,
    names: NamesConfig | None,
    schema: SourceSchema,
    environment: str,
    publish: Publish | None,
    as_of: date,
    lengths: Mapping[str, int] | None = None,
    elsewhere: Elsewhere | None = None,
) -> Decision:
    """Decide every column, check and filter of a run; never raises for what a person wrote. ``as_of`` is its date; ``publish``
    is None as long as nobody has looked at the target.

    ``lengths`` are typical lengths of columns, ``elsewhere`` the purposes of other policies, for the linter.
    """
    errors: list[VeilError] = closed_rules(policy)
    columns = tuple(decided(column, policy, pipeline.labels, errors) for column in schema.columns)
    present = [column.name for column in schema.columns]
    errors += weaker_than_parents(policy, present, pipeline.labels)
    names_present(pipeline, policy, columns, present, errors)
    read_columns_fit(columns, errors)
    checks = planned_checks(suite, columns, errors)
    filters = tuple(planned_filter(rule, columns, errors) for rule in pipeline.filters)
    if columns and not any(column.outcome == "load" for column in columns):
        errors.append(
            VeilError("VEIL206", f"policy {policy.name} drops every column", "leave at least one to load", policy.place)
        )
    errors += ends_fit(pipeline, names, schema, columns)
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
        source=source_plan(pipeline, schema),
        target=target_plan(pipeline.target, publish),
        secrets=secrets_needed(pipeline, names),
        keyring=names.keyring if names else None,
        on_bad_row=pipeline.source.on_bad_row,
        max_quarantined=pipeline.max_quarantined,
        held_in=pipeline.quarantine_store,
        timeout_seconds=pipeline.timeout_seconds,
        chunk_rows=pipeline.chunk_rows,
        allow_empty=pipeline.allow_empty,
        unlisted_columns=policy.unlisted_columns,
        plan_hash=digest(meaning),
        parts=parts_of(meaning, columns, pipeline.target, names),
        show_values=policy.show_values,
        incremental=incremental,
    )
    found = findings(policy, columns, pipeline.labels, as_of, lengths or {}, elsewhere or {})
    return Decision(plan, _each_once([*errors, *refusals(found)]), found, hints=target_hints(pipeline.target, names))


def _each_once(errors: list[VeilError]) -> tuple[VeilError, ...]:
    """What two readers of one rule found is told once."""
    return tuple({(error.code, error.problem, error.place): error for error in errors}.values())
