"""Arrays and other nested values: as JSON in which nothing is lost, from there into arrays of PostgreSQL, or refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stores import Store

from veilflow.errors import VeilError
from veilflow.model import Chunk, OutputView, Secret, SourceConfig
from veilflow.sources import open_source

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9) | st.sampled_from(
    ["", "NULL", "null", '"', "\\", "{}", "[1]", ",", " a ", "\\x00", "NaN"]
)
INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
ITEMS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "varchar": TEXT,
    "uuid": st.uuids(),
    **{name: st.integers(-(2**bits), 2**bits - 1) for name, bits in INTEGERS.items()},
    "numeric": st.decimals(allow_infinity=False, allow_nan=False, places=5)
    | st.just(Decimal("NaN"))
    | st.just(Decimal("1e40")),
    "real": st.floats(width=32),
    "double precision": st.floats(),
    "boolean": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "bytea": st.binary(max_size=9),
}


def arrays(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Null, empty, and up to three dimensions of one size each, with nulls in them."""
    item = st.none() | items

    def of_size(sizes: list[int]) -> st.SearchStrategy[Any]:
        found = item
        for size in sizes:
            found = st.lists(found, min_size=size, max_size=size)
        return found

    return st.none() | st.just([]) | st.lists(st.integers(1, 3), min_size=1, max_size=3).flatmap(of_size)


def read(store: Store, table: str = "t") -> Chunk:
    config = SourceConfig(kind=store.kind, path=store.path or Path(), shown="crm", table=table)
    source = open_source(config, None if store.url is None else (lambda: Secret(store.url or "")))
    return next(iter(source.slices(source.schema().columns, 1000))).read()


@pytest.mark.live
def test_an_array_of_postgresql_arrives_in_one_as_it_was(make_store: Callable[[str], Store]) -> None:
    """Of each type of item: null, empty, nulls within, several dimensions, NaN; whatever the role's settings say."""
    crm, copy = make_store("postgresql"), make_store("postgresql")
    columns = ", ".join(f'"{name}" {name}[]' for name in ITEMS)
    crm.sql(f"create table t (n bigint, {columns})")
    copy.sql("create domain tags as text[]")
    copy.sql(f"create table t (n bigint, {columns.replace(' text[]', ' tags')})")
    for setting in ("extra_float_digits = 0", "bytea_output = escape", "datestyle = German", "timezone = 'Asia/Tokyo'"):
        for store in (crm, copy):
            name = (store.url or "").rpartition("/")[2]
            store.sql(f"alter database {name} set {setting}")

    rows = st.lists(st.tuples(*map(arrays, ITEMS.values())), min_size=30, max_size=60)

    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(rows)
    def move(found: list[tuple[Any, ...]]) -> None:
        insert(crm, found)
        chunk = read(crm)
        assert not chunk.rejected and not chunk.bad_cells
        copy.run(uuid.uuid4().hex, pa.table(chunk.values), table="t")
        assert texts(copy) == texts(crm)

    move()


