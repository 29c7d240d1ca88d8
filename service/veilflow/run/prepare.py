"""From a project's files to a decided plan, and from the plan to opened parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from veilflow import __version__
from veilflow.checks import Read, open_checker
from veilflow.config import (
    NamesConfig,
    PipelineConfig,
    PolicyConfig,
    SuiteConfig,
    load_names,
    load_pipeline,
    load_policy,
    load_suite,
    not_secrets,
    purposes_elsewhere,
)
from veilflow.errors import Place, VeilError, raise_all
from veilflow.keys import KeyRing, age_identity, digest
from veilflow.model import (
    CheckPlan,
    ColumnKey,
    DerivedKey,
    FileIdentity,
    KeepsContainers,
    OutputView,
    Plan,
    Secret,
    Source,
    SourceConfig,
    SourceSchema,
    Standing,
    Surrogates,
    Target,
    Wrapped,
)
from veilflow.plan import Decision, decide
from veilflow.plan.meaning import making
from veilflow.quarantine import Quarantine
from veilflow.redaction import remember_bytes
from veilflow.run.chunk import Work
from veilflow.run.keyring import open_ring
from veilflow.run.other_tables import Others, others_of, reader_of
from veilflow.run.secrets import check_kinds, connection_url, known_connection, short_lived
from veilflow.run.surrogates import SurrogateFiles, SurrogateMemory
from veilflow.run.wrapping import wrapped_recipient
from veilflow.secret_stores.session import Session
from veilflow.sources import open_source
from veilflow.state import source_fingerprint, today
from veilflow.targets import open_target
from veilflow.treatments import key_uses

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A pipeline's files, read and checked each by itself, and the source they name; nothing is opened yet."""

    project: Path
    environment: str
    pipeline: PipelineConfig
    policy: PolicyConfig
    suite: SuiteConfig | None
    names: NamesConfig
    source: Source
    others: Others = field(default_factory=dict)
    elsewhere: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A pipeline's files read and its columns decided; nothing is opened but the source's header and, for a
    database, the target's schema. ``target`` is None if that could not be reached."""

    project: Path
    pipeline: PipelineConfig
    names: NamesConfig
    source: Source
    decision: Decision
    target: Target | None
    standing: Standing = Standing()
    #: The targets of other pipelines that checks of the output compare with.
    others: Others = field(default_factory=dict)

    def other_table(self, check: CheckPlan, view: OutputView) -> tuple[Read, bool]:
        """What reads the other table of a check across tables, and whether that stays as it is."""
        return reader_of(check, view, self.pipeline.target, self.others)

    def raise_errors(self) -> None:
        """Raise what forbids this plan, all of it together."""
        raise_all(self.decision.errors)


@dataclass(frozen=True)
class Opened:
    """What a run holds open: the target, and the work with its keys."""

    target: Target
    work: Work
    recipient: str
    #: The recipient's private key as a store's key encrypted it, where the pipeline wants that.
    wrapped: Wrapped | None
    manifest_keys: tuple[bytes, ...]
    fingerprint_key: bytes = field(repr=False)
    active_key: int
    key_versions: Mapping[str, int]
    column_keys: Mapping[str, ColumnKey]


def load(
    project: Path,
    environment: str,
    name: str,
    session: Session,
    parameters: Mapping[str, Any] | None = None,
    listed: tuple[str, ...] = (),
) -> Loaded:
    """Read the pipeline's four files; their errors are raised together. ``parameters`` are the suite's; ``session``
    opens the login of a source that is a server, when it is asked for rows or columns; ``listed`` are the files of a
    pattern where a run has begun with them."""
    pipeline, policy, suite, names = _load(project, environment, name, parameters)
    source = source_of(pipeline, policy, names, session, listed)
    elsewhere = purposes_elsewhere(project, policy)
    others = others_of(project, environment, pipeline, suite) if suite else {}
    return Loaded(project, environment, pipeline, policy, suite, names, source, others, elsewhere)


def look(project: Path, environment: str, name: str) -> tuple[Loaded, SourceSchema]:
    """``load`` and look at the source's columns, for who wants to know what a policy does with them."""
    with Session(project) as session:
        loaded = load(project, environment, name, session)
        return loaded, loaded.source.schema()


