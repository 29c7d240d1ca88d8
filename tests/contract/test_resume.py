"""Runs that were stopped, killed or cut off, and what it takes to go on with them."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Progress, RunResult
from veilflow.run import Interrupted, Request, execute, request_to_resume
from veilflow.state import State
from veilflow.targets import sqlite

ROWS = 1_000
CHUNKS = 20


@pytest.fixture
def loaded(project: Any) -> Any:
    """A project with twenty chunks to load."""
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(ROWS))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    edit(project, "pipelines/people.yaml", lambda text: text + f"chunk_rows: {ROWS // CHUNKS}\n")
    return project


def edit(project: Any, name: str, change: Callable[[str], str]) -> None:
    path = project.directory / name
    path.write_text(change(path.read_text()))


def run(project: Any, on_progress: Any = None, **options: Any) -> RunResult:
    return execute(Request(project.directory, "dev", "people", **options), on_progress=on_progress)


def resume(project: Any, run_id: str = "last") -> RunResult:
    return execute(request_to_resume(project.directory, run_id))


def stop_after(chunks: int, error: BaseException | None = None) -> Callable[[Progress], None]:
    """An observer of progress that stops the run once so many chunks are durable."""

    def on_progress(progress: Progress) -> None:
        if progress.stage == "stage" and progress.read >= chunks * (ROWS // CHUNKS):
            raise error or Interrupted(143)

    return on_progress


def staging(project: Any, database: str = "out/people.db") -> list[str]:
    with closing(sqlite3.connect(project.directory / database)) as connection:
        names = connection.execute("select name from sqlite_master where name like 'veilflow_staging%'").fetchall()
    return [name for (name,) in names]


def processed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the chunks that are treated from here on."""
    module = importlib.import_module("veilflow.run.execute")
    numbers: list[int] = []
    treat = module.process

    def noting(chunk: Any, work: Any) -> Any:
        numbers.append(chunk.number)
        return treat(chunk, work)

    monkeypatch.setattr(module, "process", noting)
    return numbers


def test_a_signal_that_a_library_turns_into_an_error_of_its_own_interrupts(loaded: Any) -> None:
    """DuckDB drops what a handler raises inside its statements; the run is no defect, and is gone on with."""

    def swallowed(progress: Progress) -> None:
        if progress.stage == "verify":
            with suppress(Interrupted):
                raise Interrupted(143)
            raise RuntimeError("Query interrupted")

    result = execute(Request(loaded.directory, "dev", "people"), on_progress=swallowed)
    assert (result.status, result.exit_status, result.resumable) == ("interrupted", 143, True)
    resumed = execute(request_to_resume(loaded.directory, "last"))
    assert (resumed.status, resumed.resumed_chunks) == ("succeeded", CHUNKS)


