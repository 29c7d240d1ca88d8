"""What a plan means, as plain data to be hashed: no place, no comment, no key version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from veilflow.config import NamesConfig, PipelineConfig, PolicyConfig
from veilflow.model import CheckPlan, ColumnPlan, FilterPlan, SourceConfig, Step, TargetConfig, UrlTerms
from veilflow.plan.matching import plain_parameters
from veilflow.treatments import TREATMENTS, every_step
from veilflow.treatments.opening import keyed_part


def digest(meaning: Any) -> str:
    """The SHA-256 of plain data, whatever the order of its keys."""
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), default=str)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def making(column: ColumnPlan) -> str:
    """How a column's pseudonyms are made, as a hash: the part of its steps that depends on the key, and its domain."""
    return digest([column.key_domain, _steps(keyed_part(column.steps))])


def policy_meaning(policy: PolicyConfig) -> dict[str, Any]:
    """What a policy says: its rules, and no place or comment."""
    return {
        **{
            kind: {
                name: [rule.classification, rule.treatments, rule.key_domain, rule.reason, rule.unsafe_weaken]
                for name, rule in rules.items()
            }
            for kind, rules in (
                ("columns", policy.columns),
                ("globs", policy.globs),
                ("tags", policy.tags),
                ("classes", policy.classes),
            )
        },
        "unlisted": policy.unlisted_columns,
        "unsafe_keep": dict(policy.unsafe_keep),
        "facts": dict(policy.facts),
        "show_values": policy.show_values,
    }


def _read_from(source: SourceConfig) -> list[Any]:
    """What a database source reads, or the store of files; nothing for files of this machine."""
    if source.table or source.query:
        return [source.connection, source.table, source.query, source.order_by]
    return [source.connection] if source.connection else []


def meaning_of(
    pipeline: PipelineConfig, policy: PolicyConfig, columns: tuple[ColumnPlan, ...],
    checks: tuple[CheckPlan, ...], filters: tuple[FilterPlan, ...],
) -> dict[str, Any]:  # fmt: skip
    """What the plan hash covers: everything that changes a run's outcome, and no place, comment or key version."""
    source, target, by = pipeline.source, pipeline.target, pipeline.incremental
    return {
        "source": [source.kind, source.shown, source.trim, source.null_values, source.on_bad_row, source.delimiter, source.quote, source.encoding, *_read_from(source)],
        "columns": [[*_column_meaning(column), column.key_domain, column.outcome] for column in columns],
        "policy": policy_meaning(policy),
        "checks": [_check_meaning(check) for check in checks],
        "filters": [[rule.column, rule.op, rule.value] for rule in filters],
        "target": [target.kind, target.shown, target.connection, target.table, target.mode, *_merging(target), *_refusing(target), *_evolving(target), *_allowing(target)],
        "limits": [str(pipeline.max_quarantined), pipeline.timeout_seconds, pipeline.chunk_rows, pipeline.allow_empty],
        **({} if pipeline.quarantine_store == "files" else {"quarantine": [pipeline.quarantine_store]}),
        **({} if by is None else {"incremental": [by.column, by.lag.shown if by.lag else "0", by.changed_files]}),
    }  # fmt: skip


def _merging(target: TargetConfig) -> list[Any]:
    return [target.key, target.delete] if target.mode == "merge" else []


def _refusing(target: TargetConfig) -> list[Any]:
    return [] if target.on_refused_row == "refuse" else [target.on_refused_row]


def _evolving(target: TargetConfig) -> list[Any]:
    return [] if target.columns == "freeze" else [target.columns]


def _allowing(target: TargetConfig) -> list[Any]:
    return [] if target.terms == UrlTerms() else [target.terms.parameters, target.terms.unsafe_transport]


def parts_of(
    meaning: Mapping[str, Any], columns: tuple[ColumnPlan, ...], target: TargetConfig, names: NamesConfig | None
) -> dict[str, str]:
    """The plan hash taken apart, so that a plan file can say what moved. The address of a connection is part of it."""
    schema = [[column.name, column.type.name, str(column.type.arrow), column.type.format] for column in columns]
    connection = names.connections.get(target.connection or "") if names else None
    parts = dict(meaning) | {"schema": schema, "suite": meaning["checks"]}
    parts["target"] = [*meaning["target"], connection.url if connection else None]
    return {name: digest(value) for name, value in parts.items() if name != "checks"}


def dated(columns: tuple[ColumnPlan, ...], as_of: date) -> dict[str, Any]:
    """The plan's date, where a treatment depends on it: a plan of ages is another one tomorrow."""
    steps = every_step(step for column in columns for step in column.steps)
    return {"as_of": str(as_of)} if any(TREATMENTS[step.treatment].dated for step in steps) else {}


def _check_meaning(check: CheckPlan) -> list[Any]:
    meaning: list[Any] = [check.type, check.columns, dict(check.arguments), check.mostly]
    if check.on_fail != "quarantine" or check.condition is not None:
        meaning += [check.on_fail, None if check.condition is None else asdict(check.condition)]
    return [*meaning, check.stage] if check.stage != "source" else meaning


def _column_meaning(column: ColumnPlan) -> list[Any]:
    kind = column.type
    return [column.name, kind.name, str(kind.arrow), kind.format, str(column.output), _steps(column.steps)]


def _steps(steps: Iterable[Step]) -> list[Any]:
    return [[step.treatment, plain_parameters(step)] for step in steps]
