"""How fast is the fastest keyed peer? dlt with Arrow, Parquet and HMAC, and dlt loading the same file untreated, beside ours.

dlt gets an environment of its own in the cache directory, with pinned versions; nothing of it belongs to the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, Case, Sample, alternating, measure, told
from benchmarks.project import people, run
from benchmarks.server import Postgresql

_PACKAGES = ("dlt[postgres,parquet]==1.31.0", "pyarrow==26.0.1", "adbc-driver-postgresql==1.13.0")
_KEYED, _UNTREATED = "dlt, keyed", "dlt, untreated"


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    python = _dlt()
    if python is None:
        return [f"  {_PACKAGES[0]} cannot be installed here: not measured"]
    with people(rows) as (directory, server):
        cases = {
            "veil": Case(lambda: run(directory, "people")),
            _KEYED: Case(lambda: _load(python, directory, server, "keyed")),
            _UNTREATED: Case(lambda: _load(python, directory, server, "untreated")),
        }
        return told(alternating(cases, rows, runs), (_KEYED, _UNTREATED))


def _load(python: Path, directory: Path, server: Postgresql, how: str) -> Sample:
    shutil.rmtree(directory / "dlt", ignore_errors=True)
    script = str(ROOT / "benchmarks/dlt_pattern.py")
    sample = measure(
        [str(python), script, str(directory / "people.csv"), server.url, how, str(directory / "dlt")], ROOT
    )
    server.psql("drop schema if exists by_dlt cascade")
    return sample


def _dlt() -> Path | None:
    """The interpreter of dlt's environment, made where it is missing; None if it cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "veilflow"
    place = cache / f"dlt-{_PACKAGES[0].rpartition('=')[2]}"
    python, done = place / "bin/python", place / "complete"
    uv = [sys.executable, "-m", "uv"]
    try:
        if not done.exists():
            subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
            install = [*uv, "pip", "install", "--quiet", "--python", str(python), *_PACKAGES]
            subprocess.run(install, check=True, capture_output=True)
            done.touch()
    except (OSError, subprocess.CalledProcessError):
        return None
    return python
