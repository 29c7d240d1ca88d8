"""Runs as Prefect flows against a real server, and a schedule that a real process worker carries out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from veilflow import prefect_server
from veilflow.errors import PassingFault, VeilError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

pytestmark = pytest.mark.live

MARKER = "marker-value-7f3a"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prefect's home, with its server up."""
    path = tmp_path_factory.mktemp("prefect") / ".veil"
    server = prefect_server.start(path)
    server.wait()
    yield path / "prefect"
    server.stop()


@pytest.fixture
def client(home: Path) -> Iterator[SyncPrefectClient]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as opened:
        yield opened


def request_for(directory: Path) -> Any:
    from veilflow.run import Request

    return Request(directory, "dev", "people")


def newest_run(client: SyncPrefectClient) -> FlowRun:
    from prefect.client.schemas.sorting import FlowRunSort

    return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def states_of_steps(client: SyncPrefectClient, *wanted: str) -> dict[str, str | None]:
    """The states of the newest run's steps, once those that are wanted are there and all are final.

    Prefect's server records task runs from events, in its own time.
    """
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    run = newest_run(client)
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    end = time.monotonic() + 60
    while True:
        tasks = client.read_task_runs(flow_run_filter=mine)
        states = {task.name: task.state_name for task in tasks}
        final = all(task.state is not None and task.state.is_final() for task in tasks)
        if (final and states.keys() >= set(wanted)) or time.monotonic() > end:
            return states
        time.sleep(0.1)


def test_a_run_shows_in_prefect_with_its_name_tags_steps_and_counts(client: SyncPrefectClient, project: Any) -> None:
    """What a person looks for in Prefect's pages."""
    from veilflow.flows import run_with_prefect

    result = run_with_prefect(request_for(project.directory))
    assert result.status == "succeeded"
    assert result.orchestrator == "prefect"
    run = newest_run(client)
    assert run.name == f"people-{result.run_id}"
    assert run.state_name == "Completed"
    assert {"veilflow", "pipeline:people", "environment:dev", "status:succeeded"} <= set(run.tags)
    kinds = {artifact.type for artifact in client.read_artifacts() if artifact.flow_run_id == run.id}
    assert {"table", "markdown"} <= kinds
    steps = ("discover", "plan", "stage", "verify", "publish", "report")
    assert states_of_steps(client, *steps) == dict.fromkeys(steps, "Completed")


def test_a_replay_is_a_flow_run_that_knows_neither_rows_nor_keys(client: SyncPrefectClient, make_project: Any) -> None:
    """Its parameters are the run's own; what it replays and what opens that stay in the process."""
    from veilflow.flows import run_with_prefect
    from veilflow.run.held_rows import open_quarantine
    from veilflow.run.replay import Replay
    from veilflow.secret_stores.session import Session

    project = make_project()
    suite = "expectations:\n  - {type: expect_column_values_to_be_between, kwargs: {column: age, min_value: %d}, severity: warning}\n"
    project.write("pipelines/expectations/people.yaml", suite % 18)
    project.write(
        "pipelines/people.yaml", (project.directory / "pipelines/people.yaml").read_text() + "expectations: people\n"
    )
    parent = run_with_prefect(request_for(project.directory))
    assert parent.counts.quarantined == 1
    project.write("pipelines/expectations/people.yaml", suite % 1)
    with Session(project.directory) as session:
        opened = open_quarantine(project.directory, "dev", parent.run_id, None, session)
        replay = Replay(parent.run_id, opened.held, opened.identities)
        result = run_with_prefect(request_for(project.directory), variation=replay)
    assert (result.status, result.parent_run, result.orchestrator) == ("succeeded", parent.run_id, "prefect")
    assert (result.counts.read, result.counts.loaded) == (1, 1)
    run = newest_run(client)
    assert run.name == f"people-{result.run_id}"
    assert run.parameters.keys() == {"pipeline", "project", "environment", "key_version", "since", "until", "full"}


