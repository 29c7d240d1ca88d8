"""Incremental pipelines as a user runs them: what each run reads, where the watermark stands, what is refused."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Progress, RunResult
from veilflow.run import Interrupted, Request, execute, prepare, request_to_resume

PIPELINE = """\
version: 1
source: {kind: sqlite, path: data/shop.db, table: visits}
policy: visits
incremental: {column: changed}
target: {kind: sqlite, path: out/visits.db, table: visits, mode: merge, key: [id]}
"""
POLICY = """\
version: 1
purpose: tests
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  city: {class: quasi_identifier, treatment: {mask: {keep_first: 1}}}
  changed: {class: non_personal, treatment: keep, reason: when the row changed}
"""
CSV = {"source: {kind: sqlite, path: data/shop.db, table: visits}": "source: {path: data/visits.csv}\ncolumns: {changed: {type: integer}}"}  # fmt: skip
APPEND = {"mode: merge, key: [id]": "mode: append"}


@pytest.fixture
def visits(project: Any) -> Any:
    """A table of visits that each carry the number of their last change."""
    (project.directory / "out").mkdir()
    write(project)
    sql(project, "create table visits (id integer, city text, changed integer)")
    return project


def write(project: Any, changes: dict[str, str] | None = None, policy: str = POLICY) -> None:
    text = PIPELINE
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    project.write("pipelines/visits.yaml", text)
    project.write("policies/visits.yaml", policy)


def sql(project: Any, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(project.directory / "data/shop.db")) as connection, connection:
        return connection.execute(statement, values).fetchall()


def add(project: Any, *rows: tuple[Any, ...]) -> None:
    for row in rows:
        sql(project, "insert into visits values (?, ?, ?)", *row)


def run(project: Any, on_progress: Any = None, **options: Any) -> RunResult:
    return execute(Request(project.directory, "dev", "visits", **options), on_progress=on_progress)


def loaded(project: Any) -> list[int]:
    return sorted(row[2] for row in project.rows("visits", "out/visits.db"))


def code(result: RunResult) -> str:
    return result.errors[0].code if result.errors else result.status


def watermark(result: RunResult) -> tuple[str | None, str | None]:
    assert result.increment is not None
    before = result.increment.before
    return (before.watermark if before else None, result.watermark)


# --- what is read ------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, APPEND], ids=["merge", "append"])
def test_a_run_reads_what_is_beyond_the_watermark(visits: Any, changes: dict[str, str]) -> None:
    """The first reads everything. A merge reads the watermark's own value again, in case that more came with it."""
    write(visits, changes)
    add(visits, (1, "Oslo", 10), (2, "Bergen", 20))
    first = run(visits)
    assert (code(first), first.counts.read, watermark(first)) == ("succeeded", 2, (None, "20"))
    add(visits, (3, "Rome", 20), (4, "Rome", 30), (5, "Rome", 5))
    second = run(visits)
    assert code(second) == "succeeded"
    assert watermark(second) == ("20", "30")
    assert loaded(visits) == ([10, 20, 20, 30] if changes == {} else [10, 20, 30])
    assert second.counts.read == (3 if changes == {} else 1)
    third = run(visits)
    assert (code(third), third.counts.read, watermark(third)) == ("succeeded", 1 if changes == {} else 0, ("30", "30"))


def test_a_run_that_finds_nothing_new_succeeds_and_says_so(visits: Any) -> None:
    """A scheduled job at night is no failure; a first run without a row is one, as ever."""
    write(visits, APPEND)
    assert code(run(visits)) == "VEIL309"
    add(visits, (1, "Oslo", 10))
    run(visits)
    done = visits.veil("run", "visits", "--direct")
    assert (done.status, "nothing new" in done.out) == (0, True)
    assert "watermark stays at 10" in done.out


def test_rows_that_come_late_within_the_lag_are_seen(visits: Any) -> None:
    """And those that come later than that are not."""
    write(visits, {"column: changed": "column: changed, lag: 5"})
    add(visits, (1, "Oslo", 10))
    run(visits)
    add(visits, (2, "Oslo", 5), (3, "Oslo", 4))
    assert watermark(run(visits)) == ("10", "10")
    assert loaded(visits) == [5, 10]


