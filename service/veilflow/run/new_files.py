"""Which files of a pattern are new: those whose name and state, under a key, are not in the pipeline's checkpoint.

A file of another name is one that was renamed, and not new, where size, time and content are those of a file that was
read and whose name is gone; beside that file it is a copy, with rows of its own. The checkpoint tells nobody a file's
name or content without the key, and stays under the key that it began with.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace

from veilflow.errors import VeilError
from veilflow.model import Checkpoint, FileIdentity, Increment, Plan, Source, Standing
from veilflow.run.request import Request

_SHOWN = 3
#: In a checkpoint, whose entries are never taken out: the state of a name whose file has another one by now.
_FREE = ""


def begin_files(
    plan: Plan, standing: Standing, source: Source, files: Sequence[FileIdentity], keys: Sequence[bytes], request: Request
) -> Increment:  # fmt: skip
    """The files that a new run reads. VEIL328 where one changed after it was read and the pipeline does not say what
    then, or where the checkpoint's key is gone. ``keys`` are those of the key ring, the active one first."""
    if request.since is not None or request.until is not None:
        raise VeilError("VEIL200", "--since and --until are for a column", "`--full` reads every file once more")
    checkpoint = standing.checkpoint
    key = keys[0] if checkpoint is None or request.full else _key_of(checkpoint, keys)
    read = {} if checkpoint is None or request.full else checkpoint.files
    known = {name: state for name, state in read.items() if state != _FREE}
    states = _states(files, source.fingerprints(key), key)
    _refuse_changed(plan, files, known, states)
    renamed = _renamed(known, states)
    chosen = {
        file.name: (name, state)
        for file, (name, state) in zip(files, states.items(), strict=True)
        if known.get(name) != state and name not in renamed
    }
    return Increment(
        window=None,
        before=None if checkpoint is None else replace(checkpoint, files={}),
        moves=True,
        files=renamed | dict(chosen.values()),
        key=_name_of(key),
        chosen=tuple(chosen),
        files_read=len(chosen),
        files_skipped=len(files) - len(chosen),
    )


def _key_of(checkpoint: Checkpoint, keys: Sequence[bytes]) -> bytes:
    for key in keys:
        if checkpoint.key is not None and hmac.compare_digest(_name_of(key), checkpoint.key):
            return key
    raise VeilError(
        "VEIL328", "the key under which the checkpoint knows its files is no longer in the key ring",
        "with `mode: merge`, `veil run --full` reads every file again; with append drop the table",
    )  # fmt: skip


def _refuse_changed(
    plan: Plan, files: Sequence[FileIdentity], known: Mapping[str, str], states: Mapping[str, str]
) -> None:
    assert plan.incremental is not None
    changed = [
        file.name for file, (name, state) in zip(files, states.items(), strict=True) if known.get(name, state) != state
    ]
    if not changed or plan.incremental.changed_files == "load":
        return
    more = f" and {len(changed) - _SHOWN:,} more" if len(changed) > _SHOWN else ""
    raise VeilError(
        "VEIL328", f"changed after it was loaded: {', '.join(changed[:_SHOWN])}{more}",
        "put new rows into files of their own; with `mode: merge`, `changed_files: load` loads such a file again",
    )  # fmt: skip


def _renamed(known: Mapping[str, str], states: Mapping[str, str]) -> dict[str, str]:
    """What the checkpoint learns of renamed files: their state under the new name, and that the old one is free."""
    gone: dict[str, list[str]] = {}
    for name, state in known.items():
        if name not in states:
            gone.setdefault(state, []).append(name)
    learnt: dict[str, str] = {}
    for name, state in states.items():
        if name not in known and gone.get(state):
            learnt |= {name: state, gone[state].pop(): _FREE}
    return learnt


def _states(files: Sequence[FileIdentity], fingerprints: Sequence[str], key: bytes) -> dict[str, str]:
    """A digest of each file's size, time and content, under one of its name."""
    return {
        _digest(key, file.name): _digest(key, "\0".join(map(str, (*file.state, content))))
        for file, content in zip(files, fingerprints, strict=True)
    }


def _name_of(key: bytes) -> str:
    return _digest(key, "")


def _digest(key: bytes, text: str) -> str:
    return hmac.new(key, f"incremental\0{text}".encode(), hashlib.sha256).hexdigest()[:32]
