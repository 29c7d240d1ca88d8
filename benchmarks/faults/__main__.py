"""``python -m benchmarks.faults``: many faults, what they did, and whether the harness would have seen it."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.broken import ORDERS
from benchmarks.faults.child import start
from benchmarks.faults.databases import Database, PostgresqlDatabase, Rows, Sqlite
from benchmarks.faults.kinds import FAULTS, Scene, kill, resize
from benchmarks.faults.project import write_pipeline, write_project
from benchmarks.faults.proxy import Proxy
from benchmarks.faults.trial import Finding, carry_out
from benchmarks.server import running

_MODES = ("replace", "append", "merge")
_PROOF_TRIALS = 40


def main() -> int:
    """Status 1 if anything was lost, twice, wrong, mixed or stuck, or if a broken loader was not caught."""
    asked = _arguments()
    # Servers and mounts are given back also where somebody ends this.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    began = time.monotonic()
    findings: list[Finding] = []
    caught: dict[str, bool] = {}
    with ExitStack() as stack:
        scenes = [stack.enter_context(_scene(name, asked.seed)) for name in asked.databases]
        for scene, old, new in scenes:
            if asked.prove:
                caught |= {f"{scene.database.name}, receipt {how}": _catches(scene, old, new, how) for how in ORDERS}
        proved = time.monotonic()
        for number in range(asked.faults):
            if time.monotonic() - proved > asked.seconds:
                break
            scene, old, new = scenes[number % len(scenes)]
            findings.append(_one(scene, old, new, asked.seed + number))
            _tell(findings[-1], len(findings))
    report = _report(findings, caught, time.monotonic() - began)
    print(json.dumps(report, indent=1))
    return 0 if all(finding.clean for finding in findings) and all(caught.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=7200, help="stop after so long, not counting the proof")
    parser.add_argument("--seed", type=int, default=1, help="the same seed strikes the same faults at the same moments")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--prove", action="store_true", help="first let three broken loaders be caught")
    return parser.parse_args()


def _tell(finding: Finding, number: int) -> None:
    verdict = "ok" if finding.clean else "WRONG"
    words = f"{number} {finding.database} {finding.mode} {finding.fault}: {verdict} {finding.statuses}"
    print(words if finding.clean else f"{words} {asdict(finding)}", file=sys.stderr, flush=True)


def _one(scene: Scene, old: Rows, new: Rows, seed: int) -> Finding:
    scene.random = random.Random(seed)
    able = [
        (name, fault) for name, fault, databases in FAULTS
        if scene.database.name in databases and (scene.disk or name != "disk full")
    ]  # fmt: skip
    name, fault = scene.random.choice(able)
    finding = Finding(name, scene.database.name, scene.random.choice(_MODES), seed)
    write_pipeline(scene.project, scene.database.target(), finding.mode)
    carry_out(finding, fault, scene, old, new, None)
    return finding


def _catches(scene: Scene, old: Rows, new: Rows, how: str) -> bool:
    """Whether kills find out that the loader is broken."""
    write_pipeline(scene.project, scene.database.target(), "replace")
    for seed in range(_PROOF_TRIALS):
        scene.random = random.Random(seed)
        finding = Finding("kill", scene.database.name, "replace", seed)
        carry_out(finding, kill, scene, old, new, how)
        if not finding.clean:
            print(f"{scene.database.name}, receipt {how}: caught, {finding.lost} rows lost, {finding.duplicated} twice", file=sys.stderr)  # fmt: skip
            return True
    return False


@contextmanager
def _scene(name: str, seed: int) -> Iterator[tuple[Scene, Rows, Rows]]:
    """A project with its database, the old table and the new one, each loaded once without a fault."""
    with ExitStack() as stack:
        project = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="veilflow-faults-")))
        disk: Path | None = project / ("out" if name == "sqlite" else "disk")
        if name == "sqlite":
            write_project(project)
            disk = _small_disk(stack, project / "out")
            database: Database = Sqlite(project)
        else:
            server = stack.enter_context(running())
            write_project(project, server.password)
            database = PostgresqlDatabase(project, server, Proxy(server.port))
            database.write_names()
            disk = _small_disk(stack, server.directory / "small", "postgres")
            if disk:
                with database.connect() as connection:
                    connection.execute(f"create tablespace small location '{disk}'")
        scene = Scene(project, database, random.Random(seed), 1.0, disk)
        new, _seconds = _load(scene, "new")
        old, _seconds = _load(scene, "old")
        database.keep_as_old()
        database.begin(indexed=False)
        _new, scene.seconds = _load(scene, "new")
        yield scene, old, new


def _small_disk(stack: ExitStack, place: Path, owner: str | None = None) -> Path | None:
    """A tmpfs at ``place``; None where this user may not mount."""
    place.mkdir(exist_ok=True)
    with suppress(OSError, subprocess.CalledProcessError):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(place)], check=True, capture_output=True
        )
        stack.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
        if owner:
            shutil.chown(place, owner)
        resize(place, 256 << 20)
        return place
    return None


def _load(scene: Scene, name: str) -> tuple[Rows, float]:
    write_pipeline(scene.project, scene.database.target(), "replace", name)
    shutil.rmtree(scene.project / ".veil", ignore_errors=True)
    began = time.monotonic()
    process = start(["run", name, "--direct", "--quiet"], scene.project, None)
    process.join()
    if process.exitcode != 0:
        raise SystemExit((scene.project / "words").read_text())
    return scene.database.rows(), time.monotonic() - began


def _report(findings: list[Finding], caught: dict[str, bool], seconds: float) -> dict[str, object]:
    recoveries = sorted(finding.recovery_seconds for finding in findings if finding.recovery_seconds)
    return {
        "faults": len(findings), "hit": sum(finding.hit for finding in findings),
        "by_fault": dict(Counter(finding.fault for finding in findings)),
        "by_database": dict(Counter(f"{finding.database} {finding.mode}" for finding in findings)),
        "lost": sum(finding.lost for finding in findings), "duplicated": sum(finding.duplicated for finding in findings),
        "wrong": sum(finding.wrong for finding in findings), "mixtures": sum(finding.mixtures for finding in findings),
        "stuck": sum(bool(finding.stuck) for finding in findings), "resumes": sum(finding.resumes for finding in findings),
        "recovery_seconds": _quantiles(recoveries), "caught": caught, "seconds": round(seconds, 1),
        "bad": [asdict(finding) for finding in findings if not finding.clean],
    }  # fmt: skip


def _quantiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


if __name__ == "__main__":
    sys.exit(main())
