"""The databases that faults happen to: how a trial begins there, what a reader and a stock-taking see, what can fail.

One file a kind. To add one: a class that fulfils one of the Protocols, and its line in ``open_database``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.faults.proxy import Proxy

Rows = Counter[tuple[Any, ...]]
Summary = tuple[Any, ...]
#: Looks once: what stands in the table, or None where the database cannot say it now.
Look = Callable[[], Summary | None]
COLUMNS = "id, name, age, city"
#: One row that differs between any two states: of the old table, of the new one, and of all mixtures.
SUMMARY = "select count(*), count(distinct id), sum(age), sum(length(city)) from people"
NO_TABLE: Summary = ("no table",)
#: A row of the new people that ``poisoned`` makes the table refuse.
POISON = "city = 'Newtown3' and age = 5"
DISK_BYTES = 256 << 20


class Away(Exception):
    """Nobody answers a reader now."""


class Database(Protocol):
    """One kind of database, with the table ``people``."""

    name: str
    modes: tuple[str, ...]
    #: Where rows can be held back.
    holdings: tuple[str, ...]
    #: Whether others can read while a run has it open.
    shared: bool
    #: Whether chunks that are staged outlive their process.
    resumes: bool
    #: A small file system under its data, where this machine lets us mount one.
    disk: Path | None
    #: How many bytes the full disk has room for.
    room: tuple[int, int]

    def target(self) -> str:
        """The pipeline's ``target:`` without its mode."""

    def keep_as_old(self) -> None:
        """What stands in ``people`` now is what every trial begins with."""

    def begin(self, indexed: bool) -> None:
        """The old table and nothing else; with an index it is rewritten, without one swapped."""

    def rows(self) -> Rows:
        """All rows, with how often each is there."""

    def staging(self) -> list[str]:
        """Names of what runs left beside the table, but for the rows that they held back: those are to stay."""

    def reader(self) -> AbstractContextManager[Look]:
        """A connection of somebody who reads. ``Away`` from it or from its looks if nobody answers."""

    def on_disk(self) -> AbstractContextManager[None]:
        """What is made now lies on ``disk``."""


class SqlDatabase(Database, Protocol):
    """One that refuses rows and has locks."""

    def poisoned(self) -> AbstractContextManager[None]:
        """The table refuses one of the rows."""

    def busy(self) -> AbstractContextManager[None]:
        """Somebody has what the loader needs, and the loader's patience is short."""


class Server(SqlDatabase, Protocol):
    """A database of a server's own, which the loader reaches through the proxy and a reader does not."""

    proxy: Proxy

    def crash(self) -> None:
        """Stop it as if its machine had lost power, and start it again."""

    def strike_statement(self, connection_too: bool) -> bool:
        """Cancel what the loader does now, or end its connection; whether there was something."""

    def waits(self) -> bool:
        """Whether somebody waits for the table."""

    def deadlock(self, mode: str, alive: Callable[[], bool]) -> bool:
        """Hold what the loader needs, then ask for what it holds; whether it was the loader that had to give in."""


def summary(rows: Rows) -> Summary:
    """The same as ``SUMMARY`` over the rows."""
    return (
        rows.total(), len({row[0] for row in rows}), sum(row[2] * n for row, n in rows.items()),
        sum(len(row[3]) * n for row, n in rows.items()),
    )  # fmt: skip


def left_over(found: Iterable[tuple[Any, ...]]) -> list[str]:
    """The names of tables in the staging, without the one that is no run's left-over."""
    return [name for (name,) in found if not name.endswith("_quarantine")]


@contextmanager
def small_disk(place: Path, owner: str | None = None) -> Iterator[Path | None]:
    """A tmpfs at ``place``, which is made and belongs to ``owner``; None where this user may not mount."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    mounted = shutil.which("mount") is not None and not subprocess.run(mount, check=False, capture_output=True).returncode  # fmt: skip
    try:
        if owner and os.geteuid() == 0:
            shutil.chown(place, owner)
            place.chmod(0o700)
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)


@contextmanager
def open_database(name: str, project: Path) -> Iterator[Database]:
    """The database of that name; its servers run and its disks are mounted as long as it is open."""
    from benchmarks.faults.databases import csv_file, duckdb, mariadb, postgresql, sqlite

    places: dict[str, Callable[[Path], AbstractContextManager[Database]]] = {
        "postgresql": postgresql.opened, "mariadb": mariadb.opened, "sqlite": sqlite.opened,
        "duckdb": duckdb.opened, "csv": csv_file.opened,
    }  # fmt: skip
    with places[name](project) as database:
        yield database


NAMES = ("postgresql", "mariadb", "sqlite", "duckdb", "csv")
