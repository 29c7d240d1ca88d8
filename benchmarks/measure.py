"""One measured command: wall and CPU seconds, memory; and the lines in which figures are told."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
VEIL = (sys.executable, "-m", "veilflow.cli")
#: `veil run` without Prefect, which tells its timings.
QUIETLY = ("--direct", "--quiet", "--json")


@dataclass(frozen=True)
class Sample:
    """One measured command: wall and CPU seconds, the highest resident size of its process tree in bytes, and the wall
    seconds of its work without its start-up, where it tells them."""

    wall: float
    cpu: float
    peak: int
    work: float | None = None


@dataclass(frozen=True)
class Case:
    """A competitor: ``run`` is measured, ``prepare`` comes before it and is not."""

    run: Callable[[], Sample]
    prepare: Callable[[], object] = lambda: None


def measure(arguments: Sequence[str], directory: Path) -> Sample:
    """Run a command and watch its memory every 20 ms."""
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, _resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        out, error = process.communicate()
    except BaseException:
        process.kill()
        raise
    finally:
        done.set()
        watcher.join()
    wall = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{arguments[:4]} failed: {error.decode()[-2000:]}")
    after = os.times()
    return Sample(
        wall, after.children_user + after.children_system - before.children_user - before.children_system, peak,
        _work_of(out),
    )  # fmt: skip


def _work_of(out: bytes) -> float | None:
    """The seconds of a run's steps, from the document that ``veil run --json`` prints."""
    if not out.startswith(b"{"):
        return None
    seconds: dict[str, float] = json.loads(out)["seconds"]
    return sum(value for step, value in seconds.items() if step != "start_up")


def _resident(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    try:
        status = Path(f"/proc/{pid}/statm").read_text().split()
        total = int(status[1]) * os.sysconf("SC_PAGE_SIZE")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return total
    return total + sum(_resident(int(child)) for child in children)


def alternating(cases: Mapping[str, Case], rows: int, runs: int) -> dict[str, dict[str, float]]:
    """Every case so many times, in turn, so that a noisy minute strikes all of them; the figures of each."""
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, case in cases.items():
            case.prepare()
            samples[name].append(case.run())
    return {name: summary(rows, found) for name, found in samples.items()}


def summary(rows: int, samples: list[Sample]) -> dict[str, float]:
    """Medians, and the spread of the rate."""
    rates = sorted(rows / sample.wall for sample in samples)
    works = [sample.work for sample in samples if sample.work is not None]
    return {
        "work_rows_per_second": round(rows / statistics.median(works)) if works else round(statistics.median(rates)),
        "rows_per_second": round(statistics.median(rates)),
        "slowest": round(rates[0]),
        "fastest": round(rates[-1]),
        "cpu_seconds": round(statistics.median(sample.cpu for sample in samples), 2),
        "peak_megabytes": round(statistics.median(sample.peak for sample in samples) / 1e6),
    }


def told(figures: Mapping[str, Mapping[str, float]], beside: Sequence[str]) -> list[str]:
    """A line per case, with its rate as a share of those of ``beside``; without start-up where the case tells it."""
    lines = []
    for name, found in figures.items():
        rate, work = found["rows_per_second"], found["work_rows_per_second"]
        ratios = [
            f"{rate / figures[other]['rows_per_second']:.2f} x {other}"
            + (f" ({work / figures[other]['work_rows_per_second']:.2f} without start-up)" if work != rate else "")
            for other in beside if other in figures and other != name
        ]  # fmt: skip
        lines.append(
            f"  {name:30} {rate:>9,.0f} rows/s ({found['slowest']:,.0f} to {found['fastest']:,.0f}), "
            f"{work:>9,.0f} without start-up  {found['cpu_seconds']:>6.1f} CPU s  {found['peak_megabytes']:>5.0f} MB  "
            + "  ".join(ratios)
        )
    return lines
