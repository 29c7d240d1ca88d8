"""Trying again after a fault that passes, in a run that goes on: a deadlock, a server that restarts, a cut connection."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from veilflow.errors import PassingFault

T = TypeVar("T")

#: Half a minute in all: a server that restarts, or hands over to another, is back by then. After that the run ends, and
#: can be resumed.
_DELAYS_SECONDS = (0.1, 0.3, 1.0, 3.0, 6.0, 10.0, 10.0)
#: Attempts may themselves wait, for a lock: none begins so long after the first fault.
_LAST_BEGINS_SECONDS = 30.0
#: A statement that took too long would take as long again.
_NOT_AGAIN = ("VEIL409",)


def persistently(do: Callable[[], object], done: Callable[[], bool], stopped: Callable[[float], object]) -> None:
    """Carry ``do`` out; after a PassingFault wait, and unless it is ``done`` all the same, carry it out again.

    ``done`` asks over a new connection, after whatever the lost one was at has ended. ``stopped`` waits so many seconds
    and tells whether to give up. Raises the last fault.
    """
    failed_at: float | None = None
    for delay in (*_DELAYS_SECONDS, None):
        try:
            if failed_at is None or not done():
                do()
            return
        except PassingFault as fault:
            failed_at = time.monotonic() if failed_at is None else failed_at
            late = time.monotonic() - failed_at > _LAST_BEGINS_SECONDS
            # Jittered: two that met in a deadlock must not meet again.
            if delay is None or late or fault.code in _NOT_AGAIN or stopped(delay * random.uniform(0.5, 1.0)):
                raise


def answered(ask: Callable[[], T]) -> T:
    """The answer to a question that changes nothing, asked again after a PassingFault. Raises the last fault."""
    answers: list[T] = []
    persistently(lambda: answers.append(ask()), lambda: False, time.sleep)
    return answers[0]
