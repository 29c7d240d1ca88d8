"""A dialect of SQLAlchemy: what it makes and takes back, which tables it loads, and what a probe finds."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
import sqlalchemy as sa
from stores import Store, receipt

from veilflow.errors import VeilError
from veilflow.model import Output, OutputView
from veilflow.targets.sqlalchemy import SqlalchemyTarget
from veilflow.targets.sqlalchemy_types import probe

KEYED = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["Ada", "Bo"]})
OWN = {("_veilflow",), ("veilflow_staging_locks",)}


@pytest.fixture(
    params=[
        pytest.param("postgresql+psycopg", marks=pytest.mark.live),
        pytest.param("mysql+pymysql", marks=pytest.mark.live),
    ]
)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


def tables(store: Store) -> set[tuple[str]]:
    schema = "'public'" if store.kind == "postgresql" else "database()"
    return set(store.sql(f"select table_name from information_schema.tables where table_schema = {schema}"))  # type: ignore[arg-type]


def refused(code: str, call: Callable[[], object]) -> VeilError:
    with pytest.raises(VeilError) as caught:
        call()
    assert caught.value.code == code, str(caught.value)
    return caught.value


def staged(store: Store, run_id: str) -> SqlalchemyTarget:
    target = store.target("people", schema=KEYED.schema)
    assert isinstance(target, SqlalchemyTarget)
    target.open(run_id)
    with target.writer() as writer:
        writer.load(KEYED, receipt(0, 2))
    return target


@pytest.mark.parametrize("by", ["gate", "clean"])
def test_a_new_table_whose_run_publishes_nothing_is_gone(store: Store, by: str) -> None:
    """Refused by a gate, or dead between making it and publishing."""
    target = staged(store, "01A")
    if by == "gate":

        def gate(_view: OutputView) -> None:
            raise VeilError("VEIL306", "no", "no")

        refused("VEIL306", lambda: target.publish({}, gate))
        assert ("people",) not in tables(store)
        target.discard()
    else:
        target._make_target()
        assert ("people",) in tables(store)
        target.close()
        target = store.target("people", schema=KEYED.schema)
        assert target.clean() == ("01A",)
    target.close()
    assert tables(store) == OWN


def test_a_table_that_somebody_filled_meanwhile_stays(store: Store) -> None:
    """Only an empty one is taken back."""
    target = staged(store, "01A")
    target._make_target()
    store.sql("insert into people values (7, 'Somebody')")
    target.discard()
    target.close()
    assert store.sql("select id from people") == [(7,)]


@pytest.mark.parametrize("kind", ["char(20)", "real", "date"])
def test_a_table_whose_types_pad_round_or_convert_is_refused_by_the_plan(store: Store, kind: str) -> None:
    """Before anything is made."""
    store.sql(f"create table people (id bigint, name {kind})")
    error = refused("VEIL307", lambda: store.target("people", schema=KEYED.schema).inspect())
    assert '"name"' in error.problem
    assert tables(store) == {("people",)}


def test_a_row_that_does_not_fit_a_narrower_column_is_refused_with_its_chunk(store: Store) -> None:
    """Too long, blanks at the end included, out of range, or null where it may not be."""
    store.sql("create table people (id smallint not null, name varchar(3))")
    target = store.target("people", "append", KEYED.schema)
    target.open("01A")
    with target.writer() as writer:
        for number, name in ((1, "Adam"), (1, "Ada "), (40_000, "Ada"), (None, "Ada")):
            row = pa.table({"id": pa.array([number], pa.int64()), "name": [name]})
            refused("VEIL319", lambda row=row: writer.load(row, receipt(0, 1)))
        writer.load(KEYED, receipt(0, 2))
    assert target.publish({}) == 2
    target.close()
    assert sorted(store.sql("select id, name from people")) == [(1, "Ada"), (2, "Bo")]


def test_a_check_of_the_table_refuses_before_anything_is_published(store: Store) -> None:
    """Staging has the table's types and not its CHECKs, which the probe's values would break: publishing finds them."""
    store.sql("create table people (id bigint check (id < 2), name varchar(9))")
    target = store.target("people", "append", KEYED.schema)
    target.open("01A")
    with target.writer() as writer:
        writer.load(KEYED, receipt(0, 2))
    refused("VEIL319", lambda: target.publish({}))
    target.close()
    assert store.sql("select * from people") == []


def test_neither_a_row_nor_the_password_is_in_an_error_however_it_is_looked_at(store: Store) -> None:
    """As text, with its traceback, pickled; and what SQLAlchemy raised, which holds the row for whoever asks, is cut off
    and prints no parameters."""
    target = staged(store, "01A")
    store.sql(f"alter table {target._staging} add check (name <> 'Lovelace')")
    row = pa.table({"id": pa.array([3], pa.int64()), "name": ["Lovelace"]})
    with target.writer() as writer:
        error = refused("VEIL319", lambda: writer.load(row, receipt(1, 1)))
    target.close()
    cause = error.__context__
    assert isinstance(cause, sa.exc.DBAPIError) and cause.hide_parameters and "Lovelace" in str(cause.params)
    assert error.__suppress_context__ and error.__cause__ is None
    for shown in (str(error), repr(error), "".join(traceback.format_exception(error)), str(pickle.dumps(error))):
        assert "Lovelace" not in shown and "loopback-only-secret" not in shown


def test_a_user_without_rights_is_told_which_ones_a_dialect_needs(store: Store) -> None:
    """And not of a staging database that this kind does not use."""
    url = (store.url or "").replace("loopback-only-secret", "another-secret")
    wrong = replace(store, url=url)
    error = refused("VEIL402", lambda: wrong.target("people", schema=KEYED.schema).inspect())
    assert "default schema" in error.hint and "veilflow_staging" not in error.hint


def test_rows_that_others_refer_to_are_merged_and_not_replaced(store: Store) -> None:
    """Deleting them would take the others along."""
    store.sql("create table people (id bigint primary key, name varchar(20))")
    store.sql("insert into people values (1, 'old')")
    store.sql("create table orders (person bigint, foreign key (person) references people (id) on delete cascade)")
    store.sql("insert into orders values (1)")
    refused("VEIL214", lambda: store.run("01A", KEYED, table="people"))
    store.run("01B", KEYED, table="people", mode="merge", key=("id",))
    assert sorted(store.sql("select id, name from people")) == [(1, "Ada"), (2, "Bo")]
    assert store.sql("select person from orders") == [(1,)]


# --- the probe, on a database that really changes values -----------------------------------


@pytest.fixture
def sqlite() -> Iterator[sa.Connection]:
    with sa.create_engine("sqlite+pysqlite://").connect() as connection:
        yield connection


def probed(connection: sa.Connection, kind: sa.types.TypeEngine[object], field: pa.Field, trigger: str = "") -> None:
    staging = sa.Table("staging", sa.MetaData(), sa.Column(field.name, kind))
    staging.create(connection)
    if trigger:
        connection.exec_driver_sql(f"create trigger fold after insert on staging begin {trigger}; end")
    connection.commit()
    probe(connection, staging, Output("t", pa.schema([field])), made=True)


def test_an_honest_database_passes_the_probe(sqlite: sa.Connection) -> None:
    """And has no row of it afterwards."""
    probed(sqlite, sa.Text(), pa.field("v", pa.string()))
    assert sqlite.exec_driver_sql("select count(*) from staging").scalar() == 0


def test_a_database_that_makes_null_of_the_empty_string_is_refused(sqlite: sa.Connection) -> None:
    """As Oracle does."""
    trigger = "update staging set v = null where v = ''"
    error = refused("VEIL214", lambda: probed(sqlite, sa.Text(), pa.field("v", pa.string()), trigger))
    assert '"v"' in error.problem and "changed" in error.problem


def test_a_database_that_rounds_decimals_is_refused(sqlite: sa.Connection) -> None:
    """SQLite makes floats of them."""
    refused("VEIL214", lambda: probed(sqlite, sa.Numeric(38, 10), pa.field("v", pa.decimal128(38, 10))))


def test_a_database_that_cuts_microseconds_is_refused(sqlite: sa.Connection) -> None:
    """A moment of the same second is another one."""
    trigger = "update staging set v = substr(v, 1, 20) || '000000'"
    refused("VEIL214", lambda: probed(sqlite, sa.DateTime(), pa.field("v", pa.timestamp("us")), trigger))
