"""Rows in quarantine that lie in a table of the target: with their chunk or not at all, and as whole as files are."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyrage
import pytest
from stores import Store, name_warehouse

if TYPE_CHECKING:
    from conftest import Project

NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
  login: {store: files, path: login.json}
connections:
  warehouse: {url: "URL", credential: login}
keyring: keyring
"""
PIPELINE = """\
version: 1
source: {kind: csv, path: data/people.csv}
columns: {age: {type: integer}}
policy: people
chunk_rows: 10
expectations: people
quarantine: {store: target}
target: {TARGET, mode: append}
"""
SUITE = """\
expectations:
  - {type: expect_column_values_to_be_between, kwargs: {column: age, min_value: 18}, severity: warning}
"""
CHUNKS = 12
TABLES = {"sqlite": "veilflow_staging_quarantine"}
#: Ends the process at once: when the N-th line of the manifest is durable and its chunk is not, or when N chunks are.
KILLED = """
import os, signal, sys
from veilflow.quarantine import Manifest
from veilflow.run.stage import _Line
owner, name = {"manifest": (Manifest, "append"), "chunk": (_Line, "_done")}[sys.argv[1]]
before, left = getattr(owner, name), int(sys.argv[2])
def counting(*arguments):
    global left
    before(*arguments)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, counting)
from veilflow.cli import main
sys.argv = ["veil", "run", "people", "--direct"]
main()
"""


@pytest.fixture(
    params=[
        "sqlite",
        "duckdb",
        pytest.param("postgresql", marks=pytest.mark.live),
        pytest.param("mariadb", marks=pytest.mark.live),
    ]
)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


@pytest.fixture
def held(project: Project, store: Store) -> Project:
    """Every chunk has one person who is too young."""
    return holding(project, store)


def holding(project: Project, store: Store) -> Project:
    where = "connection: warehouse" if store.url else f"path: {store.path}"
    url = (store.url or "postgresql://none.example/x").replace(":loopback-only-secret", "")
    project.write("secrets/names.yaml", NAMES.replace("URL", url))
    project.write("login.json", json.dumps({"username": "veil", "password": "loopback-only-secret"})).chmod(0o600)
    target = f"kind: {store.kind}, {where}, table: people"
    project.write("pipelines/people.yaml", PIPELINE.replace("TARGET", target))
    project.write("pipelines/expectations/people.yaml", SUITE)
    rows = [f"{n},Name{n},n{n}@example.com,{5 if n % 10 == 3 else 30},Town{n}" for n in range(CHUNKS * 10)]
    project.write("data/people.csv", "id,name,email,age,city\n" + "\n".join(rows) + "\n")
    return project


def table(store: Store) -> str:
    return TABLES.get(store.kind, "veilflow_staging._veilflow_quarantine")


