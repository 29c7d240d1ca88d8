"""What a person who answers for a policy asks: what is weak, which rule decides, what is covered, what has changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.config import (
    PipelineConfig,
    PolicyConfig,
    load_pipeline,
    load_policy,
    pipeline_names,
    policy_names,
    purposes_elsewhere,
)
from veilflow.errors import VeilError
from veilflow.model import TEXT, SourceColumn, SourceConfig, SourceSchema, TargetConfig
from veilflow.plan import Decision, decide
from veilflow.policies.lint import Finding
from veilflow.run.prepare import Loaded, decide_loaded, load
from veilflow.secret_stores.session import Session
from veilflow.state import today

_SAMPLE_ROWS = 1000


@dataclass(frozen=True)
class Linted:
    """A policy's findings, as a pipeline uses it (with the source's columns and a sample), or by itself."""

    policy: str
    pipeline: str | None
    findings: tuple[Finding, ...]
    errors: tuple[VeilError, ...]
    #: Whether the source's columns and first rows were looked at.
    source_read: bool = True


def lint_named(project: Path, environment: str, name: str | None) -> tuple[Linted, ...]:
    """The findings of a pipeline; or of a policy, by each pipeline that uses it; or of all policies."""
    if name is None:
        return tuple(one for policy in policy_names(project) for one in _lint_policy(project, environment, policy))
    if name in pipeline_names(project):
        return (lint_pipeline(project, environment, name),)
    return _lint_policy(project, environment, name)


def lint_pipeline(project: Path, environment: str, name: str) -> Linted:
    """The findings on a pipeline's policy, held against the source's columns and its first rows."""
    with Session(project) as session:
        loaded = load(project, environment, name, session)
        try:
            schema = loaded.source.schema()
        except VeilError:
            return _lint_without_source(loaded)
    decision = decide_loaded(loaded, schema, typical_lengths(loaded, schema))
    return Linted(loaded.policy.name, name, decision.findings, _not_findings(decision))


def _lint_without_source(loaded: Loaded) -> Linted:
    """Where the data is not at hand, as in a build: over the columns that policy and pipeline name."""
    pipeline, types = loaded.pipeline, loaded.pipeline.source.types
    names = dict.fromkeys([*loaded.policy.columns, *types, *pipeline.labels])
    schema = SourceSchema(tuple(SourceColumn(name, types.get(name, TEXT)) for name in names))
    decision = _without_source(decide_loaded(loaded, schema))
    return Linted(loaded.policy.name, pipeline.name, decision.findings, _not_findings(decision), source_read=False)


def _not_findings(decision: Decision) -> tuple[VeilError, ...]:
    return tuple(error for error in decision.errors if error.code != "VEIL311")


def _lint_policy(project: Path, environment: str, name: str) -> tuple[Linted, ...]:
    policy = load_policy(project, name)
    users = pipelines_with(project, environment, policy.name) if Path(name).suffix not in (".yaml", ".yml") else ()
    if users:
        return tuple(lint_pipeline(project, environment, user) for user in users)
    decision = alone(project, policy)
    return (Linted(policy.name, None, decision.findings, _not_findings(decision), source_read=False),)


#: What only a source's columns and their types can tell.
_OF_A_SOURCE = frozenset({"VEIL302", "VEIL303", "LINT209"})


def alone(project: Path, policy: PolicyConfig) -> Decision:
    """A policy that no pipeline uses, decided over the columns that it names, as text."""
    pipeline = PipelineConfig(
        name=policy.name, source=SourceConfig("frame", Path(), policy.place.file), policy=policy.name,
        target=TargetConfig("memory", "output", "replace", None, "memory"), place=policy.place,
    )  # fmt: skip
    schema = SourceSchema(tuple(SourceColumn(name, TEXT) for name in policy.columns))
    decision = decide(
        pipeline, policy, None, None, schema, "review", publish="rename", as_of=today(),
        elsewhere=purposes_elsewhere(project, policy),
    )  # fmt: skip
    return _without_source(decision)


def _without_source(decision: Decision) -> Decision:
    return replace(
        decision,
        errors=tuple(error for error in decision.errors if error.code not in _OF_A_SOURCE),
        findings=tuple(finding for finding in decision.findings if finding.code not in _OF_A_SOURCE),
    )


def pipelines_with(project: Path, environment: str, policy: str) -> tuple[str, ...]:
    """The pipelines that use a policy; one that cannot be read is not asked for here."""
    found = []
    for name in pipeline_names(project):
        with suppress(VeilError):
            if load_pipeline(project, name, environment).policy == policy:
                found.append(name)
    return tuple(found)


def typical_lengths(loaded: Loaded, schema: SourceSchema) -> Mapping[str, int]:
    """The median length in characters of each text column in the source's first rows; nothing where they cannot be read."""
    columns = tuple(SourceColumn(column.name, column.type) for column in schema.columns)
    source = replace(loaded.pipeline.source, on_bad_row="quarantine")
    try:
        from veilflow.sources import open_source

        first = next(iter(open_source(source).slices(columns, _SAMPLE_ROWS)), None)
        chunk = None if first is None else first.read()
    except VeilError:
        return {}
    if chunk is None:
        return {}
    return {
        column.name: length
        for column in columns
        if column.type.name == TEXT.name and (length := _median_length(chunk.values.column(column.name)))
    }


def _median_length(values: pa.Array) -> int:
    """0 where all are null or empty."""
    lengths = pc.utf8_length(values.cast(pa.string()).drop_null())
    lengths = lengths.filter(pc.greater(lengths, 0))
    return int(pc.quantile(lengths, 0.5, interpolation="lower")[0].as_py()) if len(lengths) else 0
