"""A sample of the long run of ``python -m benchmarks.faults``: real faults at seeded moments, and broken loaders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]


def faults(*arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


WRONG = ("lost", "duplicated", "wrong", "mixtures", "untrue", "orphans", "stuck")


def nothing_happened(report: dict[str, object]) -> bool:
    return not any(report[name] for name in WRONG)


def test_faults_lose_nothing_in_files_and_broken_loaders_are_caught() -> None:
    """A harness that does not catch a receipt before, after or without its rows, or a file written where its readers
    look, would prove nothing."""
    report = faults("--databases", "sqlite", "csv", "--seconds", "15", "--prove", "--seed", "7")
    assert nothing_happened(report)
    caught = report["kills_until_caught"]
    assert isinstance(caught, dict)
    assert set(caught) == {"sqlite, before", "sqlite, after", "sqlite, none", "csv, in place"}
    assert all(caught.values())


def test_faults_lose_nothing_in_duckdb() -> None:
    """kill -9, a full disk, a file that another program has open, poison: every row once, nothing said that is not so."""
    assert nothing_happened(faults("--databases", "duckdb", "--seconds", "10", "--seed", "7"))


def test_faults_lose_nothing_in_servers(postgresql: object, mariadb: object) -> None:
    """kill -9, cut connections, crashes of the server, time-outs, deadlocks, poison: every row once, no mixture seen."""
    assert nothing_happened(faults("--databases", "postgresql", "mariadb", "--seconds", "30", "--seed", "7"))
