"""Two runs in one process: one reads the file of a database that the other writes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from stores import Store

from veilflow.errors import PassingFault
from veilflow.model import RunResult, SourceConfig
from veilflow.run import Request, execute
from veilflow.sources.duckdb import DuckdbSource

if TYPE_CHECKING:
    from conftest import Project

#: The file outgrows SQLite's page cache, so pages are written before the commit.
ROWS = 100_000
PIPELINE = """\
version: 1
source: {SOURCE}
columns:
  id: {type: integer}
policy: people
target: {kind: sqlite, path: PATH, table: people, mode: replace}
chunk_rows: 10000
"""
POLICY = """\
version: 1
purpose: tests
columns:
  id: {class: non_personal, treatment: keep, reason: tests}
  name: {class: direct_identifier, treatment: siv}
"""
MAKE = f"""
insert into raw with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
select i, 'Tilda Teststone ' || i from n
"""


def test_an_sqlite_file_that_one_run_reads_and_another_writes_stays_whole(
    project: Project, make_store: Callable[[str], Store]
) -> None:
    """Neither drops the locks of the other, and each is as exact as if it were alone."""
    store, copy = make_store("sqlite"), Store("sqlite", project.directory / "copy.db")
    store.sql("create table raw (id bigint, name varchar(80))")
    store.sql(MAKE)
    lines = (f"{row},Tilda Teststone {row}" for row in range(1, ROWS + 1))
    project.write("data/people.csv", "\n".join(["id,name", *lines]) + "\n")
    project.write("policies/people.yaml", POLICY)
    for name, source, target in (
        ("into", "kind: csv, path: data/people.csv", store), ("out", f"kind: sqlite, path: {store.path}, table: raw", copy)
    ):  # fmt: skip
        project.write(f"pipelines/{name}.yaml", PIPELINE.replace("SOURCE", source).replace("PATH", str(target.path)))

    def run(name: str) -> RunResult:
        return execute(Request(project.directory, "dev", name))

    with ThreadPoolExecutor() as threads:
        done = list(threads.map(run, ("into", "out")))
    assert [one.exit_status for one in done] == [0, 0], [one.errors for one in done]
    assert store.sql("pragma integrity_check") == [("ok",)]
    assert store.sql("select count(*), count(distinct name) from raw") == [(ROWS, ROWS)]
    people = "select * from people order by id"
    assert store.sql(people) == copy.sql(people)


def test_a_duckdb_file_is_read_or_written_by_one_run_of_a_process(make_store: Callable[[str], Store]) -> None:
    """DuckDB refuses the other one, which can be tried again; the file's lock stays with the first."""
    store = make_store("duckdb")
    store.sql("create table raw (id bigint)")
    assert store.path is not None
    source = DuckdbSource(SourceConfig("duckdb", store.path, "raw.duckdb", table="raw"))
    target = store.target()
    with source._connect(), pytest.raises(PassingFault, match="VEIL401"):
        target.open("01RUN")
    target.open("01RUN")
    with pytest.raises(PassingFault, match="VEIL401"):
        source.schema()
    target.close()
    assert [column.name for column in source.schema().columns] == ["id"]
