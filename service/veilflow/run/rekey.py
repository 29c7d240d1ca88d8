"""A run over the published table itself: its pseudonyms are opened under the key version that made them, and made anew.

The steps are those of every run, and the plan is the pipeline's: only its source is another one, and columns without a
key stay as the table has them. Opened values are in memory only: a re-key holds no row back, it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from veilflow.errors import Place, VeilError, raise_all
from veilflow.keys import KeyRing
from veilflow.model import (
    BEGINNING,
    Chunk,
    ColumnKey,
    ColumnPlan,
    ColumnType,
    FileIdentity,
    Limit,
    Plan,
    Slice,
    Source,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
    Target,
    type_name,
)
from veilflow.plan.meaning import digest, making
from veilflow.redaction import remember_bytes
from veilflow.run.keyring import open_ring
from veilflow.run.prepare import Loaded, Prepared, address_of
from veilflow.run.treat import Keys
from veilflow.secret_stores.session import Session
from veilflow.sources import open_published
from veilflow.state import State
from veilflow.targets.metadata import refuse_other_versions
from veilflow.treatments import Context, key_uses, make_step
from veilflow.treatments.opening import keyed_part, opened, why_closed

#: DuckDB's file cannot be read while the staging is written, and a file keeps no key version.
KINDS = ("sqlite", "postgresql", "mariadb")


class Rekey:
    """What makes a run a re-key. ``left_key_versions`` are those that it leaves, by key domain, once it is prepared."""

    parent_run: str | None = None
    waived: None = None

    def __init__(self, key_version: int | None = None) -> None:
        self._key_version = key_version
        self.left_key_versions: Mapping[str, int] | None = {}

    def refuse(self, _state: State) -> None:
        """Whatever is to be said against it, ``prepared`` has said."""

    def loaded(self, loaded: Loaded) -> Loaded:
        """The pipeline as one that replaces its table."""
        pipeline = loaded.pipeline
        if pipeline.target.kind not in KINDS:
            raise _refusal(
                f"a target of kind {pipeline.target.kind} cannot be re-keyed",
                f"load it anew: `veil run {pipeline.name}`",
            )
        target = replace(
            pipeline.target, mode="replace", key=(), delete=False, again=True, on_refused_row="refuse", columns="freeze"
        )
        limit = Limit(rows=0)
        changed = replace(pipeline, target=target, max_quarantined=limit, allow_empty=True, incremental=None)
        return replace(loaded, pipeline=changed)

    def prepared(self, prepared: Prepared, session: Session) -> Prepared:
        """The plan over the table; VEIL331 or 315, for all columns together, where it cannot be re-keyed."""
        prepared.raise_errors()
        assert prepared.target is not None
        plan, there = prepared.decision.plan, prepared.target.column_keys()
        ring = open_ring(session, prepared.names, plan.keyring)
        wanted = ring.pinned(self._key_version).active if self._key_version is not None else ring.active
        raise_all(obstacles(plan, there))
        _refuse_nothing_to_do(plan, there, wanted)
        keyed = [column for column in plan.columns if column.name in there]
        self.left_key_versions = {str(column.key_domain): there[column.name].version for column in keyed}
        openers = {column.name: _Opener.of(column, ring, there[column.name].version) for column in keyed}
        config = _table_config(prepared)
        stored = open_published(config, address_of(session, prepared.names, config.connection))
        _refuse_others(stored.schema(), plan)
        source = PublishedTable(stored, prepared.target, openers, plan)
        rekeyed = replace(
            plan, columns=tuple(_column(column, openers) for column in plan.columns if column.outcome == "load"),
            checks=tuple(check for check in plan.checks if check.stage == "output"), filters=(), on_bad_row="refuse", plan_hash=digest(["rekey", plan.plan_hash]),
        )  # fmt: skip
        pipeline = replace(prepared.pipeline, source=config)
        decision = replace(prepared.decision, plan=rekeyed)
        return replace(prepared, source=source, pipeline=pipeline, decision=decision)


# --- what is in the way ------------------------------------------------------------------


def obstacles(plan: Plan, there: Mapping[str, ColumnKey]) -> list[VeilError]:
    """VEIL331 for each column whose pseudonyms cannot be opened again, or not for sure; empty if all can."""
    again = f"load the table anew: `veil run {plan.pipeline}` with `mode: replace`"
    if plan.target.kind not in KINDS or not there:
        return [_refusal(f'the table "{plan.target.table}" holds no pseudonym of a key version that is known', again)]
    loaded = {column.name: column for column in plan.columns if column.outcome == "load" and column.key_domain}
    problems = [_refusal(f'column "{name}" is not one of the plan\'s pseudonyms', again) for name in sorted(there.keys() - loaded)]  # fmt: skip
    for name, column in loaded.items():
        if closed := why_closed(column.steps):
            problem = f'column "{name}" cannot be opened: {closed}'
        elif name not in there or there[name].making != making(column):
            problem = f'the pseudonyms of column "{name}" were made by other treatments than the policy says now'
        else:
            continue
        problems.append(VeilError("VEIL331", problem, again, column.rule))
    return problems


def refuse_beside_others(plan: Plan, target: Target, keys: Mapping[str, ColumnKey]) -> None:
    """VEIL313 before a row is read; the hint names the re-key where it is possible. The publishing transaction looks
    again."""
    if plan.target.mode == "replace":
        return
    there = target.column_keys()
    rekey = f"`veil keys rekey {plan.pipeline}` takes the table to the active version; "
    refuse_other_versions(keys, there, "" if obstacles(plan, there) else rekey)


def _refuse_nothing_to_do(plan: Plan, there: Mapping[str, ColumnKey], wanted: int) -> None:
    if all(key.version == wanted for key in there.values()):
        raise _refusal(
            f'the table "{plan.target.table}" is under version {wanted} already', "`veil keys list` shows the versions"
        )


def _refuse_others(schema: SourceSchema, plan: Plan) -> None:
    """A column of somebody else's would be lost with the rows that are replaced."""
    others = {column.name for column in schema.columns} - set(plan.output_schema.names)
    if others:
        listed = ", ".join(f'"{name}"' for name in sorted(others))
        raise _refusal(
            f'the table "{plan.target.table}" has columns that the plan does not load: {listed}',
            "re-key a table without them",
        )


