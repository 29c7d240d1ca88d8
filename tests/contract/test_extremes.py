"""Values and tables at the edge of what there is, from their source to a table: exact, held back, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import Store, name_warehouse, place_of

from veilflow.model import RunResult
from veilflow.run import Request, execute

LONG = 50_000_000
PIPELINE = """\
version: 1
source: {SOURCE}
policy: people
target: {TARGET, mode: replace}
"""


def write(project: Any, source: str, target: str, columns: str) -> None:
    project.write("pipelines/people.yaml", PIPELINE.replace("SOURCE", source).replace("TARGET", target))
    project.write("policies/people.yaml", f"version: 1\npurpose: tests\ncolumns: {{{columns}}}\n")


def kept(*names: str) -> str:
    return ", ".join(f"{name}: {{class: non_personal, treatment: keep, reason: tests}}" for name in names)


def run(project: Any) -> RunResult:
    return execute(Request(project.directory, "dev", "people"))


@pytest.fixture
def warehouse(project: Any, make_store: Callable[[str], Store]) -> Store:
    store = make_store("postgresql")
    name_warehouse(project, store)
    return store


@pytest.mark.live
def test_numbers_of_76_digits_and_dates_before_christ_are_copied(project: Any, warehouse: Store) -> None:
    """From PostgreSQL to PostgreSQL: a number that no Arrow decimal of ours holds travels as its digits."""
    largest = "9" * 38 + "." + "9" * 38
    warehouse.sql(
        "create table raw (id integer primary key, n numeric(76,38), free numeric, d date, t timestamp, z timestamptz)"
    )
    warehouse.sql(
        f"insert into raw values (1, -{largest}, 1e-70, '0044-03-15 BC', '4713-01-01 00:00:00.000001 BC', '0001-12-31 23:59:59+00 BC'),"
        f" (2, {largest}, 1e131071, '5874897-12-31', '294247-01-10 04:00:54.775807', null), (3, null, 'NaN', null, null, null)"
    )
    names = ("id", "n", "free", "d", "t", "z")
    write(project, place_of(warehouse, "raw") + ", order_by: [id]", place_of(warehouse, "people"), kept(*names))
    result = run(project)
    assert (result.exit_status, result.counts.loaded) == (0, 3), result.errors
    exact = "select id, n::text, free::text, d::text, t::text, z::text from {} order by id"
    assert warehouse.sql(exact.format("people")) == warehouse.sql(exact.format("raw"))


@pytest.mark.live
def test_a_date_that_arrow_has_not_is_held_back_and_the_rows_beside_it_are_loaded(
    project: Any, warehouse: Store
) -> None:
    """An infinite one, or a moment so late that ADBC reads one of long ago: the row waits in quarantine where the
    pipeline says so, else it refuses the run."""
    warehouse.sql("create table raw (id integer primary key, d date, t timestamptz)")
    warehouse.sql(
        "insert into raw values (1, 'infinity', now()), (2, '2024-01-01', '-infinity'), (3, '2024-01-01', now()), (4, null, '294276-12-31 23:59:59+00')"
    )
    source = place_of(warehouse, "raw") + ", order_by: [id]"
    write(project, source, place_of(warehouse, "people"), kept("id", "d", "t"))
    assert [error.code for error in run(project).errors] == ["VEIL213"]
    write(project, source + ", on_bad_row: quarantine", place_of(warehouse, "people"), kept("id", "d", "t"))
    result = run(project)
    assert (result.exit_status, result.counts.loaded, result.counts.quarantined) == (0, 1, 3)
    assert warehouse.sql("select id from people") == [(3,)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_a_row_of_fifty_megabytes_is_loaded_with_those_around_it(project: Any, kind: str) -> None:
    """Whatever the blocks by which its file is read."""
    rows = [{"id": str(number), "text": text} for number, text in enumerate(["a", "é" * (LONG // 2), "b"])]
    if kind == "csv":
        written = "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows)
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        written = "\n".join(lines) + "\n" if kind == "jsonl" else "[" + ",\n".join(lines) + "]"
    project.write(f"data/people.{kind}", written)
    target = "kind: sqlite, path: out/people.db, table: people"
    write(project, f"kind: {kind}, path: data/people.{kind}", target, kept("id", "text"))
    result = run(project)
    assert result.exit_status == 0, result.errors
    assert sorted((id, len(text), set(text)) for id, text in project.rows()) == [
        ("0", 1, {"a"}), ("1", LONG // 2, {"é"}), ("2", 1, {"b"}),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.live)])
def test_a_file_of_1600_columns_is_loaded(project: Any, make_store: Callable[[str], Store], kind: str) -> None:
    """One rule for all of them; the first and the last are where they were."""
    store = make_store(kind)
    name_warehouse(project, store)
    names = [f"c{number}" for number in range(1600)]
    project.write("data/people.csv", "\n".join([",".join(names), "a" + ",b" * 1598 + ",c", "," * 1599, ""]))
    write(
        project,
        "kind: csv, path: data/people.csv",
        place_of(store, "people"),
        '"c*": {class: quasi_identifier, treatment: {keep_prefix: {length: 9}}}',
    )
    result = run(project)
    assert (result.exit_status, result.counts.loaded) == (0, 2), result.errors
    assert sorted(store.sql("select c0, c1599 from people"), key=str) == [("a", "c"), (None, None)]


@pytest.mark.parametrize(
    "kind", ["sqlite", "duckdb", *(pytest.param(kind, marks=pytest.mark.live) for kind in ("postgresql", "mariadb"))]
)
def test_no_row_leaves_an_empty_table_where_the_pipeline_allows_it(
    project: Any, make_store: Callable[[str], Store], kind: str
) -> None:
    """Else the run is refused, and the table is as it was."""
    store = make_store(kind)
    name_warehouse(project, store)
    write(project, "kind: csv, path: data/people.csv", place_of(store, "people"), kept("id", "text"))
    project.write("data/people.csv", "id,text\n1,a\n")
    assert run(project).exit_status == 0
    project.write("data/people.csv", "id,text\n")
    result = run(project)
    assert (result.exit_status, [error.code for error in result.errors]) == (3, ["VEIL309"])
    assert store.sql("select id from people") == [("1",)]
    path: Path = project.directory / "pipelines/people.yaml"
    path.write_text(path.read_text() + "allow_empty: true\n")
    assert run(project).exit_status == 0
    assert store.sql("select id from people") == []


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "fits", "does_not"),
    [("postgresql", "é" * 31 + "x", "é" * 32), ("mariadb", "é" * 64, "é" * 65)],
    ids=["PostgreSQL", "MariaDB"],
)  # fmt: skip
def test_a_name_that_the_database_would_cut_off_is_refused_in_the_plan(
    project: Any, make_store: Callable[[str], Store], kind: str, fits: str, does_not: str
) -> None:
    """PostgreSQL counts 63 bytes, MariaDB 64 characters; SQLite and DuckDB have no limit."""
    store = make_store(kind)
    name_warehouse(project, store)
    for name, status in ((fits, 0), (does_not, 2)):
        project.write("data/people.csv", f"id,{name}\n1,a\n")
        write(project, "kind: csv, path: data/people.csv", place_of(store, "people"), kept("id", name))
        planned = project.veil("plan", "people", "--json")
        assert planned.status == status, planned.out
        if status:
            assert planned.json["errors"][0]["code"] == "VEIL214"
        else:
            assert run(project).exit_status == 0
            assert store.sql(f'select "{name}" from people') == [("a",)]
            store.sql("drop table people")


NULLS = """\
expectations:
  - {type: expect_column_values_to_not_be_null, kwargs: {column: x}, severity: warning}
  - {type: expect_column_values_to_be_between, kwargs: {column: x, min_value: 0, max_value: 100}, severity: warning}
  - {type: expect_column_values_to_be_unique, kwargs: {column: x}, severity: info}
  - {type: expect_column_mean_to_be_between, kwargs: {column: x, min_value: 2, max_value: 2}, severity: info}
