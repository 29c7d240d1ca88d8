"""One trial: a loader that a fault strikes, somebody who reads meanwhile, and what stands in the table in the end."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.faults.child import start
from benchmarks.faults.databases import Database, Rows
from benchmarks.faults.kinds import Fault, Scene, kill
from veilflow.errors import VeilError
from veilflow.state import State

_ATTEMPTS = 12
_STUCK_SECONDS = 120


@dataclass
class Finding:
    """What one trial came to; ``hit`` says that the loader did not end as if nothing had been."""

    fault: str
    database: str
    mode: str
    seed: int
    hit: bool = False
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    mixtures: int = 0
    stuck: str = ""
    resumes: int = 0
    recovery_seconds: float | None = None
    statuses: list[int | None] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong or self.mixtures or self.stuck)


def expected(mode: str, old: Rows, new: Rows) -> Rows:
    """What the table holds when the load has succeeded once."""
    if mode == "append":
        return old + new
    if mode == "merge":
        ids = {row[0] for row in new}
        return new + Counter({row: count for row, count in old.items() if row[0] not in ids})
    return new


def carry_out(finding: Finding, fault: Fault, scene: Scene, old: Rows, new: Rows, broken: str | None) -> None:
    """Begin with the old table, load under the fault until it is done, and take stock."""
    shutil.rmtree(scene.project / ".veil", ignore_errors=True)
    scene.database.begin(indexed=scene.random.random() < 0.5)
    after = expected(finding.mode, old, new)
    with watching(scene.database, (_summary(old), _summary(after)), finding):
        _until_done(finding, fault, scene, broken)
    there = scene.database.rows()
    known = old + after
    finding.lost = (after - there).total()
    surplus = there - after
    finding.duplicated = sum(count for row, count in surplus.items() if row in known)
    finding.wrong = sum(count for row, count in surplus.items() if row not in known)


def _until_done(finding: Finding, fault: Fault, scene: Scene, broken: str | None) -> None:
    command, strikes = ["run", "new"], True
    for attempt in range(_ATTEMPTS):
        began = time.monotonic()
        with _under(fault if strikes else None, scene) as strike:
            process = start([*command, "--direct", "--quiet"], scene.project, broken)
            if strike:
                strike(process)
            process.join(_STUCK_SECONDS)
            if process.is_alive():
                process.kill()
                finding.stuck = "did not end"
                return
        finding.statuses.append(process.exitcode)
        finding.hit = finding.hit or process.exitcode != 0
        # What is refused when it goes on, because its source was put right, is begun anew.
        refused = command[0] == "runs" and process.exitcode in (2, 3)
        command = _next(scene, process.exitcode, refused)
        if not command:
            if attempt and not strikes:
                finding.recovery_seconds = time.monotonic() - began
            return
        finding.resumes += command[0] == "runs"
        # Now and then the recovery is struck as well.
        fault, strikes = kill, attempt < 3 and scene.random.random() < 0.25
    finding.stuck = f"not done after {_ATTEMPTS} attempts: {finding.statuses}"


def _next(scene: Scene, status: int | None, refused: bool) -> list[str]:
    """How a person would go on; nothing if it is done."""
    if status == 0:
        return []
    try:
        document = State(scene.project).run("last")[0]
    except VeilError:
        return ["run", "new"]
    if document["status"] in ("succeeded", "published_unreported"):
        return []
    if refused:
        return ["run", "new"]
    if document["status"] in ("running", "interrupted") or document["resumable"]:
        # A process that died before anything was fixed left nothing to go on with.
        return ["runs", "resume", "last"] if State(scene.project).beginning(document["run_id"]) else ["run", "new"]
    return ["run", "new"]


@contextmanager
def _under(fault: Fault | None, scene: Scene) -> Iterator[Any]:
    if fault is None:
        yield None
        return
    going = fault(scene)
    try:
        yield next(going)
    finally:
        with suppress(StopIteration):
            next(going)


def _summary(rows: Rows) -> tuple[int, ...]:
    """The same as the databases' ``summary``."""
    return (
        rows.total(), len({row[0] for row in rows}), sum(row[2] * n for row, n in rows.items()),
        sum(len(row[3]) * n for row, n in rows.items()),
    )  # fmt: skip


@contextmanager
def watching(database: Database, states: tuple[tuple[int, ...], ...], finding: Finding) -> Iterator[None]:
    """Read all the while: everything but the old and the new state is a mixture, and so is no table."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            with suppress(psycopg.OperationalError), database.reader() as connection:
                while not over.is_set():
                    finding.mixtures += _seen(database, connection) not in (None, *states)
                    over.wait(0.01)
            over.wait(0.05)  # the server is away

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _seen(database: Database, connection: Any) -> tuple[Any, ...] | None:
    try:
        return database.summary(connection)
    except (psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected):
        return None
    except sqlite3.OperationalError as error:
        return None if "locked" in str(error) or "busy" in str(error) else (str(error),)
    except psycopg.errors.UndefinedTable:
        return ("no table",)
