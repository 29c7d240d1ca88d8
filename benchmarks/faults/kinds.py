"""What goes wrong: each fault is set up before the loader starts, strikes while it runs, and is put right afterwards."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg

from benchmarks.faults.databases import Database, PostgresqlDatabase
from benchmarks.faults.project import people
from veilflow.errors import VeilError
from veilflow.state import State

_ALL, _SERVER, _FILE = ("sqlite", "postgresql"), ("postgresql",), ("sqlite",)


@dataclass
class Scene:
    """Where a fault strikes: ``seconds`` is what a run takes that none disturbs."""

    project: Path
    database: Database
    random: random.Random
    seconds: float
    #: A small file system under the data, where this machine lets us mount one.
    disk: Path | None = None

    @property
    def server(self) -> PostgresqlDatabase:
        assert isinstance(self.database, PostgresqlDatabase)
        return self.database

    def wait(self) -> None:
        """Until a moment of the run, or just behind it."""
        time.sleep(self.random.uniform(0, self.seconds * 1.05))

    def wait_for_reading(self, process: BaseProcess) -> None:
        """Until a moment when the run has begun with its source."""
        while process.is_alive():
            with suppress(VeilError):
                if State(self.project).unfinished("new"):
                    break
            time.sleep(0.005)
        time.sleep(self.random.uniform(0, self.seconds / 2))


#: Runs around the loader's life; what it yields is called with the process once that has started.
Fault = Callable[[Scene], "AbstractFault"]
AbstractFault = Iterator[Callable[[BaseProcess], None]]


def _nothing(_process: BaseProcess) -> None:
    """Strike not at all."""


def kill(scene: Scene) -> AbstractFault:
    """kill -9 at a random moment."""

    def strike(process: BaseProcess) -> None:
        scene.wait()
        process.kill()

    yield strike


def stop(scene: Scene) -> AbstractFault:
    """SIGTERM at a random moment."""

    def strike(process: BaseProcess) -> None:
        scene.wait()
        process.terminate()

    yield strike


def cut(scene: Scene) -> AbstractFault:
    """Every connection is reset once so many bytes have gone to the server, often in the middle of a COPY."""
    scene.server.proxy.cut_after(scene.random.randrange(900_000))
    yield _nothing
    scene.server.proxy.cut_after(None)


def crash(scene: Scene) -> AbstractFault:
    """The server stops as if its machine had lost power, and comes back."""

    def strike(_process: BaseProcess) -> None:
        scene.wait()
        scene.server.server.stop_at_once()
        scene.server.server.start()

    yield strike


def _signal_backends(function: str) -> Fault:
    def fault(scene: Scene) -> AbstractFault:
        def strike(process: BaseProcess) -> None:
            scene.wait()
            with scene.server.connect() as connection:
                while process.is_alive():
                    struck = connection.execute(
                        f"select {function}(pid) from pg_stat_activity where pid <> pg_backend_pid() and state = 'active'"
                        " and (query ilike '%staging%' or query ilike '%_veilflow%' or query ilike 'copy%')"
                    ).fetchall()
                    if struck:
                        return
                    time.sleep(0.001)

        yield strike

    return fault


def lock(scene: Scene) -> AbstractFault:
    """Somebody holds the table, and the loader's patience ends."""
    scene.server.write_names("-c%20lock_timeout%3D300")
    with scene.server.connect() as connection, connection.transaction():
        connection.execute("lock table people in share mode")
        yield _nothing
    scene.server.write_names()


def deadlock(scene: Scene) -> AbstractFault:
    """The publishing transaction waits for us, and we for it; PostgreSQL gives it up."""

    def strike(process: BaseProcess) -> None:
        with closing(psycopg.connect(scene.server.server.url)) as connection:
            connection.execute("set deadlock_timeout = '60s'")
            connection.execute("lock table people in share mode")
            with scene.server.connect() as looking:
                waiting = "select 1 from pg_locks where not granted and locktype = 'relation' and relation = 'people'::regclass"
                while process.is_alive() and not looking.execute(waiting).fetchone():
                    time.sleep(0.005)
            if process.is_alive():
                with suppress(psycopg.Error):
                    connection.execute("lock table _veilflow in access exclusive mode")

    yield strike


