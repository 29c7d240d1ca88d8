"""Runs of several workers that a person stops: the table stays as it was, and the same run goes on to the same table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from people_files import POLICY, write_files
from stores import Store, name_warehouse, place_of

ROWS = 40_000
RECEIPTS = "select count(*) from _veilflow where kind = 'receipt'"
PEOPLE = 'select * from "people" order by "id"'
PIPELINE = """\
version: 1
source: {SOURCE}
columns: {age: {type: integer}}
policy: people
chunk_rows: 200
workers: 2
target: {TARGET, mode: replace}
"""
SOURCES = {
    "files": "kind: csv, path: 'in/*.csv'",
    "ranges of a key": "kind: postgresql, connection: warehouse, table: raw, order_by: [id]",
}


class Place:
    """A project of two workers with its table, which holds nobody, and what a run makes of it."""

    def __init__(self, project: Any, store: Store, source: str) -> None:
        self.project, self.store = project, store
        name_warehouse(project, store)
        project.write("policies/people.yaml", POLICY)
        target = place_of(store, "people")
        project.write("pipelines/people.yaml", PIPELINE.replace("SOURCE", SOURCES[source]).replace("TARGET", target))
        if source == "files":
            write_files(project, "csv", (ROWS // 40,) * 40)
        else:
            store.sql(
                "create table raw as select n::text || 'p' as id, 'N' || n as name, 'n' || n || '@example.com' as email,"
                f" n % 90 as age, 'City' || n % 7 as city from generate_series(1, {ROWS}) n"
            )
            store.sql("alter table raw add primary key (id)")
        assert project.veil("run", "people", "--direct", "--quiet").status == 0
        self.whole = store.sql(PEOPLE)
        store.sql("delete from people")

    def start(self, *options: str) -> subprocess.Popen[str]:
        """`veil run`, the leader of a process group of its own as at a terminal, once some chunks are durable."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VEIL_"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "veilflow.cli", "run", "people", "--json", "--quiet", *options],
            cwd=self.project.directory, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + 180
        while process.poll() is None and time.monotonic() < end:
            with suppress(Exception):  # busy
                if self.store.sql(RECEIPTS)[0][0] >= 6:
                    return process
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("it ended too soon, or staged nothing")


@pytest.fixture
def place(request: pytest.FixtureRequest, project: Any, make_store: Callable[[str], Store]) -> Place:
    kind, source = request.param
    return Place(project, make_store(kind), source)


PLACES = [
    pytest.param(("sqlite", "files"), id="files into SQLite"),
    pytest.param(("postgresql", "files"), id="files into PostgreSQL", marks=pytest.mark.live),
    pytest.param(("postgresql", "ranges of a key"), id="ranges of a key", marks=pytest.mark.live),
]


def ctrl_c(process: subprocess.Popen[str]) -> None:
    """To the whole group, as a terminal sends it."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize(
    ("stop", "status"), [(ctrl_c, 130), (subprocess.Popen.terminate, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_workers_stop_between_chunks_and_the_run_is_gone_on_with(place: Place, stop: Any, status: int) -> None:
    """130 or 143; no row is published and no connection left; what is staged stays, and nothing of it is done again,
    where the source has an order."""
    process = place.start("--direct")
    stop(process)
    out, _words = process.communicate(timeout=120)
    assert process.returncode == status
    document = json.loads(out)
    assert (document["status"], document["resumable"]) == ("interrupted", True)
    assert place.store.sql(PEOPLE) == []
    assert place.store.sql(RECEIPTS) == [(document["chunks"],)]
    if place.store.kind == "postgresql":
        assert connections(place.store) == 0
    done = place.project.veil("runs", "resume", "last", "--direct", "--json")
    assert done.status == 0, done.err
    assert (done.json["run_id"], done.json["resumed_chunks"]) == (document["run_id"], document["chunks"])
    assert place.store.sql(PEOPLE) == place.whole


def connections(store: Store) -> int:
    """Those of a run, once the server has had time to see that they were closed."""
    end = time.monotonic() + 20
    while True:
        ((found,),) = store.sql(
            "select count(*) from pg_stat_activity where application_name like 'veilflow%' and datname = current_database()"
        )
        if not found or time.monotonic() > end:
            return int(found)
        time.sleep(0.05)


@pytest.mark.live
@pytest.mark.parametrize("place", PLACES[:1], indirect=True)
def test_ctrl_c_at_a_terminal_reaches_prefects_server_too(place: Place) -> None:
    """The run closes its books though the server that it tells ends at the same moment, and no process stays."""
    process = place.start()
    ctrl_c(process)
    out, _words = process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "interrupted"
    assert alone(process.pid)
    done = place.project.veil("runs", "resume", "last", "--direct", "--json")
    assert done.status == 0, done.err
    assert place.store.sql(PEOPLE) == place.whole


def alone(group: int) -> bool:
    """Whether the process group ends, in a while."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
