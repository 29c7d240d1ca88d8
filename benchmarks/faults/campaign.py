"""Many trials, several databases at a time, and what they came to."""

from __future__ import annotations

import queue
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.broken import ways
from benchmarks.faults.child import start
from benchmarks.faults.databases import Rows, open_database
from benchmarks.faults.kinds import Scene, able, kill
from benchmarks.faults.project import sources_for, write_pipeline
from benchmarks.faults.trial import Finding, carry_out

_PROOF_TRIALS = 60


@dataclass
class Place:
    """A database with the old and the new table, and how many trials it has seen."""

    scene: Scene
    old: Rows
    new: Rows
    seed: int
    kinds: Sequence[str]
    number: int = 0

    @property
    def name(self) -> str:
        return self.scene.database.name

    def one(self) -> Finding:
        """The next trial. The same seed and number strike the same fault at the same moment."""
        self.number += 1
        scene = self.scene
        scene.random = random.Random(f"{self.seed} {self.name} {self.number}")
        faults = able(scene.database, self.kinds)
        finding = Finding(
            scene.random.choice(list(faults)),
            self.name,
            scene.random.choice(scene.database.modes),
            f"{self.seed} {self.number}",
        )
        finding.source = scene.source = scene.random.choice(sources_for(finding.mode))
        finding.held = scene.held = scene.random.choice(scene.database.holdings)
        write_pipeline(scene.project, scene.database.target(), finding.mode, scene.source, scene.held)
        carry_out(finding, faults, scene, self.old, self.new, None)
        return finding

    def catches(self, how: str) -> int:
        """How many kills it takes to find out that the loader is broken; 0 if they do not. One that never ends well has
        told of itself."""
        scene = self.scene
        write_pipeline(scene.project, scene.database.target(), "replace")
        for number in range(1, _PROOF_TRIALS + 1):
            scene.random = random.Random(f"{self.seed} {self.name} {how} {number}")
            finding = Finding("kill", self.name, "replace", f"{self.seed} {number}")
            carry_out(finding, {"kill": kill}, scene, self.old, self.new, how)
            if not finding.stuck and (finding.lost or finding.duplicated or finding.mixtures):
                _say(f"{self.name}, {how}: caught, {finding.lost} rows lost, {finding.duplicated} twice, {finding.mixtures} mixtures")  # fmt: skip
                return number
        return 0


@dataclass
class Campaign:
    """What was asked for, and what came of it."""

    databases: Sequence[str]
    kinds: Sequence[str]
    seed: int
    at_once: int
    first: int
    over: threading.Event = field(default_factory=threading.Event)
    findings: list[Finding] = field(default_factory=list)
    caught: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def carry_out(self, faults: int, seconds: float, prove: bool) -> None:
        """So many trials, or as many as there is time for."""
        with ExitStack() as stack:
            places = [stack.enter_context(_place(name, self.seed, self.kinds, self.first)) for name in self.databases]
            if prove:
                self._at_once(places, [self._prove for _place in places])
            end = time.monotonic() + seconds
            self._at_once(places, [lambda place: self._try(place, end)] * faults)

    def _at_once(self, places: list[Place], works: Sequence[Callable[[Place], None]]) -> None:
        """Each piece of work takes the place that has rested longest."""
        free: queue.Queue[Place] = queue.Queue()
        for place in places:
            free.put(place)

        def carry_out(work: Callable[[Place], None]) -> None:
            place = free.get()
            try:
                if not self.over.is_set():
                    work(place)
            finally:
                free.put(place)

        with ThreadPoolExecutor(min(self.at_once, len(places))) as pool:
            list(pool.map(carry_out, works))

    def _prove(self, place: Place) -> None:
        for how in ways(place.name) if not self.over.is_set() else ():
            self.caught[f"{place.name}, {how}"] = place.catches(how)

    def _try(self, place: Place, end: float) -> None:
        if time.monotonic() > end:
            return
        finding = place.one()
        self.findings.append(finding)
        verdict = "ok" if finding.clean else f"WRONG {asdict(finding)}"
        _say(
            f"{len(self.findings)} {finding.database} {finding.mode} {finding.fault}: {finding.statuses} repeated {finding.repeated} {verdict}"
        )

    @property
    def clean(self) -> bool:
        return all(finding.clean for finding in self.findings) and all(self.caught.values())

    def report(self) -> dict[str, Any]:
        """The figures."""
        found = self.findings
        return {
            "seed": self.seed, "trials": len(found), **_total(found, "strikes", "hit", "survived"),
            "hit_by_fault": dict(sum((Counter(finding.by_fault) for finding in found), Counter[str]())),
            "by_source": _by(found, lambda finding: finding.source),
            "by_held_in": _by(found, lambda finding: finding.held),
            "by_mode": _by(found, lambda finding: f"{finding.database} {finding.mode}"),
            **_wrong(found), "resumes": sum(finding.resumes for finding in found),
            "databases": {
                name: _of_database([finding for finding in found if finding.database == name])
                for name in sorted({finding.database for finding in found})
            },
            "recovery_seconds": _recoveries(found), "kills_until_caught": self.caught,
            "seconds": round(time.monotonic() - self.began, 1),
            "bad": [asdict(finding) for finding in found if not finding.clean],
        }  # fmt: skip


