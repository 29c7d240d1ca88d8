"""What every database source keeps: exact types, one snapshot, and nothing that the plan has not seen."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import Store

from veilflow.errors import VeilError
from veilflow.model import Chunk, ColumnType, Secret, Source, SourceConfig
from veilflow.sources import open_source

KINDS = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]
EVERYTHING = dict.fromkeys(("sqlite", "duckdb", "postgresql"), 'select * from "order"') | {
    "mariadb": "select * from `order`"
}
#: One of each type that a target makes.
ROWS = pa.table(
    {
        "id": pa.array([3, 1, 2], pa.int64()),
        "text": ["", None, '王 it\'s \\ "q"\n😀'],
        "amount": pa.array([Decimal("99999999999999.99"), Decimal("-0.01"), None], pa.decimal128(18, 2)),
        "tiny": pa.array([Decimal("0.0000001"), None, Decimal("-1")], pa.decimal128(38, 10)),
        "float": pa.array([0.1, None, 1e-300], pa.float64()),
        "yes": [True, False, None],
        "day": [date(1, 1, 1), None, date(9999, 12, 31)],
        "moment": pa.array([datetime(1969, 12, 31, 23, 59, 59, 1), None, datetime(2024, 2, 29)], pa.timestamp("us")),
        "utc": pa.array([datetime(2040, 1, 1, 1, 2, 3, 4, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "bytes": [b"", None, b"\x00'\xff"],
        "large": pa.array([2**63 - 1, -(2**63), None], pa.int64()),
    }
)


def declared(store: Store, rows: pa.Table) -> dict[str, ColumnType]:
    """What a pipeline must say: SQLite keeps decimals as text, and neither it nor MariaDB has moments with a zone."""
    found = {}
    for field in rows.schema:
        if pa.types.is_decimal(field.type) and store.kind == "sqlite":
            found[field.name] = ColumnType("decimal", field.type)
        if pa.types.is_timestamp(field.type) and field.type.tz and store.kind in ("sqlite", "mariadb"):
            found[field.name] = ColumnType("timestamp", field.type)
    return found


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


def source(store: Store, table: str | None = "order", query: str | None = None, **more: Any) -> Source:
    config = SourceConfig(
        kind=store.kind, path=store.path or Path(), shown="warehouse", table=None if query else table, query=query,
        **({"types": declared(store, ROWS)} | more),
    )  # fmt: skip
    return open_source(config, None if store.url is None else (lambda: Secret(store.url or "")))


def chunks(source: Source, rows: int = 25_000) -> list[Chunk]:
    columns = source.schema().columns
    return [piece.read() for piece in source.slices(columns, rows)]


def values(source: Source) -> pa.Table:
    found = chunks(source)
    assert not any(chunk.bad_cells or chunk.rejected for chunk in found)
    return pa.Table.from_batches([chunk.values for chunk in found])


def test_what_a_target_stored_is_read_back_exactly(store: Store) -> None:
    """All types, by table and by query."""
    store.run("01A", ROWS)
    query = EVERYTHING[store.kind] + " -- the end"
    for one in (source(store), source(store, query=query, order_by=("id",))):
        found = values(one).sort_by("id")
        expected = ROWS.sort_by("id")
        for name in ROWS.column_names:
            assert found[name].to_pylist() == expected[name].to_pylist(), name
        exact = [name for name in ROWS.column_names if name not in ("amount", "tiny")]
        assert found.select(exact).schema.types == ROWS.select(exact).schema.types


def test_chunks_are_numbered_and_positioned_alike_each_time(store: Store) -> None:
    """The order of a unique key gives the same slices."""
    store.run("01A", pa.table({"id": pa.array(range(25), pa.int64())}))
    for _ in range(2):
        found = chunks(source(store, query=EVERYTHING[store.kind], order_by=("id",), types={}), 10)
        assert [(chunk.number, chunk.rows_read) for chunk in found] == [(0, 10), (1, 10), (2, 5)]
        assert [position for chunk in found for position in chunk.positions] == list(range(25))


def test_rows_that_come_while_it_is_read_are_not_seen(store: Store) -> None:
    """One snapshot from the first row to the last."""
    if store.kind == "duckdb":
        pytest.skip("one process at a time has a DuckDB file")
    store.run("01A", pa.table({"id": pa.array(range(20_000), pa.int64())}))
    if store.kind == "sqlite":
        store.sql("pragma journal_mode = wal")
    one = source(store, types={})
    columns = one.schema().columns
    pieces = iter(one.slices(columns, 1000))
    read = [next(pieces).read()]
    name = "`order`" if store.kind == "mariadb" else '"order"'
    store.sql(f"delete from {name} where id > 10000")
    store.sql(f"insert into {name} values (-1)")
    read += [piece.read() for piece in pieces]
    assert sum(chunk.rows_read for chunk in read) == 20_000


def test_no_row_is_an_empty_source_with_columns(store: Store) -> None:
    """Whether that is right is the plan's to say."""
    store.run("01A", ROWS.slice(0, 0))
    assert [column.name for column in source(store).schema().columns] == ROWS.column_names
    assert sum(chunk.rows_read for chunk in chunks(source(store))) == 0


