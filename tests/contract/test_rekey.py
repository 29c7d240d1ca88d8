"""`veil keys rekey`: the published table goes to another key version, without its source."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stores import Store, name_warehouse, place_of

from veilflow.keys import KeyRing, lifecycle, random_root
from veilflow.model import RunResult
from veilflow.run import Request, execute
from veilflow.run.rekey import Rekey
from veilflow.secret_stores.session import Session

if TYPE_CHECKING:
    from conftest import Project

KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]
PIPELINE = """\
version: 1
source: {kind: csv, path: data/people.csv}
columns:
  id: {type: integer}
  born: {type: date}
  paid: {type: decimal, precision: 18, scale: 2}
  seen: {type: timestamp}
policy: people
target: {TARGET, mode: replace}
chunk_rows: 100
"""
POLICY = """\
version: 1
purpose: tests
columns:
  id: {class: direct_identifier, treatment: {pseudonym: {low: 1, high: 9999999}}}
  card: {class: direct_identifier, treatment: ff1}
  name: {class: direct_identifier, treatment: siv, key_domain: person}
  code: {class: direct_identifier, treatment: [{keep_prefix: {length: 4}}, {pseudonym: {alphabet: alphanumeric, length: 4}}]}
  born: {class: quasi_identifier, treatment: siv}
  paid: {class: sensitive, treatment: siv}
  seen: {class: non_personal, treatment: keep, reason: tests}
  city: {class: quasi_identifier, treatment: {mask: {keep_first: 1}}}
"""
ROWS = 250
HEADER = "id,card,name,code,born,paid,seen,city"


def line(row: int) -> str:
    if row == 7:
        return '7,,"",,,,,'
    return (
        f"{row},4000-{row:06d}-12,Tilda Teststone {row},ab{row % 90}xyz,19{row % 80 + 10}-02-03,{row}.10,"
        f"2024-05-06T07:08:{row % 60:02d},Oslo"
    )


class Place:
    """A project whose table lies in a database of its own."""

    def __init__(self, project: Project, store: Store) -> None:
        self.project, self.store = project, store
        name_warehouse(project, store)
        project.write("pipelines/people.yaml", PIPELINE.replace("TARGET", place_of(store, "people")))
        project.write("policies/people.yaml", POLICY)
        project.write("data/people.csv", "\n".join([HEADER, *map(line, range(1, ROWS + 1))]) + "\n")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.project.directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def rotate(self) -> None:
        ring = self.project.directory / "keyring.json"
        now = "2026-01-02T00:00:00Z"
        ring.write_text(lifecycle.rotate(KeyRing.parse(ring.read_text()), random_root(), now).to_json())

    def run(self) -> RunResult:
        return execute(Request(self.project.directory, "dev", "people"))

    def rekey(self, version: int | None = None) -> RunResult:
        with Session(self.project.directory) as session:
            request = Request(self.project.directory, "dev", "people", key_version=version)
            return execute(request, session=session, variation=Rekey(version))

    def rows(self) -> list[tuple[Any, ...]]:
        return sorted(self.store.sql('select * from "people"'), key=str)

    def holds(self, text: bytes) -> list[Path]:
        """The files in which a text stands, but those of the source."""
        files = [path for path in self.project.directory.rglob("*") if path.is_file() and path.parent.name != "data"]
        if self.store.path is not None:
            files += list(self.store.path.parent.glob(self.store.path.name + "*"))
        return [path for path in files if text in path.read_bytes()]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, project: Project, make_store: Callable[[str], Store]) -> Place:
    made = Place(project, make_store(request.param))
    done = made.run()
    assert done.exit_status == 0, done.errors
    return made


def test_a_rekeyed_table_is_what_a_replace_run_under_the_new_version_makes(place: Place) -> None:
    """Row for row; the source is not read, the record has both versions, and no original touches a disk."""
    before = place.rows()
    place.rotate()
    source = (place.project.directory / "data/people.csv").read_text()
    place.project.write("data/people.csv", HEADER + "\n")
    done = place.rekey()
    assert (done.exit_status, done.counts.read, done.counts.loaded) == (0, ROWS, ROWS), done.errors
    domains = {"people.id", "people.card", "person", "people.code", "people.born", "people.paid"}
    assert (done.left_key_versions, done.key_versions) == (dict.fromkeys(domains, 1), dict.fromkeys(domains, 2))
    rekeyed = place.rows()
    assert not place.holds(b"Tilda") and not set(rekeyed) & set(before)
    place.project.write("data/people.csv", source)
    replaced = place.run()
    assert replaced.exit_status == 0, replaced.errors
    assert rekeyed == place.rows()


def test_a_rekey_that_is_killed_leaves_the_old_table(place: Place) -> None:
    """After the second chunk, or before it publishes; the next one does it all."""
    before = place.rows()
    place.rotate()
    for moment in ("stage", "publish"):
        killed = subprocess.run(
            [sys.executable, "-c", DYING, moment], cwd=place.project.directory, check=False, timeout=60
        )
        assert killed.returncode == 9
        assert place.rows() == before
        assert not place.holds(b"Tilda")
    resumed = place.project.veil("runs", "resume", "last")
    assert (resumed.status, "VEIL325" in resumed.err) == (3, True)
    assert place.rekey().exit_status == 0
    assert len(place.rows()) == ROWS and not set(place.rows()) & set(before)


@pytest.mark.parametrize("moment", ["record", "publish"])
def test_a_rekey_that_is_killed_while_it_publishes_is_all_or_nothing(place: Place, moment: str) -> None:
    """kill -9 with the rows moved and the commit to come, or between the commit and its answer. MariaDB's RENAME is a
    commit of its own, which the next command completes."""
    before = place.rows()
    place.rotate()
    command = [sys.executable, "-c", DYING_WITHIN, moment]
    killed = subprocess.run(command, cwd=place.project.directory, check=False, timeout=60)
    there, published = place.rows(), moment == "publish" or place.store.kind == "mariadb"
    assert (killed.returncode, len(there)) == (-9, ROWS)
    assert set(there) & set(before) == (set() if published else set(before))
    assert not place.holds(b"Tilda")
    again = place.rekey()
    assert [error.code for error in again.errors] == (["VEIL331"] if published else [])
    rekeyed = place.rows()
    assert place.run().exit_status == 0 and place.rows() == rekeyed
    records = place.project.veil("runs", "list", "--json").json["runs"]
    assert records[2]["status"] == ("published_unreported" if published else "interrupted")
    assert not set(rekeyed) & set(before)


#: Key versions are recorded last within the publishing transaction; the step ``_publish`` ends behind its commit.
DYING_WITHIN = """
import importlib, os, signal, sys
from pathlib import Path
from veilflow.run import Request, execute
from veilflow.run.rekey import Rekey
from veilflow.secret_stores.session import Session
from veilflow.targets.metadata import Metadata