def _total(found: Sequence[Finding], *names: str) -> dict[str, int]:
    return {name: sum(getattr(finding, name) for finding in found) for name in names}


def _wrong(found: Sequence[Finding]) -> dict[str, int]:
    """All that must be zero."""
    counts = _total(found, "lost", "duplicated", "wrong", "mixtures", "untrue", "orphans")
    return {**counts, "stuck": sum(bool(finding.stuck) for finding in found)}


def _of_database(found: Sequence[Finding]) -> dict[str, Any]:
    """The figures of one, with the most chunks that a resume worked on again, by source."""
    repeated: dict[str, int] = defaultdict(int)
    for finding in found:
        repeated[finding.source] = max(repeated[finding.source], finding.repeated)
    return {
        "trials": len(found), **_total(found, "strikes", "hit"), **_wrong(found),
        "most_chunks_repeated": dict(repeated), "recovery_seconds": _recoveries(found),
    }  # fmt: skip


def _recoveries(found: Sequence[Finding]) -> dict[str, Any]:
    """Quantiles, and where the slow ones spent their time; ``outside`` is what no step of the run counts."""
    recovered = [finding for finding in found if finding.recovery_seconds is not None]
    slowest = sorted(recovered, key=_recovery_seconds)[-3:]
    return {**_quantiles([_recovery_seconds(finding) for finding in recovered]), "slowest": [*map(_spent, slowest)]}


def _recovery_seconds(finding: Finding) -> float:
    return finding.recovery_seconds or 0.0


def _spent(finding: Finding) -> dict[str, Any]:
    seconds, steps = _recovery_seconds(finding), finding.recovery_steps
    return {
        "after": f"{finding.fault}, {finding.mode}, {finding.seed}", "seconds": round(seconds, 2),
        **steps, "outside": round(seconds - sum(steps.values()), 2),
    }  # fmt: skip


def _by(found: Sequence[Finding], key: Callable[[Finding], str]) -> dict[str, str]:
    """How many trials of each, and in how many the loader met the fault."""
    all_of, hit = Counter(map(key, found)), defaultdict(int)
    for finding in found:
        hit[key(finding)] += bool(finding.hit)
    return {name: f"{hit[name]} of {count}" for name, count in sorted(all_of.items())}


def _quantiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextmanager
def _place(name: str, seed: int, kinds: Sequence[str], first: int) -> Iterator[Place]:
    """A project with its database, the old table and the new one, each loaded once without a fault."""
    with ExitStack() as stack:
        project = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="veilflow-faults-")))
        scene = Scene(project, stack.enter_context(open_database(name, project)), random.Random(seed))
        new = _load(scene, "new")
        old = _load(scene, "old")
        scene.database.keep_as_old()
        scene.database.begin(indexed=False)
        began, sent = time.monotonic(), _sent(scene)
        _load(scene, "new")
        scene.seconds, scene.sent = time.monotonic() - began, _sent(scene) - sent
        yield Place(scene, old, new, seed, kinds, first)


def _sent(scene: Scene) -> int:
    proxy = getattr(scene.database, "proxy", None)
    return proxy.passed if proxy else 0


def _load(scene: Scene, name: str) -> Rows:
    write_pipeline(scene.project, scene.database.target(), "replace")
    shutil.rmtree(scene.project / ".veil", ignore_errors=True)
    process = start(["run", name, "--direct", "--quiet"], scene.project, None)
    process.join()
    if process.exitcode != 0:
        raise SystemExit((scene.project / "words").read_text())
    return scene.database.rows()
