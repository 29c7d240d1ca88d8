"""The key of one run's quarantine, wrapped by a store that never gives its own away: Transit of Vault.

Each run makes an age identity, gives its private half to the store and keeps what comes back. So a run needs the right
to encrypt and cannot open what it held back, also not what it held back itself.
"""

from __future__ import annotations

import secrets

from veilflow.config import NamesConfig
from veilflow.errors import VeilError
from veilflow.keys import age_identity
from veilflow.model import Secret, SecretRef, Wrapped, Wraps
from veilflow.secret_stores.session import Session


def wrapped_recipient(session: Session, names: NamesConfig, store: str, path: str) -> tuple[str, Wrapped]:
    """A new age public key, and its private half as only the store's key ``path`` opens it. VEIL404 or VEIL406 where
    the store cannot or may not be asked: then nothing is held back, and nothing loaded."""
    identity, recipient = age_identity(secrets.token_bytes(32))
    value = Secret(identity)
    return recipient, Wrapped(store, path, wrapping_store(session, names, store).wrap(_ref(path), value))


def unwrapped_identity(session: Session, names: NamesConfig, wrapped: Wrapped) -> str:
    """The private key that ``wrapped_recipient`` wrapped. VEIL406 where the login may not decrypt."""
    value = wrapping_store(session, names, wrapped.store).unwrap(_ref(wrapped.path), wrapped.key)
    return value.reveal()


def wrapping_store(session: Session, names: NamesConfig, name: str) -> Wraps:
    """A store that wraps. VEIL220 for one that is not there, or is of a kind that cannot."""
    if name not in names.stores:
        listed = ", ".join(sorted(names.stores)) or "none"
        raise VeilError("VEIL220", f'there is no store "{name}"', f"secrets/names.yaml has the stores: {listed}")
    config = names.stores[name]
    store = session.store(config.kind, config.options)
    if not isinstance(store, Wraps):
        raise VeilError(
            "VEIL220", f'the store "{name}" is of the kind {config.kind}, which wraps no key',
            "name a store of kind vault, and a key of its engine transit", config.place,
        )  # fmt: skip
    return store


def _ref(path: str) -> SecretRef:
    return SecretRef(path, engine="transit")