def quarantine(project: Project, *arguments: str, value: str = "") -> Any:
    command = [sys.executable, "-m", "veilflow.cli", "quarantine", *arguments, "--json"]
    done = subprocess.run(command, cwd=project.directory, input=value, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_rows_are_listed_shown_found_erased_and_purged(held: Project, store: Store) -> None:
    """Nothing but the manifest lies beside the run record, and no value in clear in the table."""
    done = held.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.err
    assert done.json["counts"]["quarantined"] == CHUNKS
    left = [path.name for path in (held.directory / ".veil/quarantine").glob("*/*")]
    assert left == ["manifest.jsonl"]
    content = store.sql(f"select content from {table(store)}")
    assert len(content) == CHUNKS and all(b"age-encryption.org/v1" in bytes(one) for (one,) in content)
    listed = quarantine(held, "list")[1]["runs"][0]
    assert (listed["rows"], listed["files"], listed["status"]) == (CHUNKS, CHUNKS, "held")
    shown = quarantine(held, "show", "last", "--show-values", "--limit", "100")[1]["rows"]
    assert [row["position"] for row in shown] == [n * 10 + 3 for n in range(CHUNKS)]
    assert quarantine(held, "find", "--subject", value="n13@example.com")[1]["matches"][0]["position"] == 13
    assert list(quarantine(held, "erase", "--subject", value="n13@example.com")[1]["erased"].values()) == [1]
    assert quarantine(held, "find", "--subject", value="n13@example.com") == (
        0,
        {"schema": "veilflow/quarantine_matches/1", "matches": [], "errors": []},
    )
    assert list(quarantine(held, "purge", "last")[1]["purged"].values()) == [CHUNKS - 1]
    assert store.sql(f"select count(*) from {table(store)}") == [(0,)]
    assert quarantine(held, "show", "last")[0] == 0


def test_rows_are_replayed_into_the_table_they_lie_beside(held: Project, store: Store) -> None:
    """They are read from the target while the replay loads into it."""
    assert held.veil("run", "people", "--direct").status == 0
    held.write("pipelines/expectations/people.yaml", SUITE.replace("18", "1"))
    status, document = quarantine(held, "replay", "last", "--direct")
    assert (status, document["counts"]["loaded"]) == (0, CHUNKS), document
    assert store.sql("select count(*) from people") == [(CHUNKS * 10,)]


def test_rows_are_released_and_exported(held: Project, store: Store, tmp_path: Path) -> None:
    """What is exported is what lies in the table; what is released joins the rows it was held back from."""
    assert held.veil("run", "people", "--direct").status == 0
    identity = pyrage.x25519.Identity.generate()
    out = tmp_path / "rows.age"
    assert quarantine(held, "export", "last", "--recipient", str(identity.to_public()), "--out", str(out))[0] == 0
    with pa.ipc.open_stream(pyrage.decrypt(out.read_bytes(), [identity])) as exported:
        assert exported.read_all().column("email").to_pylist() == [f"n{n * 10 + 3}@example.com" for n in range(CHUNKS)]
    waive = ("--waive", "expect_column_values_to_be_between", "--reason", "they grew older")
    status, document = quarantine(held, "release", "last", *waive, "--direct")
    assert (status, document["counts"]["loaded"]) == (0, CHUNKS), document
    assert store.sql("select count(*) from people") == [(CHUNKS * 10,)]


def test_a_container_of_several_megabytes_comes_back_whole(held: Project, store: Store) -> None:
    """It is stored in parts, each as small as any server takes."""
    noise = random.Random(7)
    names = [noise.randbytes(700_000).hex() for _ in range(3)]
    rows = [f"{n},{name},n{n}@example.com,5,T" for n, name in enumerate(names)]
    held.write("data/people.csv", "id,name,email,age,city\n" + "\n".join([*rows, "9,N,n@example.com,30,T"]) + "\n")
    done = held.veil("run", "people", "--direct")
    assert done.status == 0, done.err
    sizes = [len(content) for (content,) in store.sql(f"select content from {table(store)}")]
    assert sum(sizes) > 2 << 20 and max(sizes) <= 1 << 18
    shown = quarantine(held, "show", "last", "--show-values")[1]["rows"]
    assert [row["values"]["name"] for row in shown] == names


def test_what_a_refused_run_held_back_stays_until_it_is_purged(held: Project, store: Store) -> None:
    """As in files: it tells why the run was refused, though nothing was published."""
    pipeline = held.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "limits: {max_quarantined: 3}\n")
    assert held.veil("run", "people", "--direct").status == 3
    assert quarantine(held, "list")[1]["runs"][0]["rows"] == CHUNKS
    assert len(quarantine(held, "show", "last", "--show-values", "--limit", "99")[1]["rows"]) == CHUNKS
    assert quarantine(held, "replay", "last", "--direct")[1]["errors"][0]["code"] == "VEIL322"
    pipeline.write_text(pipeline.read_text().replace("limits: {max_quarantined: 3}\n", ""))
    assert held.veil("run", "people", "--direct").status == 0
    first = quarantine(held, "list")[1]["runs"][-1]
    assert first["rows"] == CHUNKS
    assert quarantine(held, "purge", first["run_id"])[1]["purged"] == {first["run_id"]: CHUNKS}
    assert store.sql(f"select count(distinct run_id) from {table(store)}") == [(1,)]


@pytest.mark.parametrize("point", ["manifest", "chunk"])
def test_a_killed_run_has_rows_receipt_and_container_of_a_chunk_or_none(
    held: Project, store: Store, point: str
) -> None:
    """kill -9 when the manifest has a chunk that the target has not, and between two chunks: the rows that there are can
    be shown, and the resumed run holds back each row once."""
    killed = subprocess.run([sys.executable, "-c", KILLED, point, "5"], cwd=held.directory, check=False)
    assert killed.returncode == -9
    # In one statement: a server may still be at the commit of a connection that is gone.
    receipts, files = store.sql(
        "select (select count(*) from _veilflow where kind = 'receipt'), "
        f"(select count(distinct file) from {table(store)})"
    )[0]
    assert receipts == files < CHUNKS
    shown = quarantine(held, "show", "last", "--show-values", "--limit", "100")
    assert (shown[0], len(shown[1]["rows"])) == (0, receipts)
    resumed = held.veil("runs", "resume", "last", "--direct", "--json")
    assert resumed.status == 0, resumed.err
    assert resumed.json["counts"] == {
        "read": CHUNKS * 10, "loaded": CHUNKS * 9, "quarantined": CHUNKS, "filtered": 0
    }  # fmt: skip
    shown = quarantine(held, "show", "last", "--show-values", "--limit", "100")
    assert [row["position"] for row in shown[1]["rows"]] == [n * 10 + 3 for n in range(CHUNKS)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("delete from TABLE where file = '000004.arrow.age'", "000004.arrow.age is missing"),
        ("update TABLE set content = (select content from TABLE where file = '000005.arrow.age')"
         " where file = '000004.arrow.age'", "000004.arrow.age was changed"),
        ("update TABLE set file = '000099.arrow.age' where file = '000004.arrow.age'", "000004.arrow.age is missing"),
        ("insert into TABLE select run_id, '000099.arrow.age', part, content from TABLE where file = '000004.arrow.age'",
         "000099.arrow.age does not belong"),
        ("drop table TABLE", "000000.arrow.age is missing"),
    ],
)  # fmt: skip
def test_a_table_that_somebody_changed_is_refused(held: Project, store: Store, change: str, told: str) -> None:
    """Removed, exchanged, renamed, added: VEIL503 and exit status 5, with the place and what to do."""
    assert held.veil("run", "people", "--direct").status == 0
    store.sql(change.replace("TABLE", table(store)))
    refused(held, store, told)


