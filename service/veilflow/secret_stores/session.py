"""The stores that one process has open: one login, one read per secret, everything given back at the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from veilflow.errors import VeilError
from veilflow.model import Reading, SecretRef, SecretStore
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


class Session:
    """Opens each store once and reads each secret once, but for those that are leased: of these the store knows which
    one is current. A context manager; safe to use from several threads."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._stores: dict[str, SecretStore] = {}
        self._readings: dict[tuple[str, SecretRef], Reading] = {}
        self._lock = threading.RLock()

    def store(self, kind: str, options: Mapping[str, Any]) -> SecretStore:
        """The store of these options; reaches nothing yet. VEIL220 for an unknown kind, VEIL201/202 for options."""
        with self._lock:
            key = _key(kind, options)
            if key not in self._stores:
                self._stores[key] = open_store(kind, options, self._project)
            return self._stores[key]

    def read(self, kind: str, options: Mapping[str, Any], ref: SecretRef) -> Reading:
        """The secret, as its store gives it."""
        with self._lock:
            key = (_key(kind, options), ref)
            if key not in self._readings:
                reading = self.store(kind, options).read(ref)
                if reading.seconds_to_live is not None:
                    return reading
                self._readings[key] = reading
            return self._readings[key]

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
