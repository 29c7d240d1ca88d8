"""``order_by`` of every database: columns that tell each row apart, by the catalogue or held while reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores import Store

from veilflow.errors import VeilError
from veilflow.model import Secret, Source, SourceConfig
from veilflow.sources import open_source

KINDS = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


def source(store: Store, order_by: tuple[str, ...], table: str | None = "people", query: str | None = None) -> Source:
    config = SourceConfig(
        kind=store.kind, path=store.path or Path(), shown="crm", table=None if query else table, query=query, order_by=order_by,
    )  # fmt: skip
    return open_source(config, None if store.url is None else (lambda: Secret(store.url or "")))


def read(source: Source, rows: int = 2) -> list[dict[str, Any]]:
    columns = source.schema().columns
    return [row for piece in source.slices(columns, rows) for row in piece.read().values.to_pylist()]


def refused(source: Source, reading: bool = False) -> VeilError:
    with pytest.raises(VeilError) as caught:
        read(source) if reading else source.schema()
    return caught.value


@pytest.mark.parametrize(
    ("columns", "order_by"),
    [
        ("id integer primary key, name varchar(9)", ("id",)),
        ("id integer, name varchar(9) not null, primary key (id, name)", ("name", "id")),
        ("id integer not null, name varchar(9), unique (id)", ("id",)),
        ("id integer not null, name varchar(9), unique (id)", ("name", "id")),
        ("id integer primary key, name varchar(9) not null unique", ("name",)),
    ],
)
def test_a_key_of_the_table_is_found_in_the_catalogue(store: Store, columns: str, order_by: tuple[str, ...]) -> None:
    """A primary key, a unique one without nulls, or more columns than those of one."""
    if store.kind == "sqlite" and "primary key (" in columns:
        columns = columns.replace("id integer,", "id integer not null,")  # to SQLite a key may be null
    store.sql(f"create table people ({columns})")
    store.sql("insert into people values (3, 'c'), (1, 'a'), (2, 'b')")
    assert [row["id"] for row in read(source(store, order_by))] == [1, 2, 3]


@pytest.mark.parametrize(
    ("columns", "order_by"),
    [
        ("id integer, name varchar(9)", ("id",)),
        ("id integer not null, name varchar(9)", ("id", "name")),
        ("id integer, name varchar(9), unique (id)", ("id",)),
        ("id integer not null, name varchar(9) not null, unique (id, name)", ("id",)),
        ("id integer primary key, name varchar(9)", ("name",)),
    ],
)
def test_what_is_no_key_refuses_the_plan(store: Store, columns: str, order_by: tuple[str, ...]) -> None:
    """No index, one that takes nulls, a part of one, another column than the key's."""
    store.sql(f"create table people ({columns})")
    assert refused(source(store, order_by)).code == "VEIL330"


def test_a_column_that_is_not_there_is_named(store: Store) -> None:
    """With those that are."""
    store.sql("create table people (id integer primary key, name varchar(9))")
    error = refused(source(store, ("nr",)))
    assert (error.code, '"nr"' in error.problem, "id, name" in error.hint) == ("VEIL302", True, True)


@pytest.mark.live
@pytest.mark.parametrize(
    "statement",
    [
        "create unique index on people (id) where id > 5", "create unique index on people ((id + 0))",
        "create table child () inherits (people); alter table people add primary key (id)",
        "alter table people add constraint late unique (id) deferrable initially deferred",
    ],
)  # fmt: skip
def test_an_index_of_some_rows_is_no_key(make_store: Callable[[str], Store], statement: str) -> None:
    """Partial, on an expression, not over inheriting tables, or checked at the commit only."""
    store = make_store("postgresql")
    store.sql("create table people (id integer not null, name varchar(9))")
    for one in statement.split("; "):
        store.sql(one)
    assert refused(source(store, ("id",))).code == "VEIL330"


@pytest.mark.parametrize("order_by", [("id",), ("name",), ("name", "id")])
def test_rows_of_a_query_are_held_against_each_other(store: Store, order_by: tuple[str, ...]) -> None:
    """Numbers as numbers and texts byte by byte, within chunks and from one to the next."""
    store.sql("create table people (id integer, name varchar(9))")
    store.sql("insert into people values (10, 'a'), (9, 'B'), (100, 'é'), (8, 'A'), (-1, 'Ü')")
    found = read(source(store, order_by, query="select * from people"))
    key = [tuple(row[name] if name == "id" else row[name].encode() for name in order_by) for row in found]
    assert len(key) == 5 and key == sorted(key)


@pytest.mark.parametrize(
    "row",
    ["(3, 'z')", "(null, 'z')", "(2, 'z')"],
    ids=["within a chunk", "null", "from one chunk to the next"],
)
def test_a_query_whose_order_is_none_is_refused_while_reading(store: Store, row: str) -> None:
    """The plan cannot know, and no chunk behind the fault is passed on."""
    store.sql("create table people (id integer, name varchar(9))")
    store.sql(f"insert into people values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), {row}")
    one = source(store, ("id",), query="select * from people")
    one.schema()
    error = refused(one, reading=True)
    assert (error.code, "id" in error.problem) == ("VEIL330", True)


def test_a_view_is_held_like_a_query(store: Store) -> None:
    """Whatever keys lie below it."""
    store.sql("create table people (id integer primary key, name varchar(9))")
    store.sql("insert into people values (1, 'a'), (2, 'a')")
    store.sql("create view twice as select * from people union all select * from people")
    store.sql("create view once as select * from people")
    assert len(read(source(store, ("id",), "once"))) == 2
    assert refused(source(store, ("id",), "twice"), reading=True).code == "VEIL330"
