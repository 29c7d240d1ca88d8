"""A circuit breaker whose state the runs of a project share: a failing Vault is left alone, then probed by one of them.

pybreaker decides; its state lies in a small JSON file under a lock. A file that cannot be read or written means that
nothing is known: the breaker protects a server, so it never is what fails a run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pybreaker

from veilflow.secret_stores.vault.faults import Refused

FAILURES_THAT_OPEN = 5
OPEN_SECONDS = 10.0


class SharedState(pybreaker.CircuitBreakerStorage):  # type: ignore[misc]
    """pybreaker's state in a file.

    Half-open is open to everybody but the process that probes; who probes and dies is followed by another after
    ``OPEN_SECONDS``.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file.stem)
        self._file, self._probing = file, False

    @property
    def state(self) -> str:
        state = str(self._read().get("state", pybreaker.STATE_CLOSED))
        if state == pybreaker.STATE_HALF_OPEN and not self._probing:
            return str(pybreaker.STATE_OPEN)
        return state

    @state.setter
    def state(self, state: str) -> None:
        self._probing = state == pybreaker.STATE_HALF_OPEN
        changes: dict[str, Any] = {"state": state}
        if state == pybreaker.STATE_HALF_OPEN:
            changes["opened_at"] = datetime.now(UTC).timestamp()
        self._change(lambda known: known | changes)

    def increment_counter(self) -> None:
        self._change(lambda known: known | {"failures": known.get("failures", 0) + 1})

    def reset_counter(self) -> None:
        if self.counter:
            self._change(lambda known: known | {"failures": 0})

    def increment_success_counter(self) -> None:
        self._change(lambda known: known | {"successes": known.get("successes", 0) + 1})

    def reset_success_counter(self) -> None:
        if self.success_counter:
            self._change(lambda known: known | {"successes": 0})

    @property
    def counter(self) -> int:
        return int(self._read().get("failures", 0))

    @property
    def success_counter(self) -> int:
        return int(self._read().get("successes", 0))

    @property
    def opened_at(self) -> datetime | None:
        moment = self._read().get("opened_at")
        return None if moment is None else datetime.fromtimestamp(float(moment), UTC)

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._change(lambda known: known | {"opened_at": moment.timestamp()})

    # --- the file ---

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            known = json.loads(self._file.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return known
        return {}

    def _change(self, change: Any) -> None:
        with suppress(OSError), self._locked():
            draft = self._file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(change(self._read())), encoding="utf-8")
            draft.replace(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._file.with_suffix(".lock"), "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def shared_breaker(directory: Path, address: str) -> pybreaker.CircuitBreaker:
    """The breaker of a server. Only what its rule says counts as a failure; a refusal is an answer."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return pybreaker.CircuitBreaker(
        fail_max=FAILURES_THAT_OPEN,
        reset_timeout=OPEN_SECONDS,
        exclude=[_is_an_answer],
        state_storage=SharedState(directory / f"{name}.json"),
        throw_new_error_on_trip=False,
    )


def _is_an_answer(error: BaseException) -> bool:
    return not (isinstance(error, Refused) and error.rule.trips)
