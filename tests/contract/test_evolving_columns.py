"""``columns: evolve``: what a table lacks is added to it in the step that publishes, and nothing else of its shape moves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import stores
from stores import Store, receipt

from veilflow.errors import VeilError
from veilflow.model import ColumnKey, OutputView

OLD = pa.table({"id": [1, 2], "name": ["Ada", "Bo"]})
NEW = pa.table({"id": [2, 3], 'a "note"': ["x", None], "name": ["Bob", "Cy"], "n": pa.array([7, 8], pa.int64())})
NULLS, SEEN = (None, None), 'select "id", "name", "a ""note""", "n" from "people" order by 1'
CAME = [(2, "Bob", "x", 7), (3, "Cy", None, 8)]
#: Those that add columns in the transaction of the rows.
TRANSACTIONAL = ["sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.live)]
DATABASES = [*TRANSACTIONAL, pytest.param("mariadb", marks=pytest.mark.live)]


@pytest.fixture(params=TRANSACTIONAL)
def database(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """With a table of two columns and rows, an index and a check, so that nothing may take its place."""
    return _filled(make_store(request.param))


@pytest.fixture(params=DATABASES)
def plain(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """With a table as a run makes it, on which nothing depends."""
    store: Store = make_store(request.param)
    _load(store, "01A", OLD, mode="replace")
    return store


def _filled(store: Store) -> Store:
    store.sql('create table "people" ("id" integer not null, "name" varchar(20), check ("id" > 0))')
    store.sql('create unique index "by_id" on "people" ("id")')
    store.sql("insert into \"people\" values (1, 'Ada'), (2, 'Bo')")
    return store


def _load(store: Store, run_id: str, rows: pa.Table, **more: Any) -> tuple[str, int]:
    more.setdefault("evolve", True)
    return store.run(run_id, rows, table="people", **more)


def columns(store: Store) -> list[str]:
    with_names = {
        "sqlite": "select name from pragma_table_info('people')",
        "duckdb": "select column_name from duckdb_columns() where table_name = 'people'",
        "postgresql": "select column_name from information_schema.columns where table_name = 'people'",
        "mariadb": "select column_name from information_schema.columns where table_schema = database() and table_name = 'people'",
    }
    return sorted(name for (name,) in store.sql(with_names[store.kind]))


def test_append_adds_columns_and_earlier_rows_have_null_there(database: Store) -> None:
    """The index and the check are still there."""
    database.sql('delete from "people" where "id" = 2')
    assert _load(database, "01A", NEW, mode="append") == ("transaction", 2)
    assert database.sql(SEEN) == [(1, "Ada", *NULLS), *CAME]
    assert _load(database, "01B", NEW.slice(0, 0), mode="append")[1] == 0


def test_merge_adds_columns_and_fills_them_in_the_rows_that_it_meets(database: Store) -> None:
    """Rows that are not met have null."""
    assert _load(database, "01A", NEW, mode="merge", key=("id",)) == ("transaction", 2)
    assert database.sql(SEEN) == [(1, "Ada", *NULLS), *CAME]


def test_replace_by_rewrite_adds_columns(database: Store) -> None:
    """What depends on the table stays."""
    assert _load(database, "01A", NEW, mode="replace") == ("rewrite" if database.kind != "duckdb" else "transaction", 2)
    assert database.sql(SEEN) == CAME


def test_replace_of_a_table_on_which_nothing_depends_has_the_new_columns(plain: Store) -> None:
    """In every database, MariaDB's by its journal."""
    target = plain.target("people", schema=NEW.schema, evolve=True)
    assert target.added_columns() == ('a "note"', "n")
    target.close()
    assert _load(plain, "01B", NEW, mode="replace")[1] == 2
    assert plain.sql(SEEN) == CAME


def test_by_default_a_missing_column_refuses(plain: Store) -> None:
    """And nothing is changed."""
    for mode in ("replace", "append"):
        with pytest.raises(VeilError, match=r'VEIL307.*"a "note"" is missing') as caught:
            _load(plain, "01B", NEW, mode=mode, evolve=False)
        assert "evolve" in (caught.value.hint)
    assert columns(plain) == ["id", "name"]


@pytest.mark.parametrize("rows", [
    pytest.param(NEW.drop_columns(["name"]), id="a column that vanished, or was renamed"),
    pytest.param(NEW.set_column(0, "id", pa.array(["2", "3"])), id="a type that changed"),
])  # fmt: skip
def test_vanished_columns_and_changed_types_refuse_all_the_same(plain: Store, rows: pa.Table) -> None:
    """A rename looks like one column less and one more."""
    for mode in ("replace", "append"):
        with pytest.raises(VeilError, match="VEIL307"):
            _load(plain, "01B", rows, mode=mode)
    assert columns(plain) == ["id", "name"]


def test_the_key_of_a_merge_is_never_added(plain: Store) -> None:
    """Earlier rows would have none."""
    with pytest.raises(VeilError, match='VEIL307.*"n" is missing'):
        _load(plain, "01B", NEW.drop_columns(['a "note"']), mode="merge", key=("n",))


def test_a_check_of_the_output_sees_the_new_columns_and_its_refusal_leaves_the_old_shape(database: Store) -> None:
    """In the publishing transaction, which ends with them."""
    seen: list[Any] = []

    def refuse(view: OutputView) -> None:
        seen.extend(pa.Table.from_batches(view.rows(["n"])).column("n").to_pylist())
        raise VeilError("VEIL306", "no", "none")

    target = database.target("people", mode="merge", key=("id",), schema=NEW.schema, evolve=True)
    target.open("01A")
    with target.writer() as writer:
        writer.load(NEW, receipt(0, 2))
    with pytest.raises(VeilError, match="VEIL306"):
        target.publish({}, refuse)
    assert set(seen) == {None, 7, 8}
    target.close()
    assert columns(database) == ["id", "name"]


def test_a_new_column_has_the_key_of_the_run_that_added_it(database: Store) -> None:
    """No earlier row holds a pseudonym there, so it was made in one way."""
    first, second = ColumnKey(1, "sha256:a"), ColumnKey(2, "sha256:b")
    _load(database, "01A", OLD, mode="replace", versions={"name": first})
    _load(database, "01B", NEW, mode="merge", key=("id",), versions={"name": first, "n": second})
    target = database.target("people", schema=NEW.schema)
    assert target.column_keys() == {"name": first, "n": second}
    target.close()


def test_a_row_against_the_tables_check_is_refused_with_its_chunk(database: Store) -> None:
    """The staging has the table's rules and the new columns."""
    with pytest.raises(VeilError, match="VEIL319"):
        _load(database, "01A", NEW.set_column(0, "id", pa.array([-1, 3])), mode="append")
    assert columns(database) == ["id", "name"]


@pytest.mark.live
@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
def test_mariadb_adds_none_to_a_table_that_stays(mode: str, make_store: Callable[[str], Store]) -> None:
    """Its DDL commits by itself: the plan refuses, with the statement that adds them."""
    store = _filled(make_store("mariadb"))
    with pytest.raises(VeilError, match="VEIL307.*MariaDB") as caught:
        _load(store, "01A", NEW, mode=mode, key=("id",) if mode == "merge" else ())
    store.sql(str(caught.value.hint).split("`, and")[0].lstrip("`").replace("`", '"').replace('a "note"', 'a ""note""'))
    assert _load(store, "01B", NEW.slice(1), mode=mode, key=("id",) if mode == "merge" else ())[1] == 1
    assert store.sql(SEEN)[-1] == CAME[1]


def test_a_strict_table_of_sqlite_gets_types_that_it_knows(make_store: Callable[[str], Store]) -> None:
    """And takes the next run."""
    store = make_store("sqlite")
    store.sql("create table people (id integer, name text) strict")
    for run_id in ("01A", "01B"):
        assert _load(store, run_id, NEW, mode="append") == ("transaction", 2)
    assert store.sql(SEEN) == [CAME[0], CAME[0], CAME[1], CAME[1]]


@pytest.mark.live
def test_who_does_not_own_a_table_of_postgresql_learns_it_from_the_plan(make_store: Callable[[str], Store]) -> None:
    """Only an owner adds columns."""
    store = _filled(make_store("postgresql"))
    store.sql("create schema if not exists veilflow_staging")
    role = "loader_" + store.sql("select md5(current_database())")[0][0]
    try:
        store.sql(
            f"create role {role} login password 'loopback-only-secret'; grant all on schema veilflow_staging, public to {role}"
        )
        store.sql(f"alter schema veilflow_staging owner to {role}; grant select, insert on people to {role}")
        head, _, tail = (store.url or "").partition("://")
        other = Store("postgresql", url=f"{head}://{role}:loopback-only-secret@{tail.rpartition('@')[2]}")
        with pytest.raises(VeilError, match="VEIL402.*not its owner"):
            other.target("people", mode="append", schema=NEW.schema, evolve=True).inspect()
        other.target("people", mode="append", schema=OLD.schema, evolve=True).inspect()
    finally:
        store.sql(f"drop owned by {role} cascade; drop role {role}")


PATHS = os.pathsep.join(str(Path(file or "").parent) for file in (__file__, stores.__file__))
KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from pathlib import Path
from stores import Store, receipt
import test_evolving_columns as ours
kind, path, url, mode, moment = sys.argv[2:]
store = Store(kind, Path(path) if path else None, url or None)
target = store.target("people", mode=mode, key=("id",) if mode == "merge" else (), schema=ours.NEW.schema, evolve=True)
target.open("01B")
with target.writer() as writer:
    writer.load(ours.NEW, receipt(0, 2))
target.publish({}, (lambda _view: os.kill(os.getpid(), signal.SIGKILL)) if moment == "within" else None)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["within", "after"])
@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_a_process_killed_while_publishing_leaves_the_old_shape_or_the_new_one_with_its_rows(
    database: Store, mode: str, moment: str
) -> None:
    """And the next one of the same run completes it."""
    arguments = [database.kind, str(database.path or ""), database.url or "", mode, moment]
    done = subprocess.run([sys.executable, "-c", KILLED, PATHS, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert columns(database) == (["id", "name"] if moment == "within" else sorted(NEW.column_names))
    more: dict[str, Any] = {"mode": mode, "key": ("id",) if mode == "merge" else ()}
    target = database.target("people", schema=NEW.schema, evolve=True, **more)
    target.inspect()
    target.open("01B")
    assert target.publish({}) == 2
    target.close()
    kept = [(1, "Ada", *NULLS)] if mode == "merge" else []
    assert database.sql(SEEN) == [*kept, *CAME]
