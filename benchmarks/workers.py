"""What does a second worker bring? The same rows as two files, with `workers: 1` and `workers: 2`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Case, alternating, told
from benchmarks.people import write_people
from benchmarks.project import people, run, write_pipeline

_ONE = "one worker"


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    with people(1_000) as (directory, _server):
        _two_files(directory, rows)
        cases = {_ONE: Case(lambda: run(directory, "by_1")), "two workers": Case(lambda: run(directory, "by_2"))}
        return told(alternating(cases, rows, runs), (_ONE,))


def _two_files(directory: Path, rows: int) -> None:
    (directory / "parts").mkdir()
    for number in (1, 2):
        write_people(directory / f"parts/{number}.csv", rows // 2)
        write_pipeline(
            directory, f"by_{number}", source="kind: csv, path: parts/*.csv", more=f"workers: {number}",
            target=f"kind: parquet, path: by_{number}.parquet",
        )  # fmt: skip
