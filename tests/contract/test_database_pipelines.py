"""Pipelines from one database into another, as a user runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from stores import Store, name_warehouse, place_of

if TYPE_CHECKING:
    from conftest import Project

PIPELINE = """\
version: 1
source: {SOURCE}
policy: people
target: {TARGET}
"""
#: Of every pipeline here: the small project's people.
LOADED = [(30, "A**", "a**@e******.com", "London"), (10, "B*", "b*@e******.org", "Oslo"), (40, "C*", None, None)]
TABLE = "create table people (id integer, name varchar(20), email varchar(50), age integer, city varchar(20))"
ROWS = "insert into people values (1,'Ada','ada@example.com',36,'London'),(2,'Bo','bo@example.org',17,'Oslo'),(3,'Cy',null,44,null)"
KINDS = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]


@pytest.fixture(params=KINDS)
def origin(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """A database with people in it."""
    store = make_store(request.param)
    for statement in (TABLE, ROWS):
        store.sql(statement)
    return store


@pytest.fixture(
    params=[
        *KINDS,
        pytest.param("postgresql+psycopg", marks=pytest.mark.live),
        pytest.param("mysql+pymysql", marks=pytest.mark.live),
    ]
)
def destination(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """A database with nothing in it."""
    return make_store(request.param)


def write(project: Project, store: Store, source: str, target: str) -> None:
    name_warehouse(project, store)
    project.write("pipelines/people.yaml", PIPELINE.replace("SOURCE", source).replace("TARGET", target))


def test_people_leave_a_database_treated(project: Project, origin: Store) -> None:
    """By table, into SQLite; the original text is nowhere outside."""
    write(project, origin, place_of(origin, "people"), "kind: sqlite, path: out/people.db, table: people")
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    rows = [(age, name, email, city) for _id, name, email, age, city in project.rows()]
    assert sorted(rows, key=str) == sorted(LOADED, key=str)
    assert done.json["counts"] == {"read": 3, "loaded": 3, "quarantined": 0, "filtered": 0}
    assert b"Ada" not in (project.directory / "out/people.db").read_bytes()


def test_people_who_were_held_back_join_with_the_types_of_their_database(project: Project, origin: Store) -> None:
    """A database may give every value as its text; a replay knows of what type it was."""
    suite = "expectations:\n  - {type: expect_column_values_to_be_in_set, kwargs: {column: city, value_set: [London]}, severity: warning}\n"
    write(project, origin, place_of(origin, "people"), "kind: sqlite, path: out/people.db, table: people")
    project.write(
        "pipelines/people.yaml", (project.directory / "pipelines/people.yaml").read_text() + "expectations: people\n"
    )
    project.write("pipelines/expectations/people.yaml", suite)
    assert project.veil("run", "people", "--direct", "--json").json["counts"]["quarantined"] == 1
    project.write("pipelines/expectations/people.yaml", suite.replace("London", "London, Oslo"))
    done = project.veil("quarantine", "replay", "last", "--direct", "--json")
    assert done.status == 0, done.err
    rows = [(age, name, email, city) for _id, name, email, age, city in project.rows()]
    assert sorted(rows, key=str) == sorted(LOADED, key=str)


def test_a_new_column_in_the_database_refuses_the_next_run(project: Project, origin: Store) -> None:
    """Nothing remembers the columns of yesterday, and the policy is closed."""
    write(project, origin, place_of(origin, "people"), "kind: sqlite, path: out/people.db, table: people")
    assert project.veil("run", "people", "--direct").status == 0
    origin.sql("alter table people add column iban varchar(34)")
    done = project.veil("run", "people", "--direct", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (3, "VEIL301")
    assert len(project.rows()) == 3


def test_people_are_merged_into_each_database(project: Project, destination: Store) -> None:
    """From a file into the database by key, twice, with a change, a newcomer and one who left."""
    write(
        project,
        destination,
        "kind: csv, path: data/people.csv",
        place_of(destination, "people") + ", mode: merge, key: [id], delete: true",
    )
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "columns: {age: {type: integer}}\n")
    for _ in range(2):
        done = project.veil("run", "people", "--direct", "--json")
        assert done.status == 0, done.err
    project.write(
        "data/people.csv", "id,name,email,age,city\n2,Bo,bo@example.org,29,Bergen\n3,Cy,,44,\n4,Di,,50,Rome\n"
    )
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    found: list[tuple[Any, ...]] = destination.sql("select age, name, city from people")
    assert sorted(found) == [(20, "B*", "Bergen"), (40, "C*", None), (50, "D*", "Rome")]
    assert "loopback-only-secret" not in done.out + done.err


def test_a_plan_shows_a_database_that_is_not_there_as_such(project: Project, origin: Store) -> None:
    """No table: 2 with its name. The plan reads no row."""
    origin.sql("drop table people")
    write(project, origin, place_of(origin, "people"), "kind: sqlite, path: out/people.db, table: people")
    done = project.veil("plan", "people", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (2, "VEIL210")