@pytest.mark.parametrize("query", ["select * from nowhere", "delete from t", "select 1 as a) as x --"])
def test_what_cannot_be_read_is_refused_without_the_drivers_words(store: Store, query: str) -> None:
    """VEIL210; a statement that changes something is no query; names that differ only in case are none."""
    store.run("01A", ROWS)
    with pytest.raises(VeilError) as caught:
        source(store, query=query).schema()
    assert caught.value.code in ("VEIL210", "VEIL212")
    assert "nowhere" not in str(caught.value)
    assert store.sql("select count(*) from `order`" if store.kind == "mariadb" else 'select count(*) from "order"') == [
        (3,)
    ]


def test_a_query_cannot_change_a_row_by_a_function(make_store: Callable[[str], Store], postgresql: Any) -> None:
    """The transaction is read only."""
    store = make_store("postgresql")
    store.sql(
        "create table t (a int); create function f() returns int language sql as 'insert into t values (1) returning a'"
    )
    with pytest.raises(VeilError):
        chunks(source(store, query="select f() as a"))
    assert store.sql("select count(*) from t") == [(0,)]


test_a_query_cannot_change_a_row_by_a_function = pytest.mark.live(test_a_query_cannot_change_a_row_by_a_function)


# --- what only some databases have -------------------------------------------------------


def test_sqlites_cells_that_do_not_fit_their_declared_type_are_bad_cells(tmp_path: Path) -> None:
    """A type is a hint there, and nothing is made to fit."""
    store = Store("sqlite", tmp_path / "o.db")
    store.sql("create table t (i integer, d date, n numeric(10,2), f double, b boolean, s nvarchar(5))")
    store.sql(
        "insert into t values (1, '2024-02-29', 0.99, 0.1, 1, 'a'), ('x', '2024-02-30', 'much', 'Inf', 7, x'00ff')"
    )
    store.sql("insert into t values (9223372036854775807, null, 12345678.9, 1, 0, 1.5)")
    found = chunks(source(store, "t", types={}))[0]
    assert {bad.column: list(bad.rows) for bad in found.bad_cells} == {name: [1] for name in "idnfb"}
    assert found.values["n"].to_pylist() == [Decimal("0.99"), None, Decimal("12345678.90")]
    assert found.values["i"].to_pylist() == [1, None, 2**63 - 1]
    assert found.values["s"].to_pylist() == ["a", "X'00FF'", "1.5"]


def test_text_that_is_not_utf8_or_has_a_nul_costs_its_row(tmp_path: Path) -> None:
    """As in a file: the row is rejected with the reason, the others are read."""
    store = Store("sqlite", tmp_path / "o.db")
    store.sql("create table t (s text)")
    store.sql("insert into t values ('good'), (cast(x'ff41' as text)), (cast(x'610062' as text)), (null)")
    found = chunks(source(store, "t", types={}))[0]
    assert found.values["s"].to_pylist() == ["good", None]
    assert [(row.position, row.raw) for row in found.rejected] == [(1, b"\xffA"), (2, b"a\0b")]
    assert list(found.positions) == [0, 3]


def test_duckdb_reads_what_arrow_has_no_type_for_as_text_or_json(tmp_path: Path) -> None:
    """UUIDs, times, enums, huge integers; lists and structs as JSON; an infinite date costs its row."""
    store = Store("duckdb", tmp_path / "o.duckdb")
    store.sql("create type mood as enum ('sad', 'ok')")
    store.sql(
        "create table t (u uuid, t time, m mood, h hugeint, l int[], s struct(a int, b varchar), d date, ub ubigint)"
    )
    row = "'0e2c8b4e-4b3c-4f7e-9d3a-000000000001', '01:02:03', 'ok', 170141183460469231731687303715884105727, [1, null], {'a': 1, 'b': 'x'}"
    store.sql(f"insert into t values ({row}, '2024-01-01', 18446744073709551615), ({row}, 'infinity', 0)")
    found = chunks(source(store, "t", types={}))[0]
    assert found.values.to_pylist() == [
        {
            "u": "0e2c8b4e-4b3c-4f7e-9d3a-000000000001", "t": "01:02:03", "m": "ok", "h": str(2**127 - 1), "l": "[1,null]",
            "s": '{"a":1,"b":"x"}', "d": date(2024, 1, 1), "ub": 2**64 - 1,
        }
    ]  # fmt: skip
    assert [row.position for row in found.rejected] == [1]


