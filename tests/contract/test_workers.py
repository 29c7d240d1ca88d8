"""Workers: however many share a source, the table, the chunks and their digests are the same."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people_files import WRITTEN, configure, resume, run, stop_after, table, write_files
from stores import Store

from veilflow.errors import VeilError
from veilflow.model import ROWS_A_FILE, Container, Receipt, Secret, SourceConfig, Window, Windowed
from veilflow.run.stage import parts_of, stage
from veilflow.sources import open_source
from veilflow.targets.memory import MemoryTarget

SIZES = {"one": (117,), "many": (50, 0, 45, 22)}


class SideBySide(MemoryTarget):
    """A table in memory that several writers fill, as a server's; a chunk that comes twice is an error."""

    parallel_writers = 2

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        assert receipt.chunk not in self.receipts()
        super().load(rows, receipt, held)


def with_workers(project: Any, workers: int) -> None:
    path = project.directory / "pipelines/people.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("workers:")]
    path.write_text("\n".join([*lines, f"workers: {workers}", ""]))


@pytest.fixture
def receipts(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, Receipt]]:
    """The receipts that the test's runs publish, run by run."""
    module = importlib.import_module("veilflow.run.execute")
    seen: list[dict[int, Receipt]] = []
    verify = module.verify

    def noting(plan: Any, receipts: dict[int, Receipt], **facts: Any) -> None:
        seen.append(dict(receipts))
        verify(plan, receipts, **facts)

    monkeypatch.setattr(module, "verify", noting)
    return seen


@pytest.mark.parametrize("files", SIZES)
@pytest.mark.parametrize("ending", WRITTEN)
def test_the_table_and_the_digests_do_not_depend_on_the_number_of_workers(
    project: Any, receipts: list[dict[int, Receipt]], ending: str, files: str
) -> None:
    """Also where a treatment draws from the place of a row; the rows stand in the order of the source."""
    write_files(project, ending, SIZES[files])
    configure(project, ending)
    tables = []
    for workers in (1, 2, 3):
        with_workers(project, workers)
        assert run(project).status == "succeeded"
        tables.append(project.rows())
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 117
    digests = [{number: receipt.digest for number, receipt in one.items()} for one in receipts]
    assert digests[0] == digests[1] == digests[2]


class Staged:
    """What ``stage`` loads of a source, by the number of workers."""

    def __init__(self, source: Any, schema: Any, chunk_rows: int) -> None:
        self.source, self.columns, self.chunk_rows = source, schema.columns, chunk_rows
        self.treated: list[int] = []

    def by(self, workers: int | None, target: MemoryTarget | None = None) -> tuple[dict[int, Receipt], MemoryTarget]:
        from veilflow.run.chunk import Treated

        def process(chunk: Any) -> Treated:
            self.treated.append(chunk.number)
            rows = chunk.values.append_column("position", chunk.positions)
            receipt = Receipt(
                chunk.number, chunk.rows_read, rows.num_rows, 0, 0, str(hash(str(rows.to_pydict()))), {}, {}, {}
            )
            return Treated(pa.table(rows), np.arange(rows.num_rows), (), receipt)

        target = target or SideBySide(pa.schema([]))
        with parts_of(self.source, self.columns, self.chunk_rows, workers or 1) as parts:
            receipts = stage(
                parts, process, None, target, hold_refused=False, reopen=lambda: target.open("01A"), deadline=None, on_progress=lambda _progress: None, workers=workers  # type: ignore[arg-type]
            )  # fmt: skip
        target.publish({})
        return receipts, target


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=6),
    chunk_rows=st.integers(1, 40),
    workers=st.integers(2, 5),
    ending=st.sampled_from(["csv", "jsonl.gz", "parquet"]),
    kept=st.floats(0, 1),
)
def test_any_files_in_any_chunks_by_any_workers_are_the_same_table(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], chunk_rows: int, workers: int, ending: str, kept: float
) -> None:
    """Also where some chunks are there already, whoever loaded them: each row once, at its own place."""
    folder = tmp_path_factory.mktemp("files")
    first = 0
    for number, rows in enumerate(sizes):
        (folder / f"{number}.{ending}").write_bytes(WRITTEN[ending][1](table(first, rows)))
        first += rows
    config = SourceConfig(
        WRITTEN[ending][0], folder / f"*.{ending}", f"*.{ending}", expected=("id", "name", "email", "age", "city")
    )
    source = open_source(config)
    staged = Staged(source, source.schema(), chunk_rows)
    one, whole = staged.by(1)
    several, other = staged.by(workers)
    assert one == several
    assert whole.table == other.table
    there = SideBySide(pa.schema([]))
    for number in sorted(one)[: int(len(one) * kept)][::2]:
        there.load(whole._chunks[number][0], one[number])
    again, resumed = staged.by(workers, there)
    assert again == one
    assert resumed.table == whole.table


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_no_thread_treats_a_chunk_before_it_is_rid_of_the_one_before(project: Any, workers: int) -> None:
    """A crash repeats what was treated and not loaded: one chunk of each that treats, and the one that is being loaded."""
    write_files(project, "csv", (117,))
    source = open_source(SourceConfig("csv", project.directory / "in/*.csv", "in/*.csv"))
    staged, in_hand = Staged(source, source.schema(), 10), []

    class Slow(MemoryTarget):
        def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
            if not self.receipts():
                time.sleep(0.3)  # whoever could treat one more has done it by then
            in_hand.append(len(staged.treated) - len(self.receipts()))
            super().load(rows, receipt, held)

    receipts, _target = staged.by(workers, Slow(pa.schema([])))
    assert len(receipts) == 12
    assert max(in_hand) <= workers + 1


