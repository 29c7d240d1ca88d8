"""Does memory grow with the input? The peak of the whole process tree at one size and at ten times that size."""

from __future__ import annotations

import statistics

from benchmarks.project import people, run

_TIMES = 10


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    small, large = _peak(rows, runs), _peak(rows * _TIMES, runs)
    return [
        f"  {rows:,} rows {small / 1e6:.0f} MB, {rows * _TIMES:,} rows {large / 1e6:.0f} MB: {large / small - 1:+.1%}"
    ]


def _peak(rows: int, runs: int) -> float:
    with people(rows) as (directory, _server):
        return statistics.median(run(directory, "people").peak for _ in range(runs))