@pytest.mark.parametrize("gone", ["container", "manifest"])
def test_what_no_backup_restores_is_given_up(held: Project, store: Store, gone: str) -> None:
    """Nothing is left of it in the table, whether that or the manifest was what somebody removed."""
    run = held.veil("run", "people", "--direct", "--json").json["run_id"]
    if gone == "container":
        store.sql(f"delete from {table(store)} where file = '000004.arrow.age'")
    else:
        shutil.rmtree(held.directory / ".veil/quarantine" / run)
    assert quarantine(held, "purge", run)[0] == 5
    assert quarantine(held, "purge", run, "--lost")[1]["lost"] == {run: CHUNKS}
    assert store.sql(f"select count(*) from {table(store)}")[0][0] == 0
    assert quarantine(held, "show", run)[1]["rows"] == 0


def refused(held: Project, store: Store, told: str) -> None:
    status, document = quarantine(held, "show", "last")
    error = document["errors"][0]
    assert (status, error["code"]) == (5, "VEIL503")
    assert told in error["problem"] and "the table in the target, from a backup" in error["hint"]
    assert error["place"]["file"].startswith(f"{table(store)} of the target, run ")
    assert error["place"]["file"].endswith(told.split()[0])


def test_a_byte_that_flipped_is_found(held: Project, store: Store) -> None:
    """Anywhere in a container."""
    assert held.veil("run", "people", "--direct").status == 0
    where = "where file = '000004.arrow.age'"
    content = bytearray(store.sql(f"select content from {table(store)} {where}")[0][0])
    content[len(content) // 2] ^= 1
    hexed = f"x'{content.hex()}'"
    form = {"duckdb": f"from_hex('{content.hex()}')", "postgresql": f"'\\x{content.hex()}'::bytea"}
    store.sql(f"update {table(store)} set content = {form.get(store.kind, hexed)} {where}")
    refused(held, store, "000004.arrow.age was changed")


def test_the_plan_shows_where_rows_are_held_and_its_hash_covers_it(held: Project, store: Store) -> None:
    """The same pipeline with files has another hash."""
    first, words = held.veil("plan", "people", "--json"), held.veil("plan", "people")
    assert "in the target" in words.out
    text = PIPELINE.replace("quarantine: {store: target}\n", "")
    where = "connection: warehouse" if store.url else f"path: {store.path}"
    held.write("pipelines/people.yaml", text.replace("TARGET", f"kind: {store.kind}, {where}, table: people"))
    second = held.veil("plan", "people", "--json")
    assert first.json["plan_hash"] != second.json["plan_hash"]
    assert "in the target" not in held.veil("plan", "people").out


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_target_of_files_has_no_table_for_rows(project: Project, kind: str) -> None:
    """VEIL202 with the place, before anything is read."""
    project.write("pipelines/people.yaml", PIPELINE.replace("TARGET", f"kind: {kind}, path: out.{kind}"))
    project.write("pipelines/expectations/people.yaml", SUITE)
    done = project.veil("plan", "people", "--json")
    (error,) = [one for one in done.json["errors"] if "quarantine" in one["problem"]]
    assert (done.status, error["code"], error["place"]["line"]) == (2, "VEIL202", 7)
    assert "sqlite, duckdb, postgresql, mariadb" in error["hint"]


def test_a_dialect_of_sqlalchemy_has_no_table_for_rows(project: Project) -> None:
    """VEIL202 with the place, before anybody connects."""
    name_warehouse(project, Store("postgresql", url="postgresql://veil@127.0.0.1:1/none", dialect="postgresql+psycopg"))
    target = "kind: sqlalchemy, connection: warehouse, table: people"
    project.write("pipelines/people.yaml", PIPELINE.replace("TARGET", target))
    project.write("pipelines/expectations/people.yaml", SUITE)
    done = project.veil("plan", "people", "--json")
    (error,) = [one for one in done.json["errors"] if "quarantine" in one["problem"]]
    assert (done.status, error["code"], error["place"]["line"]) == (2, "VEIL202", 7)


@pytest.mark.live
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_login_of_the_target_may_lie_in_a_prefect_block(
    project: Project, make_store: Callable[[str], Store], kind: str
) -> None:
    """Prefect's own server is started to open it, for whoever looks as for the run."""
    store = make_store(kind)
    holding(project, store)
    names = NAMES.replace("{kind: file}}", "{kind: file}, blocks: {kind: prefect}}").replace("files, path: login.json", "blocks, path: veilflow-database-credentials/login")  # fmt: skip
    project.write("secrets/names.yaml", names.replace("URL", str(store.url).replace(":loopback-only-secret", "")))
    (project.directory / "login.json").unlink()
    saved = subprocess.run([sys.executable, "-c", SAVE_LOGIN], cwd=project.directory, check=False, capture_output=True)
    assert saved.returncode == 0, saved.stderr
    done = project.veil("run", "people", "--direct", "--json")
    assert (done.status, done.json["counts"]["quarantined"]) == (0, CHUNKS), done.err
    assert len(quarantine(project, "show", "last", "--show-values", "--limit", "99")[1]["rows"]) == CHUNKS
    assert len(quarantine(project, "find", "--subject", value="n13@example.com")[1]["matches"]) == 1
    project.write("pipelines/expectations/people.yaml", SUITE.replace("18", "1"))
    assert quarantine(project, "replay", "last", "--direct")[1]["counts"]["loaded"] == CHUNKS


#: Keeps the login as a user does in Prefect's own pages, and ends the server.
SAVE_LOGIN = """
from pathlib import Path
from veilflow import prefect_server
server = prefect_server.start(Path.cwd() / ".veil")
try:
    server.wait()
    from pydantic import SecretStr
    from veilflow.secret_stores.prefect_blocks import DatabaseCredentials
    DatabaseCredentials(username="veil", password=SecretStr("loopback-only-secret")).save("login", _sync=True)
finally:
    server.stop()
"""


# --- what is read again ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "where", "staged"),
    [
        ("sqlite", "files", 0),
        ("sqlite", "files", 6),
        ("sqlite", "target", 0),
        ("sqlite", "target", 6),
        ("duckdb", "target", 6),
        pytest.param("postgresql", "target", 6, marks=pytest.mark.live),
        pytest.param("mariadb", "target", 6, marks=pytest.mark.live),
    ],
)
@pytest.mark.parametrize("order", ["", ", order_by: [id]"])
def test_a_resumed_run_forgets_what_it_held_back_from_chunks_that_it_reads_again(
    project: Project, make_store: Callable[[str], Store], kind: str, where: str, order: str, staged: int
) -> None:
    """The rows of a database may be others when they are read again: what a chunk that is not staged had held back is
    no row of the run, and the quarantine is whole."""
    holding(project, make_store(kind))
    crm = Store("sqlite", project.directory / "crm.db")
    crm.sql("create table people (id text primary key not null, name text, email text, age integer, city text)")
    people = (f"('{n:04d}', 'N', 'n{n}@example.com', {5 if n % 10 == 3 else 30}, 'T')" for n in range(CHUNKS * 10))
    crm.sql(f"insert into people values {', '.join(people)}")
    text = (project.directory / "pipelines/people.yaml").read_text()
    text = text.replace("kind: csv, path: data/people.csv", f"kind: sqlite, path: crm.db, table: people{order}")
    text = text.replace("store: target", f"store: {where}").replace("columns: {age: {type: integer}}\n", "")
    project.write("pipelines/people.yaml", text)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "manifest", str(staged + 1)], cwd=project.directory, check=False
    )
    assert killed.returncode == -9
    crm.sql(f"update people set age = 30 where id = '{staged * 10 + 3:04d}'")
    if not order:
        crm.sql("update people set age = 30 where id < '0040'")
    resumed = project.veil("runs", "resume", "last", "--direct", "--json")
    assert resumed.status == 0, resumed.err
    young = {int(number) for (number,) in crm.sql("select id from people where age = 5")}
    if order:
        young |= {n * 10 + 3 for n in range(staged)}
    shown = quarantine(project, "show", "last", "--show-values", "--limit", "100")
    assert shown[0] == 0, shown
    assert {row["position"] for row in shown[1]["rows"]} == young
    assert resumed.json["counts"]["quarantined"] == len(young)