def test_a_run_has_its_name_while_it_runs(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks at Prefect's page finds the run that ``veil runs list`` shows, before it has ended."""
    from veilflow.flows import pipeline, run_with_prefect

    seen: list[str] = []

    def execute(_request: Any, *, run_id: str, **_others: Any) -> Any:
        run = newest_run(client)
        seen.append(run.name)
        assert run.name == f"people-{run_id}"
        assert {"veilflow", "pipeline:people", "environment:dev"} <= set(run.tags)
        raise VeilError("VEIL301", "a column that no rule covers", "add a rule")

    monkeypatch.setattr(pipeline, "execute", execute)
    with pytest.raises(VeilError, match="VEIL301"):
        run_with_prefect(request_for(Path()))
    assert len(seen) == 1


def test_the_schema_of_an_unchanged_file_comes_from_the_cache_and_of_a_changed_one_does_not(
    client: SyncPrefectClient, project: Any
) -> None:
    """A cached schema of another file would hide a new column."""
    from veilflow.flows import run_with_prefect

    assert run_with_prefect(request_for(project.directory)).status == "succeeded"
    assert states_of_steps(client, "discover")["discover"] == "Completed"
    again = run_with_prefect(request_for(project.directory))
    assert (again.status, again.counts.loaded) == ("succeeded", 3)
    assert states_of_steps(client, "discover")["discover"] == "Cached"
    data = (project.directory / "data/people.csv").read_text().splitlines()
    project.write("data/people.csv", "\n".join(f"{line},{number}" for number, line in enumerate(data)) + "\n")
    result = run_with_prefect(request_for(project.directory))
    assert states_of_steps(client, "discover")["discover"] == "Completed"
    assert [error.code for error in result.errors] == ["VEIL301"]


def test_prefect_keeps_no_pickle_and_nothing_of_a_failed_run_but_its_codes(
    client: SyncPrefectClient, home: Path, project: Any
) -> None:
    """Its storage holds column names as JSON; whoever can write there must not run code here."""
    from veilflow.flows import run_pipeline, run_with_prefect

    assert run_with_prefect(request_for(project.directory)).status == "succeeded"
    project.write("policies/people.yaml", "version: 1\n")
    assert run_with_prefect(request_for(project.directory)).status == "refused"
    with pytest.raises(VeilError):
        run_pipeline("people", str(project.directory), "dev")
    kept = [file for file in (home / "storage").rglob("*") if file.is_file()]
    assert kept
    for file in kept:
        assert json.loads(file.read_bytes())["metadata"]["serializer"]["type"] == "json"


def test_no_value_of_any_row_and_no_secret_stays_in_prefect_or_the_project(
    client: SyncPrefectClient, home: Path, project: Any
) -> None:
    """A marker in good, failing, ragged and badly typed rows is nowhere but in the source; the key is nowhere."""
    from veilflow.flows import run_with_prefect

    cells = [f"{MARKER}-{n}" for n in range(4)]
    good = f"{cells[0]},{cells[1]},{MARKER}@{MARKER}.example,36,Oslo"
    bad = f"{cells[0]},{cells[1]},{cells[2]},{MARKER},{cells[3]}"
    ragged = f"{cells[0]},{cells[1]},{MARKER}"
    project.write("data/people.csv", "\n".join(["id,name,email,age,city", good, bad, ragged, good + ",more"]) + "\n")
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    for rule, counts in (("quarantine", (4, 1, 3)), ("refuse", None)):
        project.write("pipelines/people.yaml", pipeline.replace("people.csv}", f"people.csv, on_bad_row: {rule}}}"))
        result = run_with_prefect(request_for(project.directory))
        assert result.status == ("succeeded" if counts else "refused")
        if counts:
            assert (result.counts.read, result.counts.loaded, result.counts.quarantined) == counts
        assert MARKER not in repr(result)
    key = json.loads((project.directory / "keyring.json").read_text())["keys"]["1"]["key"]
    places = [home, project.directory / ".veil", project.directory / "out"]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert any(file.suffix == ".age" for file in files)
    for file in files:
        content = file.read_bytes()
        assert MARKER.encode() not in content, file
        assert key.encode() not in content, file


def test_a_refused_run_fails_in_prefect_and_still_gives_its_result(client: SyncPrefectClient, project: Any) -> None:
    """The command line needs the result, Prefect the state; its message holds codes only."""
    from veilflow.flows import run_pipeline, run_with_prefect

    policy = (project.directory / "policies/people.yaml").read_text()
    project.write("policies/people.yaml", "\n".join(policy.splitlines()[:-1]) + "\n")
    result = run_with_prefect(request_for(project.directory))
    assert result.status == "refused"
    run = newest_run(client)
    assert run.state_name == "Failed"
    assert run.state is not None
    assert "VEIL301" in (run.state.message or "")
    with pytest.raises(VeilError, match="VEIL301"):
        run_pipeline("people", str(project.directory), "dev")


def test_a_users_flow_gets_the_typed_result_of_a_subflow(client: SyncPrefectClient, project: Any) -> None:
    """``run_pipeline`` can be a part of somebody's own flow."""
    from prefect import flow

    from veilflow.flows import run_pipeline

    @flow(persist_result=False)
    def nightly() -> int:
        return run_pipeline("people", str(project.directory), "dev").counts.loaded

    assert nightly() == 3


def with_steps(monkeypatch: pytest.MonkeyPatch, step: Callable[[], Any]) -> None:
    """Replace the run by one step, so that only its treatment by Prefect is seen."""
    from veilflow.flows import pipeline

    def execute(_request: Any, *, call: Any, **_others: Any) -> Any:
        return call("stage", step)

    monkeypatch.setattr(pipeline, "execute", execute)


def test_only_a_passing_fault_is_tried_again(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is worth a second try, a refusal never."""
    from veilflow.flows import run_with_prefect

    tries: list[str] = []

    def refuse() -> None:
        tries.append("refuse")
        raise VeilError("VEIL301", "a column that no rule covers", "add a rule")

    def lose() -> None:
        tries.append("lose")
        if tries.count("lose") == 1:
            raise PassingFault("VEIL401", "the connection was lost", "try again")
        refuse()

    with_steps(monkeypatch, lose)
    with pytest.raises(VeilError, match="VEIL301"):
        run_with_prefect(request_for(Path()))
    assert tries == ["lose", "lose", "refuse"]


def test_the_text_of_a_foreign_exception_reaches_neither_the_caller_nor_prefect(
    client: SyncPrefectClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver's error may quote a row: only the type's name is told."""
    from veilflow.flows import run_with_prefect

    def break_down() -> None:
        raise ValueError(MARKER)

    with_steps(monkeypatch, break_down)
    with pytest.raises(VeilError, match="VEIL100.*ValueError") as caught:
        run_with_prefect(request_for(Path()))
    assert MARKER not in str(caught.value)
    kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert b"ValueError" in kept
    assert MARKER.encode() not in kept


def test_a_deployment_is_run_by_a_process_worker(client: SyncPrefectClient, project: Any) -> None:
    """``prefect worker`` in another process runs the pipeline from its registration alone."""
    from veilflow.flows import deploy

    name = deploy("people", project.directory, "dev", "0 2 * * *", "veilflow-test")
    assert deploy("people", project.directory, "dev", "0 2 * * *", "veilflow-test") == name
    deployment = client.read_deployment_by_name(name)
    assert [str(entry.schedule.cron) for entry in deployment.schedules] == ["0 2 * * *"]  # type: ignore[union-attr]
    run = client.create_flow_run_from_deployment(deployment.id)
    words = carried_out_by_a_worker("veilflow-test")
    ended = client.read_flow_run(run.id)
    assert ended.state_name == "Completed", words
    assert ended.name.startswith("people-")


def carried_out_by_a_worker(pool: str) -> str:
    """All runs that wait in the pool are carried out; the worker's last words."""
    worker = subprocess.run(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--run-once"],
        env=worker_environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return worker.stderr[-2000:]


VISITS = """\
version: 1
source: {path: data/visits.csv}
columns: {changed: {type: integer}}
policy: visits
incremental: {column: changed}
target: {kind: sqlite, path: out/people.db, table: visits, mode: merge, key: [changed]}
"""


@pytest.fixture
def visits(project: Any) -> Any:
    """An incremental pipeline that was never run, over the values 1 to 40."""
    project.write("data/visits.csv", "changed\n" + "".join(f"{n}\n" for n in range(1, 41)))
    project.write("pipelines/visits.yaml", VISITS)
    reason = "columns: {changed: {class: non_personal, treatment: keep, reason: tests}}"
    project.write("policies/visits.yaml", f"version: 1\npurpose: tests\n{reason}\n")
    return project


def test_a_deployment_takes_the_window_of_an_incremental_pipeline(client: SyncPrefectClient, visits: Any) -> None:
    """``since``, ``until`` and ``full`` mean what they mean to ``veil run``, and are refused where those are."""
    from veilflow.flows import deploy

    deployment = client.read_deployment_by_name(
        deploy("visits", visits.directory, "dev", "0 2 * * *", "veilflow-window")
    )

    def runs(**parameters: Any) -> tuple[str | None, str | None]:
        run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        carried_out_by_a_worker("veilflow-window")
        state = client.read_flow_run(run.id).state
        return (state.name, state.message) if state else (None, None)

    assert runs(since="11", until="21")[0] == "Completed"
    assert sorted(visits.rows("visits")) == [(n,) for n in range(11, 21)]
    name, message = runs(since="21", until="11")
    assert name == "Failed" and "VEIL200" in str(message)
    assert runs(full=True)[0] == "Completed"
    assert sorted(visits.rows("visits")) == [(n,) for n in range(1, 41)]
    shown = visits.veil("runs", "show", "last", "--json").json
    assert (shown["incremental"]["watermark"]["after"], shown["counts"]["read"]) == ("40", 40)


def test_a_window_is_for_incremental_pipelines(client: SyncPrefectClient, visits: Any) -> None:
    """In a subflow too; a value that is none of the column's is refused."""
    from veilflow.flows import run_pipeline

    directory = str(visits.directory)
    with pytest.raises(VeilError, match="VEIL200"):
        run_pipeline("people", directory, "dev", since="1")
    with pytest.raises(VeilError, match="VEIL200"):
        run_pipeline("people", directory, "dev", full=True)
    with pytest.raises(VeilError, match="VEIL200"):
        run_pipeline("visits", directory, "dev", since="soon")
    assert run_pipeline("visits", directory, "dev", until="4").counts.loaded == 3


def test_a_schedule_without_a_server_or_a_readable_cron_line_is_refused(
    client: SyncPrefectClient, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect would start a server of its own, and the schedule would end with it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from veilflow.flows import deploy

    with pytest.raises(VeilError, match="VEIL202"):
        deploy("people", project.directory, "dev", "at two", "veilflow-test")
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(VeilError, match="VEIL403"):
        deploy("people", project.directory, "dev", "0 2 * * *", "veilflow-test")


def worker_environment() -> dict[str, str]:
    """This process's, with the package found also where it is not installed."""
    import os

    import veilflow

    root = str(Path(veilflow.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))
    return {**os.environ, "PYTHONPATH": path}
