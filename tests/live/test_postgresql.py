"""The main job into a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.live

NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
  warehouse_login: {store: files, path: login.json}
connections:
  warehouse: {url: "URL", credential: warehouse_login}
keyring: keyring
"""


@pytest.fixture
def warehouse(project: Project, postgresql: Any) -> Iterator[tuple[Project, psycopg.Connection[Any]]]:
    """The small project with PostgreSQL as its target, and a connection of a reader."""
    project.write("secrets/names.yaml", NAMES.replace("URL", postgresql.url))
    login = json.dumps({"username": "veil", "password": postgresql.password})
    project.write("login.json", login).chmod(0o600)
    pipeline = project.directory / "pipelines/people.yaml"
    text = pipeline.read_text()
    pipeline.write_text(
        text.replace(
            "{kind: sqlite, path: out/people.db, table: people,",
            "{kind: postgresql, connection: warehouse, table: people,",
        )
    )
    with psycopg.connect(postgresql.full_url, autocommit=True) as reader:
        reader.execute(
            "drop view if exists names; drop table if exists people; drop table if exists _veilflow; drop schema if exists veilflow_staging cascade"
        )
        yield project, reader


def people(reader: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return reader.execute("select name, email, age, city from people order by name").fetchall()


LOADED = [("A**", "a**@e******.com", 30, "London"), ("B*", "b*@e******.org", 10, "Oslo"), ("C*", None, 40, None)]


def test_a_run_loads_exact_rows_and_leaves_no_staging(warehouse: tuple[Project, psycopg.Connection[Any]]) -> None:
    """Null stays null, numbers stay numbers, and the password stands nowhere."""
    project, reader = warehouse
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    assert people(reader) == LOADED
    assert reader.execute("select count(*) from pg_tables where schemaname = 'veilflow_staging'").fetchone() == (0,)
    assert "loopback-only-secret" not in done.out + done.err
    for path in (project.directory / ".veil").rglob("*"):
        assert not path.is_file() or b"loopback-only-secret" not in path.read_bytes()


def test_a_replaced_table_keeps_its_view_index_and_grants(warehouse: tuple[Project, psycopg.Connection[Any]]) -> None:
    """Where something depends on the table its rows are rewritten in one transaction."""
    project, reader = warehouse
    assert project.veil("run", "people", "--direct").status == 0
    reader.execute("create index on people (city); create view names as select name from people")
    assert project.veil("plan", "people", "--json").json["publish"] == "rewrite"
    done = project.veil("run", "people", "--direct")
    assert done.status == 0, done.err
    assert people(reader) == LOADED
    assert reader.execute("select count(*) from names").fetchone() == (3,)
    assert reader.execute("select count(*) from pg_indexes where tablename = 'people'").fetchone() == (1,)


def test_append_adds_and_another_shape_is_refused(warehouse: tuple[Project, psycopg.Connection[Any]]) -> None:
    """Append doubles the rows of a second run; a changed table refuses with 3 and stays."""
    project, reader = warehouse
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("mode: replace", "mode: append"))
    for _ in range(2):
        done = project.veil("run", "people", "--direct")
        assert done.status == 0, done.err
    assert len(people(reader)) == 6
    reader.execute("alter table people add column extra text")
    refused = project.veil("run", "people", "--direct", "--json")
    assert refused.status == 3 and refused.json["errors"][0]["code"] == "VEIL307"
    assert len(people(reader)) == 6


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("login.json", '{"username": "veil", "password": "wrong-password"}', "VEIL402"),
        ("secrets/names.yaml", "", "VEIL401"),
    ],
)
def test_out_of_reach_is_4_and_says_which(
    warehouse: tuple[Project, psycopg.Connection[Any]], postgresql: Any, before: str, after: str, code: str
) -> None:
    """A wrong password and a port where nobody listens differ, and neither shows the password."""
    project, _reader = warehouse
    if after:
        project.write(before, after).chmod(0o600)
    else:
        project.write(before, NAMES.replace("URL", postgresql.url.replace(str(postgresql.port), "1")))
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 4, done.err
    assert done.json["errors"][0]["code"] == code
    assert "wrong-password" not in done.out + done.err


@pytest.mark.parametrize("resumed", [False, True], ids=["next run", "resumed"])
def test_a_killed_load_publishes_nothing_and_the_next_run_is_exact(
    warehouse: tuple[Project, psycopg.Connection[Any]], resumed: bool
) -> None:
    """kill -9 in mid-load, then a second run, or the same one resumed: every row once, no staging left."""
    project, reader = warehouse
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(300_000))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "chunk_rows: 5000\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", "run", "people", "--direct", "--quiet"], cwd=project.directory
    )
    deadline = time.monotonic() + 60
    receipts = "select count(*) from _veilflow where kind = 'receipt'"
    while process.poll() is None and time.monotonic() < deadline:
        there = reader.execute("select to_regclass('_veilflow')").fetchone()
        if there and there[0] and (reader.execute(receipts).fetchone() or (0,))[0] >= 3:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert reader.execute("select to_regclass('people')").fetchone() == (None,)
    again = ("runs", "resume", "last") if resumed else ("run", "people")
    done = project.veil(*again, "--direct", "--json")
    assert done.status == 0, done.err
    assert (done.json["resumed_chunks"] or 0) >= 3 * resumed
    assert reader.execute("select count(*), count(distinct id) from people").fetchone() == (300_000, 300_000)
    assert reader.execute("select count(*) from pg_tables where schemaname = 'veilflow_staging'").fetchone() == (0,)


def test_publishing_that_is_under_way_is_waited_for(
    warehouse: tuple[Project, psycopg.Connection[Any]], postgresql: Any
) -> None:
    """The process is gone and the server still commits: to say that nothing was published would repeat it."""
    from veilflow.model import Secret
    from veilflow.targets import open_target

    project, reader = warehouse
    assert project.veil("run", "people", "--direct").status == 0
    target = open_target(
        kind="postgresql", table="people", mode="replace", schema=pa.schema([]), url=lambda: Secret(postgresql.full_url)
    )
    from veilflow.targets.postgresql import _lock_number

    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(target.publication("01LATE")))
    with psycopg.connect(postgresql.full_url) as publishing:
        publishing.execute("select pg_advisory_xact_lock(%s)", (_lock_number("publish", "01LATE"),))
        publishing.execute("insert into _veilflow values ('published', '01LATE', 'people', 0, '{\"rows\": 7}')")
        asking.start()
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        deadline = time.monotonic() + 30
        while reader.execute(waits).fetchone() == (0,) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answers == []
        publishing.commit()
    asking.join()
    assert [getattr(answer, "rows", None) for answer in answers] == [7]