def insert(store: Store, rows: list[tuple[Any, ...]]) -> None:
    import psycopg

    cells = ", ".join(f"%s::{name}[]" for name in ITEMS)
    with psycopg.connect(store.url or "", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("delete from t")
        cursor.executemany(f"insert into t values (%s, {cells})".encode(), [(n, *row) for n, row in enumerate(rows)])


def texts(store: Store) -> list[tuple[Any, ...]]:
    """The arrays as the database writes them, with all digits of floats."""
    import psycopg

    with psycopg.connect(store.url or "", options="-c extra_float_digits=1 -c datestyle=ISO") as connection:
        cells = ", ".join(f'"{name}"::text' for name in ITEMS)
        return connection.execute(f"select n, {cells} from t order by n".encode()).fetchall()


@pytest.mark.live
@pytest.mark.parametrize(
    ("there", "value"),
    [
        ("numeric(4,1)[]", None), ("varchar(3)[]", None), ("char(3)[]", None), ("timestamptz[]", None), ("jsonb[]", None),
        ("tsrange", None), ("integer[]", "[1.5]"), ("integer[]", '["1", 2]'), ("real[]", "[0.1234567891]"),
        ("double precision[]", "[0.12345678901234567890]"), ("text[]", '"{a,b}"'), ("text[]", "[[]]"), ("text[]", '["a", 1]'),
        ("text[]", '{"a": 1}'), ("text[]", "v1.0f"), ("text[]", '["\\u0000"]'), ("integer[]", "[[1], [2, 3]]"),
        ("date[]", '["2024-01-01 10:00"]'), ("timestamp[]", '["2024-01-01T10:00:00+02:00"]'), ("bytea[]", '["abc"]'),
        ("tsvector", "a person's text"),
    ],
)  # fmt: skip
def test_what_an_array_cannot_hold_exactly_is_refused(
    make_store: Callable[[str], Store], there: str, value: Any
) -> None:
    """A type that pads, rounds or depends on a session in the plan (VEIL307), a value that would be changed before it is
    published (VEIL319), and never with the value in the message."""
    store = make_store("postgresql")
    store.sql(f"create table t (n bigint, v {there})")
    rows = pa.table({"n": pa.array([1], pa.int64()), "v": [value]})
    with pytest.raises(VeilError) as caught:
        if value is None:
            store.target("t", schema=rows.schema).inspect()
        else:
            store.run("01A", rows, table="t")
    assert caught.value.code == ("VEIL307" if value is None else "VEIL319")
    assert value is None or value not in str(caught.value)
    assert store.sql("select * from t") == []


@pytest.mark.live
def test_a_text_vector_goes_back_into_one(make_store: Callable[[str], Store]) -> None:
    """By the text that PostgreSQL writes; lexemes with quotes, places and weights stay."""
    store = make_store("postgresql")
    for table in ("t", "u"):
        store.sql(f"create table {table} (v tsvector)")
    store.sql("insert into t values ('''it''''s'':1A,3 fat:2B'), (''), (null)")
    store.run("01A", pa.table(read(store).values), table="u")
    assert store.sql("select v::text from u order by v") == store.sql("select v::text from t order by v")


@pytest.mark.live
def test_an_array_that_begins_elsewhere_than_at_1_costs_its_row(make_store: Callable[[str], Store]) -> None:
    """JSON has no place for where it begins."""
    store = make_store("postgresql")
    store.sql("create table t (n int, a int[])")
    store.sql(
        "insert into t values (1, '{1}'), (2, '[0:1]={1,2}'), (3, '[1:1][2:3]={{1,2}}'), (4, '{{1},{2}}'), (5, '{}')"
    )
    chunk = read(store)
    assert chunk.values.column("n").to_pylist() == [1, 4, 5]
    assert [row.position for row in chunk.rejected] == [1, 2] and "does not begin at 1" in chunk.rejected[0].reason


@pytest.mark.live
def test_a_check_of_the_output_reads_what_is_no_text_there_as_it_was_loaded(make_store: Callable[[str], Store]) -> None:
    """Arrays, UUIDs, JSON, intervals and times of a table that is there."""
    store = make_store("postgresql")
    row = {"u": str(uuid.uuid4()), "j": '{"a": 1.10}', "a": '["x",null]', "i": "1 mon", "t": "10:00:00"}
    store.sql("create table t (u uuid, j json, a text[], i interval, t time)")
    rows = pa.table({name: [value, None] for name, value in row.items()})
    seen: list[dict[str, Any]] = []

    def gate(view: OutputView) -> None:
        seen.extend(row for batch in view.rows(rows.schema.names) for row in batch.to_pylist())

    target = store.target("t", schema=rows.schema)
    target.open("01A")
    try:
        with target.writer() as writer:
            writer.attempt(rows)
        store_rows(target, rows)
        target.publish({}, gate)
    finally:
        target.close()
    assert seen == rows.to_pylist()


def store_rows(target: Any, rows: pa.Table) -> None:
    from stores import receipt

    with target.writer() as writer:
        writer.load(rows, receipt(0, rows.num_rows))


NESTED = pa.table(
    {
        "bytes": pa.array([[b"\x00\xff", None]], pa.list_(pa.binary())),
        "floats": pa.array([[float("nan"), float("inf"), -float("inf"), 0.1]], pa.list_(pa.float64())),
        "decimals": pa.array([[Decimal("1.10"), Decimal("123456789012345678.90")]], pa.list_(pa.decimal128(30, 2))),
        "tree": pa.array([{"a": [{"b": "é\"\u2028"}], "c": None}]),
        "at": pa.array([[datetime(2024, 1, 1, 0, 0, 0, 1), None]], pa.list_(pa.timestamp("us"))),
        "days": pa.array([[date(1, 1, 1)]], pa.list_(pa.date32())),
        "none": pa.array([[]], pa.list_(pa.int64())),
    }
)  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "duckdb"])
def test_nested_values_of_files_become_json_without_a_loss(tmp_path: Path, kind: str) -> None:
    """Valid JSON, with decimals digit by digit, bytes as digits, and NaN and infinity as texts."""
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(NESTED, path)
    else:
        import duckdb

        with duckdb.connect(str(path)) as connection:
            connection.register("nested", NESTED)
            connection.execute("create table t as select * from nested")
    (row,) = read(Store(kind, path)).values.to_pylist()
    found = {name: json.loads(text, parse_float=Decimal, parse_constant=pytest.fail) for name, text in row.items()}
    assert found["bytes"] == (["\\x00ff", None] if kind == "parquet" else ["\\x00\\xFF", None])
    assert found["floats"] == ["NaN", "Infinity", "-Infinity", Decimal("0.1")]
    assert list(map(str, found["decimals"])) == ["1.10", "123456789012345678.90"]
    assert found["tree"] == NESTED["tree"][0].as_py() and found["none"] == []
    assert found["at"] == ["2024-01-01 00:00:00.000001", None] and found["days"] == ["0001-01-01"]


def test_json_within_a_list_of_duckdb_stays_its_text(tmp_path: Path) -> None:
    """DuckDB would bring its numbers through doubles."""
    store = Store("duckdb", tmp_path / "t.duckdb")
    store.sql("create table t (v json[])")
    store.sql("insert into t values (['{\"n\": 0.12345678901234567890123}'])")
    assert read(store).values.to_pylist() == [{"v": '[{"n": 0.12345678901234567890123}]'}]
