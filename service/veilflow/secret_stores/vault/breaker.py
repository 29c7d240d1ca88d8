"""A circuit breaker whose state a user's runs on one machine share: a failing Vault is left alone, then probed by one.

pybreaker decides; its state lies in a small JSON file under a lock, in a directory that nobody else can write into. A
file that cannot be read or written, or a directory that is not ours alone, means that nothing is known: the breaker
protects a server, so it never is what fails a run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pybreaker

from veilflow.secret_stores.vault.faults import Refused

FAILURES_THAT_OPEN = 5
OPEN_SECONDS = 10.0
_LARGEST_BYTES = 4096
_STATES = (pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN)


class SharedState(pybreaker.CircuitBreakerStorage):  # type: ignore[misc]
    """pybreaker's state in a file.

    Half-open is open to everybody but the process that probes; who probes and dies is followed by another after
    ``OPEN_SECONDS``.
    """

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__(name)
        self._directory, self._file, self._probing = directory, f"{name}.json", False

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
        return None if moment is None else datetime.fromtimestamp(moment, UTC)

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._change(lambda known: known | {"opened_at": moment.timestamp()})

    # --- the file ---

    def _read(self) -> dict[str, Any]:
        with suppress(OSError), _own(self._directory) as directory:
            return _document(directory, self._file)
        return {}

    def _change(self, change: Any) -> None:
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError), _own(self._directory) as directory, _locked(directory, f"{self._file}.lock"):
            draft = f"{self._file}.{os.getpid()}"
            with _opened(directory, draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
                os.write(file, json.dumps(change(_document(directory, self._file))).encode())
            os.replace(draft, self._file, src_dir_fd=directory, dst_dir_fd=directory)


def machine_directory() -> Path:
    """Where a user's processes on this machine find each other's state, whichever project they work for."""
    return Path(tempfile.gettempdir()) / f"veilflow-{os.geteuid()}"


@contextmanager
def _own(directory: Path) -> Iterator[int]:
    """The directory as a descriptor. OSError if it is a link, another user's, or others may look into it: what is at
    its name may change, what was opened stays."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError("not a directory of this user alone")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(directory: int, name: str, flags: int) -> Iterator[int]:
    descriptor = os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked(directory: int, name: str) -> Iterator[None]:
    with _opened(directory, name, os.O_WRONLY | os.O_CREAT) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _document(directory: int, name: str) -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError), _opened(directory, name, os.O_RDONLY | os.O_NONBLOCK) as file:
        known = json.loads(os.read(file, _LARGEST_BYTES))
        if isinstance(known, dict) and _believable(known):
            return known
    return {}


def _believable(known: dict[str, Any]) -> bool:
    """Whether a breaker could have written it. A moment to come is none: a clock that was set back would keep the
    breaker open until it is reached."""
    now = datetime.now(UTC).timestamp()
    return (
        known.get("state", pybreaker.STATE_CLOSED) in _STATES
        and all(type(known.get(count, 0)) is int for count in ("failures", "successes"))
        and type(known.get("opened_at", 0.0)) in (int, float)
        and 0 <= known.get("opened_at", 0.0) <= now + OPEN_SECONDS
    )


def shared_breaker(directory: Path, address: str) -> pybreaker.CircuitBreaker:
    """The breaker of a server. Only what its rule says counts as a failure; a refusal is an answer."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return pybreaker.CircuitBreaker(
        fail_max=FAILURES_THAT_OPEN,
        reset_timeout=OPEN_SECONDS,
        exclude=[_is_an_answer],
        state_storage=SharedState(directory, name),
        throw_new_error_on_trip=False,
    )


def _is_an_answer(error: BaseException) -> bool:
    return not (isinstance(error, Refused) and error.rule.trips)
