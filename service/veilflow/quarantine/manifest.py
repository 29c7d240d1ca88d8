"""The list of a run's quarantine files: one line a file, each bound to the one before by a keyed digest.

A file that is removed, exchanged, renamed or put in another order breaks the chain or a digest; lines cut off at the end
are found by the run's record, which counts the rows that were held back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from veilflow.errors import Place, VeilError
from veilflow.model import Wrapped

FORMAT = "veilflow/quarantine_manifest/1"
NAME = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as it is now: its rows, those that were erased from it, and whether it was purged since."""

    file: str
    chunk: int
    rows: int
    sha256: str
    recipient: str
    erased: int = 0
    purged: bool = False
    #: The private key of ``recipient`` as a store's key encrypted it, where the run made it and kept nothing else.
    wrapped: Wrapped | None = None
    #: Where the container lies if that is not beside the manifest: ``target``.
    store: str | None = None

    def document(self) -> dict[str, Any]:
        """As a line holds it: what does not apply is left out, so that it can be told from older lines by nothing."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @staticmethod
    def parse(document: dict[str, Any]) -> Entry:
        """The inverse of ``document``."""
        wrapped = document.get("wrapped")
        return Entry(**{**document, "wrapped": None if wrapped is None else Wrapped(**wrapped)})


class Manifest:
    """The manifest in a run's directory.

    ``keys`` are the key ring's, one a version, the active one first: a chain is made and continued with one of them.
    Without keys it is read without being held against its digests, and nothing can be added.
    """

    def __init__(self, directory: Path, keys: Sequence[bytes]) -> None:
        self.path, self._run, self._keys = directory / NAME, directory.name, tuple(keys)

    @property
    def place(self) -> Place:
        """Where it is, for a message."""
        return Place(f".veil/quarantine/{self._run}/{NAME}")

    def entries(self) -> tuple[Entry, ...]:
        """The newest line of each file, by chunk. VEIL503 where the chain is broken."""
        latest: dict[str, Entry] = {}
        for entry, _ in self._lines():
            latest[entry.file] = entry
        return tuple(sorted(latest.values(), key=lambda entry: entry.chunk))

    def append(self, entry: Entry) -> None:
        """Add a line, durably. Its file must be durable before: a line without its file counts as a removal."""
        lines, key = self._lines(), self._key()
        previous = lines[-1][1] if lines else self._run
        mac = _mac(key or self._keys[0], previous, entry)
        line = json.dumps({"format": FORMAT, "entry": entry.document(), "mac": mac}) + "\n"
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)  # what a crash left of a line
            file.seek(whole)
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.path.chmod(0o600)

    def _lines(self) -> list[tuple[Entry, str]]:
        """Entries with their digests, in the order in which they were written."""
        found, previous = self._read(), self._run
        key = self._key()
        for entry, mac in found:
            if key is not None and not hmac.compare_digest(_mac(key, previous, entry), mac):
                raise self._broken()
            previous = mac
        return found

    def _key(self) -> bytes | None:
        """The key that made the first line; None where there is no line, or no key to hold it against."""
        found = self._read()
        if not found or not self._keys:
            return None
        first, mac = found[0]
        for key in self._keys:
            if hmac.compare_digest(_mac(key, self._run, first), mac):
                return key
        raise self._broken()

    def _read(self) -> list[tuple[Entry, str]]:
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        found = []
        for line in text[: text.rfind("\n") + 1].splitlines():
            try:
                document = json.loads(line)
                if document["format"] != FORMAT:
                    raise ValueError
                found.append((Entry.parse(document["entry"]), str(document["mac"])))
            except (ValueError, KeyError, TypeError):
                raise self._broken() from None
        return found

    def _broken(self) -> VeilError:
        return VeilError(
            "VEIL503", f"the manifest of the quarantine of run {self._run} was changed, or is not of this key ring",
            "restore the run's directory under .veil/quarantine from a backup", self.place,
        )  # fmt: skip


def _mac(key: bytes, previous: str, entry: Entry) -> str:
    text = json.dumps(entry.document(), sort_keys=True)
    return hmac.new(key, f"{FORMAT}\0{previous}\0{text}".encode(), hashlib.sha256).hexdigest()
