"""What an exception tells of the end of a run: a status and a place in the code, never its text."""

from __future__ import annotations

import signal
from typing import Any

from veilflow.run.stage import Interrupted


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