def _refusal(problem: str, hint: str) -> VeilError:
    return VeilError("VEIL331", problem, hint)


# --- the table as a source ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Opener:
    """Gives a column's values again; ``type`` is theirs."""

    column: ColumnPlan
    version: int
    keys: Keys
    type: ColumnType

    @staticmethod
    def of(column: ColumnPlan, ring: KeyRing, version: int) -> _Opener:
        """VEIL315 if the version's key is gone."""
        domain = str(column.key_domain)
        keys = {use: ring.derive(use, domain, version, opening=True) for use in key_uses(column.steps)}
        for key in keys.values():
            remember_bytes(key.value)
        kind = opened(pa.array([], column.output), column.steps, Context(keys=keys)).type
        return _Opener(column, version, {domain: keys}, ColumnType(type_name(kind, "text"), kind))

    def open(self, values: pa.Array, table: str) -> pa.Array:
        """VEIL331 for a value that this version did not make: somebody else wrote it."""
        context = Context(keys=self.keys[str(self.column.key_domain)])
        try:
            return opened(values, self.column.steps, context).cast(self.type.arrow)
        except Exception as error:  # noqa: BLE001  # whatever it is, its text may quote the value
            kind = type(error).__name__
        raise VeilError(
            "VEIL331", f'{table}: column "{self.column.name}" holds a value that version {self.version} did not make ({kind})',
            "somebody else wrote into the table: load it anew with `mode: replace`", self.column.rule,
        )  # fmt: skip


class PublishedTable:
    """The target's table as it is published, with its pseudonyms opened; every other column as it stands there."""

    def __init__(self, stored: Source, target: Target, openers: Mapping[str, _Opener], plan: Plan) -> None:
        self._stored, self._target, self._openers, self._plan = stored, target, openers, plan

    def files(self) -> tuple[FileIdentity, ...]:
        """The table, its rows in the place of a size: who adds or deletes rows meanwhile is noticed."""
        return (FileIdentity(self._plan.target.table, self._target.published_rows(), 0),)

    def schema(self) -> SourceSchema:
        return SourceSchema(self._plan.source_columns)

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        """A re-key is not resumed."""
        return ("",)

    def slices(self, _columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        stored = [SourceColumn(column.name, _stored_type(column)) for column in self._plan.columns if column.outcome == "load"]  # fmt: skip
        for piece in self._stored.slices(stored, chunk_rows, start):
            yield _Opened(piece, self._openers, self._plan.target.table)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A slice of the table whose pseudonyms are opened when it is read."""

    stored: Slice
    openers: Mapping[str, _Opener]
    table: str

    @property
    def number(self) -> int:
        return self.stored.number

    @property
    def bookmark(self) -> int | None:
        return None

    def read(self) -> Chunk:
        chunk = self.stored.read()
        if chunk.rejected or chunk.bad_cells:
            raise _refusal(
                f"{self.table} holds a value that is not of its column's type",
                "load the table anew with `mode: replace`",
            )
        names = chunk.values.schema.names
        values = pa.RecordBatch.from_arrays(
            [
                self.openers[name].open(column, self.table) if name in self.openers else column
                for name, column in zip(names, chunk.values.columns, strict=True)
            ],
            names=names,
        )
        return replace(chunk, raw=values, values=values)


def _table_config(prepared: Prepared) -> SourceConfig:
    target, plan = prepared.pipeline.target, prepared.decision.plan
    return SourceConfig(
        kind=target.kind, path=target.path or Path(), shown=target.shown, table=target.table,
        connection=target.connection, place=target.place,
        types={column.name: _stored_type(column) for column in plan.columns if column.outcome == "load"},
    )  # fmt: skip


def _stored_type(column: ColumnPlan) -> ColumnType:
    return ColumnType(type_name(column.output, "text"), column.output)


def _column(column: ColumnPlan, openers: Mapping[str, _Opener]) -> ColumnPlan:
    """The column as this run treats it: the keyed part again, or as it stands."""
    if column.name in openers:
        return replace(column, type=openers[column.name].type, steps=keyed_part(column.steps))
    keep = make_step("keep", {}, column.rule or Place(column.name))
    reason = f"it stays as the table has it: {column.treatment}"
    return replace(column, type=_stored_type(column), steps=(keep,), reason=reason)


__all__ = ["KINDS", "PublishedTable", "Rekey", "obstacles", "refuse_beside_others"]
