"""Opening the key ring, and writing its next state so that no other process's is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from veilflow.config import NamesConfig
from veilflow.errors import PassingFault
from veilflow.keys import KeyRing
from veilflow.model import Reading, Secret, SecretRef
from veilflow.redaction import remember_bytes
from veilflow.run.secrets import open_secret, secret_named, store_of
from veilflow.secret_stores import FileStore
from veilflow.secret_stores.session import Session

_ATTEMPTS = 8
_PAUSE_SECONDS = 0.25


def open_ring(session: Session, names: NamesConfig, name: str | None) -> KeyRing:
    """The key ring under its secret's name; its root keys are redacted from now on."""
    return _ring(open_secret(session, names, name))


def change_ring(
    session: Session, names: NamesConfig, name: str | None, change: Callable[[KeyRing], KeyRing]
) -> tuple[KeyRing, KeyRing]:
    """Write ``change`` of the ring in the place of the ring that it was made of; returns the old and the new one.

    Where another process wrote meanwhile, what it wrote is read and changed instead. VEIL224 where the store cannot be
    written from here, VEIL405 if others wrote at every attempt.
    """
    ref = secret_named(names, name).ref
    for attempt in range(_ATTEMPTS):
        reading = open_secret(session, names, name, anew=True)
        before = _ring(reading)
        after = change(before)
        try:
            store_of(session, names, str(name)).replace(ref, reading, Secret(after.to_json()))
        except PassingFault as fault:
            if fault.code != "VEIL405" or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE_SECONDS * (attempt + 1))
            continue
        return before, after
    raise AssertionError("the last attempt returns or raises")


def write_ring(ring: KeyRing, file: Path) -> None:
    """Write the ring to a new file of mode 0600, for a store that cannot be written from here. VEIL220 if there is one."""
    FileStore(Path()).write(SecretRef(str(file.absolute())), Secret(ring.to_json()))


def _ring(reading: Reading) -> KeyRing:
    ring = KeyRing.parse(reading.secret.reveal())
    for key in ring.keys.values():
        if key.root is not None:
            remember_bytes(key.root)
    return ring
