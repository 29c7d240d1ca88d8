"""A run over rows in quarantine: the same plan and steps, with the rows that an earlier run held back as its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    CheckPlan,
    Chunk,
    FileIdentity,
    Mode,
    RejectedRow,
    Slice,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
    Waived,
)
from veilflow.quarantine import FILE, POSITION, RAW, REASONS, Held, recorded_types
from veilflow.run.prepare import Loaded, Prepared
from veilflow.secret_stores.session import Session
from veilflow.sources.arrow_types import column_type
from veilflow.sources.rows import cast_chunk
from veilflow.state import State

_OURS = (POSITION, FILE, REASONS, RAW)
_PUBLISHED = ("succeeded", "published_unreported")


@dataclass(frozen=True)
class Replay:
    """What makes a run a replay.

    The rows are added to the table of their run, also where the pipeline replaces it. Shares of failing rows and
    limits are about whole sources, so here they refuse nothing: a row that fails again is held back again, in this run.
    """

    parent_run: str
    held: Held
    identities: tuple[str, ...]
    waived: Waived | None = None
    left_key_versions: Mapping[str, int] | None = None

    def refuse(self, state: State) -> None:
        """VEIL322 if the rows are in the table already."""
        refuse_replay(state, self.parent_run)

    def loaded(self, loaded: Loaded) -> Loaded:
        """The pipeline with the quarantine as its source."""
        pipeline = loaded.pipeline
        refuse_later_runs(self.held, pipeline.target.mode, State(loaded.project), self.parent_run)
        source = QuarantineSource(self.held, self.identities, pipeline.source)
        # A merge goes on merging, and must not delete who is not among these few rows.
        mode: Mode = "merge" if pipeline.target.mode == "merge" else "append"
        target = replace(pipeline.target, mode=mode, delete=False)
        changed = replace(pipeline, target=target, max_quarantined=None, allow_empty=True, incremental=None)
        return replace(loaded, source=source, pipeline=changed)

    def prepared(self, prepared: Prepared, _session: Session) -> Prepared:
        """The plan with its checks as a replay judges them."""
        plan = prepared.decision.plan
        waived = _waived(plan.checks, self.waived) if self.waived is not None else ()
        # What is about the whole source cannot be said of the few rows that were held back.
        rows = [check for check in plan.checks if check.kind == "row" or check.stage == "output"]
        checks = tuple(_judged_again(check, check in waived) for check in rows)
        return replace(prepared, decision=replace(prepared.decision, plan=replace(plan, checks=checks)))


def _waived(checks: Sequence[CheckPlan], meant: Waived) -> tuple[CheckPlan, ...]:
    """The checks that are meant: one, or one at each stage. VEIL207 if there is none, or there are several."""
    named = [check for check in checks if check.type == meant.expectation and meant.column in (None, check.column)]
    stages = {check.stage for check in named}
    wanted = meant.stage or ("source" if "source" in stages else "output")
    found = tuple(check for check in named if wanted in ("both", check.stage))
    if found and len(found) == len({check.stage for check in found}):
        return found
    listed = ", ".join(f"{one.type} --column {one.column!r} --stage {one.stage}" for one in (named or checks))
    raise VeilError(
        "VEIL207", "several checks have this expectation" if found else "the pipeline has no such check",
        f"name one: {listed or 'none'}",
    )  # fmt: skip


def _judged_again(check: CheckPlan, waived: bool) -> CheckPlan:
    """A waived check still counts its rows, and lets them pass."""
    if waived:
        return replace(check, on_fail="warn")
    return replace(check, mostly=0.0) if check.on_fail == "quarantine" else check


def published(document: Mapping[str, Any]) -> bool:
    """Whether a run changed its table."""
    return document["status"] in _PUBLISHED and not document.get("dry_run")


def version_to_join(state: State, document: Mapping[str, Any]) -> int | None:
    """The key version of the table that a run's rows join: that of the newest run that has published it, which may not
    be the active one. None where the table holds no pseudonym."""
    published = state.published_since(document["pipeline"], document["started"])
    newest = max(published, key=lambda run: str(run["run_id"]), default=document)
    return next(iter(newest["key_versions"].values()), None)


def refuse_replay(state: State, parent_run: str) -> None:
    """VEIL322 if the rows are in the table already: a second replay would load them twice."""
    replay = state.replays().get(parent_run)
    if replay is not None:
        raise VeilError(
            "VEIL322", f"the rows of run {parent_run} were replayed by run {replay}",
            f"what failed again is held by that run: veil quarantine replay {replay}",
        )  # fmt: skip


def refuse_later_runs(held: Held, mode: str, state: State, parent_run: str) -> None:
    """VEIL322 where replaying would make no sense, or mix two states of a source."""
    document, _plan = state.run(parent_run)
    if not held.kept:
        raise VeilError("VEIL322", f"run {parent_run} holds back no row any more", "`veil quarantine list` shows what is there")  # fmt: skip
    if not published(document):
        raise VeilError(
            "VEIL322", f"run {parent_run} published nothing, so there is no table that its rows could join",
            f"repair what refused it and run the pipeline again: veil run {document['pipeline']}",
        )  # fmt: skip
    refuse_replay(state, parent_run)
    newer = state.next_published(document["pipeline"], parent_run) if mode in ("replace", "merge") else None
    if newer is not None:
        raise VeilError(
            "VEIL322", f"run {newer} has published since; rows of an older source would stand beside its, or over them",
            f"look at what that run held back: veil quarantine list; these rows stay until `veil quarantine purge {parent_run}`",
        )  # fmt: skip


class QuarantineSource:
    """The rows of one run's quarantine, one slice a file, at the positions that they had in their source."""

    def __init__(self, held: Held, identities: Sequence[str], config: SourceConfig) -> None:
        self._held, self._identities, self._config = held, tuple(identities), config

    def files(self) -> tuple[FileIdentity, ...]:
        """The containers that are kept; when they were written is no matter, each is held against its digest when it is
        read."""
        held = self._held
        sizes = [(entry.file, len(held.containers.read(entry.file))) for entry in held.kept]
        return tuple(FileIdentity(f"{held.run_id}/{name}", size, 0) for name, size in sizes)

    def schema(self) -> SourceSchema:
        """The columns as they were read, with the types that the pipeline declares now, else those that their source knew."""
        _entry, table = next(self._held.tables(self._identities))
        fields = [field for field in table.schema if field.name not in _OURS]
        plain = {field.name: column_type(field.type) for field in fields}
        types = {**plain, **recorded_types(table), **self._config.types}
        return SourceSchema(tuple(SourceColumn(field.name, types[field.name]) for field in fields))

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        """A replay is not resumed."""
        return ()

    def slices(self, columns: Sequence[SourceColumn], _chunk_rows: int, _start: Start = BEGINNING) -> Iterator[Slice]:
        """One slice a file, whatever the chunk size: a receipt then stands for a file."""
        for number, (_entry, table) in enumerate(self._held.tables(self._identities)):
            yield _Kept(number, table, columns)


@dataclass(frozen=True)
class _Kept:
    number: int
    table: pa.Table
    columns: Sequence[SourceColumn]
    bookmark: int | None = None

    def read(self) -> Chunk:
        """The rows with columns, and those that never had any: their bytes can only be held back again."""
        raw = self.table.column(RAW)
        unreadable = self.table.filter(raw.is_valid())
        table = self.table.filter(raw.is_null()).combine_chunks()
        rejected = [
            RejectedRow(row[POSITION], (row[REASONS] or ["it could not be read"])[0], row[RAW])
            for row in unreadable.select(list(_OURS)).to_pylist()
        ]
        positions = table.column(POSITION).to_numpy().astype(np.int64)
        plain = table.drop_columns(list(_OURS)).replace_schema_metadata(None)
        batches = plain.to_batches()
        batch = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=plain.schema)
        # The rows of one chunk are of one file.
        file = self.table.column(FILE)[0].as_py() if self.table.num_rows else None
        return replace(cast_chunk(self.number, batch, positions, rejected, self.columns), file=file)


__all__ = ["QuarantineSource", "Replay", "refuse_later_runs", "refuse_replay", "version_to_join"]
