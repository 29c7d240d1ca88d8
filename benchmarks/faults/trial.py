"""One trial: a loader that a fault strikes, somebody who reads meanwhile, and what stands in the table in the end."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from benchmarks.faults.child import held_back, start
from benchmarks.faults.databases import Away, Database, Look, Rows, Summary, summary
from benchmarks.faults.kinds import Fault, Scene
from benchmarks.faults.project import HELD, MODES, ROWS
from veilflow.errors import VeilError
from veilflow.state import State

_ATTEMPTS = 12
_STUCK_SECONDS = 120
#: How often a recovery is struck as well, by any fault, and how often `veil runs clean` comes between.
_STRIKE_AGAIN, _CLEAN = 0.5, 0.15


@dataclass
class Finding:
    """What one trial came to; ``hit`` counts the strikes that the loader met, ``survived`` those that it ended well in
    spite of, ``untrue`` what its status, its record or its counts said and was not so."""

    fault: str
    database: str
    mode: str
    seed: str
    source: str = "one file"
    #: Where rows are held back.
    held: str = "nowhere"
    strikes: int = 0
    hit: int = 0
    #: Of every fault that struck, how often the loader met it.
    by_fault: dict[str, int] = field(default_factory=dict)
    survived: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    mixtures: int = 0
    #: What was seen when something was not as it should: counts and sums, or what went wrong.
    seen: Summary | None = None
    untrue: int = 0
    orphans: int = 0
    #: The most chunks that one resume worked on a second time.
    repeated: int = 0
    stuck: str = ""
    resumes: int = 0
    recovery_seconds: float | None = None
    #: What the run that recovered says of its own time, step by step.
    recovery_steps: dict[str, float] = field(default_factory=dict)
    statuses: list[int | None] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (
            self.lost or self.duplicated or self.wrong or self.mixtures or self.untrue or self.orphans or self.stuck
        )


def expected(mode: str, old: Rows, new: Rows) -> Rows:
    """What the table holds when the load has succeeded once."""
    if mode == "append":
        return old + new
    if "merge" in mode:
        ids = {row[0] for row in new}
        return new + Counter({row: count for row, count in old.items() if row[0] not in ids})
    return new


def carry_out(
    finding: Finding, faults: Mapping[str, Fault], scene: Scene, old: Rows, new: Rows, broken: str | None
) -> None:  # fmt: skip
    """Begin with the old table, load under the finding's fault, and later ones of ``faults``, until it is done, and take
    stock."""
    shutil.rmtree(scene.project / ".veil", ignore_errors=True)
    scene.mode = finding.mode
    scene.database.begin(indexed=scene.random.random() < 0.5)
    after = expected(finding.mode, old, new)
    states = summary(old), summary(after)
    with watching(scene.database, states, finding):
        _Trial(finding, faults, scene, states, broken).until_done()
    _take_stock(finding, after, scene.database.rows(), old + after)


def _take_stock(finding: Finding, wanted: Rows, there: Rows, known: Rows) -> None:
    """What is missing, what is there too often, and what was never in any state."""
    finding.lost += (wanted - there).total()
    surplus = there - wanted
    finding.duplicated += sum(count for row, count in surplus.items() if row in known)
    finding.wrong += sum(count for row, count in surplus.items() if row not in known)


class _Trial:
    """The attempts of one trial, as a person would make them."""

    def __init__(
        self,
        finding: Finding,
        faults: Mapping[str, Fault],
        scene: Scene,
        states: tuple[Summary, Summary],
        broken: str | None,
    ) -> None:
        self._finding, self._faults, self._scene, self._broken = finding, faults, scene, broken
        self._old, self._new = states
        self._worked_on: Counter[int] = Counter()
        self._chunks = scene.project / "chunks"
        self._chunks.unlink(missing_ok=True)

    def until_done(self) -> None:
        finding, random = self._finding, self._scene.random
        command, fault = ["run", "new"], finding.fault
        for attempt in range(_ATTEMPTS):
            began, met = time.monotonic(), finding.hit
            status = self._attempt(command, fault)
            if command[0] == "run" and status == 0 and finding.hit == met:
                # How fast the machine is now, so that the next fault meets a run and not its end.
                self._scene.seconds = time.monotonic() - began
            if finding.stuck:
                return
            self._hold_to_its_word(status)
            self._count_repeated(command)
            command = self._next(command, status)
            if not command:
                if attempt and not fault:
                    finding.recovery_seconds = time.monotonic() - began
                    finding.recovery_steps = self._steps()
                self._end_well()
                return
            finding.resumes += command[0] == "runs"
            if random.random() < _CLEAN:
                self._clean_up()
            again = attempt < 3 and random.random() < _STRIKE_AGAIN
            fault = random.choice(list(self._faults)) if again else ""
        finding.stuck = f"not done after {_ATTEMPTS} attempts"

    def _steps(self) -> dict[str, float]:
        """The last run's; the process that it was forked from has no start to count from."""
        seconds = State(self._scene.project).run("last")[0]["seconds"]
        return {step: value for step, value in seconds.items() if step != "start_up"}

    def _end_well(self) -> None:
        """What holds of a run that is done, beside its rows."""
        if self._finding.held != "nowhere":
            wanted = Counter((one,) for one in HELD)
            _take_stock(self._finding, wanted, Counter((one,) for one in held_back(self._scene.project)), wanted)
        if self._scene.database.staging():
            self._clean_up()
        if "incremental" in MODES[self._finding.mode][1]:
            self._finds_nothing_new()

    def _attempt(self, command: list[str], fault: str) -> int | None:
        finding = self._finding
        met = False
        with _under(self._faults.get(fault), self._scene) as strike:
            process = start([*command, "--direct", "--quiet"], self._scene.project, self._broken)
            if strike:
                met = strike(process)
            if not _ends(process):
                process.kill()
                finding.stuck = "did not end"
        finding.statuses.append(process.exitcode)
        if fault:
            hit = met or process.exitcode != 0
            finding.strikes += 1
            finding.hit += hit
            finding.by_fault[fault] = finding.by_fault.get(fault, 0) + hit
            finding.survived += met and process.exitcode == 0
        return process.exitcode

    def _hold_to_its_word(self, status: int | None) -> None:
        """A run that says it is done has published, all of it; one that says it failed or was refused has not."""
        with suppress(VeilError, Away), self._scene.database.reader() as look:
            document, seen = State(self._scene.project).run("last")[0], look()
            if seen is None:
                return
            if status == 0:
                done = document["status"] in ("succeeded", "published_unreported")
                counts, held = document["counts"], 0 if self._finding.held == "nowhere" else len(HELD)
                true = done and seen == self._new and (counts["loaded"], counts["quarantined"]) == (ROWS, held)
            else:
                true = document["status"] not in ("refused", "failed") or seen == self._old
            if not true:
                self._finding.untrue += 1
                self._finding.seen = (document["status"], document["counts"], *seen)

    def _count_repeated(self, command: list[str]) -> None:
        """How many chunks that an earlier attempt of the same run worked on were worked on again."""
        numbers = Counter(map(int, self._chunks.read_text().split())) if self._chunks.exists() else Counter[int]()
        self._chunks.unlink(missing_ok=True)
        if command[0] == "run":
            self._worked_on.clear()
        elif self._scene.database.resumes:
            self._finding.repeated = max(self._finding.repeated, sum(number in self._worked_on for number in numbers))
        self._worked_on += numbers

    def _next(self, command: list[str], status: int | None) -> list[str]:
        """How a person would go on; nothing if it is done."""
        if status == 0:
            return []
        try:
            document = State(self._scene.project).run("last")[0]
        except VeilError:
            return ["run", "new"]
        if document["status"] in ("succeeded", "published_unreported"):
            return []
        # What is refused when it goes on, because its source was put right, is begun anew.
        refused = command[0] == "runs" and status in (2, 3)
        goes_on = document["status"] in ("running", "interrupted") or document["resumable"]
        # A process that died before anything was fixed left nothing to go on with.
        if not refused and goes_on and State(self._scene.project).beginning(document["run_id"]):
            return ["runs", "resume", "last"]
        return ["run", "new"]

    def _finds_nothing_new(self) -> None:
        """The watermark has moved with the rows: the next run reads its own value again and nothing else."""
        status = self._attempt(["run", "new"], "")
        document = State(self._scene.project).run("last")[0]
        if status != 0 or document["counts"]["loaded"] > 1:
            self._finding.untrue += 1
            self._finding.seen = (document["status"], document["counts"])

    def _clean_up(self) -> None:
        """`veil runs clean` leaves no staging; a run that is resumed afterwards begins with its first row."""
        process = start(["runs", "clean", "--quiet"], self._scene.project, None)
        process.join()
        self._finding.orphans += len(self._scene.database.staging())
        if process.exitcode != 0:
            words = (self._scene.project / "words").read_text().splitlines()
            self._finding.untrue += 1
            self._finding.seen = (process.exitcode, *words[-2:])
        self._worked_on.clear()


def _ends(process: BaseProcess) -> bool:
    """Whether it does in time; second by second, so that a machine that stood still meanwhile is not held against it."""
    for _ in range(_STUCK_SECONDS):
        process.join(1)
        if not process.is_alive():
            return True
    return False


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


@contextmanager
def watching(database: Database, states: tuple[Summary, ...], finding: Finding) -> Iterator[None]:
    """Read all the while: everything but the old and the new state is a mixture, and so is no table."""
    over = threading.Event()

    def look_on(look: Look) -> None:
        while not over.is_set():
            if (seen := look()) not in (None, *states):
                finding.mixtures += 1
                finding.seen = seen
            over.wait(0.02)

    def watch() -> None:
        while database.shared and not over.is_set():
            with suppress(Away), database.reader() as look:
                look_on(look)
            over.wait(0.05)  # the server is away

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
