"""Where random surrogates are remembered: a file for each key domain, or memory for a call that is forgotten."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from veilflow.errors import VeilError
from veilflow.model import Seal

_BYTES = 16
_AT_ONCE = 500
_BUSY_SECONDS = 120


class SurrogateMemory:
    """Lives as long as its call: previews and on-demand anonymisation, under whose key nothing could be found again."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], bytes] = {}

    def draw(self, key_domain: str, names: Sequence[bytes], seal: Seal, /) -> list[bytes]:
        """The sealed surrogate of each name."""
        missing = list(dict.fromkeys(name for name in names if (key_domain, name) not in self._kept))
        for name, sealed in zip(missing, seal(missing, _fresh(missing)), strict=True):
            self._kept.setdefault((key_domain, name), sealed)
        return [self._kept[key_domain, name] for name in names]


class SurrogateFiles:
    """SQLite files under ``.veil/surrogates``, made with mode 0600. Any number of runs may draw at once: what the first
    one keeps is what all of them get."""

    def __init__(self, project: Path) -> None:
        self._directory = project / ".veil" / "surrogates"

    def draw(self, key_domain: str, names: Sequence[bytes], seal: Seal, /) -> list[bytes]:
        """The sealed surrogate of each name; new ones are on disk before this returns. VEIL101 if they cannot be."""
        wanted = list(dict.fromkeys(names))
        with self._open(key_domain) as connection:
            found = _look_up(connection, wanted)
            missing = [name for name in wanted if name not in found]
            if missing:
                # Locked from here: who waited sees what another run kept in the meantime.
                connection.execute("begin immediate")
                found |= _look_up(connection, missing)
                missing = [name for name in missing if name not in found]
                fresh = dict(zip(missing, seal(missing, _fresh(missing)), strict=True))
                connection.executemany("insert into surrogates (name, sealed) values (?, ?)", fresh.items())
                connection.execute("commit")
                found |= fresh
        return [found[name] for name in names]

    @contextmanager
    def _open(self, key_domain: str) -> Iterator[sqlite3.Connection]:
        path = self._directory / f"{key_domain}.db"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("pragma synchronous = extra")
                connection.execute(
                    "create table if not exists surrogates (name blob primary key, sealed blob not null) without rowid"
                )
                yield connection
        except (sqlite3.Error, OSError):
            raise VeilError(
                "VEIL101", f"the surrogates of the key domain {key_domain} cannot be read or kept",
                "free space, or give this account the right to write .veil/surrogates; nothing was loaded without them",
            ) from None  # fmt: skip


def _fresh(names: Sequence[bytes]) -> list[bytes]:
    return [os.urandom(_BYTES) for _name in names]


def _look_up(connection: sqlite3.Connection, names: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        found.update(connection.execute(f"select name, sealed from surrogates where name in ({marks})", some))
    return found
