"""What a person does to runs from outside: stop one that is alive, remove what dead ones left in the targets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilflow.config import load_names, load_pipeline
from veilflow.errors import VeilError
from veilflow.run.books import close_the_dead
from veilflow.run.prepare import target_of
from veilflow.secret_stores.session import Session
from veilflow.state import Holder, State

_SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was done for one pipeline: the runs whose staging was removed, or why nothing was."""

    pipeline: str
    removed: tuple[str, ...] = ()
    skipped: VeilError | None = None


def cancel(project: Path, run_id: str, patience_seconds: float) -> dict[str, Any]:
    """Ask the process of a run to stop, wait until it has, and return the run's document as it is then.

    VEIL325 if no process of this machine is at it, VEIL407 if it is still alive after ``patience_seconds``.
    """
    state = State(project)
    document = state.run(run_id)[0]
    holder = state.holder(document["pipeline"])
    if document["status"] != "running" or holder is None or holder.run_id != document["run_id"]:
        ended = document["status"] if document["status"] != "running" else "its process is dead"
        raise VeilError(
            "VEIL325", f"the run cannot be cancelled: {ended}",
            f"`veil runs resume {document['run_id']}` goes on with one that did not end, `veil runs clean` removes what it left",
        )  # fmt: skip
    _ask_to_stop(holder)
    end = time.monotonic() + patience_seconds
    while state.holder(document["pipeline"]) == holder:
        if time.monotonic() > end:
            raise VeilError(
                "VEIL407", f"the run has not stopped within {patience_seconds:g} seconds",
                "it finishes the chunk or the publishing that it is at: look again with `veil runs show`",
            )  # fmt: skip
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return state.run(document["run_id"])[0]


def _ask_to_stop(holder: Holder) -> None:
    if holder.host != os.uname().nodename:
        raise VeilError("VEIL325", f"the run is carried out on {holder.host}", "cancel it there")
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it ended by itself just now
    except PermissionError:
        raise VeilError(
            "VEIL325", "the run's process belongs to another user", "cancel it as that user, or as root"
        ) from None


def clean(project: Path, environment: str, pipelines: Iterable[str], session: Session) -> list[Cleaned]:
    """Remove the staging that dead runs left in each pipeline's target, and close their records.

    A pipeline that is running, or whose target cannot be reached, is skipped with the reason.
    """
    return [_clean(project, environment, name, session) for name in pipelines]


def _clean(project: Path, environment: str, name: str, session: Session) -> Cleaned:
    state = State(project)
    try:
        with state.lock(name):
            pipeline, names = load_pipeline(project, name, environment), load_names(project, environment)
            target = target_of(project, pipeline, names, pa.schema([]), session)
            try:
                removed = target.clean()
                close_the_dead(state, name, target)
            finally:
                target.close()
    except VeilError as error:
        return Cleaned(name, skipped=error)
    return Cleaned(name, removed)
