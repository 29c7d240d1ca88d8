"""From PostgreSQL to PostgreSQL, run after run, while rows arrive."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.live

NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
  login: {store: files, path: login.json}
connections: {shop: {url: "URL", credential: login}}
keyring: keyring
"""
PIPELINE = """\
version: 1
source: {kind: postgresql, connection: shop, table: visits}
policy: visits
incremental: {column: changed, lag: 10 min}
target: {kind: postgresql, connection: shop, table: loaded, mode: merge, key: [id]}
"""
POLICY = """\
version: 1
purpose: tests
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  city: {class: quasi_identifier, treatment: {mask: {keep_first: 1}}}
  changed: {class: non_personal, treatment: keep, reason: when the row changed}
"""


@pytest.fixture
def shop(project: Any, postgresql: Any) -> Iterator[tuple[Any, psycopg.Connection[Any]]]:
    """A database of its own with an index on the moment of change, and the connection of somebody who writes there."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql.full_url, autocommit=True) as server:
        server.execute(f"create database {name}".encode())
        project.write("secrets/names.yaml", NAMES.replace("URL", postgresql.url.replace("/postgres", f"/{name}")))
        login = json.dumps({"username": "veil", "password": postgresql.password})
        project.write("login.json", login).chmod(0o600)
        project.write("pipelines/visits.yaml", PIPELINE)
        project.write("policies/visits.yaml", POLICY)
        with psycopg.connect(postgresql.full_url.replace("/postgres", f"/{name}"), autocommit=True) as writer:
            writer.execute("create table visits (id int primary key, city text, changed timestamptz not null)")
            writer.execute("create index on visits (changed)")
            yield project, writer
        server.execute(f"drop database {name} with (force)".encode())


def run(project: Any) -> dict[str, Any]:
    done = project.veil("run", "visits", "--direct", "--json")
    assert done.status == 0, done.err
    assert "loopback-only-secret" not in done.out + done.err
    document: dict[str, Any] = done.json
    return document


def add(writer: psycopg.Connection[Any], first: int, last: int, minutes: int) -> None:
    writer.execute(
        "insert into visits select n, 'Oslo', timestamptz '2026-01-01 00:00Z' + make_interval(mins => %s)"
        " from generate_series(%s::int, %s::int) n", (minutes, first, last),
    )  # fmt: skip


def loaded(writer: psycopg.Connection[Any]) -> Any:
    return writer.execute("select count(*), count(distinct id) from loaded").fetchone()


def test_rows_that_arrive_between_runs_and_late_within_the_lag_are_all_there(
    shop: tuple[Any, psycopg.Connection[Any]],
) -> None:
    """Each run reads its window and no more; a late transaction's rows come with the next run; updates come through."""
    project, writer = shop
    add(writer, 1, 999, 0)
    add(writer, 1000, 1000, 30)
    first = run(project)
    assert (first["counts"]["read"], first["incremental"]["watermark"]["after"]) == (
        1000,
        "2026-01-01 00:30:00.000000Z",
    )
    add(writer, 1001, 1100, 60)
    late = psycopg.connect(writer.info.dsn, password="loopback-only-secret")
    late.execute("insert into visits values (5000, 'Rome', '2026-01-01 00:55Z')")
    second = run(project)
    assert (second["counts"]["read"], loaded(writer)) == (101, (1100, 1100))
    late.commit()
    late.close()
    writer.execute("update visits set city = 'Xanten', changed = '2026-01-01 01:30Z' where id = 7")
    third = run(project)
    assert third["counts"] == {"read": 102, "loaded": 102, "quarantined": 0, "filtered": 0}
    assert loaded(writer) == (1101, 1101)
    assert writer.execute("select count(*) from loaded where city like 'X%'").fetchone() == (1,)
    fourth = run(project)
    assert (fourth["counts"]["read"], loaded(writer)) == (1, (1101, 1101))
    assert fourth["incremental"]["watermark"] == dict.fromkeys(("before", "after"), "2026-01-01 01:30:00.000000Z")


def test_a_window_is_read_by_the_index_of_its_column(shop: tuple[Any, psycopg.Connection[Any]]) -> None:
    """The bound values reach the planner as values, though a COPY takes no parameters."""
    _project, writer = shop
    add(writer, 1, 20_000, 0)
    writer.execute("update visits set changed = changed + make_interval(secs => id); analyze visits")
    writer.execute("select set_config('veilflow.low', '2026-01-01 05:30:00Z', false)")
    plan = writer.execute(
        "explain select * from visits where ((changed >= current_setting('veilflow.low')::timestamptz) or changed is null)"
    ).fetchall()
    assert any("Index Scan" in line for (line,) in plan), plan