def dying_after(owner, name):
    do = getattr(owner, name)
    def die(*arguments, **more):
        do(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, die)

if sys.argv[1] == "record":
    dying_after(Metadata, "record")
else:
    dying_after(importlib.import_module("veilflow.run.execute")._Run, "_publish")
with Session(Path.cwd()) as session:
    execute(Request(Path.cwd(), "dev", "people"), session=session, variation=Rekey())
"""


@pytest.mark.parametrize("log", ["delete", "wal"])
def test_a_large_file_is_sound_after_a_rekey_during_which_others_read_it(
    project: Project, make_store: Callable[[str], Store], log: str
) -> None:
    """The table is read page by page while its successor is written into the same file; others see the one or the
    other, and the end is what a replace run under the new key version makes."""
    rows = 60_000
    place = Place(project, make_store("sqlite"))
    place.edit("pipelines/people.yaml", "chunk_rows: 100", "chunk_rows: 5000")
    project.write("data/people.csv", "\n".join([HEADER, *map(line, range(8, rows + 8))]) + "\n")
    place.store.sql(f"pragma journal_mode = {log}")
    assert place.run().exit_status == 0
    before = place.rows()
    place.rotate()
    flag = project.write("reading", "on")
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(place.store.path), str(flag), str(rows)], stderr=subprocess.PIPE, text=True
    )
    try:
        done = place.rekey()
    finally:
        flag.write_text("off")
        said = reader.communicate(timeout=60)[1]
    assert (done.exit_status, reader.returncode) == (0, 0), (done.errors, said)
    assert place.store.sql("pragma integrity_check") == [("ok",)]
    rekeyed = place.rows()
    assert not set(rekeyed) & set(before)
    assert place.run().exit_status == 0
    assert rekeyed == place.rows()


#: Reads a published table again and again, and fails at a file that is damaged or a table that is not whole.
READER = """
import sqlite3, sys
from pathlib import Path