def test_the_rows_of_a_file_outside_of_the_window_count_as_filtered(visits: Any) -> None:
    """Read is loaded + quarantined + filtered. They are not judged again: a bad row among them was told before."""
    write(visits, CSV)
    visits.write("data/visits.csv", "id,city,changed\n1,Oslo,10\n2,Oslo,20\n")
    run(visits)
    visits.write("data/visits.csv", "id,city,changed\n1,Oslo,10\n2,Oslo,20\n3,Oslo,30\n")
    result = run(visits)
    assert (result.counts.read, result.counts.loaded, result.counts.filtered) == (3, 2, 1)
    assert (loaded(visits), watermark(result)) == ([10, 20, 30], ("20", "30"))


@pytest.mark.parametrize("source", [{}, CSV], ids=["database", "file"])
def test_a_row_without_a_value_is_never_lost_in_silence(visits: Any, source: dict[str, str]) -> None:
    """It refuses the run, or goes into quarantine, as `on_bad_row` says; in each run again, for none can know it as done."""
    write(visits, source)
    add(visits, (1, "Oslo", 10), (2, "Oslo", None))
    visits.write("data/visits.csv", "id,city,changed\n1,Oslo,10\n2,Oslo,\n")
    assert code(run(visits)) == "VEIL213"
    key = "table: visits}" if source == {} else "path: data/visits.csv}"
    text = (visits.directory / "pipelines/visits.yaml").read_text()
    visits.write("pipelines/visits.yaml", text.replace(key, key[:-1] + ", on_bad_row: quarantine}", 1))
    for _ in range(2):
        result = run(visits)
        assert (code(result), result.counts.quarantined) == ("succeeded", 1)
    assert loaded(visits) == [10]


def test_rows_that_fail_a_check_are_held_and_the_watermark_goes_on(visits: Any) -> None:
    """They are not lost: the quarantine has them, and a replay leaves the watermark where it is."""
    write(visits, {"policy: visits\n": "policy: visits\nexpectations: visits\ncolumns: {changed: {type: integer}}\n"})
    suite = "expectations:\n  - {type: expect_column_values_to_not_be_null, kwargs: {column: city, mostly: 0.5}}\n"
    visits.write("pipelines/expectations/visits.yaml", suite)
    add(visits, (1, "Oslo", 10), (2, None, 20))
    first = run(visits)
    assert (first.counts.quarantined, watermark(first)) == (1, (None, "20"))
    waived = ("--waive", "expect_column_values_to_not_be_null", "--reason", "the city is not known")
    done = visits.veil("quarantine", "release", first.run_id, *waived)
    assert done.status == 0, done.err
    assert loaded(visits) == [10, 20]
    assert watermark(run(visits)) == ("20", "20")


# --- windows that a person names ---------------------------------------------------------


def test_since_reads_a_window_again_and_leaves_the_watermark(visits: Any) -> None:
    """Half open: the first value that is read, and the first that is not."""
    add(visits, *((n, "Oslo", n * 10) for n in range(1, 6)))
    run(visits)
    sql(visits, "update visits set city = 'Xanten'")
    result = run(visits, since="20", until="40")
    assert (code(result), result.counts.read, watermark(result)) == ("succeeded", 2, ("50", "50"))
    cities = {changed: city[0] for _id, city, changed in visits.rows("visits", "out/visits.db")}
    assert cities == {10: "O", 20: "X", 30: "X", 40: "O", 50: "O"}


def test_until_alone_goes_on_piece_by_piece(visits: Any) -> None:
    """So that a long history can be loaded in parts, in append as well."""
    write(visits, APPEND)
    add(visits, *((n, "Oslo", n * 10) for n in range(1, 6)))
    assert [watermark(run(visits, until=until)) for until in ("20", "50", "15")] == [(None, "10"), ("10", "40"), ("40", "40")]  # fmt: skip
    assert watermark(run(visits)) == ("40", "50")
    assert loaded(visits) == [10, 20, 30, 40, 50]