def test_a_resumed_run_loads_what_is_missing_and_nothing_else(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is that of a run that was never stopped, row by row, and so are the counts."""
    assert run(loaded).status == "succeeded"
    whole = loaded.rows()
    stopped = run(loaded, stop_after(8))
    assert (stopped.status, stopped.exit_status, stopped.resumable) == ("interrupted", 143, True)
    assert loaded.rows() == whole
    numbers = processed(monkeypatch)
    result = resume(loaded)
    assert (result.status, result.run_id, result.resumed_chunks) == ("succeeded", stopped.run_id, 8)
    assert numbers == list(range(8, CHUNKS))
    assert (result.counts.read, result.counts.loaded, result.chunks) == (ROWS, ROWS, CHUNKS)
    assert loaded.rows() == whole
    assert staging(loaded) == []


def test_a_run_can_be_stopped_and_resumed_again_and_again(loaded: Any) -> None:
    """Each time from where it was."""
    assert run(loaded, stop_after(3)).status == "interrupted"
    for chunks in (9, 15):
        request = request_to_resume(loaded.directory, "last")
        assert execute(request, on_progress=stop_after(chunks)).status == "interrupted"
    assert resume(loaded).resumed_chunks == 15
    assert len({row[0] for row in loaded.rows()}) == ROWS


def test_a_lost_connection_keeps_what_is_staged(loaded: Any) -> None:
    """To be out of reach is no reason to do the work again; what is staged of a refused run is dropped."""
    lost = run(loaded, stop_after(8, PassingFault("VEIL401", "the connection was lost", "try again")))
    assert (lost.status, lost.exit_status, lost.resumable) == ("failed", 4, True)
    assert resume(loaded).resumed_chunks == 8
    refused = run(loaded, stop_after(8, VeilError("VEIL306", "a check", "repair")))
    assert (refused.resumable, staging(loaded)) == (False, [])
    with pytest.raises(VeilError, match="VEIL325"):
        resume(loaded)


def touch(project: Any) -> None:
    os.utime(project.directory / "data/people.csv", ns=(1, 1))


def replace_beneath(project: Any) -> None:
    """Another content under the same size and time."""
    path = project.directory / "data/people.csv"
    then = path.stat()
    path.write_text(path.read_text().replace("City1", "City8"))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))


def weaken(project: Any) -> None:
    edit(project, "policies/people.yaml", lambda text: text.replace("keep_first: 1", "keep_first: 2"))


def uncover(project: Any) -> None:
    edit(project, "policies/people.yaml", lambda text: text.rpartition("  city")[0])


def rotate(project: Any) -> None:
    done = project.veil("keys", "rotate")
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (touch, "VEIL310"), (replace_beneath, "VEIL310"), (weaken, "VEIL325"), (uncover, "VEIL301"),
        (rotate, "VEIL313"),
    ],
)  # fmt: skip
def test_what_changed_since_the_beginning_refuses_and_changes_nothing(
    loaded: Any, change: Callable[[Any], None], code: str
) -> None:
    """Half of the rows of one kind and half of another would be worse than none; with the files back it goes on."""
    stopped = run(loaded, stop_after(8))
    paths = [loaded.directory / name for name in ("data/people.csv", "policies/people.yaml", "keyring.json")]
    before = [(path.read_bytes(), path.stat()) for path in paths]
    change(loaded)
    with pytest.raises(VeilError) as caught:
        resume(loaded)
    assert caught.value.code == code
    assert State(loaded.directory).run("last")[0]["status"] == "interrupted"
    assert staging(loaded) == [f"veilflow_staging_{stopped.run_id}"]
    for path, (content, facts) in zip(paths, before, strict=True):
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert resume(loaded).resumed_chunks == 8


def test_a_run_that_another_overtook_is_not_resumed(loaded: Any) -> None:
    """Appended once more its rows would be there twice."""
    edit(loaded, "pipelines/people.yaml", lambda text: text.replace("mode: replace", "mode: append"))
    first = run(loaded, stop_after(8))
    second = run(loaded, stop_after(4))
    assert staging(loaded) == [f"veilflow_staging_{second.run_id}"]
    assert resume(loaded, first.run_id).resumed_chunks == 0
    with pytest.raises(VeilError, match="VEIL325"):
        resume(loaded, second.run_id)
    assert len(loaded.rows()) == ROWS


def test_staging_that_does_not_hold_what_the_receipts_say_is_not_gone_on_with(loaded: Any) -> None:
    """VEIL502 if rows were lost or added, VEIL325 if the last chunk would come out otherwise now."""
    stopped = run(loaded, stop_after(8))
    table = f"veilflow_staging_{stopped.run_id}"
    with sqlite3.connect(loaded.directory / "out/people.db") as connection:
        connection.execute('update _veilflow set detail = replace(detail, \'"digest": "\', \'"digest": "0\')')
    with pytest.raises(VeilError, match="VEIL325"):
        resume(loaded)
    with sqlite3.connect(loaded.directory / "out/people.db") as connection:
        connection.execute(f'delete from "{table}" where rowid = 1')
    with pytest.raises(VeilError, match="VEIL502"):
        resume(loaded)


def test_a_run_that_had_published_before_it_died_is_closed_by_resuming(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it happened stands in the target, and it does not happen twice."""
    edit(loaded, "pipelines/people.yaml", lambda text: text.replace("mode: replace", "mode: append"))
    publish = sqlite.SqliteTarget.publish

    def dying(self: Any, *arguments: Any) -> int:
        publish(self, *arguments)
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(sqlite.SqliteTarget, "publish", dying)
        run(loaded)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    result = resume(loaded)
    assert (result.status, result.exit_status, result.counts.loaded) == ("published_unreported", 0, ROWS)
    assert len(loaded.rows()) == ROWS


def test_a_dry_run_does_everything_but_publishing(loaded: Any) -> None:
    """The same counts, checks and exit status; the table, the staging and a run that can be resumed stay as they are."""
    assert run(loaded, dry_run=True).status == "succeeded"
    with closing(sqlite3.connect(loaded.directory / "out/people.db")) as connection:
        assert connection.execute("select name from sqlite_master where type = 'table'").fetchall() == [("_veilflow",)]
    stopped = run(loaded, stop_after(8))
    dry = loaded.veil("run", "people", "--dry-run", "--direct", "--json")
    assert (dry.status, dry.json["dry_run"], dry.json["counts"]["loaded"]) == (0, True, ROWS)
    assert staging(loaded) == [f"veilflow_staging_{stopped.run_id}"]
    assert resume(loaded, stopped.run_id).resumed_chunks == 8
    edit(loaded, "pipelines/people.yaml", lambda text: text + "limits: {max_quarantined: 0}\n")
    edit(loaded, "data/people.csv", lambda text: text + "x,y,z,old,w\n")
    edit(loaded, "pipelines/people.yaml", lambda text: text.replace("csv}", "csv, on_bad_row: quarantine}"))
    assert run(loaded, dry_run=True).exit_status == 3


def test_clean_removes_what_dead_runs_left(loaded: Any) -> None:
    """In every pipeline's target, also half-written files; it tells which, and a second time there is nothing."""
    edit(loaded, "pipelines/people.yaml", lambda text: text.replace("mode: replace", "mode: append"))
    file = (loaded.directory / "pipelines/people.yaml").read_text()
    target = "target: {kind: csv, path: out/people.csv}"
    lines = [target if line.startswith("target") else line for line in file.splitlines()]
    loaded.write("pipelines/file.yaml", "\n".join(lines) + "\n")
    stopped = run(loaded, stop_after(8))
    part = execute(Request(loaded.directory, "dev", "file"), on_progress=stop_after(8))
    parts = sorted(path.name for path in (loaded.directory / "out").glob(".*"))
    assert parts == [f".people.csv.{part.run_id}.part"]
    cleaned = loaded.veil("runs", "clean", "--json")
    assert cleaned.status == 0, cleaned.err
    assert {(one["pipeline"], one["run_id"]) for one in cleaned.json["removed"]} == {
        ("people", stopped.run_id), ("file", part.run_id),
    }  # fmt: skip
    assert staging(loaded) == [] and not list((loaded.directory / "out").glob(".*"))
    assert loaded.veil("runs", "clean").out == "nothing was left over\n"
    assert resume(loaded, stopped.run_id).resumed_chunks == 0
    assert len(loaded.rows()) == ROWS


def test_a_file_is_begun_anew_by_resuming(loaded: Any) -> None:
    """Half a file cannot be gone on with; the run can."""
    edit(
        loaded,
        "pipelines/people.yaml",
        lambda text: text.replace("kind: sqlite, path: out/people.db", "kind: jsonl, path: people.jsonl"),
    )
    assert run(loaded, stop_after(8)).status == "interrupted"
    assert resume(loaded).resumed_chunks == 0
    assert len((loaded.directory / "people.jsonl").read_text().splitlines()) == ROWS


# --- processes ---------------------------------------------------------------------------


def start(project: Any, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VEIL_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", *arguments], cwd=project.directory, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def many(project: Any, rows: int = 200_000) -> None:
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(rows))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    edit(project, "pipelines/people.yaml", lambda text: text + "chunk_rows: 500\n")


def wait_for_receipts(project: Any, chunks: int, process: subprocess.Popen[str]) -> None:
    path: Path = project.directory / "out/people.db"
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if path.exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
                try:
                    count = connection.execute("select count(*) from _veilflow where kind = 'receipt'").fetchone()[0]
                except sqlite3.OperationalError:
                    count = 0
            if count >= chunks:
                return
        time.sleep(0.02)
    pytest.fail(f"no receipts: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "SIGTERM", "kill"])
def test_a_process_that_a_signal_ended_leaves_a_run_to_resume(project: Any, number: signal.Signals) -> None:
    """It stops between two chunks; kill -9 in the middle of one. Nothing is published, nothing is lost or twice."""
    many(project)
    process = start(project, "run", "people", "--direct", "--json")
    wait_for_receipts(project, 3, process)
    process.send_signal(number)
    out, _words = process.communicate(timeout=120)
    if number == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 128 + number
        assert (json.loads(out)["status"], json.loads(out)["resumable"]) == ("interrupted", True)
    done = project.veil("runs", "resume", "last", "--direct", "--json")
    assert done.status == 0, done.err
    assert done.json["resumed_chunks"] >= 3
    rows = project.rows()
    assert len(rows) == len({row[0] for row in rows}) == 200_000


def test_cancel_stops_the_process_of_a_run_and_waits_for_it(project: Any) -> None:
    """It tells how the run ended; one that is over cannot be cancelled."""
    many(project)
    process = start(project, "run", "people", "--direct")
    wait_for_receipts(project, 3, process)
    done = project.veil("runs", "cancel", "last", "--json")
    assert done.status == 0, done.err
    assert (done.json["status"], done.json["resumable"]) == ("interrupted", True)
    process.communicate(timeout=60)
    assert process.returncode == 143
    again = project.veil("runs", "cancel", "last")
    assert again.status == 3 and "VEIL325" in again.err


def test_a_second_run_is_refused_or_waits_as_the_pipeline_says(project: Any) -> None:
    """VEIL308 at once, or the two runs one after the other."""
    many(project, 20_000)
    process = start(project, "run", "people", "--direct")
    wait_for_receipts(project, 1, process)
    process.send_signal(signal.SIGSTOP)
    try:
        refused = run(project)
        assert (refused.status, [error.code for error in refused.errors]) == ("refused", ["VEIL308"])
        edit(project, "pipelines/people.yaml", lambda text: text + "on_overlap: wait\nlimits: {timeout_seconds: 1}\n")
        assert [error.code for error in run(project).errors] == ["VEIL308"]
        edit(project, "pipelines/people.yaml", lambda text: text.replace("timeout_seconds: 1", "timeout_seconds: 300"))
        waiting = start(project, "run", "people", "--direct", "--json")
    finally:
        process.send_signal(signal.SIGCONT)
    process.communicate(timeout=120)
    out, words = waiting.communicate(timeout=120)
    assert (process.returncode, waiting.returncode) == (0, 0), words
    assert json.loads(out)["counts"]["loaded"] == 20_000


def test_the_overlap_rule_does_not_make_another_plan(loaded: Any) -> None:
    """How long a run waits for another changes nothing of what it does."""
    before = run(loaded).plan_hash
    edit(loaded, "pipelines/people.yaml", lambda text: text + "on_overlap: wait\n")
    assert run(loaded).plan_hash == before


def test_the_record_names_what_was_fixed_and_no_value(loaded: Any) -> None:
    """Files by name, size, time and keyed fingerprint; the rule of chunks; the date."""
    result = run(loaded)
    beginning = State(loaded.directory).beginning(result.run_id)
    assert beginning is not None
    assert (beginning["chunk_rows"], beginning["active_key"]) == (ROWS // CHUNKS, 1)
    assert [file["name"] for file in beginning["files"]] == ["data/people.csv"]
    assert [len(digest) for digest in beginning["fingerprints"]] == [64]


def test_a_database_is_read_from_its_first_row_again(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an order another reading may be another one: rows of two states do not mix in one table. With one, a
    chunk that changed refuses."""
    with closing(sqlite3.connect(loaded.directory / "data/crm.db")) as connection, connection:
        connection.execute("create table people (id text not null unique, name text, email text, age text, city text)")
        rows = [(str(n), f"N{n}", None, str(n % 90), "Before") for n in range(ROWS)]
        connection.executemany("insert into people values (?, ?, ?, ?, ?)", rows)
    source = "source: {kind: sqlite, path: data/crm.db, table: people}"
    edit(
        loaded, "pipelines/people.yaml", lambda text: text.replace("source: {kind: csv, path: data/people.csv}", source)
    )
    stopped = run(loaded, stop_after(8))
    assert stopped.resumable
    with closing(sqlite3.connect(loaded.directory / "data/crm.db")) as connection, connection:
        connection.execute("update people set city = 'After'")
    numbers = processed(monkeypatch)
    result = resume(loaded)
    assert (result.status, result.resumed_chunks, numbers) == ("succeeded", 0, list(range(CHUNKS)))
    assert {row[4] for row in loaded.rows()} == {"After"}
    assert len(loaded.rows()) == ROWS
    edit(
        loaded,
        "pipelines/people.yaml",
        lambda text: text.replace("table: people}\n", "table: people, order_by: [id]}\n", 1),
    )
    assert run(loaded, stop_after(8)).resumable
    with closing(sqlite3.connect(loaded.directory / "data/crm.db")) as connection, connection:
        connection.execute("update people set city = 'Again'")
    with pytest.raises(VeilError, match="VEIL325"):
        resume(loaded)
    with closing(sqlite3.connect(loaded.directory / "data/crm.db")) as connection, connection:
        connection.execute("update people set city = 'After'")
    assert resume(loaded).resumed_chunks == 8
    assert len({row[0] for row in loaded.rows()}) == ROWS
