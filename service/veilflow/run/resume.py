"""Going on with a run that did not end: what it needs to be the same run, and what refuses it.

A resumed run keeps its id, for treatments and receipts are made under it. Refusing changes nothing: the record and
the staging stay, so that whoever puts a file back can resume after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import BEGINNING, FileIdentity, Receipt, Slice
from veilflow.run.books import Beginning
from veilflow.run.chunk import process
from veilflow.run.prepare import Opened, Prepared
from veilflow.run.request import Request
from veilflow.run.result import counts_of
from veilflow.run.stage import parts_of, start_behind
from veilflow.state import State


@dataclass(frozen=True, slots=True)
class Resumed:
    """The record of a run that is gone on with."""

    document: Mapping[str, Any]
    beginning: Beginning

    @property
    def run_id(self) -> str:
        return str(self.document["run_id"])


def request_to_resume(project: Path, run_id: str, began: float | None = None) -> Request:
    """The request of a recorded run, by its id, a unique beginning of it, or ``last``. VEIL325 if it has ended."""
    state = State(project)
    document = state.run(run_id)[0]
    resumed = read(state, document["run_id"])
    return Request(
        project, document["environment"], document["pipeline"], began,
        resumed.beginning.parameters, document.get("pinned_key_version"), resumes=resumed.run_id,
    )  # fmt: skip


def read(state: State, run_id: str) -> Resumed:
    """The run's record. VEIL325 if it is not one to go on with."""
    document = state.run(run_id)[0]
    beginning = state.beginning(run_id)
    if document["status"] not in ("interrupted", "running") and not document.get("resumable"):
        raise refusal(f"it has ended: {document['status']}")
    varied = document["parent_run"] is not None or document.get("left_key_versions") is not None
    if varied or document.get("dry_run"):
        raise refusal("only a run of its own pipeline that was to publish can be gone on with")
    if beginning is None:
        raise refusal("it ended before anything was fixed")
    return Resumed(document, Beginning.parse(beginning))


def refusal(why: str) -> VeilError:
    """VEIL325."""
    return VeilError("VEIL325", f"the run cannot be resumed: {why}", "start a new one: `veil run PIPELINE`")


def refuse_if_overtaken(state: State, resumed: Resumed) -> None:
    """VEIL325 if another run of the pipeline has published since: publishing this one now would undo or repeat it."""
    for document in state.published_since(resumed.document["pipeline"], resumed.document["started"]):
        if document["run_id"] != resumed.run_id:
            raise refusal(f"the run {document['run_id']} of the same pipeline has published since")


def refuse_if_changed(resumed: Resumed, prepared: Prepared, opened: Opened, files: tuple[FileIdentity, ...]) -> None:
    """VEIL310 for another source, VEIL325 for another plan, VEIL313 for other key versions than at the beginning."""
    beginning, before = resumed.beginning, resumed.document
    for was, now in zip_longest(beginning.files, files):
        if was != now:
            raise _other_source((was or now).name)
    if prepared.decision.plan.plan_hash != before["plan_hash"]:
        raise refusal("pipeline, policy or suite are others than when it began")
    if opened.active_key != beginning.active_key or dict(opened.key_versions) != dict(before["key_versions"]):
        raise VeilError(
            "VEIL313", "the key ring has other active versions than when the run began: half of the rows would not match",
            "start a new run, or pin the key version",
        )  # fmt: skip
    fingerprints = prepared.source.fingerprints(opened.fingerprint_key)
    for file, was, is_now in zip(files, beginning.fingerprints, fingerprints, strict=True):
        if was != is_now:
            raise _other_source(file.name)


def _other_source(file: str) -> VeilError:
    return VeilError(
        "VEIL310", f"{file} is not what it was when the run began",
        "put the file back and resume, or start a new run",
    )  # fmt: skip


def staged(opened: Opened, prepared: Prepared) -> dict[int, Receipt]:
    """The receipts of what is staged, after they were held against it.

    VEIL502 if the staging has other rows than they say; VEIL325 if the last chunk, read and treated again, does not
    give the digest of its receipt.
    """
    receipts = opened.target.receipts()
    if not receipts:
        return {}
    counted, expected = opened.target.staged_rows(), counts_of(receipts.values()).loaded
    if counted != expected:
        raise VeilError(
            "VEIL502", f"the staging table holds {counted} rows, the receipts say {expected}",
            "somebody else writes to the staging: start a new run, which drops it",
        )  # fmt: skip
    _same_again(receipts, opened, prepared)
    return receipts


def _same_again(receipts: Mapping[int, Receipt], opened: Opened, prepared: Prepared) -> None:
    """Of a database, whose rows nothing else vouches for, the last chunk of each run of chunks; of files one."""
    plan = prepared.decision.plan
    with parts_of(prepared.source, plan.source_columns, plan.chunk_rows) as parts:
        begun = [part for part in parts if part.begins.number in receipts]
        if not prepared.source.files():
            ends = {number for number in receipts if number + 1 not in receipts}
            _again(parts[0].slices(BEGINNING), ends, receipts, opened)
        elif begun:
            last = start_behind(receipts, begun[-1].begins).number - 1
            earlier = {number: receipt for number, receipt in receipts.items() if number < last}
            _again(begun[-1].slices(start_behind(earlier, begun[-1].begins)), {last}, receipts, opened)


def _again(pieces: Iterable[Slice], wanted: set[int], receipts: Mapping[int, Receipt], opened: Opened) -> None:
    """Read and treat the chunks of these numbers, and hold what they are now against their receipts."""
    left = set(wanted)
    for piece in pieces:
        if piece.number in left:
            left.discard(piece.number)
            if process(piece.read(), opened.work).receipt.digest != receipts[piece.number].digest:
                raise refusal("a chunk that is staged would come out otherwise now")
        if not left:
            return
    raise refusal("the source ends before what is staged")