while Path(sys.argv[2]).read_text() != "off":
    connection = sqlite3.connect(sys.argv[1], timeout=60)
    found = connection.execute("select (select quick_check from pragma_quick_check), count(*) from people").fetchone()
    connection.close()
    if found != ("ok", int(sys.argv[3])):
        sys.exit(str(found))
"""

#: A re-key whose process ends in the middle of a step.
DYING = """
import os, sys
from pathlib import Path
from veilflow.run import Request, execute
from veilflow.run.rekey import Rekey
from veilflow.secret_stores.session import Session

def die(progress):
    if progress.stage == sys.argv[1] and (progress.stage == "publish" or progress.durable >= 200):
        os._exit(9)

with Session(Path.cwd()) as session:
    execute(Request(Path.cwd(), "dev", "people"), session=session, variation=Rekey(), on_progress=die)
"""


def test_appending_under_another_version_names_the_rekey_before_a_row_is_read(place: Place) -> None:
    """After it the pipeline appends; the pseudonyms agree."""
    place.edit("pipelines/people.yaml", "mode: replace", "mode: append")
    place.rotate()
    source = (place.project.directory / "data/people.csv").read_text()
    place.project.write("data/people.csv", source + "a row, that cannot be read\n")
    refused = place.run()
    assert [error.code for error in refused.errors] == ["VEIL313"]
    assert "`veil keys rekey people`" in refused.errors[0].hint and refused.counts.read == 0
    place.project.write("data/people.csv", source)
    assert place.rekey().exit_status == 0
    done = place.run()
    assert (done.exit_status, len(place.rows())) == (0, 2 * ROWS), done.errors
    assert len(set(place.rows())) == ROWS


def test_a_value_that_no_run_made_refuses_the_rekey(place: Place) -> None:
    """Whoever wrote it; its text is not told."""
    place.rotate()
    place.store.sql(
        'update "people" set "card" = \'Mallory\' where "id" = (select max(x.id) from (select id from people) x)'
    )
    before = place.rows()
    done = place.rekey()
    assert [(error.code, done.exit_status) for error in done.errors] == [("VEIL331", 3)]
    assert "card" in done.errors[0].problem and "Mallory" not in repr(done)
    assert place.rows() == before


# --- what stands in the way --------------------------------------------------------------


@pytest.fixture
def small(project: Project, make_store: Callable[[str], Store]) -> Place:
    return Place(project, make_store("sqlite"))


@pytest.mark.parametrize(
    ("column", "treatment", "words"),
    [
        ("name", "token", "token is one-way"), ("name", "surrogate", "surrogate is one-way"),
        ("city", "{fake: {kind: city}}", "fake is one-way"), ("card", "{ff1: {outside: token}}", "makes one-way tokens"),
        ("card", "{ff1: {tweak: city}}", "needs city as the source has it"),
        ("name", "[siv, {mask: {keep_first: 9}}]", "mask is one-way"),
    ],
)  # fmt: skip
def test_a_column_that_the_key_does_not_open_is_named(small: Place, column: str, treatment: str, words: str) -> None:
    """All of them together, with their rules; the hint of VEIL313 does not name the command then."""
    lines = (small.project.directory / "policies/people.yaml").read_text().splitlines()
    policy = [f"  {column}: {{class: direct_identifier, treatment: {treatment}}}" if one.startswith(f"  {column}:") else one for one in lines]  # fmt: skip
    small.project.write("policies/people.yaml", "\n".join(policy) + "\n")
    small.edit("pipelines/people.yaml", "mode: replace", "mode: append")
    assert (done := small.run()).exit_status == 0, done.errors
    before = small.rows()
    small.rotate()
    done = small.rekey()
    assert [error.code for error in done.errors] == ["VEIL331"], done.errors
    assert f'column "{column}"' in done.errors[0].problem and words in done.errors[0].problem
    assert done.errors[0].place and done.errors[0].place.file == "policies/people.yaml"
    refused = small.run()
    assert refused.errors[0].code == "VEIL313" and "rekey" not in refused.errors[0].hint
    assert small.rows() == before


def test_pseudonyms_that_were_made_otherwise_are_not_opened(small: Place) -> None:
    """FF1 would open them to anything without a word."""
    assert small.run().exit_status == 0
    small.rotate()
    small.edit("policies/people.yaml", "treatment: ff1", "treatment: {ff1: {alphabet: alphanumeric}}")
    done = small.rekey()
    assert done.errors[0].code == "VEIL331" and 'column "card" were made by other treatments' in done.errors[0].problem


def test_a_table_whose_rows_were_made_in_two_ways_is_not_rekeyed(small: Place) -> None:
    """Also when the policy says again what it said at first."""
    small.edit("pipelines/people.yaml", "mode: replace", "mode: append")
    assert small.run().exit_status == 0
    small.edit("policies/people.yaml", "treatment: ff1", "treatment: {ff1: {alphabet: alphanumeric}}")
    assert small.run().exit_status == 0
    small.edit("policies/people.yaml", "treatment: {ff1: {alphabet: alphanumeric}}", "treatment: ff1")
    assert small.run().exit_status == 0
    small.rotate()
    assert 'column "card"' in small.rekey().errors[0].problem


def test_rows_that_come_meanwhile_refuse_the_rekey(small: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing would lose them."""
    assert small.run().exit_status == 0
    small.rotate()
    staged = "veilflow.targets.sqlite.SqliteTarget.staged_rows"

    def late(target: Any) -> int:
        small.store.sql("insert into people select * from people limit 1")
        return ROWS

    monkeypatch.setattr(staged, late)
    done = small.rekey()
    assert [error.code for error in done.errors] == ["VEIL310"], done.errors
    assert len(small.rows()) == ROWS + 1


