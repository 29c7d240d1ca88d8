"""A sample of the long run of ``python -m benchmarks.faults``: real faults at seeded moments, and three broken loaders."""

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


def nothing_happened(report: dict[str, object]) -> bool:
    return not any(report[name] for name in ("lost", "duplicated", "wrong", "mixtures", "stuck"))


def test_faults_lose_nothing_in_sqlite_and_broken_loaders_are_caught() -> None:
    """A harness that does not catch a receipt before, after or without its rows would prove nothing."""
    report = faults("--databases", "sqlite", "--seconds", "25", "--prove", "--seed", "7")
    assert nothing_happened(report)
    assert report["caught"] == {f"sqlite, receipt {how}": True for how in ("before", "after", "none")}


def test_faults_lose_nothing_in_postgresql(postgresql: object) -> None:
    """kill -9, cut connections, crashes of the server, time-outs, deadlocks, poison: every row once, no mixture seen."""
    report = faults("--databases", "postgresql", "--seconds", "35", "--seed", "7")
    assert nothing_happened(report)
