"""A schedule at its time: a server that stays, a deployment with a cron line, a worker, and nobody who starts a run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

#: The next full minute, the worker's polling and its start-up on a busy machine.
PATIENCE_SECONDS = 180


@contextmanager
def running(arguments: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """``python -m prefect …`` for the time of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments], env=environment, stdout=output, stderr=output, cwd=log.parent
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_server(url: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except OSError:
            assert time.monotonic() < end, "the server did not come up"
            time.sleep(0.2)


def test_a_schedule_runs_the_pipeline_at_its_time(project: Any, tmp_path: Path) -> None:
    """The server's own scheduler makes the run; a worker that knows only the pool carries it out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {
        **kept,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    }
    log = tmp_path / "log"
    with running(["server", "start", "--host", "127.0.0.1", "--port", str(port)], environment, log):
        wait_for_server(url)
        deployed = project.veil("deploy", "people", "--cron", "* * * * *", "--json", environment=environment)
        assert deployed.status == 0, deployed.err
        worker = ["worker", "start", "--pool", "veilflow", "--type", "process"]
        with running(worker, environment, log):
            end = time.monotonic() + PATIENCE_SECONDS
            while (listed := project.veil("runs", "list", "--json")).json["runs"] == []:
                assert time.monotonic() < end, log.read_text()[-3000:]
                time.sleep(1)
            while (run := listed.json["runs"][-1])["status"] == "running":
                assert time.monotonic() < end, log.read_text()[-3000:]
                time.sleep(1)
                listed = project.veil("runs", "list", "--json")
    assert (run["status"], run["counts"]["loaded"]) == ("succeeded", 3)