def discovery_key(loaded: Loaded, files: tuple[FileIdentity, ...]) -> str | None:
    """A hash of all that decides a source's schema: its configuration, its files' sizes and times, this version. None
    for a database, whose columns nothing but itself can tell: one that was cached would hide a new column."""
    if not files:
        return None
    source = replace(loaded.pipeline.source, place=None)
    named = [*loaded.policy.columns, *loaded.policy.unsafe_keep, *loaded.pipeline.labels]
    parts = [__version__, repr(source), repr(named), source_fingerprint(files)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def source_of(
    pipeline: PipelineConfig, policy: PolicyConfig, names: NamesConfig, session: Session, listed: tuple[str, ...] = ()
) -> Source:
    """The pipeline's source; connects to nothing yet. ``listed`` as for ``load``."""
    return open_source(_with_expected(pipeline, policy, listed), address_of(session, names, pipeline.source.connection))


def resolve(loaded: Loaded, schema: SourceSchema, session: Session) -> Prepared:
    """Decide every column and look at the target; what the plan itself forbids stands in ``decision.errors``."""
    project, pipeline, names, source = loaded.project, loaded.pipeline, loaded.names, loaded.source
    decision = replace(decide_loaded(loaded, schema), not_secrets=not_secrets(project))
    if decision.errors:
        return Prepared(project, pipeline, names, source, decision, None, others=loaded.others)
    try:
        target = target_of(project, pipeline, names, decision.plan.output_schema, session)
        publish = target.inspect()
        added = target.added_columns() if pipeline.target.columns == "evolve" else ()
        standing = target.standing(pipeline.name) if decision.plan.incremental else Standing()
        raise_all(_short_lived(pipeline, names, session))
    except VeilError as error:
        found = (_at(part, pipeline.target.place) for part in error.parts)
        blocked = replace(decision, errors=(*decision.errors, *found))
        return Prepared(project, pipeline, names, source, blocked, None, others=loaded.others)
    plan = replace(decision.plan, target=replace(decision.plan.target, publish=publish, added=added))
    return Prepared(project, pipeline, names, source, replace(decision, plan=plan), target, standing, loaded.others)


def checkpoint_document(prepared: Prepared) -> dict[str, Any] | None:
    """Where an incremental pipeline would go on, and whether it could: a ``current`` checkpoint is one of this plan."""
    by, found = prepared.decision.plan.incremental, prepared.standing.checkpoint
    if by is None or found is None:
        return None
    return {"watermark": found.watermark, "current": found.meaning == by.meaning}


def _at(error: VeilError, place: Place | None) -> VeilError:
    """The error of a target with the place where the pipeline names it."""
    return type(error)(error.code, error.problem, error.hint, error.place or place)


def decide_loaded(loaded: Loaded, schema: SourceSchema, lengths: Mapping[str, int] | None = None) -> Decision:
    """Decide every column of a loaded pipeline; ``lengths`` are typical lengths, for the linter."""
    return decide(
        loaded.pipeline, loaded.policy, loaded.suite, loaded.names, schema, loaded.environment, publish=None,
        as_of=loaded.pipeline.as_of or today(), lengths=lengths, elsewhere=loaded.elsewhere,
    )  # fmt: skip


def prepare(
    project: Path,
    environment: str,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    session: Session | None = None,
) -> Prepared:
    """``load``, look at the source's header, ``resolve``: the plan, for who wants to see it. Who reads the source
    afterwards hands in the ``session``: what it issued would be gone with one of this call."""
    with nullcontext(session) if session else Session(project) as session:
        loaded = load(project, environment, name, session, parameters)
        return resolve(loaded, loaded.source.schema(), session)


def _short_lived(pipeline: PipelineConfig, names: NamesConfig, session: Session) -> list[VeilError]:
    """A credential that would die before the run must: the connection that holds the target's lock keeps its to the
    end, and so does the one that holds the source's snapshot."""
    seconds = pipeline.timeout_seconds
    if seconds is None:
        return []
    held = dict.fromkeys(filter(None, (pipeline.source.connection, pipeline.target.connection)))
    found = [short_lived(session, names, connection, seconds) for connection in held]
    return list({str(error): error for error in found if error is not None}.values())


def import_engines() -> None:
    """Import what takes long to import and nearly every run uses, for a caller that has to wait anyway."""
    import polars  # noqa: F401


def open_parts(prepared: Prepared, run_id: str, session: Session, key_version: int | None = None) -> Opened:
    """Open the key ring and derive what the plan needs; ``prepared`` must be free of errors.

    ``key_version`` is used in the place of the ring's active version; VEIL315 if it may not be.
    """
    assert prepared.target is not None
    plan = prepared.decision.plan
    ring = open_ring(session, prepared.names, plan.keyring)
    if key_version is not None:
        ring = ring.pinned(key_version)
    recipient, wrapped = _recipient(prepared, ring, session)
    work = work_for(plan, ring, prepared.pipeline.source.shown, run_id, SurrogateFiles(prepared.project))
    for by_use in work.keys.values():
        for key in by_use.values():
            remember_bytes(key.value)
    return Opened(
        target=prepared.target,
        work=work,
        recipient=recipient,
        wrapped=wrapped,
        manifest_keys=manifest_keys(ring, plan.pipeline),
        fingerprint_key=ring.derive("fingerprint", plan.pipeline).value,
        active_key=ring.active,
        key_versions=dict.fromkeys(work.keys, ring.active),
        column_keys={
            column.name: ColumnKey(ring.active, making(column))
            for column in plan.columns
            if column.key_domain and column.outcome == "load"
        },
    )


def quarantine_for(opened: Opened, directory: Path, run_id: str) -> Quarantine:
    """What a run holds its rows back in; ``directory`` is that of all runs."""
    in_target = None
    if opened.work.plan.held_in == "target":
        assert isinstance(opened.target, KeepsContainers)  # the pipeline's file is refused otherwise
        in_target = opened.target.containers(run_id)
    types = {column.name: column.type for column in opened.work.plan.columns}
    return Quarantine(directory, run_id, opened.recipient, opened.manifest_keys, opened.wrapped, in_target, types)


def _recipient(prepared: Prepared, ring: KeyRing, session: Session) -> tuple[str, Wrapped | None]:
    """Who can open the rows that this run holds back: whom the pipeline names, a key of this run that a store wraps, or
    the key ring."""
    pipeline = prepared.pipeline
    if pipeline.quarantine_wrapped_by is not None:
        return wrapped_recipient(session, prepared.names, *pipeline.quarantine_wrapped_by)
    own = age_identity(ring.derive("quarantine", pipeline.name).value)[1]
    return pipeline.quarantine_recipient or own, None


def planned_key_versions(prepared: Prepared, session: Session) -> dict[str, int]:
    """The key version of each key domain, as a run would use it now: opens the key ring, and derives nothing."""
    domains = {column.key_domain for column in prepared.decision.plan.columns if key_uses(column.steps)}
    ring = open_ring(session, prepared.names, prepared.decision.plan.keyring)
    return dict.fromkeys(sorted(filter(None, domains)), ring.active)


def manifest_keys(ring: KeyRing, pipeline: str) -> tuple[bytes, ...]:
    """What binds a quarantine's manifest, the active version first."""
    return tuple(ring.derive("fingerprint", pipeline, version, opening=True).value for version in ring.versions)


def work_for(plan: Plan, ring: KeyRing, source: str, run_id: str, surrogates: Surrogates | None = None) -> Work:
    """The plan with its derived keys: the same for runs, previews and on-demand anonymisation, whose surrogates are
    forgotten with their key."""
    keys: dict[str, dict[str, DerivedKey]] = {}
    for column in plan.columns:
        for use in key_uses(column.steps):
            assert column.key_domain is not None
            keys.setdefault(column.key_domain, {})[use] = ring.derive(use, column.key_domain)
    fingerprint = ring.derive("fingerprint", plan.pipeline).value
    checker = open_checker(plan.checks, plan.source_columns) if plan.checks else None
    return Work(
        plan, keys, checker, lambda rows: digest(fingerprint, rows), source, run_id, surrogates or SurrogateMemory()
    )


def _load(
    project: Path, environment: str, name: str, parameters: Mapping[str, Any] | None
) -> tuple[PipelineConfig, PolicyConfig, SuiteConfig | None, NamesConfig]:
    """All four files; their errors are reported together."""
    problems: list[VeilError] = []

    def collect(load: Callable[[], T]) -> T | None:
        try:
            return load()
        except VeilError as error:
            problems.append(error)
            return None

    names = collect(lambda: check_kinds(load_names(project, environment)))
    pipeline = collect(lambda: load_pipeline(project, name, environment))
    policy = suite = None
    if pipeline is not None:
        policy_name, suite_name = pipeline.policy, pipeline.expectations
        policy = collect(lambda: load_policy(project, policy_name))
        if suite_name is not None:
            suite = collect(lambda: load_suite(project, suite_name, parameters))
        elif parameters:
            problems.append(
                VeilError("VEIL200", "parameters are given, and the pipeline has no suite", "leave --param out")
            )
    raise_all(problems)
    assert pipeline is not None and policy is not None and names is not None
    return pipeline, policy, suite, names


def _with_expected(pipeline: PipelineConfig, policy: PolicyConfig, listed: tuple[str, ...]) -> SourceConfig:
    """A source without a header learns from the rules of exact names and from ``columns:`` which columns to expect."""
    named = [*policy.columns, *policy.unsafe_keep, *pipeline.source.types, *pipeline.labels]
    # One name is the path itself, which needs no list.
    files = listed if listed != (pipeline.source.shown,) else ()
    return replace(pipeline.source, expected=tuple(dict.fromkeys(named)), listed=files)


def address_of(session: Session, names: NamesConfig, connection: str | None) -> Callable[[], Secret] | None:
    """What gives a connection's address with its current login."""
    return None if connection is None else lambda: connection_url(session, names, known_connection(names, connection))


def target_of(
    project: Path, pipeline: PipelineConfig, names: NamesConfig, schema: pa.Schema, session: Session
) -> Target:
    """The pipeline's target for rows of ``schema``; connects to nothing yet."""
    config = pipeline.target
    connection = config.connection
    return open_target(
        kind=config.kind,
        table=config.table,
        mode=config.mode,
        key=config.key,
        delete=config.delete,
        again=config.again,
        evolve=config.columns == "evolve",
        holds=pipeline.quarantine_store == "target",
        schema=schema,
        path=config.path,
        url=address_of(session, names, connection),
        lock_directory=project / ".veil" / "locks",
        terms=config.terms,
    )