def test_a_row_keeps_its_number_whatever_comes_before_its_file(project: Any) -> None:
    """No file is read for the numbers of the next one."""
    write_files(project, "csv", (50, 45))
    config = SourceConfig("csv", project.directory / "in/*.csv", "in/*.csv")
    source = open_source(config)
    with parts_of(source, source.schema().columns, 20, 2) as parts:
        chunk = next(iter(parts[1].slices(parts[1].begins))).read()
    assert (chunk.file, int(chunk.positions[0])) == ("in/001.csv", ROWS_A_FILE)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 2), (2, 3)])
def test_a_run_is_resumed_with_another_number_of_workers(project: Any, ending: str, before: int, after: int) -> None:
    """The chunks are the same, so what is there is skipped."""
    write_files(project, ending, (50, 45, 60))
    configure(project, ending)
    assert run(project).status == "succeeded"
    whole = project.rows()
    with_workers(project, before)
    assert run(project, stop_after(70)).status == "interrupted"
    with_workers(project, after)
    result = resume(project)
    assert (result.status, result.counts.read) == ("succeeded", 155)
    assert result.resumed_chunks
    assert project.rows() == whole


def test_a_run_that_is_killed_is_resumed_with_another_number_of_workers(project: Any) -> None:
    """As above, by `kill -9`: nothing is lost and nothing is there twice."""
    write_files(project, "csv.gz", (1_000,) * 5)
    configure(project, "csv.gz")
    assert run(project).status == "succeeded"
    whole = project.rows()
    with_workers(project, 3)
    command = [sys.executable, "-m", "veilflow.cli", "run", "people", "--direct"]
    process = subprocess.Popen(command, cwd=project.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    staged = wait_for_staging(project, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with_workers(project, 2)
    result = resume(project)
    assert (result.status, result.counts.read) == ("succeeded", 5_000)
    assert result.resumed_chunks is not None
    assert result.resumed_chunks >= staged
    assert project.rows() == whole


def wait_for_staging(project: Any, process: subprocess.Popen[bytes]) -> int:
    """Until some chunks are durable; how many."""
    import sqlite3

    while process.poll() is None:
        with sqlite3.connect(project.directory / "out/people.db", timeout=30) as connection:
            (found,) = connection.execute("select count(*) from _veilflow where kind = 'receipt'").fetchone()
        if found >= 10:
            return int(found)
        time.sleep(0.005)
    raise AssertionError("it ended too soon")


def test_an_error_of_one_worker_stops_them_all(project: Any) -> None:
    """Nothing is published, and the file with the fault is named."""
    write_files(project, "csv", (50, 45, 60, 80))
    path = project.directory / "in/002.csv"
    path.write_bytes(path.read_bytes().replace(b",60,", b",sixty,"))
    configure(project, "csv")
    with_workers(project, 3)
    result = run(project)
    assert (result.status, [error.code for error in result.errors]) == ("refused", ["VEIL213"])
    assert "in/002.csv" in result.errors[0].problem


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_database_of_one_reader_refuses_workers_with_the_reason(project: Any, kind: str) -> None:
    """Two states of a table must not mix."""
    import duckdb

    configure(project, "csv")
    path: Path = project.directory / "in/crm.db"
    path.parent.mkdir()
    if kind == "sqlite":
        import sqlite3

        sqlite3.connect(path).execute("create table people (id text, name text, email text, age integer, city text)")
    else:
        duckdb.connect(str(path)).execute(
            "create table people (id text, name text, email text, age integer, city text)"
        ).close()
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(
        pipeline.read_text().replace("kind: csv, path: 'in/*.csv'", f"kind: {kind}, path: in/crm.db, table: people")
    )
    with_workers(project, 2)
    done = project.veil("plan", "people")
    assert done.status == 2
    assert "2 workers cannot share this source" in done.err


@pytest.mark.parametrize("workers", [0, 65, "two"])
def test_workers_are_a_sensible_number(project: Any, workers: object) -> None:
    """From 1 to 64."""
    configure(project, "csv")
    with_workers(project, workers)  # type: ignore[arg-type]
    done = project.veil("plan", "people")
    assert done.status == 2
    assert "workers" in done.err


def test_the_plan_tells_the_workers_and_its_hash_does_not_depend_on_them(project: Any) -> None:
    """A run is gone on with by another number."""
    write_files(project, "csv", (3, 3))
    configure(project, "csv")
    before = project.veil("plan", "people", "--json").json
    with_workers(project, 2)
    after = project.veil("plan", "people", "--json").json
    assert (before["source"]["workers"], after["source"]["workers"]) == (None, 2)
    assert before["plan_hash"] == after["plan_hash"]


# --- PostgreSQL --------------------------------------------------------------------------


@pytest.fixture
def crm(make_store: Callable[[str], Store]) -> Store:
    """A table of 400 people whose key is of two columns, of which one is a text and one a number."""
    store = make_store("postgresql")
    store.sql(
        'create table "order" (region char(3), number numeric(9, 2) not null unique, name text, "note\'s" date, primary key (region, number))'
    )
    store.sql(
        "insert into \"order\" select case when n % 3 = 0 then 'Zü' else 'a' end, n / 4.0, 'N' || n, "
        "case when n % 50 = 0 then 'infinity'::date else date '2024-01-01' + n end from generate_series(1, 400) n"
    )
    return store


def read_from(store: Store, *order_by: str, **more: Any) -> Staged:
    source = open_source(
        SourceConfig(
            "postgresql", Path(), "crm", table=None if "query" in more else "order", order_by=order_by, **more
        ),
        lambda: Secret(store.url or ""),
    )
    return Staged(source, source.schema(), 15)


@pytest.mark.live
@pytest.mark.parametrize("query", [None, 'select * from "order" where number > 20 -- people'])
def test_ranges_of_a_key_are_one_reading(crm: Store, query: str | None) -> None:
    """Each row has the place and each chunk the rows that one worker would find; an infinite date costs its row only."""
    staged = read_from(crm, "region", "number", **({"query": query} if query else {}))
    one, whole = staged.by(1)
    assert sum(receipt.read for receipt in one.values()) == (320 if query else 400)
    for workers in (2, 3, 50):
        several, other = staged.by(workers)
        assert several == one
        assert other.table == whole.table


@pytest.mark.live
def test_all_workers_see_the_state_of_one_moment(crm: Store) -> None:
    """What is written between two of them is another run's."""
    staged = read_from(crm, "number")
    with parts_of(staged.source, staged.columns, 15, 3) as parts:
        assert len(parts) == 3
        crm.sql("insert into \"order\" select 'x', n + 0.01, 'late', null from generate_series(1, 99) n")
        crm.sql('delete from "order" where number < 50')
        read = [piece.read().rows_read for part in parts for piece in part.slices(part.begins)]
    assert sum(read) == 400


@pytest.mark.live
@pytest.mark.parametrize("key", ["nullif(number, 50)", "region"])
def test_a_key_that_does_not_tell_rows_apart_is_refused(crm: Store, key: str) -> None:
    """A query's, which the catalogue does not know: before anything is published."""
    staged = read_from(crm, "key", query=f'select {key} as key, name from "order"')
    with pytest.raises(VeilError) as caught:
        staged.by(3)
    assert caught.value.code == "VEIL330"


@pytest.mark.live
def test_workers_share_the_window_of_an_incremental_run(crm: Store) -> None:
    """Its rows and no others, in each of the ranges."""
    staged = read_from(crm, "number")
    column = next(one for one in staged.columns if one.name == "number")
    assert isinstance(staged.source, Windowed)
    staged.source = staged.source.within(Window(column.name, "10.00", False, "90.00", True))
    one, whole = staged.by(1)
    several, other = staged.by(3)
    assert (several, other.table) == (one, whole.table)
    assert sum(receipt.read for receipt in one.values()) == 320


@pytest.mark.live
def test_no_key_of_a_person_stands_in_what_is_shown(crm: Store) -> None:
    """Not in the ranges themselves, and not in the text of a statement."""
    crm.sql("update \"order\" set region = 'q7q'")
    staged = read_from(crm, "region", "number")
    with parts_of(staged.source, staged.columns, 15, 3) as parts:
        assert "q7q" not in repr(parts)
        list(parts[1].slices(parts[1].begins))
        assert "q7q" not in str(crm.sql("select query from pg_stat_activity where query not like '%q7q%pg_stat%'"))
