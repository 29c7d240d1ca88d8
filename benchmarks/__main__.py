"""`make bench`: our pipeline beside the pandas pattern and beside `psql \\copy`, alternating in one sitting.

Everything runs on this machine: PostgreSQL is started in a temporary directory and stopped. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.people import write_people
from benchmarks.project import TREATED_COLUMNS, write_project
from benchmarks.server import Postgresql, running
from benchmarks.start_up import start_up


@dataclass(frozen=True)
class Sample:
    """One measured command: wall and CPU seconds, the highest resident size of its process tree in bytes, and the wall
    seconds of its work without its start-up, where it tells them."""

    wall: float
    cpu: float
    peak: int
    work: float | None = None


def measure(arguments: list[str], directory: Path) -> Sample:
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
    out, error = process.communicate()
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


def cases(directory: Path, server: Postgresql, suite: bool) -> dict[str, Callable[[], Sample]]:
    """The competitors, by name; `limit` needs the file that the first run of ours wrote."""
    veil = [sys.executable, "-m", "veilflow.cli", "run"]
    quietly = ["--direct", "--quiet", "--json"]
    found: dict[str, Callable[[], Sample]] = {
        "veil": lambda: measure([*veil, "people", *quietly], directory),
        "pandas": lambda: measure([sys.executable, "-m", "benchmarks.pandas_pattern", str(directory / "people.csv"), server.url], Path(__file__).parents[1]),
        "psql": lambda: _limit(directory, server),
    }  # fmt: skip
    if suite:
        found["veil, ten expectations"] = lambda: measure([*veil, "checked", *quietly], directory)
        found["the same in Great Expectations"] = lambda: measure([*veil, "checked_by_gx", *quietly], directory)
    return found


def _limit(directory: Path, server: Postgresql) -> Sample:
    columns = ", ".join(f"{name} {kind}" for name, kind in TREATED_COLUMNS)
    server.psql(f"drop table if exists ready; create table ready ({columns})")
    return measure(
        ["psql", "-q", server.url, "-c", f"\\copy ready from '{directory / 'treated.csv'}' (format csv, header)"],
        directory,
    )


def bench(rows: int, runs: int, suite: bool) -> dict[str, object]:
    """Measure every case `runs` times, in turn."""
    directory = Path(tempfile.mkdtemp(prefix="veilflow-bench-"))
    try:
        with running() as server:
            write_people(directory / "people.csv", rows)
            write_project(directory, server)
            measure([sys.executable, "-m", "veilflow.cli", "run", "people", "--direct", "--quiet"], directory)
            server.psql(f"\\copy people to '{directory / 'treated.csv'}' (format csv, header)")
            samples: dict[str, list[Sample]] = {}
            for _ in range(runs):
                for name, case in cases(directory, server, suite).items():
                    samples.setdefault(name, []).append(case())
            return {
                "rows": rows,
                "runs": runs,
                "cores": os.cpu_count(),
                "cases": {name: summary(rows, found) for name, found in samples.items()},
            }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 5_000_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-suite", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    started = start_up(chosen.runs)
    results = [bench(rows, chosen.runs, not chosen.no_suite) for rows in chosen.rows]
    if chosen.json:
        print(json.dumps({"start_up": started, "load": results}, indent=1))
        return
    print(f"veil run people, 1,000 rows, {chosen.runs} runs")
    for name, seconds in started.items():
        print(
            f"  {name:28} {seconds['seconds']:>5.1f} s = {seconds['start_up']:.1f} s start-up + {seconds['work']:.1f} s work"
        )
    for result in results:
        found: dict[str, dict[str, float]] = result["cases"]  # type: ignore[assignment]
        print(f"{result['rows']:,} rows, {result['runs']} runs, {result['cores']} cores")
        for name, figures in found.items():
            rate = figures["rows_per_second"]
            print(
                f"  {name:30} {rate:>9,.0f} rows/s ({figures['slowest']:,.0f} to {figures['fastest']:,.0f}), "
                f"{figures['work_rows_per_second']:>9,.0f} without start-up  "
                f"{figures['cpu_seconds']:>6.1f} CPU s  {figures['peak_megabytes']:>5.0f} MB  "
                f"{rate / found['pandas']['rows_per_second']:.1f} x pandas  {rate / found['psql']['rows_per_second']:.2f} x psql, "
                f"{figures['work_rows_per_second'] / found['psql']['rows_per_second']:.2f} without start-up"
            )


if __name__ == "__main__":
    main()