def test_since_without_a_checkpoint_is_where_the_pipeline_begins(visits: Any) -> None:
    """What lies before is left out because somebody said so."""
    write(visits, APPEND)
    add(visits, *((n, "Oslo", n * 10) for n in range(1, 4)))
    assert watermark(run(visits, since="20")) == (None, "30")
    assert loaded(visits) == [20, 30]


@pytest.mark.parametrize(
    ("changes", "options"),
    [({}, {"since": "x"}), ({}, {"since": "5", "until": "5"}), ({"incremental: {column: changed}\n": ""}, {"full": True})],
)  # fmt: skip
def test_a_window_that_does_not_fit_is_a_mistake_of_the_command(
    visits: Any, changes: dict[str, str], options: dict[str, Any]
) -> None:
    """VEIL200, and nothing is read."""
    write(visits, changes)
    add(visits, (1, "Oslo", 10))
    assert code(run(visits, **options)) == "VEIL200"


@pytest.mark.parametrize("options", [{"since": "1"}, {"full": True}], ids=["since", "full"])
def test_an_append_never_loads_what_was_read_before(visits: Any, options: dict[str, Any]) -> None:
    """VEIL328."""
    write(visits, APPEND)
    add(visits, (1, "Oslo", 10))
    run(visits)
    assert code(run(visits, **options)) == "VEIL328"
    assert loaded(visits) == [10]


def test_an_append_to_a_table_without_a_checkpoint_asks_from_where_on(visits: Any) -> None:
    """It was loaded before `incremental` stood in the pipeline: everything once more would be everything twice."""
    write(visits, APPEND | {"incremental: {column: changed}\n": ""})
    add(visits, (1, "Oslo", 10))
    run(visits)
    write(visits, APPEND)
    add(visits, (2, "Oslo", 20))
    assert code(run(visits)) == "VEIL328"
    assert watermark(run(visits, since="11")) == (None, "20")
    assert loaded(visits) == [10, 20]


# --- what the checkpoint stands for ------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({}, POLICY.replace("keep_first: 1", "keep_first: 2")),
        ({"column: changed": "column: id"}, POLICY.replace("direct_identifier, treatment: token, key_domain: person", "non_personal, treatment: keep, reason: a number")),
        ({"policy: visits\n": "policy: visits\nfilters: [{name: few, keep: {column: changed, op: '<', value: 100}}]\n"}, POLICY),
    ],
    ids=["policy", "column", "filter"],
)  # fmt: skip
def test_a_change_of_what_rows_mean_refuses_until_everything_is_read_again(
    visits: Any, changes: dict[str, str], policy: str
) -> None:
    """VEIL328: rows that are there were chosen or treated otherwise. `--full` reads all of them and goes on from there."""
    add(visits, (1, "Oslo", 10), (2, "Oslo", 20))
    run(visits)
    write(visits, changes, policy)
    if "column: id" in str(changes):
        (visits.directory / "out/visits.db").unlink()  # its shape is another one as well
        assert code(run(visits)) == "succeeded"
        return
    assert code(run(visits)) == "VEIL328"
    result = run(visits, full=True)
    assert (code(result), result.counts.read) == ("succeeded", 2)
    assert code(run(visits)) == "succeeded"


def test_a_full_run_by_another_column_begins_a_watermark_of_its_own(visits: Any) -> None:
    """The old one was of other values: a larger one would hide every row to come."""
    policy = POLICY.replace("direct_identifier, treatment: token, key_domain: person", "non_personal, treatment: keep, reason: a number")  # fmt: skip
    write(visits, policy=policy)
    add(visits, (1, "Oslo", 1000), (2, "Oslo", 2000))
    run(visits)
    write(visits, {"column: changed": "column: id"}, policy)
    assert code(run(visits)) == "VEIL328"
    assert watermark(run(visits, full=True)) == ("2000", "2")
    add(visits, (3, "Oslo", 5))
    assert watermark(run(visits)) == ("2", "3")
    assert loaded(visits) == [5, 1000, 2000]


