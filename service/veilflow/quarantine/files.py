"""One container: an Arrow stream in the age format, in a file that only its owner reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyrage

from veilflow.errors import VeilError

FORMAT = "veilflow/quarantine/1"


def encrypt_table(table: pa.Table, recipient: str) -> bytes:
    """The table as an Arrow stream, encrypted to an age public key."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    encrypted: bytes = pyrage.encrypt(sink.getvalue().to_pybytes(), [pyrage.x25519.Recipient.from_str(recipient)])
    return encrypted


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 in directories with 0700, whole or not at all, durably. VEIL101 if it cannot be."""
    try:
        for directory in (path.parent.parent, path.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, data)
    except OSError:
        raise VeilError(
            "VEIL101", "the quarantine cannot be written", "free some space in the project's .veil, or fix its permission"
        ) from None  # fmt: skip


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_bytes(path: Path, identities: Sequence[str]) -> pa.Table:
    """The rows of one file. VEIL221 if no identity opens it, VEIL503 if it was changed or belongs to another run or
    chunk."""
    damaged = VeilError(
        "VEIL503", f"the quarantine file {path.parent.name}/{path.name} is damaged or not of this key",
        "restore it from a backup; a changed, renamed or swapped file is never read",
    )  # fmt: skip
    try:
        keys = [pyrage.x25519.Identity.from_str(identity) for identity in identities]
        table = pa.ipc.open_stream(pyrage.decrypt(path.read_bytes(), keys)).read_all()
    except pyrage.IdentityError:
        raise VeilError("VEIL222", "the identity is not an age private key", "it looks like AGE-SECRET-KEY-1…") from None  # fmt: skip
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise VeilError(
                "VEIL221", f"no key at hand opens the quarantine file {path.parent.name}/{path.name}",
                "its pipeline names a recipient of its own: give the private key's file with --identity",
            ) from None  # fmt: skip
        raise damaged from None
    except (pa.ArrowException, OSError):
        raise damaged from None
    facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    name = f"{int(facts.get('chunk', '-1')):06d}.arrow.age"
    expected = (FORMAT, path.parent.name, path.name, str(table.num_rows))
    if (facts.get("format"), facts.get("run"), name, facts.get("rows")) != expected:
        raise damaged
    return table