def disk_full(scene: Scene) -> AbstractFault:
    """The disk under the data has room for a part of the rows."""
    assert scene.disk is not None
    facts = os.statvfs(scene.disk)
    used = (facts.f_blocks - facts.f_bfree) * facts.f_bsize
    if isinstance(scene.database, PostgresqlDatabase):
        with scene.database.connect() as connection:
            connection.execute("alter role bench set default_tablespace = small")
    resize(scene.disk, used + scene.random.randrange(50_000, 500_000))
    yield _nothing
    resize(scene.disk, 256 << 20)
    if isinstance(scene.database, PostgresqlDatabase):
        with scene.database.connect() as connection:
            connection.execute("alter role bench reset default_tablespace")


def resize(disk: Path, size: int) -> None:
    """Give a tmpfs another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def poison(scene: Scene) -> AbstractFault:
    """The table refuses one of the rows."""
    if isinstance(scene.database, PostgresqlDatabase):
        with scene.database.connect() as connection:
            connection.execute("alter table people add constraint poison check (city <> 'Newtown3' or age <> 5)")
        yield _nothing
        with scene.database.connect() as connection:
            connection.execute("alter table people drop constraint poison")
        return
    with closing(sqlite3.connect(scene.project / "out/people.db")) as connection:
        connection.execute(
            "create trigger poison before insert on people when new.city = 'Newtown3' and new.age = 5"
            " begin select raise(abort, 'poison'); end"
        )
    yield _nothing
    with closing(sqlite3.connect(scene.project / "out/people.db")) as connection:
        connection.execute("drop trigger poison")


@contextmanager
def _another_source(scene: Scene) -> Iterator[Path]:
    path = scene.project / "data/new.csv"
    content, facts = path.read_bytes(), path.stat()
    try:
        yield path
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def bad_cell(scene: Scene) -> AbstractFault:
    """A cell somewhere in the file is no number."""
    with _another_source(scene) as path:
        lines = path.read_text().splitlines()
        at = scene.random.randrange(1, len(lines))
        lines[at] = lines[at].replace(",", ",x", 3)
        path.write_text("\n".join(lines) + "\n")
        yield _nothing


def truncated(scene: Scene) -> AbstractFault:
    """The file loses its end while it is read."""
    with _another_source(scene) as path:

        def strike(process: BaseProcess) -> None:
            scene.wait_for_reading(process)
            os.truncate(path, scene.random.randrange(path.stat().st_size))

        yield strike


def replaced(scene: Scene) -> AbstractFault:
    """Another file takes its name while it is read."""
    with _another_source(scene) as path:

        def strike(process: BaseProcess) -> None:
            scene.wait_for_reading(process)
            other = path.with_suffix(".other")
            other.write_text(people(6_000, 50_000, "Other"))
            other.replace(path)

        yield strike


#: Name, fault, databases that it can strike.
FAULTS: tuple[tuple[str, Fault, tuple[str, ...]], ...] = (
    ("kill", kill, _ALL), ("stop", stop, _ALL), ("cut", cut, _SERVER), ("crash", crash, _SERVER),
    ("statement cancelled", _signal_backends("pg_cancel_backend"), _SERVER),
    ("backend ended", _signal_backends("pg_terminate_backend"), _SERVER),
    ("lock time-out", lock, _SERVER), ("deadlock", deadlock, _SERVER), ("disk full", disk_full, _ALL),
    ("poison row", poison, _ALL), ("bad cell", bad_cell, _ALL),
    ("source truncated", truncated, _ALL), ("source replaced", replaced, _ALL),
)  # fmt: skip
