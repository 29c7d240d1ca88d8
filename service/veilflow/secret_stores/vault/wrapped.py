"""Secrets that a Transit key encrypted, in `.veil/keys`: the ciphertext lies here, the key never leaves Vault."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from veilflow.errors import PassingFault, VeilError
from veilflow.model import SecretFacts

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_FORMAT = 1


class WrappedFiles:
    """One JSON file per secret. Its version is that of the Transit key with a digest of the ciphertext, which names
    this very state in a run's record."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> tuple[str, str]:
        """The ciphertext and its version. VEIL221 if there is none, VEIL222 if the file is not one."""
        document = self._document(name)
        if document is None:
            raise VeilError(
                "VEIL221", f"there is no wrapped secret .veil/keys/{_file(name)}", "`veil init` makes the key ring"
            )
        ciphertext = str(document["ciphertext"])
        return ciphertext, _version(ciphertext)

    def facts(self, name: str) -> SecretFacts | None:
        document = self._document(name)
        if document is None:
            return None
        return SecretFacts(datetime.fromisoformat(document["written"]), _version(str(document["ciphertext"])))

    def create(self, name: str, ciphertext: str) -> None:
        """VEIL220 if it is there."""
        with self._locked():
            if self._document(name) is not None:
                raise VeilError(
                    "VEIL220", f"the wrapped secret .veil/keys/{_file(name)} exists already", "it is never replaced"
                )
            self._write(name, ciphertext)

    def replace(self, name: str, version: str | None, ciphertext: str) -> None:
        """VEIL405 if what is there is no longer ``version``."""
        with self._locked():
            if self.read(name)[1] != version:
                raise PassingFault(
                    "VEIL405", f".veil/keys/{_file(name)} was changed since it was read", "run the command again"
                )
            self._write(name, ciphertext)

    def _document(self, name: str) -> dict[str, Any] | None:
        try:
            document = json.loads((self._directory / _file(name)).read_text(encoding="ascii"))
            if document["veilflow_wrapped"] == _FORMAT and isinstance(document["ciphertext"], str):
                return dict(document)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise VeilError("VEIL222", f".veil/keys/{_file(name)} is not a wrapped secret", "restore it from a backup")

    def _write(self, name: str, ciphertext: str) -> None:
        document = {"veilflow_wrapped": _FORMAT, "ciphertext": ciphertext, "written": datetime.now(UTC).isoformat()}
        file = self._directory / _file(name)
        draft = file.with_suffix(f".{os.getpid()}.draft")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as opened:
                json.dump(document, opened)
                opened.flush()
                os.fsync(opened.fileno())
            draft.replace(file)
        except OSError:
            raise VeilError("VEIL101", f".veil/keys/{_file(name)} cannot be written", "free some space") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._directory / ".lock", "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _file(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise VeilError("VEIL220", "the name of a wrapped secret is malformed", "letters, digits, ., _ and -")
    return f"{name}.transit.json"


def _version(ciphertext: str) -> str:
    """`v1:` of Transit's `vault:v1:…`, and the beginning of the ciphertext's SHA-256."""
    return f"{ciphertext.split(':')[1]}:{hashlib.sha256(ciphertext.encode()).hexdigest()[:16]}"
