"""What goes wrong: each fault is set up before the loader starts, strikes while it runs, and is put right afterwards."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from benchmarks.faults.databases import DISK_BYTES, Database, Server, SqlDatabase
from benchmarks.faults.project import people, source_path
from veilflow.errors import VeilError
from veilflow.state import State

_ALL = ("postgresql", "mariadb", "sqlite", "duckdb", "csv")
_SQL, _SERVERS = _ALL[:4], _ALL[:2]


@dataclass
class Scene:
    """Where a fault strikes: ``seconds`` is what the last run took that none disturbed, ``sent`` how many bytes it sends."""

    project: Path
    database: Database
    random: random.Random
    seconds: float = 1.0
    sent: int = 0
    mode: str = "replace"
    source: str = "one file"
    held: str = "nowhere"

    @property
    def sql(self) -> SqlDatabase:
        return cast(SqlDatabase, self.database)

    @property
    def server(self) -> Server:
        return cast(Server, self.database)

    def wait(self, process: BaseProcess) -> None:
        """Until a moment of the run, or its end."""
        process.join(self.random.uniform(0, self.seconds * 1.05))

    def wait_for_reading(self, process: BaseProcess) -> None:
        """Until a moment when the run has begun with its source."""
        while process.is_alive():
            with suppress(VeilError):
                if State(self.project).unfinished("new"):
                    break
            time.sleep(0.005)
        time.sleep(self.random.uniform(0, self.seconds / 2))


#: Whether it met the loader, where the loader may end as if nothing had been: what it cannot bear shows in its status.
Strike = Callable[[BaseProcess], bool]
#: Runs around the loader's life; what it yields is called with the process once that has started.
Fault = Callable[[Scene], Iterator[Strike]]


def _not_at_all(_process: BaseProcess) -> bool:
    return False


def kill(scene: Scene) -> Iterator[Strike]:
    """kill -9 at a random moment."""

    def strike(process: BaseProcess) -> bool:
        scene.wait(process)
        process.kill()
        return False

    yield strike


def stop(scene: Scene) -> Iterator[Strike]:
    """SIGTERM at a random moment."""

    def strike(process: BaseProcess) -> bool:
        scene.wait(process)
        process.terminate()
        return False

    yield strike


def cut(scene: Scene) -> Iterator[Strike]:
    """Every connection is reset once so many bytes have gone to the server, often in the middle of a chunk."""
    proxy = scene.server.proxy
    before = proxy.cuts
    proxy.cut_after(scene.random.randrange(scene.sent))

    def strike(process: BaseProcess) -> bool:
        process.join()
        return proxy.cuts > before

    yield strike
    proxy.cut_after(None)


def crash(scene: Scene) -> Iterator[Strike]:
    """The server stops as if its machine had lost power, and comes back."""

    def strike(process: BaseProcess) -> bool:
        scene.wait(process)
        alive = process.is_alive()
        scene.server.crash()
        return alive

    yield strike


def statement_cancelled(scene: Scene) -> Iterator[Strike]:
    """The server is told to give up what it does for the loader."""
    yield lambda process: _strike_statement(scene, process, connection_too=False)


def connection_ended(scene: Scene) -> Iterator[Strike]:
    """The server is told to end a connection of the loader's in the middle of a statement."""
    yield lambda process: _strike_statement(scene, process, connection_too=True)


def _strike_statement(scene: Scene, process: BaseProcess, connection_too: bool) -> bool:
    scene.wait(process)
    while process.is_alive():
        if scene.server.strike_statement(connection_too):
            return True
        time.sleep(0.001)
    return False


def busy(scene: Scene) -> Iterator[Strike]:
    """Somebody has the table from the beginning, and the loader's patience may end before he gives it back."""
    with scene.server.busy():

        def strike(process: BaseProcess) -> bool:
            while not scene.server.waits():
                if not process.is_alive():
                    return False
                time.sleep(0.01)
            process.join(scene.random.uniform(0, 2))
            return True

        yield strike


def file_busy(scene: Scene) -> Iterator[Strike]:
    """Another program has the file's lock for a while."""

    def strike(process: BaseProcess) -> bool:
        scene.wait(process)
        with scene.sql.busy():
            alive = process.is_alive()
            process.join(scene.random.uniform(0, 2))
        return alive

    yield strike


def deadlock(scene: Scene) -> Iterator[Strike]:
    """The publishing transaction waits for us, and we for it; the database gives it up."""
    yield lambda process: scene.server.deadlock(scene.mode, process.is_alive)


def disk_full(scene: Scene) -> Iterator[Strike]:
    """The disk under the data has room for a part of the rows."""
    disk = scene.database.disk
    assert disk is not None
    with scene.database.on_disk():
        facts = os.statvfs(disk)
        _resize(disk, (facts.f_blocks - facts.f_bfree) * facts.f_bsize + scene.random.randrange(*scene.database.room))
        try:
            yield _not_at_all
        finally:
            _resize(disk, DISK_BYTES)


def _resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def poison(scene: Scene) -> Iterator[Strike]:
    """The table refuses one of the rows."""
    with scene.sql.poisoned():
        yield _not_at_all


@contextmanager
def _another_source(scene: Scene) -> Iterator[Path]:
    path = scene.random.choice(sorted(scene.project.glob(source_path(scene.source, scene.held))))
    content, facts = path.read_bytes(), path.stat()
    try:
        yield path
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def bad_cell(scene: Scene) -> Iterator[Strike]:
    """A cell somewhere in the file is no number."""
    with _another_source(scene) as path:
        lines = path.read_text().splitlines()
        at = scene.random.randrange(1, len(lines))
        lines[at] = lines[at].replace(",", ",x", 3)
        path.write_text("\n".join(lines) + "\n")
        yield _not_at_all


def truncated(scene: Scene) -> Iterator[Strike]:
    """The file loses its end while it is read."""
    with _another_source(scene) as path:

        def strike(process: BaseProcess) -> bool:
            scene.wait_for_reading(process)
            os.truncate(path, scene.random.randrange(path.stat().st_size))
            return False

        yield strike


def replaced(scene: Scene) -> Iterator[Strike]:
    """Another file takes its name while it is read."""
    with _another_source(scene) as path:

        def strike(process: BaseProcess) -> bool:
            scene.wait_for_reading(process)
            other = path.with_suffix(".other")
            other.write_text(people(path.read_text().count("\n"), 50_000, "Other"))
            other.replace(path)
            return False

        yield strike


#: Name, fault, databases that it can strike.
FAULTS: tuple[tuple[str, Fault, tuple[str, ...]], ...] = (
    ("kill", kill, _ALL), ("stop", stop, _ALL), ("connection cut", cut, _SERVERS), ("server crash", crash, _SERVERS),
    ("statement cancelled", statement_cancelled, _SERVERS), ("connection ended", connection_ended, _SERVERS),
    ("lock time-out", busy, _SERVERS), ("file locked", file_busy, ("sqlite", "duckdb")),
    ("deadlock", deadlock, _SERVERS), ("disk full", disk_full, _ALL), ("poison row", poison, _SQL),
    ("bad cell", bad_cell, _ALL), ("source truncated", truncated, _ALL), ("source replaced", replaced, _ALL),
)  # fmt: skip


KINDS = tuple(name for name, _fault, _databases in FAULTS)


def able(database: Database, kinds: Sequence[str]) -> dict[str, Fault]:
    """Those of ``kinds`` that can strike it here."""
    return {
        name: fault for name, fault, databases in FAULTS
        if name in kinds and database.name in databases and (database.disk or fault is not disk_full)
    }  # fmt: skip