"""
#: Of Great Expectations 1.24.1 over the whole frame [1, NaN, null, NaN, -9, 14], by expectation: success, unexpected rows.
SAID = {"not_be_null": (False, [1, 2, 3]), "be_between": (False, [4]), "be_unique": (True, []), "mean": (True, [])}


def as_parquet(values: list[float | None]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": range(len(values)), "x": values}), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("kind: csv, null_values: ['', NaN, nan]", b"id,x\n0,1\n1,NaN\n2,\n3,nan\n4,-9\n5,14\n"),
        ("kind: parquet", as_parquet([1.0, math.nan, None, math.nan, -9.0, 14.0])),
        (
            "kind: jsonl",
            b'{"id":0,"x":1}\n{"id":1,"x":null}\n{"id":2}\n{"id":3,"x":null}\n{"id":4,"x":-9}\n{"id":5,"x":14}\n',
        ),
    ],
    ids=["csv", "parquet", "jsonl"],
)
@pytest.mark.parametrize("engine", ["compiled", "great_expectations"])
def test_what_is_not_a_number_is_missing(project: Any, source: str, data: bytes, engine: str) -> None:
    """In a file with types as it stands; CSV is told that the text is none, and JSON has null alone."""
    (project.directory / "data/x").write_bytes(data)
    write(project, f"{source}, path: data/x", "kind: sqlite, path: out/x.db, table: x", kept("id", "x"))
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "columns: {x: {type: float}}\nexpectations: people\nchunk_rows: 2\n")
    meta = f"meta: {{veilflow: {{engine: {engine}}}}}\n"
    project.write("pipelines/expectations/people.yaml", meta * (engine != "compiled") + NULLS)
    result = run(project)
    assert result.status == "succeeded", result.errors
    for check, (passed, unexpected) in zip(result.checks, SAID.values(), strict=True):
        assert (check.passed, check.failed) == (passed, len(unexpected)), check.title
        assert check.kind == "table" or list(check.first) == unexpected
    assert (result.counts.quarantined, result.counts.loaded) == (4, 2)
