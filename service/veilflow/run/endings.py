"""How a run ends: what an exception tells (a status and a place in the code, never its text), and what is left staged."""

from __future__ import annotations

import signal
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import Receipt, Status, Target
from veilflow.run.stage import Interrupted


def status_of(error: VeilError) -> Status:
    """How a run ends that this error ends."""
    return "refused" if error.exit_status in (2, 3) else "failed"


def signal_status(error: BaseException) -> int:
    """The exit status of a run that a signal ended: 128 + its number, which an orchestrator's exception calls
    ``signal``; Ctrl-C where nothing tells it."""
    if isinstance(error, Interrupted):
        return error.status
    return 128 + int(getattr(error, "signal", signal.SIGINT))


def origin(error: BaseException) -> str:
    """Module and line where an exception came from: places in code, never its text."""
    trace = error.__traceback__
    place = "?"
    while trace is not None:
        module: Any = trace.tb_frame.f_globals.get("__name__", "?")
        if str(module).startswith("veilflow"):
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def receipts_or_none(target: Target) -> dict[int, Receipt] | None:
    """What is staged; None where the target cannot be asked."""
    try:
        return target.receipts()
    except VeilError:
        return None


def discard(target: Target) -> None:
    """Drop the staging if the target can still be reached; the next run's ``open`` drops it otherwise."""
    try:
        target.discard()
    except VeilError:
        return
