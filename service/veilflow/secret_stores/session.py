"""The stores that one process has open: one login, one read per secret, everything given back at the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from veilflow.errors import VeilError, frameless
from veilflow.model import Access, Reading, SecretRef, SecretStore
from veilflow.secret_stores import open_store


@runtime_checkable
class Closes(Protocol):
    """A store that holds something while it is open: a login, leases."""

    def close(self) -> None:
        """Give it back; raises nothing and may be called twice."""


@runtime_checkable
class Leases(Protocol):
    """A store whose secrets may die by themselves."""

    def longest_life(self, ref: SecretRef, wanted_seconds: float) -> float:
        """How long the secret may live from now if it is renewed, in seconds, up to ``wanted_seconds``."""


@runtime_checkable
class Fresh(Protocol):
    """A store that costs nothing to ask, so it is asked each time: what it holds may be exchanged in a run."""

    always_fresh: bool


class Session:
    """Opens each store once and reads each secret once, but for those that are leased (of these the store knows which
    one is current) and those of files, which may be exchanged. A context manager; safe to use from several threads."""

    def __init__(self, project: Path) -> None:
        self.project = project
        #: The name by which servers are told who connects.
        self.label = "veilflow"
        self._noted: dict[tuple[str, str | None, str | None], Access] = {}
        self._used: dict[tuple[str, str | None, str | None], Access] = {}
        self._stores: dict[str, SecretStore] = {}
        self._readings: dict[tuple[str, SecretRef], Reading] = {}
        self._lock = threading.RLock()

    def store(self, kind: str, options: Mapping[str, Any]) -> SecretStore:
        """The store of these options; reaches nothing yet. VEIL220 for an unknown kind, VEIL201/202 for options."""
        with self._lock:
            key = _key(kind, options)
            if key not in self._stores:
                self._stores[key] = open_store(kind, options, self.project)
            return self._stores[key]

    @frameless
    def read(self, kind: str, options: Mapping[str, Any], ref: SecretRef, *, anew: bool = False) -> Reading:
        """The secret, as its store gives it. ``anew``: not the one that was read before."""
        with self._lock:
            key = (_key(kind, options), ref)
            if anew or key not in self._readings:
                store = self.store(kind, options)
                reading = store.read(ref)
                if reading.seconds_to_live is not None or isinstance(store, Fresh):
                    return reading
                self._readings[key] = reading
            return self._readings[key]

    def notes(self, access: Access) -> bool:
        """Whether this is the first time that the session saw this state of the secret."""
        key = (access.name, access.version, access.lease)
        with self._lock:
            first = key not in self._noted
            self._used[key] = self._noted.setdefault(key, access)
        return first

    def used(self) -> tuple[Access, ...]:
        """What was opened since ``begin_run``, each state of a secret once, by when the session first opened it."""
        with self._lock:
            return tuple(sorted(self._used.values(), key=lambda access: access.time))

    def begin_run(self) -> None:
        """Of the runs that share a session each tells only what it used."""
        with self._lock:
            self._used.clear()

    @frameless
    def longest_life(self, kind: str, options: Mapping[str, Any], ref: SecretRef, wanted_seconds: float) -> float:
        """How long a secret may live, up to ``wanted_seconds``; infinite for what does not die by itself."""
        store = self.store(kind, options)
        return store.longest_life(ref, wanted_seconds) if isinstance(store, Leases) else float("inf")

    def close(self) -> None:
        """Close every store, also if closing one fails."""
        with self._lock:
            stores, self._stores, self._readings = list(self._stores.values()), {}, {}
        with ExitStack() as closing:
            for store in stores:
                if isinstance(store, Closes):
                    closing.callback(_closed, store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _closed(store: Closes) -> None:
    with suppress(VeilError):  # what cannot be given back now dies by itself
        store.close()


def _key(kind: str, options: Mapping[str, Any]) -> str:
    return json.dumps([kind, options], sort_keys=True, default=str)
