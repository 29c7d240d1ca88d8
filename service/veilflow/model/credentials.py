"""Keys and secrets, and the stores that hold them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from veilflow.redaction import remember


@dataclass(frozen=True, slots=True)
class DerivedKey:
    """A key for one use, key domain and version."""

    value: bytes = field(repr=False)
    version: int


class Secret:
    """An opened secret. Prints as dots; ``reveal()`` is the one visible call that gives the value.

    Making one makes ``redaction`` look for its value. It cannot be pickled, serialised as JSON or hashed, so that no
    cache keeps it; a copy is the same object; ``len`` tells its length in characters; ``==`` takes the same time
    wherever two values differ.
    """

    __slots__ = ("__reveal",)
    __reveal: Callable[[], str]

    def __init__(self, value: str) -> None:
        remember(value)
        # In a closure: what lists an object's attributes finds a function.
        object.__setattr__(self, "_Secret__reveal", lambda: value)

    def reveal(self) -> str:
        return self.__reveal()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an opened secret does not change")

    def __repr__(self) -> str:
        return "Secret(••••)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __len__(self) -> int:
        return len(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (one.reveal().encode("utf-8", "surrogatepass") for one in (self, other))
        return hmac.compare_digest(mine, theirs)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: object) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("an opened secret is never pickled")


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret lies in its store: a place, never a value. Which parts a store takes is its kind's own."""

    path: str
    field: str | None = None
    engine: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A secret that a store gave, and what is known of it.

    ``version`` is the store's name for this state of the value, ``seconds_to_live`` what is left of a lease, ``lease``
    the SHA-256 of the lease's id (the id itself could revoke it, and stays in the store's object).
    """

    secret: Secret
    version: str | None = None
    seconds_to_live: float | None = None
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """That a secret was opened: when, which, from which store, in which state. ``time`` is ISO 8601 in UTC."""

    time: str
    name: str
    store: str
    kind: str
    version: str | None
    lease: str | None


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """What a store tells of a secret without opening it; ``changed`` is when its value was last written."""

    changed: datetime | None = None
    version: str | None = None


class SecretStore(Protocol):
    """A place that holds secrets. One file per kind under ``secret_stores/``; others join by an entry point.

    Every method raises only VeilError (PassingFault where a retry may help) and passes no library's text on:
    VEIL220 for a part of ``ref`` that the kind does not take, VEIL404 if the store is out of reach.
    """

    def read(self, ref: SecretRef, /) -> Reading:
        """The value exactly as stored. VEIL221 if there is none, VEIL222 if it is empty or not text."""

    def facts(self, ref: SecretRef, /) -> SecretFacts | None:
        """What is known without opening it; None if there is nothing, or nothing that is kept (a dynamic secret)."""

    def write(self, ref: SecretRef, value: Secret, /) -> None:
        """Create it; VEIL220 if it is there, VEIL224 if it cannot be written from here."""

    def replace(self, ref: SecretRef, old: Reading, value: Secret, /) -> None:
        """Put ``value`` in the place of ``old``, whole or not at all; VEIL405 (a PassingFault) and no change if what
        is stored is no longer ``old``, VEIL224 if it cannot be written from here."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A key that a store's own key encrypted: the store's name, its key's path, and the ciphertext."""

    store: str
    path: str
    key: str


@runtime_checkable
class Wraps(Protocol):
    """A store with keys that never leave it, which encrypt those of others."""

    def wrap(self, ref: SecretRef, value: Secret, /) -> str:
        """``value`` encrypted by the key at ``ref``. VEIL404 or VEIL406 where that cannot or may not be asked."""

    def unwrap(self, ref: SecretRef, wrapped: str, /) -> Secret:
        """The inverse. VEIL222 for what the key did not encrypt."""


#: Seals fresh surrogates, each bound to its name: names and surrogates in, as many sealed ones out.
Seal = Callable[[Sequence[bytes], Sequence[bytes]], list[bytes]]


class Surrogates(Protocol):
    """A mapping of random surrogates by key domain. It sees keyed hashes for names, and surrogates only sealed."""

    def draw(self, key_domain: str, names: Sequence[bytes], seal: Seal, /) -> list[bytes]:
        """The sealed surrogate of each name: what is there, else 16 random bytes through ``seal``. They are durable
        when this returns, and the same for whoever asks at the same time."""
