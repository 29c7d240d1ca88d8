"""One run at a time on a table of a database file: a lock that the kernel gives back when its process dies."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path
from typing import IO

from veilflow.errors import VeilError
from veilflow.targets.metadata import locked_out


class FileLock:
    """The lock of one table of one file; the lock's own file lies in ``directory``."""

    def __init__(self, kind: str, path: Path, table: str, directory: Path) -> None:
        self._kind, self._path, self._table, self._directory = kind, path, table, directory
        self._held: IO[str] | None = None

    def take(self) -> None:
        """Take it, and make the directories of both files; a second call changes nothing. VEIL308 if another run holds
        it, VEIL101 where no file can be made."""
        if self._held is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = hashlib.sha256(f"{self._path.resolve()}\0{self._table}".encode()).hexdigest()[:16]
            lock = (self._directory / f"{self._kind}-{name}.lock").open("w")
        except OSError:
            raise VeilError(
                "VEIL101", "the target's directory cannot be written", "fix its permission, or free some space"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise locked_out(self._table) from None
        self._held = lock

    def give_back(self) -> None:
        """Give it back; may be called twice."""
        if self._held is not None:
            self._held.close()
            self._held = None
