"""What a machine does to a run: no space, a file that changes under the reader, two commands at once."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from veilflow.errors import VeilError
from veilflow.state import State

HEADER = "id,name,email,age,city\n"
_ENOUGH_FOR_THE_RECORD = 40_000


def many_rows(count: int) -> str:
    return HEADER + "".join(f"{number},Ada {number},ada{number}@example.com,36,London\n" for number in range(count))


def start(project: Any, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    """``veil`` as a user starts it; ``limit`` is the size in bytes that no file may pass, as on a full disk."""

    def narrow() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VEIL_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", *arguments], cwd=project.directory, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=narrow,
    )  # fmt: skip


def test_a_full_disk_leaves_the_target_as_it_was(project: Any) -> None:
    """Exit 1, the old rows are there, and with space the next run succeeds."""
    assert project.veil("run", "people", "--direct").status == 0
    before = project.rows()
    project.write("data/people.csv", many_rows(5_000))
    run = start(project, "run", "people", "--direct", limit=_ENOUGH_FOR_THE_RECORD)
    _out, words = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "VEIL101" in words
    assert project.rows() == before
    assert project.veil("run", "people", "--direct").status == 0
    assert len(project.rows()) == 5_000


def test_a_record_that_cannot_be_written_is_told_as_such(project: Any) -> None:
    """It is no defect of ours, and nothing is published without a record."""
    run = start(project, "run", "people", "--direct", limit=1_000)
    _out, words = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "VEIL101" in words
    assert not (project.directory / "out/people.db").exists()


def test_a_file_that_grows_while_it_is_read_is_refused(project: Any) -> None:
    """Half of a writer's work would be delivered as the whole."""
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    project.write("pipelines/people.yaml", pipeline + "chunk_rows: 10\n")
    file: Path = project.write("data/people.csv", many_rows(4_000))
    run = start(project, "run", "people", "--direct", "--json")
    wait_for(lambda: State(project.directory).run("last")[0]["status"] == "running")
    with file.open("a") as writer:
        writer.write("x,Bo,bo@example.org,17,Oslo\n")
    _out, words = run.communicate(timeout=120)
    assert run.returncode == 3
    assert "VEIL310" in words
    assert project.veil("run", "people", "--direct", "--json").json["counts"]["read"] == 4_001


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(VeilError):  # no run yet
            if condition():
                return
        time.sleep(0.005)
    pytest.fail("it did not come to pass")


def test_a_source_that_is_no_file_is_refused(project: Any) -> None:
    """A directory, and a file that this user may not read."""
    file: Path = project.directory / "data/people.csv"
    file.unlink()
    file.mkdir()
    done = project.veil("run", "people", "--direct")
    assert (done.status, "VEIL210" in done.err) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(project: Any) -> None:
    """With the file's name, and what to do."""
    (project.directory / "data/people.csv").chmod(0)
    done = project.veil("run", "people", "--direct")
    assert (done.status, "VEIL210" in done.err) == (2, True)


def test_two_commands_on_a_new_project_start_prefect_side_by_side(project: Any) -> None:
    """Both make the database, the key and the server of the project at the same time."""
    for name in ("first", "second"):
        pipeline = (project.directory / "pipelines/people.yaml").read_text()
        project.write(f"pipelines/{name}.yaml", pipeline.replace("out/people.db", f"out/{name}.db"))
    runs = [start(project, "run", name) for name in ("first", "second")]
    for run in runs:
        _out, words = run.communicate(timeout=180)
        assert run.returncode == 0, words
    for name in ("first", "second"):
        assert len(project.rows(database=f"out/{name}.db")) == 3
