"""Seconds of `veil run people` over the sample of a thousand rows: what a person waits for beside the work."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_VEIL = [sys.executable, "-m", "veilflow.cli"]
_FILE_STORE = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
keyring: keyring
"""


def answer(_rows: int, runs: int) -> list[str]:
    """Lines to print; the sample's thousand rows, whatever else is asked."""
    return [
        f"  {name:28} {found['seconds']:>5.1f} s = {found['start_up']:.1f} s start-up + {found['work']:.1f} s work"
        for name, found in start_up(runs).items()
    ]


def start_up(runs: int) -> dict[str, dict[str, float]]:
    """Median seconds of each way to start: in all, until the run began, and of its work."""
    with _project() as project:
        _veil(project, "init", ".", "--quiet")
        first = [_timed(project)]
        second = [_timed(project) for _ in range(runs)]
        with _server(project) as url:
            # The key ring lies in the other server's block: this one gets a key ring of its own.
            _veil(project, "init", ".", "--quiet", PREFECT_API_URL=url)
            _timed(project, PREFECT_API_URL=url)
            up = [_timed(project, PREFECT_API_URL=url) for _ in range(runs)]
    with _project() as project:
        (project / "secrets/names.yaml").write_text(_FILE_STORE)
        _veil(project, "init", ".", "--quiet")
        direct = [_timed(project, "--direct") for _ in range(runs)]
        pipeline = project / "pipelines/people.yaml"
        lines = pipeline.read_text().splitlines(keepends=True)
        pipeline.write_text("".join(line for line in lines if not line.startswith("expectations")))
        without = [_timed(project, "--direct") for _ in range(runs)]
    return {
        "embedded server, first run": _medians(first),
        "embedded server, second run": _medians(second),
        "a server that is up": _medians(up),
        "--direct": _medians(direct),
        "--direct, no suite": _medians(without),
    }


def _medians(samples: list[tuple[float, float]]) -> dict[str, float]:
    whole = statistics.median(sample[0] for sample in samples)
    work = statistics.median(sample[1] for sample in samples)
    return {"seconds": round(whole, 2), "start_up": round(whole - work, 2), "work": round(work, 2)}


def _timed(project: Path, *options: str, **environment: str) -> tuple[float, float]:
    """Wall seconds of one run, and those of its steps."""
    began = time.perf_counter()
    document = json.loads(_veil(project, "run", "people", "--json", "--quiet", *options, **environment))
    whole = time.perf_counter() - began
    return whole, sum(seconds for step, seconds in document["seconds"].items() if step != "start_up")


def _veil(project: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run([*_VEIL, *arguments], cwd=project, env=os.environ | environment, capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        sys.exit(f"veil {arguments} failed: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def _project() -> Iterator[Path]:
    with _temporary_directory() as directory:
        for folder in ("pipelines", "policies", "secrets", "data"):
            shutil.copytree(_ROOT / folder, directory / folder)
        yield directory


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="veilflow-start-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _server(project: Path) -> Iterator[str]:
    """A Prefect server that stays up between commands, started as its documentation says."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PREFECT_HOME": str(project / "server"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
        cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not ready():
        if time.monotonic() > end:
            sys.exit("Prefect's server did not start")
        time.sleep(0.1)