def test_a_watermark_in_the_future_publishes_nothing(visits: Any) -> None:
    """VEIL329: it would hide every row until then. The value is not told."""
    sql(visits, "drop table visits")
    sql(visits, "create table visits (id integer, city text, changed timestamp)")
    ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=40)
    add(visits, (1, "Oslo", "2024-01-01 00:00:00"), (2, "Oslo", str(ahead)))
    result = run(visits)
    assert code(result) == "VEIL329"
    assert str(ahead.date()) not in result.errors[0].problem
    assert watermark(run(visits, until=str(ahead))) == (None, "2024-01-01 00:00:00.000000")


# --- stopping ----------------------------------------------------------------------------


def test_a_resumed_run_reads_the_window_that_it_began_with(visits: Any) -> None:
    """What came meanwhile is the next run's."""
    write(visits, {"table: visits}\npolicy": "table: visits, order_by: [id]}\nchunk_rows: 10\npolicy"})
    sql(visits, "drop table visits")
    sql(visits, "create table visits (id integer primary key, city text, changed integer)")
    add(visits, *((n, "Oslo", n) for n in range(40)))

    def stop(progress: Progress) -> None:
        if progress.stage == "stage" and progress.read >= 20:
            raise Interrupted(143)

    stopped = run(visits, stop)
    assert (stopped.status, watermark(stopped)) == ("interrupted", (None, None))
    add(visits, *((n, "Oslo", n) for n in range(40, 50)))
    resumed = execute(request_to_resume(visits.directory, "last"))
    assert (code(resumed), resumed.run_id, watermark(resumed)) == ("succeeded", stopped.run_id, (None, "39"))
    assert loaded(visits) == list(range(40))
    assert watermark(run(visits)) == ("39", "49")