def test_a_duckdb_query_reads_no_other_file(tmp_path: Path) -> None:
    """The source is the file that the pipeline names."""
    store = Store("duckdb", tmp_path / "o.duckdb")
    store.sql("create table t (a int)")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(VeilError) as caught:
        chunks(source(store, query=f"select * from read_csv('{tmp_path}/secret.csv')"))
    assert caught.value.code == "VEIL210"


@pytest.mark.live
def test_postgresql_reads_what_adbc_would_not_keep_as_text_or_json(make_store: Callable[[str], Store]) -> None:
    """Numerics of any size, UUIDs, enums, arrays, JSON, intervals, bit strings; an infinite moment costs its row."""
    store = make_store("postgresql")
    store.sql(
        "create type mood as enum ('sad', 'ok'); create domain zip as varchar(5);"
        "create table t (n numeric, p numeric(18,2), u uuid, m mood, a text[], j jsonb, i interval, z zip, c char(4),"
        " s smallint, r real, b bit(3), e int4range, ts timestamptz)"
    )
    row = "'0.1000000000000000000000000000000000000000000001', 99999999999999.99, '0e2c8b4e-4b3c-4f7e-9d3a-000000000001', 'ok', '{a,NULL}', '{\"k\": 1.10}', '1 day', '01234', 'ab', -7, 0.1, '101', '[1,5)'"
    store.sql(f"insert into t values ({row}, '2024-01-01 12:00+02'), ({row}, 'infinity')")
    found = chunks(source(store, "t", types={}))[0]
    assert [kind.type.name for kind in source(store, "t", types={}).schema().columns] == [
        "text", "decimal", "text", "text", "json", "json", "text", "text", "text", "integer", "float", "text", "text", "timestamp",
    ]  # fmt: skip
    first = found.values.to_pylist()[0]
    assert first["n"] == "0.1000000000000000000000000000000000000000000001"
    assert first["p"] == Decimal("99999999999999.99")
    assert (first["a"], first["j"], first["i"], first["z"]) == ('["a",null]', '{"k": 1.10}', "1 day", "01234")
    assert (first["s"], first["b"], first["e"]) == (-7, "101", "[1,5)")
    assert first["ts"] == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert found.values.num_rows == 1 and [row.position for row in found.rejected] == [1]


@pytest.mark.live
def test_mariadbs_own_types_are_read(make_store: Callable[[str], Store]) -> None:
    """Zero dates are bad cells; floats have all their digits; bits and years are numbers."""
    store = make_store("mariadb")
    store.sql(
        "create table t (f float, b bit(5), y year, e enum('a','b'), t time(3), u bigint unsigned, ts timestamp(6) null, d date)"
    )
    store.sql(
        "insert into t values (1234567.9, b'101', 1999, 'b', '-01:02:03.004', 5, '2024-01-01 10:00:00.000001', '2024-02-29')"
    )
    store.sql("set sql_mode = ''")
    found = chunks(source(store, "t", types={}))[0].values.to_pylist()[0]
    assert found["f"] == 1234567.875
    assert (found["b"], found["y"], found["e"], found["t"], found["u"]) == (5, 1999, "b", "-01:02:03.004", 5)
    assert found["ts"] == datetime(2024, 1, 1, 10, 0, 0, 1, tzinfo=UTC) and found["d"] == date(2024, 2, 29)


# --- round trips -------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
COLUMNS: Mapping[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "t": (pa.string(), TEXTS),
    "i": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "d": (
        pa.decimal128(30, 6),
        st.decimals(-(10**24) + 1, 10**24 - 1, places=6, allow_nan=False, allow_infinity=False),
    ),
    "f": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)),
    "b": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.dates()),
    "at": (pa.timestamp("us"), st.datetimes()),
    "x": (pa.binary(), st.binary(max_size=30)),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _strategy) in COLUMNS.items()])
TABLES = st.lists(st.tuples(*(st.none() | strategy for _kind, strategy in COLUMNS.values())), min_size=1, max_size=20)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TABLES)
def test_any_value_makes_the_round_trip(store: Store, rows: list[tuple[Any, ...]]) -> None:
    """Through the target's staging, publishing and the source, as the same bytes; null apart from empty."""
    arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), SCHEMA.types, strict=True)]
    table = pa.Table.from_arrays([pa.array(range(len(rows)), pa.int64()), *arrays], names=["n", *SCHEMA.names])
    store.run(uuid.uuid4().hex, table, table="any")
    found = values(
        source(
            store, query=EVERYTHING[store.kind].replace("order", "any"), order_by=("n",), types=declared(store, table)
        )
    )
    for name in table.column_names:
        assert found[name].to_pylist() == table[name].to_pylist(), name
