"""One container: an Arrow stream in the age format; and the files, which only their owner reads, that containers are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyrage

from veilflow.errors import VeilError
from veilflow.model import Container

FORMAT = "veilflow/quarantine/1"


@dataclass(frozen=True, slots=True)
class FileContainers:
    """See ``model.Containers``: one file each, in the run's directory."""

    directory: Path

    def place(self, name: str) -> str:
        return f".veil/quarantine/{self.directory.name}/{name}"

    def names(self) -> set[str]:
        return {path.name for path in self.directory.glob("*.age")}

    def read(self, name: str) -> bytes:
        path = self.directory / name
        return path.read_bytes() if path.exists() else b""

    def write(self, container: Container) -> None:
        write_private(self.directory / container.name, container.data)

    def remove(self, name: str) -> None:
        (self.directory / name).unlink()
        for half in self.directory.glob(_part_name("*")):  # what a crash left
            half.unlink(missing_ok=True)


def _part_name(name: str) -> str:
    """What a file is called until it is whole: no name that somebody else gives a file beside it."""
    return f".{name}.part"


def container_name(chunk: int) -> str:
    """What a chunk's container is called."""
    return f"{chunk:06d}.arrow.age"


def encrypt_table(table: pa.Table, recipient: str) -> bytes:
    """The table as an Arrow stream, encrypted to an age public key."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    encrypted: bytes = pyrage.encrypt(sink.getvalue().to_pybytes(), [pyrage.x25519.Recipient.from_str(recipient)])
    return encrypted


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 in directories with 0700, whole or not at all, durably. VEIL101 if it cannot be."""
    make_private(path.parent)
    try:
        _write(path, data)
    except OSError:
        raise _unwritable() from None


def make_private(directory: Path) -> None:
    """A directory with mode 0700 in one that has it, too. VEIL101 if it cannot be."""
    try:
        for one in (directory.parent, directory):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise _unwritable() from None


def _unwritable() -> VeilError:
    return VeilError(
        "VEIL101", "the quarantine cannot be written", "free some space in the project's .veil, or fix its permission"
    )


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(_part_name(path.name))
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


def read_table(data: bytes, run_id: str, name: str, identities: Sequence[str]) -> pa.Table:
    """The rows of one container. VEIL221 if no identity opens it, VEIL503 if it was changed or belongs to another run or
    chunk."""
    damaged = VeilError(
        "VEIL503", f"the quarantine file {run_id}/{name} is damaged or not of this key",
        "restore it from a backup; a changed, renamed or swapped file is never read",
    )  # fmt: skip
    try:
        keys = [pyrage.x25519.Identity.from_str(identity) for identity in identities]
        table = pa.ipc.open_stream(pyrage.decrypt(data, keys)).read_all()
    except pyrage.IdentityError:
        raise VeilError("VEIL222", "the identity is not an age private key", "it looks like AGE-SECRET-KEY-1…") from None  # fmt: skip
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise VeilError(
                "VEIL221", f"no key at hand opens the quarantine file {run_id}/{name}",
                "its pipeline names a recipient of its own: give the private key's file with --identity",
            ) from None  # fmt: skip
        raise damaged from None
    except pa.ArrowException:
        raise damaged from None
    facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    named = container_name(int(facts.get("chunk", "-1")))
    expected = (FORMAT, run_id, name, str(table.num_rows))
    if (facts.get("format"), facts.get("run"), named, facts.get("rows")) != expected:
        raise damaged
    return table
