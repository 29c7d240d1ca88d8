"""Reading a database or a file does not grow with its length: drivers that keep what they have handed out are found."""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import Store

from veilflow.model import Secret, SourceConfig
from veilflow.sources import open_source

#: Of 200 bytes each: what a reader keeps is seen beside what a few chunks take.
ROWS = 600_000
CHUNK = 10_000
LIMIT = 70 << 20

KINDS = [
    "sqlite",
    "duckdb",
    "parquet",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]


def resident() -> int:
    """The bytes that the process holds in memory, with those of C libraries."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(params=KINDS)
def config(
    request: pytest.FixtureRequest, make_store: Callable[[str], Store], tmp_path: Path
) -> Iterator[SourceConfig]:
    """A source of 120 MB."""
    kind = request.param
    if kind == "parquet":
        path = tmp_path / "t.parquet"
        with pq.ParquetWriter(path, pa.schema([("n", pa.int64()), ("v", pa.string())]), compression="none") as file:
            for first in range(0, ROWS, 20_000):
                numbers = range(first, first + 20_000)
                file.write_table(pa.table({"n": numbers, "v": [f"{number:0200}" for number in numbers]}))
        yield SourceConfig(kind=kind, path=path, shown="t")
        return
    store = make_store(kind)
    fill(store)
    yield SourceConfig(kind=kind, path=store.path or Path(), shown="t", query=QUERIES[kind], connection=store.url)


#: DuckDB keeps blocks of its file, within its own limit: its rows are made while they are read.
QUERIES = {
    "sqlite": "select * from t",
    "duckdb": f"select n, repeat(md5(n::varchar), 6) as v from range({ROWS}) as numbers(n)",
    "postgresql": f"select n, repeat(md5(n::text), 6) as v from generate_series(1, {ROWS}) as numbers(n)",
    "mariadb": f"select seq as n, repeat(md5(seq), 6) as v from seq_1_to_{ROWS}",
}


def fill(store: Store) -> None:
    store.sql("select 1")  # makes the file
    if store.kind == "sqlite":
        with closing(sqlite3.connect(store.path or "")) as connection, connection:
            connection.execute("create table t (n integer, v text)")
            connection.executemany("insert into t values (?, ?)", ((n, f"{n:0200}") for n in range(ROWS)))


def test_memory_stays_flat_while_a_source_is_read(config: SourceConfig) -> None:
    """However many chunks there were, what is held is far from what was read."""
    source = open_source(config, None if config.connection is None else (lambda: Secret(config.connection or "")))
    columns = source.schema().columns
    before, most, rows = resident(), 0, 0
    for number, piece in enumerate(source.slices(columns, CHUNK)):
        rows += piece.read().values.num_rows
        if number % 10 == 0:
            most = max(most, resident())
    assert rows == ROWS and most > 0
    assert most - before < LIMIT, f"grew by {(most - before) >> 20} MB"
