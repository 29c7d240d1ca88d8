"""Runs under Prefect that a person stops: they close their books, and the same run goes on afterwards."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from veilflow import prefect_server
from veilflow.errors import VeilError
from veilflow.state import State

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

pytestmark = pytest.mark.live

PATIENCE_SECONDS = 180


@pytest.fixture
def large(project: Any) -> Any:
    """A project whose run takes long enough to be stopped in its middle."""
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(400_000))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "chunk_rows: 500\n")
    return project


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SyncPrefectClient]:
    server = prefect_server.start(tmp_path / "server")
    server.wait()
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as opened:
        yield opened
    server.stop()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        with suppress(VeilError, sqlite3.OperationalError):  # not there yet
            if condition():
                return
        time.sleep(0.05)
    pytest.fail(f"not seen: {what}")


def staged(project: Any) -> int:
    with closing(
        sqlite3.connect(f"file:{project.directory}/out/people.db?mode=ro", uri=True, timeout=30)
    ) as connection:
        count: int = connection.execute("select count(*) from _veilflow where kind = 'receipt'").fetchone()[0]
        return count


def goes_on(project: Any) -> None:
    """The same run, resumed by hand, gives each row once."""
    document = State(project.directory).run("last")[0]
    assert (document["status"], document["resumable"], document["orchestrator"]) == ("interrupted", True, "prefect")
    done = project.veil("runs", "resume", "last", "--direct", "--json")
    assert done.status == 0, done.err
    assert (done.json["run_id"], done.json["resumed_chunks"]) == (document["run_id"], document["chunks"])
    rows = project.rows()
    assert len(rows) == len({row[0] for row in rows}) == 400_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_command_under_prefect_that_a_signal_ended_can_be_resumed(large: Any, number: signal.Signals) -> None:
    """130 or 143, nothing published, and Prefect's own server is gone with it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VEIL_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", "run", "people", "--json", "--quiet"], cwd=large.directory,
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: staged(large) >= 3, "three chunks")
    process.send_signal(number)
    out, _words = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + number
    assert json.loads(out)["status"] == "interrupted"
    goes_on(large)


def test_a_run_that_is_cancelled_in_prefect_can_be_resumed(
    large: Any, client: SyncPrefectClient, tmp_path: Path
) -> None:
    """The worker ends the process of the deployed run; the run closes its books first."""
    from prefect.states import Cancelling

    from veilflow.flows import deploy

    name = deploy("people", large.directory, "dev", "0 2 * * *", "veilflow-stop")
    run = client.create_flow_run_from_deployment(client.read_deployment_by_name(name).id)
    log = tmp_path / "log"
    with log.open("ab") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "veilflow-stop", "--type", "process"],
            stdout=output, stderr=output, cwd=tmp_path,
        )  # fmt: skip
        try:
            wait_for(lambda: staged(large) >= 3, "three chunks")
            client.set_flow_run_state(run.id, Cancelling())
            wait_for(lambda: State(large.directory).run("last")[0]["status"] != "running", "the end of the run")
            wait_for(lambda: client.read_flow_run(run.id).state_name == "Cancelled", "Prefect's own end")
        finally:
            worker.terminate()
            worker.wait(60)
    goes_on(large)