def test_a_run_that_published_before_it_died_is_not_done_again(visits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint committed with its rows: the next run goes on behind them."""
    from veilflow.targets import sqlite

    write(visits, APPEND)
    add(visits, (1, "Oslo", 10))
    publish = sqlite.SqliteTarget.publish

    def dying(self: Any, *arguments: Any) -> int:
        publish(self, *arguments)
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(sqlite.SqliteTarget, "publish", dying)
        run(visits)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    add(visits, (2, "Oslo", 20))
    assert watermark(run(visits)) == ("10", "20")
    assert loaded(visits) == [10, 20]


def test_a_fault_that_passes_while_the_window_is_fixed_does_not_end_the_run(
    visits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the source, which is asked for its newest value, nor in the target, which knows the checkpoint."""
    from veilflow.sources.sqlite import SqliteSource
    from veilflow.targets.sqlite import SqliteTarget

    add(visits, (1, "Oslo", 10), (2, "Bergen", 20))
    waits = no_waiting(monkeypatch)
    failing_twice(monkeypatch, SqliteSource, "newest")
    failing_twice(monkeypatch, SqliteTarget, "standing", behind=1)  # the plan has asked by then
    result = run(visits)
    assert (code(result), watermark(result), len(waits)) == ("succeeded", (None, "20"), 4)


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr("veilflow.run.again.time.sleep", waits.append)
    return waits


def failing_twice(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, behind: int = 0) -> None:
    ask, calls = getattr(owner, name), count()

    def failing(*arguments: Any) -> Any:
        if behind <= next(calls) < behind + 2:
            raise PassingFault("VEIL401", "gone", "wait")
        return ask(*arguments)

    monkeypatch.setattr(owner, name, failing)


# --- new files ---------------------------------------------------------------------------

FILES = {
    "source: {kind: sqlite, path: data/shop.db, table: visits}": 'source: {kind: csv, path: "data/visits-*.csv"}\ncolumns: {changed: {type: integer}}',
    "incremental: {column: changed}": "incremental: {files: new}",
}  # fmt: skip


def file(project: Any, name: str, *rows: int) -> None:
    text = "id,city,changed\n" + "".join(f"{row},Oslo,{row}\n" for row in rows)
    project.write(f"data/visits-{name}.csv", text)


@pytest.fixture
def days(visits: Any) -> Any:
    """Two files that were loaded, appended."""
    write(visits, FILES | APPEND)
    file(visits, "1", 1, 2)
    file(visits, "2", 3)
    assert code(run(visits)) == "succeeded"
    return visits


def test_only_files_that_were_not_read_before_are_read(days: Any) -> None:
    """Whatever their names' order; nothing new is no failure, and the run says what it did."""
    again = run(days)
    assert (code(again), again.counts.read) == ("succeeded", 0)
    file(days, "0", 4)
    file(days, "3", 5)
    done = days.veil("run", "visits", "--direct")
    assert (done.status, "2 new files · 2 were read before" in done.out) == (0, True)
    assert loaded(days) == [1, 2, 3, 4, 5]
    (days.directory / "data/visits-1.csv").unlink()
    done = days.veil("run", "visits", "--direct")
    assert (done.status, "nothing new" in done.out, loaded(days)) == (0, True, [1, 2, 3, 4, 5])
    assert b"visits-1" not in (days.directory / "out/visits.db").read_bytes()


@pytest.mark.parametrize("how", ["grown", "same size and time", "touched"])
def test_a_file_that_changed_after_it_was_read_is_refused(days: Any, how: str) -> None:
    """VEIL328 names it; nothing is published."""
    path = days.directory / "data/visits-1.csv"
    before = path.stat()
    if how == "grown":
        file(days, "1", 1, 2, 9)
    elif how == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.write_text(path.read_text().replace("2,Oslo,2", "2,Oslo,7"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    file(days, "3", 5)
    result = run(days)
    assert code(result) == "VEIL328" and "visits-1.csv" in result.errors[0].problem
    assert loaded(days) == [1, 2, 3]


def rename(project: Any, name: str, new: str) -> None:
    (project.directory / f"data/visits-{name}.csv").rename(project.directory / f"data/visits-{new}.csv")


def test_a_file_that_was_only_renamed_is_not_read_again(days: Any) -> None:
    """Nor in a later run, nor under a third name; and it is watched for changes under its new one."""
    rename(days, "1", "0")
    result = run(days)
    assert (code(result), result.counts.read, loaded(days)) == ("succeeded", 0, [1, 2, 3])
    file(days, "1", 4)
    rename(days, "2", "9")
    assert (run(days).counts.read, run(days).counts.read) == (1, 0) and code(run(days)) == "succeeded"
    assert loaded(days) == [1, 2, 3, 4]
    rename(days, "0", "7")
    assert (run(days).counts.read, loaded(days)) == (0, [1, 2, 3, 4])
    file(days, "7", 1, 2, 5)
    assert code(run(days)) == "VEIL328"


def test_a_copy_and_a_file_of_another_time_are_new(days: Any) -> None:
    """Rows that stand in two files were there twice: that is nobody's business but the user's."""
    path = days.directory / "data/visits-2.csv"
    facts = path.stat()
    for name in ("3", "4"):
        days.write(f"data/visits-{name}.csv", path.read_text())
        os.utime(days.directory / f"data/visits-{name}.csv", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (run(days).counts.read, loaded(days)) == (2, [1, 2, 3, 3, 3])
    rename(days, "1", "5")
    os.utime(days.directory / "data/visits-5.csv", ns=(1, 1))
    assert (run(days).counts.read, loaded(days)) == (2, [1, 1, 2, 2, 3, 3, 3])


def test_of_two_files_that_might_be_a_renamed_one_one_is(days: Any) -> None:
    """One file is gone, two of its content and time have come: one of them brings rows of its own."""
    path = days.directory / "data/visits-2.csv"
    facts = path.stat()
    rename(days, "2", "3")
    days.write("data/visits-4.csv", (days.directory / "data/visits-3.csv").read_text())
    os.utime(days.directory / "data/visits-4.csv", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (run(days).counts.read, loaded(days)) == (1, [1, 2, 3, 3])


def test_a_changed_file_is_loaded_again_where_the_pipeline_says_so(visits: Any) -> None:
    """In a merge: its rows meet their own. The others are not read."""
    write(visits, FILES | {"incremental: {column: changed}": "incremental: {files: new, changed_files: load}"})
    file(visits, "1", 1, 2)
    file(visits, "2", 3)
    run(visits)
    file(visits, "1", 1, 2, 9)
    result = run(visits)
    assert (code(result), result.counts.read, loaded(visits)) == ("succeeded", 3, [1, 2, 3, 9])
    assert run(visits).counts.read == 0
    assert (run(visits, full=True).counts.read, run(visits).counts.read) == (4, 0)


def test_a_new_key_version_does_not_make_every_file_new(days: Any) -> None:
    """The checkpoint stays under the key that it began with; without that key nobody could tell, and nothing is loaded."""
    ring = json.loads((days.directory / "keyring.json").read_text())
    second = {"key": "H" * 42 + "A=", "state": "active", "created": "2026-02-01T00:00:00Z"}
    old = ring["keys"]["1"] | {"state": "retired"}
    policy = POLICY.replace(
        "direct_identifier, treatment: token, key_domain: person", "direct_identifier, treatment: drop"
    )
    (days.directory / "out/visits.db").unlink()
    write(days, FILES | APPEND, policy)
    assert code(run(days)) == "succeeded"
    days.write("keyring.json", json.dumps(ring | {"active": 2, "keys": {"1": old, "2": second}}))
    result = run(days)
    assert (code(result), result.counts.read) == ("succeeded", 0)
    days.write("keyring.json", json.dumps(ring | {"active": 2, "keys": {"2": second}}))
    assert code(run(days)) == "VEIL328"


def test_a_run_over_new_files_goes_on_with_those_that_it_began_with(days: Any) -> None:
    """What comes meanwhile is the next run's."""
    text = (days.directory / "pipelines/visits.yaml").read_text()
    days.write("pipelines/visits.yaml", text + "chunk_rows: 5\n")
    file(days, "3", *range(10, 20))
    file(days, "4", *range(20, 30))

    def stop(progress: Progress) -> None:
        if progress.stage == "stage" and progress.read:
            raise Interrupted(143)

    assert run(days, stop).status == "interrupted"
    file(days, "5", 99)
    assert code(execute(request_to_resume(days.directory, "last"))) == "succeeded"
    assert loaded(days) == [1, 2, 3, *range(10, 30)]
    assert code(run(days)) == "succeeded"
    assert loaded(days) == [1, 2, 3, *range(10, 30), 99]


@pytest.mark.parametrize(
    "changes",
    [
        {"incremental: {column: changed}": "incremental: {files: new}"},
        FILES | {"incremental: {column: changed}": "incremental: {files: new, changed_files: load}"} | APPEND,
        FILES | {"mode: merge, key: [id]": "mode: replace"},
    ],
    ids=["no pattern", "changed files appended", "replace"],
)
def test_the_plan_refuses_new_files_that_would_lose_or_repeat_rows(visits: Any, changes: dict[str, str]) -> None:
    """VEIL327."""
    write(visits, changes)
    file(visits, "1", 1)
    assert "VEIL327" in {error.code for error in prepare(visits.directory, "dev", "visits").decision.errors}


# --- whatever happens --------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 8)),
        st.tuples(st.just("change"), st.integers(0, 30)),
        st.just(("run", 0)),
        st.just(("kill", 0)),
    ),
    min_size=2, max_size=7,
)  # fmt: skip


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_after_any_appends_updates_and_runs_the_table_is_the_treated_source(
    make_project: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """The same rows that one load of everything gives, also where runs were stopped in between."""
    project = type(make_project())(tmp_path_factory.mktemp("any"))
    for name in ("secrets/names.yaml", "keyring.json"):
        project.write(name, (make_project().directory / name).read_text())
    (project.directory / "keyring.json").chmod(0o600)
    for name in ("out", "data"):
        (project.directory / name).mkdir()
    write(project, {"policy: visits\n": "policy: visits\nchunk_rows: 3\n"})
    sql(project, "create table visits (id integer, city text, changed integer)")
    clock = ids = 0

    def stop(progress: Progress) -> None:
        if progress.stage == "stage" and progress.read:
            raise Interrupted(143)

    for step, number in [*steps, ("add", 1), ("run", 0)]:
        if step == "add":
            clock += 1  # several rows share a moment
            add(project, *((ids + n, f"City{ids + n}", clock) for n in range(number)))
            ids += number
        elif step == "change":
            clock += number % 2
            sql(project, "update visits set city = city || 'x', changed = ? where id % 31 = ?", clock, number)
        else:
            result = run(project, stop if step == "kill" else None)
            assert code(result) in ("succeeded", "interrupted", "VEIL309")
    incremental = sorted(project.rows("visits", "out/visits.db"))
    write(project, {"incremental: {column: changed}\n": "", "mode: merge, key: [id]": "mode: replace"})
    assert code(run(project)) == "succeeded"
    assert sorted(project.rows("visits", "out/visits.db")) == incremental


# --- the plan ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "policy", "expected"),
    [
        ({"mode: merge, key: [id]": "mode: replace"}, POLICY, "VEIL327"),
        ({"key: [id]": "key: [id], delete: true"}, POLICY, "VEIL327"),
        (APPEND | {"column: changed": "column: changed, lag: 1"}, POLICY, "VEIL327"),
        ({"column: changed": "column: city"}, POLICY, "VEIL327"),
        ({"column: changed": "column: id"}, POLICY, "VEIL327"),
        ({}, POLICY.replace("non_personal", "sensitive"), "VEIL327"),
        ({}, POLICY.replace("non_personal, treatment: keep, reason: when the row changed", "quasi_identifier, treatment: {generalise: {width: 10}}"), "VEIL327"),
        ({}, POLICY.replace("non_personal", "quasi_identifier"), None),
        ({}, POLICY.replace("treatment: keep, reason: when the row changed", "treatment: drop"), None),
        ({"column: changed": "column: nothing"}, POLICY, "VEIL302"),
        ({"column: changed": "column: changed, lag: 2 h"}, POLICY, "VEIL202"),
        ({"column: changed": "column: changed, lag: 1.5"}, POLICY, "VEIL202"),
    ],
)  # fmt: skip
def test_the_plan_refuses_what_would_lose_repeat_or_tell(
    visits: Any, changes: dict[str, str], policy: str, expected: str | None
) -> None:
    """Replacing, deleting, a lag in append, an order that is not exact, a watermark that is a person's value."""
    write(visits, changes, policy)
    codes = {error.code for error in prepare(visits.directory, "dev", "visits").decision.errors}
    assert codes == ({expected} if expected else set())


@pytest.mark.parametrize("lag", ["-1", "soon", "[1]", "1 year"])
def test_a_lag_that_is_none_is_told_with_its_line(visits: Any, lag: str) -> None:
    """VEIL202."""
    write(visits, {"column: changed": f"column: changed, lag: {lag}"})
    with pytest.raises(VeilError) as error:
        prepare(visits.directory, "dev", "visits")
    assert (error.value.code, error.value.place and error.value.place.line) == ("VEIL202", 4)


def test_the_plan_tells_what_would_be_read(visits: Any) -> None:
    """Before, after, and after a change that asks for `--full`."""
    add(visits, (1, "Oslo", 10))
    assert "reads   everything, and from then on what is new by changed" in visits.veil("plan", "visits").out
    run(visits)
    assert "from its watermark 10" in visits.veil("plan", "visits").out
    write(visits, policy=POLICY.replace("keep_first: 1", "keep_first: 0"))
    assert "--full" in visits.veil("plan", "visits").out
    assert visits.veil("plan", "visits", "--json").json["checkpoint"] == {"watermark": "10", "current": False}


def test_a_checkpoint_holds_no_value_but_the_watermark(visits: Any, tmp_path: Path) -> None:
    """Not of any other column, in the target and in our own records."""
    add(visits, (1, "Ytterbyttstad", 10))
    assert code(run(visits)) == "succeeded"
    for path in (visits.directory / "out/visits.db", visits.directory / ".veil/state.db"):
        assert b"Ytterbyttstad" not in path.read_bytes()