def test_a_version_of_its_own_is_taken_and_the_present_one_refused(small: Place) -> None:
    """As a user: the command, its words, its document and the record."""
    assert small.run().exit_status == 0
    refused = small.project.veil("keys", "rekey", "people", "--direct", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (3, "VEIL331")
    assert "under version 1 already" in refused.json["errors"][0]["problem"]
    assert small.project.veil("keys", "add", "--quiet").status == 0
    done = small.project.veil("keys", "rekey", "people", "--direct", "--to", "2")
    assert done.status == 0 and "re-keyed" in done.out and "person 1 -> 2" in done.out, done.err
    shown = small.project.veil("runs", "show", "last", "--json").json
    assert shown["left_key_versions"]["person"] == 1 and shown["key_versions"]["person"] == 2
    back = small.project.veil("keys", "rekey", "people", "--direct", "--json")
    assert (back.status, back.json["key_versions"]["person"]) == (0, 1)
    assert (
        small.project.veil("keys", "rekey", "people", "--direct", "--to", "9", "--json").json["errors"][0]["code"]
        == "VEIL315"
    )


def test_a_file_is_loaded_anew(small: Place) -> None:
    """It keeps no key version."""
    small.edit(
        "pipelines/people.yaml", f"kind: sqlite, path: {small.store.path}, table: people", "kind: csv, path: out.csv"
    )
    assert small.run().exit_status == 0
    small.rotate()
    assert small.rekey().errors[0].code == "VEIL331"


def test_the_checkpoint_of_an_incremental_pipeline_stays(small: Place) -> None:
    """The rows are the table's own: the next run goes on where the last one ended."""
    small.edit("pipelines/people.yaml", "mode: replace", "mode: append")
    pipeline = small.project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "incremental: {column: seen}\n")
    path = small.project.directory / "data/people.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("7,")) + "\n")
    assert (done := small.run()).exit_status == 0, done.errors
    kept = "select detail from _veilflow where kind = 'checkpoint'"
    before = small.store.sql(kept)
    small.rotate()
    assert (done := small.rekey()).exit_status == 0, done.errors
    assert small.store.sql(kept) == before != []
    assert (done := small.run()).exit_status == 0, done.errors
    assert len(small.rows()) == ROWS - 1
