"""How a run ends when something goes wrong between its steps or around its publishing."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from veilflow.errors import PassingFault, VeilError
from veilflow.run import Request, execute
from veilflow.state import State
from veilflow.targets import sqlite


class Stopped(BaseException):
    """An orchestrator's own form of a signal."""

    signal = signal.SIGTERM


def request(directory: Path) -> Request:
    return Request(directory, "dev", "people")


def published(directory: Path) -> bool:
    """Whether readers see the table."""
    file = directory / "out/people.db"
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection:
        return bool(connection.execute("select 1 from sqlite_master where name = 'people'").fetchone())


def before(step: str, error: BaseException) -> Callable[..., Any]:
    """A way of carrying steps out that raises ``error`` before one of them, outside of it."""

    def call(name: str, function: Callable[[], Any], /, *, cache_key: str | None = None) -> Any:
        if name == step:
            raise error
        return function()

    return call


@pytest.mark.parametrize("step", ["discover", "plan", "stage", "verify", "publish"])
@pytest.mark.parametrize(("error", "status"), [(Stopped(), 143), (KeyboardInterrupt(), 130)], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_between_two_steps_is_recorded(project: Any, step: str, error: BaseException, status: int) -> None:
    """No run says ``running`` for ever, and nothing was published."""
    result = execute(request(project.directory), call=before(step, error))
    assert (result.status, result.exit_status) == ("interrupted", status)
    assert State(project.directory).run(result.run_id)[0]["status"] == "interrupted"
    assert not published(project.directory)


def test_a_signal_after_the_target_has_committed_does_not_make_the_run_interrupted(project: Any) -> None:
    """The rows are there: to say anything else would be false."""
    result = execute(request(project.directory), call=before("report", Stopped()))
    assert (result.status, result.exit_status, result.counts.loaded) == ("succeeded", 0, 3)
    assert len(project.rows()) == 3


def test_a_signal_while_what_the_run_had_is_given_back_changes_nothing(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has ended and its record says so: its status says the same."""

    def close(_target: object) -> None:
        raise Stopped

    monkeypatch.setattr(sqlite.SqliteTarget, "close", close)
    result = execute(request(project.directory))
    assert (result.status, result.exit_status) == ("succeeded", 0)
    assert State(project.directory).run(result.run_id)[0]["status"] == "succeeded"


def lose(publish: Callable[..., int], *, commit: bool) -> Callable[..., int]:
    """``publish`` whose answer is lost after, or before, it committed."""

    def losing(self: Any, *arguments: Any) -> int:
        if commit:
            publish(self, *arguments)
        raise PassingFault("VEIL401", "the connection was lost", "try again")

    return losing


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "not committed"])
def test_a_connection_lost_in_publishing_is_decided_by_the_target(
    project: Any, monkeypatch: pytest.MonkeyPatch, commit: bool
) -> None:
    """The answer to a commit can be lost; only the target knows."""
    monkeypatch.setattr(sqlite.SqliteTarget, "publish", lose(sqlite.SqliteTarget.publish, commit=commit))
    result = execute(request(project.directory))
    assert (result.status, result.exit_status) == (("succeeded", 0) if commit else ("failed", 4))
    assert State(project.directory).run(result.run_id)[0]["status"] == result.status


def test_a_target_that_cannot_say_leaves_the_record_open_for_the_next_command(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command closes it from the target."""

    asked: list[str] = []
    ask = sqlite.SqliteTarget.publication

    def publication(self: sqlite.SqliteTarget, run_id: str) -> Any:
        asked.append(run_id)
        if len(asked) > 1:  # the first question is the publishing's own
            raise VeilError("VEIL401", "the database is out of reach", "start it")
        return ask(self, run_id)

    with monkeypatch.context() as patched:
        patched.setattr(sqlite.SqliteTarget, "publish", lose(sqlite.SqliteTarget.publish, commit=True))
        patched.setattr(sqlite.SqliteTarget, "publication", publication)
        result = execute(request(project.directory))
    assert (result.status, result.exit_status) == ("failed", 4)
    assert State(project.directory).run(result.run_id)[0]["status"] == "running"
    assert execute(request(project.directory)).status == "succeeded"
    assert State(project.directory).run(result.run_id)[0]["status"] == "published_unreported"


def test_a_file_with_another_header_than_the_plan_saw_is_refused(project: Any) -> None:
    """A column that appeared after the plan was made has no rule, even if size and time of the file are the same."""
    planned = "id,name,email,age,city\n1,Adaada,a@example.com,36,Oslo\n"
    file = project.write("data/people.csv", planned)

    def call(name: str, function: Callable[[], Any], /, *, cache_key: str | None = None) -> Any:
        if name == "stage":
            then = file.stat()
            file.write_text("id,name,email,age,city,x\n1,Ad,a@example.com,36,Oslo,y\n")
            os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
            assert file.stat().st_size == then.st_size
        return function()

    result = execute(request(project.directory), call=call)
    assert (result.status, result.exit_status) == ("refused", 3)
    assert [error.code for error in result.errors] == ["VEIL310"]
