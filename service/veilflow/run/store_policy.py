"""The least that a store's policy has to allow for one pipeline: worked out from its plan, held against the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from veilflow.config import NamesConfig, PipelineConfig
from veilflow.errors import VeilError
from veilflow.model import SecretRef
from veilflow.plan import secrets_needed
from veilflow.run.secrets import store_of
from veilflow.run.wrapping import wrapping_store
from veilflow.secret_stores.session import Session

if TYPE_CHECKING:
    from veilflow.secret_stores.vault import Right


@runtime_checkable
class Policed(Protocol):
    """A store that knows which rights a secret takes, and which the present login has."""

    def rights(self, ref: SecretRef, /) -> tuple[Right, ...]:
        """What must be allowed so that the secret can be read; asks nothing."""

    def wrapping_rights(self, ref: SecretRef, /) -> tuple[Right, ...]:
        """What must be allowed so that the key at ``ref`` wraps others; asks nothing."""

    def own_rights(self, *, leases: bool) -> tuple[Right, ...]:
        """What must be allowed so that the login is kept, given back and, with ``leases``, keeps its leases alive."""

    def capabilities(self, paths: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        """What the login may do on each path."""


@dataclass(frozen=True, slots=True)
class StorePolicy:
    """What one store has to allow; ``secrets`` are the names that it is for."""

    store: str
    secrets: tuple[str, ...]
    rights: tuple[Right, ...]
    #: The path of the key that wraps the quarantine's keys, if it lies in this store.
    wraps_by: str | None = None

    @property
    def hcl(self) -> str:
        """A policy as Vault and OpenBao read it."""
        does = [f"reads {', '.join(self.secrets)}"] if self.secrets else []
        if self.wraps_by:
            does.append(f"wraps by {self.wraps_by} what it cannot open")
        lines = [f"# store {self.store}: {', '.join(does)}, and nothing else"]
        return "\n".join([*lines, *(right.hcl for right in self.rights)]) + "\n"


@dataclass(frozen=True, slots=True)
class Difference:
    """A path on which the login has less than it needs, or more."""

    store: str
    path: str
    missing: tuple[str, ...]
    beyond: tuple[str, ...]


def policies_for(session: Session, names: NamesConfig, pipeline: PipelineConfig) -> tuple[StorePolicy, ...]:
    """One policy for each store with policies that the pipeline's secrets lie in; reaches nothing."""
    by_store: dict[str, list[str]] = {}
    for name in secrets_needed(pipeline, names):
        if isinstance(store_of(session, names, name), Policed):
            by_store.setdefault(names.secrets[name].store, []).append(name)
    wraps_in, path = pipeline.quarantine_wrapped_by or (None, None)
    if wraps_in is not None:
        wrapping_store(session, names, wraps_in)
        by_store.setdefault(wraps_in, [])
    return tuple(
        _policy(session, names, store, tuple(wanted), path if store == wraps_in else None)
        for store, wanted in by_store.items()
    )


def _policy(
    session: Session, names: NamesConfig, store_name: str, wanted: tuple[str, ...], wraps_by: str | None
) -> StorePolicy:
    store = _store(session, names, store_name)
    refs = [names.secrets[name].ref for name in wanted]
    own = store.own_rights(leases=any(ref.engine == "database" for ref in refs))
    rights = [right for ref in refs for right in store.rights(ref)]
    if wraps_by is not None:
        rights += store.wrapping_rights(SecretRef(wraps_by, engine="transit"))
    return StorePolicy(store_name, wanted, tuple(dict.fromkeys([*rights, *own])), wraps_by)


def differences(session: Session, names: NamesConfig, policy: StorePolicy) -> tuple[Difference, ...]:
    """Where the store's present login has less or more than the policy."""
    store = _store(session, names, policy.store)
    granted = store.capabilities(tuple(right.path for right in policy.rights))
    found = (_difference(policy.store, right, granted.get(right.path, ())) for right in policy.rights)
    return tuple(one for one in found if one.missing or one.beyond)


def _difference(store: str, right: Right, granted: tuple[str, ...]) -> Difference:
    has = {one for one in granted if one != "deny"}
    missing = () if "root" in has else tuple(one for one in right.capabilities if one not in has)
    return Difference(store, right.path, missing, tuple(sorted(has - set(right.capabilities))))


def refused(found: tuple[Difference, ...]) -> VeilError | None:
    """What is wrong with a login that may do less than it has to."""
    lines = [
        f'path "{one.path}" {{ capabilities = [{", ".join(f"{chr(34)}{name}{chr(34)}" for name in one.missing)}] }}'
        for one in found
        if one.missing
    ]
    if not lines:
        return None
    return VeilError(
        "VEIL406", f"the login's policy misses {len(lines)} of the rights that the plan needs",
        "add to the policy: " + "  ".join(lines),
    )  # fmt: skip


def _store(session: Session, names: NamesConfig, name: str) -> Policed:
    config = names.stores[name]
    store = session.store(config.kind, config.options)
    assert isinstance(store, Policed)
    return store
