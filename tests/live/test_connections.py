"""Connections to real servers: TLS, limits of time, deadlocks, cut connections, a server that restarts in mid-run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
import pyarrow as pa
import pytest
from certificates import Authority
from database_servers import DatabaseServer, NoServer, running_mariadb, running_postgresql
from stores import Store, receipt

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Receipt, Secret, Target, Writer
from veilflow.run.again import persistently
from veilflow.targets import open_target

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.live

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
ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["a", "b"]})


def into(project: Project, url: str, **connection: float) -> None:
    """The small project with the server as its target."""
    more = "".join(f", {name}: {value:g}" for name, value in connection.items())
    names = NAMES.replace("URL", url).replace("credential: login}", f"credential: login{more}}}")
    project.write("secrets/names.yaml", names)
    project.write("login.json", json.dumps({"username": "veil", "password": "loopback-only-secret"})).chmod(0o600)
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    project.write(
        "pipelines/people.yaml",
        pipeline.replace("kind: sqlite, path: out/people.db", f"kind: {url.partition(':')[0]}, connection: warehouse"),
    )


@contextmanager
def of_its_own(start: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    try:
        running = start()
        server = running.__enter__()
    except NoServer as missing:
        pytest.skip(str(missing))
    try:
        yield server
    finally:
        running.__exit__(None, None, None)


# --- TLS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[DatabaseServer]:
    """PostgreSQL that takes TLS only, under a CA of its own; the user ``certified`` comes by a certificate."""
    certificate, key = authority.issue("127.0.0.1")
    settings: dict[str, str | Path] = {
        "ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": authority.file,
    }  # fmt: skip
    clients = "hostssl all certified all cert\nhostnossl all all all reject\n"
    with of_its_own(lambda: running_postgresql(settings, clients)) as server:
        yield server


def test_a_server_is_trusted_by_its_ca_and_name(
    project: Project, secured: DatabaseServer, authority: Authority, tmp_path: Path
) -> None:
    """Both drivers; another CA or another name ends with 4 before a password is sent."""
    certificates = project.directory / "certificates"
    certificates.mkdir()
    (certificates / "ca.pem").write_bytes(authority.file.read_bytes())
    (certificates / "other.pem").write_bytes(Authority(tmp_path / "other").file.read_bytes())
    url = f"{secured.url}?sslmode=verify-full&sslrootcert=certificates/ca.pem"
    into(project, url)
    done = project.veil("run", "people", "--direct")
    assert done.status == 0, done.err
    for wrong in (url.replace("ca.pem", "other.pem"), url.replace("127.0.0.1", "localhost")):
        into(project, wrong)
        done = project.veil("plan", "people", "--json")
        assert (done.status, done.json["errors"][0]["code"]) == (4, "VEIL401")
        assert "certificate" in done.json["errors"][0]["problem"]
    into(project, url.replace("ca.pem", "gone.pem"))
    done = project.veil("plan", "people", "--json")
    assert (done.status, "sslrootcert" in done.json["errors"][0]["problem"]) == (2, True)


def test_a_client_comes_by_its_certificate(secured: DatabaseServer, authority: Authority, project: Project) -> None:
    """From files that nobody else may read, and without a password."""
    with psycopg.connect(secured.full_url + "?sslmode=require", autocommit=True) as connection:
        connection.execute("create role certified login; grant create on database postgres to certified; grant create on schema public to certified")  # fmt: skip
    certificate, key = authority.issue("certified")
    query = urlencode({"sslmode": "verify-full", "sslrootcert": authority.file, "sslcert": certificate, "sslkey": key})
    into(project, secured.url.replace("veil@", "certified@") + "?" + query)
    names = project.directory / "secrets/names.yaml"
    names.write_text(names.read_text().replace(", credential: login}", "}"))
    project.veil("runs", "clean")
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("table: people,", "table: certified,"))
    with psycopg.connect(secured.full_url + "?sslmode=require", autocommit=True) as connection:
        connection.execute("drop table if exists _veilflow; drop schema if exists veilflow_staging")
    done = project.veil("run", "people", "--direct")
    assert done.status == 0, done.err
    key.chmod(0o644)
    done = project.veil("plan", "people", "--json")
    assert (done.status, "sslkey" in done.json["errors"][0]["problem"]) == (2, True)


def test_a_server_without_tls_is_not_spoken_to_where_tls_is_asked_for(project: Project, postgresql: Any) -> None:
    """With what to say where the network is trusted."""
    into(project, postgresql.url + "?sslmode=require")
    done = project.veil("plan", "people", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (4, "VEIL401")
    assert "sslmode=disable" in done.json["errors"][0]["hint"]


@pytest.mark.parametrize("parameter", ["options=-c%20x=y", "host=elsewhere", "hostaddr=10.0.0.1", "service=x", "passfile=/x", "sslmode=prefer", "allowLoadLocalInfile=true"])  # fmt: skip
def test_a_parameter_that_is_not_on_the_list_is_2_with_its_place(project: Project, parameter: str) -> None:
    """Before anything is connected to."""
    into(project, f"postgresql://veil@127.0.0.1:1/x?{parameter}")
    done = project.veil("plan", "people", "--json")
    error = done.json["errors"][0]
    assert (done.status, error["code"], error["place"]["file"]) == (2, "VEIL214", "secrets/names.yaml")
    assert parameter.partition("=")[0] in error["problem"]


# --- limits of time and faults -----------------------------------------------------------


def opened(server: Any, table: str, kind: str = "postgresql", **limits: float) -> Target:
    query = urlencode({f"veilflow_{name}": value for name, value in limits.items()})
    made = open_target(
        kind=kind, table=table, mode="replace", schema=ROWS.schema, url=lambda: Secret(f"{server.full_url}?{query}")
    )
    made.open(f"01{table}")
    return made


def load(target: Target, writer: Writer, one: Receipt) -> None:
    """As a run loads a chunk."""

    def there() -> bool:
        target.open(target._run_id)  # type: ignore[attr-defined]
        return one.chunk in target.receipts()

    persistently(lambda: writer.load(ROWS, one), there, time.sleep)


def staged(server: Any, table: str) -> str:
    return f"veilflow_staging.run_01{table}"


def until(connection: psycopg.Connection[Any], sql: str) -> None:
    deadline = time.monotonic() + 30
    while connection.execute(sql).fetchone() == (0,) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_deadlock_is_met_again_and_no_row_is_there_twice(postgresql: Any) -> None:
    """Made on purpose: the other one waits longer, so that the run is the victim."""
    with psycopg.connect(postgresql.full_url) as other, psycopg.connect(postgresql.full_url, autocommit=True) as seer:
        seer.execute("alter role veil set deadlock_timeout = '3s'")
        other.execute("set deadlock_timeout = '120s'")
        target = opened(postgresql, "deadlocked")
        seer.execute("alter role veil reset deadlock_timeout")
        with target.writer() as writer:
            other.execute("lock table _veilflow in share mode")
            loading = threading.Thread(target=load, args=(target, writer, receipt(0, 2)))
            loading.start()
            until(seer, f"select count(*) from pg_locks where relation = '{staged(postgresql, 'deadlocked')}'::regclass and mode = 'RowExclusiveLock'")  # fmt: skip
            other.execute(f"lock table {staged(postgresql, 'deadlocked')} in share mode")
            other.commit()
            loading.join()
        assert (target.staged_rows(), set(target.receipts())) == (2, {0})
        target.discard()
        target.close()


@pytest.mark.parametrize("when", ["before the chunk", "after its commit"])
def test_a_connection_that_was_ended_is_made_anew(postgresql: Any, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the commit was done or not, the rows are there once."""
    target = opened(postgresql, "ended")
    with psycopg.connect(postgresql.full_url, autocommit=True) as admin, target.writer() as writer:

        def end() -> None:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'veilflow%'"
            )

        if when == "before the chunk":
            end()
        else:
            from veilflow.targets.postgresql_writer import PostgresqlWriter

            whole = PostgresqlWriter.load
            ended: list[bool] = []

            def lost(one: PostgresqlWriter, rows: pa.Table, its: Receipt, held: None = None) -> None:
                whole(one, rows, its, held)
                if not ended:
                    ended.append(True)
                    end()
                    one.attempt(rows)  # fails as a commit does whose answer does not come

            monkeypatch.setattr(PostgresqlWriter, "load", lost)
        load(target, writer, receipt(0, 2))
    assert (target.staged_rows(), set(target.receipts())) == (2, {0})
    target.discard()
    target.close()


def test_a_lock_or_a_statement_that_takes_too_long_is_told_apart(postgresql: Any) -> None:
    """Both pass, and leave what is staged for a resumed run."""
    target = opened(postgresql, "slow", lock_seconds=0.2, statement_seconds=2)
    with target.writer() as writer:
        writer.load(ROWS, receipt(0, 2))
    with psycopg.connect(postgresql.full_url) as other:
        other.execute("create table slow (id bigint, name text)")
        other.commit()
        other.execute("lock table slow in access share mode")
        with pytest.raises(PassingFault, match="VEIL408"):
            target.publish({})
        other.rollback()
        other.execute("create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(9); return new; end'")  # fmt: skip
        other.execute("create trigger slowly before insert on slow for each row execute function slowly()")
        other.commit()
        with pytest.raises(PassingFault, match="VEIL409"):
            target.publish({})
        other.execute("drop table slow; drop function slowly")
        other.commit()
    assert target.publish({}) == 2
    target.close()


def many(project: Project) -> None:
    lines = "".join(f"{n},N{n},n{n}@example.com,{n % 90},City{n % 7}\n" for n in range(120_000))
    project.write("data/people.csv", "id,name,email,age,city\n" + lines)
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text() + "chunk_rows: 2000\n")


def begun(project: Project) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", "run", "people", "--direct", "--json"], cwd=project.directory,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def receipts(server: Any) -> int:
    with suppress(Exception):  # of any driver: the server is away
        found = Store(server.scheme, url=server.full_url).sql("select count(*) from _veilflow where kind = 'receipt'")
        return int(found[0][0])
    return 0


def fault_after(server: Any, process: subprocess.Popen[str], number: int, fault: Callable[[], None]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and receipts(server) < number and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    fault()


def test_a_run_survives_that_its_connections_are_ended(project: Project, postgresql: Any) -> None:
    """Three times in mid-run, the one with the table's lock included; its name tells which run they are of."""
    into(project, postgresql.url)
    many(project)
    named: list[tuple[Any, ...]] = []

    def end() -> None:
        with psycopg.connect(postgresql.full_url, autocommit=True) as admin:
            named.extend(admin.execute("select application_name, pg_terminate_backend(pid) from pg_stat_activity where application_name like 'veilflow %'"))  # fmt: skip

    process = begun(project)
    for number in (3, 15, 30):
        fault_after(postgresql, process, number, end)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert {name for name, _ended in named} == {f"veilflow {result['run_id']} people"}
    assert result["counts"]["loaded"] == 120_000
    with psycopg.connect(postgresql.full_url, autocommit=True) as reader:
        assert reader.execute("select count(*), count(distinct id) from people").fetchone() == (120_000, 120_000)
        assert reader.execute("select count(*) from pg_tables where schemaname = 'veilflow_staging'").fetchone() == (0,)
        reader.execute("drop table people")


@pytest.mark.parametrize("start", [running_postgresql, running_mariadb])
def test_a_run_survives_that_its_server_crashes_and_starts_again(
    project: Project, start: Callable[[], AbstractContextManager[DatabaseServer]]
) -> None:
    """An immediate stop in mid-run; what was committed is there and is not loaded again."""
    with of_its_own(start) as server:
        into(project, server.url)
        many(project)
        process = begun(project)
        fault_after(server, process, 5, server.restart)
        _out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        found = Store(server.scheme, url=server.full_url).sql("select count(*), count(distinct id) from people")
        assert found == [(120_000, 120_000)]


# --- MariaDB -----------------------------------------------------------------------------


def test_mariadb_waits_for_locks_and_makes_connections_anew(mariadb: Any) -> None:
    """1205 is told as a lock, 1213 and a killed connection are met again; no row is there twice."""
    import pymysql

    def other() -> Any:
        return pymysql.connect(host="127.0.0.1", port=mariadb.port, user="veil", password=mariadb.password, database="warehouse")  # fmt: skip

    target = opened(mariadb, "waiting", kind="mariadb", lock_seconds=1)
    with target.writer() as writer, other() as locking, locking.cursor() as cursor:
        cursor.execute("lock tables _veilflow write")
        with pytest.raises(PassingFault, match="VEIL408"):
            writer.load(ROWS, receipt(0, 2))
        cursor.execute("unlock tables")
        load(target, writer, receipt(0, 2))
        cursor.execute("select id from information_schema.processlist where id <> connection_id() and user = 'veil'")
        for (number,) in cursor.fetchall():
            cursor.execute(f"kill {number}")
        load(target, writer, receipt(1, 2))
    assert (target.staged_rows(), set(target.receipts())) == (4, {0, 1})
    target.discard()
    target.close()
    with pytest.raises(VeilError, match="VEIL401"):
        open_target(
            kind="mariadb", table="t", mode="replace", schema=ROWS.schema, url=lambda: Secret(mariadb.full_url + "?ssl=true"),
        ).inspect()  # fmt: skip


@pytest.fixture(scope="module")
def secured_mariadb(authority: Authority) -> Iterator[DatabaseServer]:
    """MariaDB that takes TLS only, under a CA of its own; the user ``certified`` comes by a certificate."""
    certificate, key = authority.issue("127.0.0.1")
    settings: dict[str, str | Path] = {"ssl-cert": certificate, "ssl-key": key, "ssl-ca": authority.file}
    with of_its_own(lambda: running_mariadb(settings=settings)) as server:
        with closing(server.as_root()) as root, root.cursor() as cursor:
            cursor.execute("create user certified@'%' require subject '/CN=certified'")
            cursor.execute("grant all on *.* to certified@'%'")
            cursor.execute("alter user veil@'%' require ssl")
        yield server


def test_a_mariadb_is_trusted_by_its_ca_and_name(
    project: Project, secured_mariadb: DatabaseServer, authority: Authority, tmp_path: Path
) -> None:
    """Another CA or another name ends with 4 before a password is sent; so does one of no CA that the system knows."""
    other = Authority(tmp_path / "other").file
    url = f"{secured_mariadb.url}?ssl_ca={authority.file}"
    into(project, url)
    done = project.veil("run", "people", "--direct")
    assert done.status == 0, done.err
    for wrong in (url.replace(str(authority.file), str(other)), url.replace("127.0.0.1", "localhost"), secured_mariadb.url + "?ssl=true"):  # fmt: skip
        into(project, wrong)
        done = project.veil("plan", "people", "--json")
        assert (done.status, done.json["errors"][0]["code"]) == (4, "VEIL401")
        assert "certificate" in done.json["errors"][0]["problem"]


def test_a_client_comes_to_mariadb_by_its_certificate(
    project: Project, secured_mariadb: DatabaseServer, authority: Authority
) -> None:
    """Without a password, and through every connection of a run."""
    certificate, key = authority.issue("certified")
    query = urlencode({"ssl_ca": authority.file, "ssl_cert": certificate, "ssl_key": key})
    into(project, secured_mariadb.url.replace("veil@", "certified@") + "?" + query)
    names = project.directory / "secrets/names.yaml"
    names.write_text(names.read_text().replace(", credential: login}", "}"))
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("table: people,", "table: certified,"))
    done = project.veil("run", "people", "--direct")
    assert done.status == 0, done.err


@contextmanager
def holding(server: Any, *statements: str) -> Iterator[Any]:
    """Somebody else's transaction, with the locks of the statements."""
    import pymysql

    url = {"host": "127.0.0.1", "port": server.port, "user": "veil", "password": server.password}
    with closing(pymysql.connect(**url, database="warehouse")) as other, other.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield cursor
        other.rollback()


def lock_waits(server: Any) -> int:
    return int(server.sql("select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'")[0][0])


def test_a_deadlock_in_mariadb_is_met_again_and_no_row_is_there_twice(mariadb: Any) -> None:
    """Made on purpose: the other one has changed more, so that the run is the victim, in the midst of its chunk."""
    store = Store("mariadb", url=mariadb.full_url)
    store.sql("create or replace table ballast (n int)")
    target = opened(mariadb, "deadlocked", kind="mariadb")
    before = store.sql("show global status like 'Innodb_deadlocks'")[0][1]
    ballast = "insert into ballast select seq from seq_1_to_20000"
    with target.writer() as writer, holding(mariadb, ballast, "select * from _veilflow for update") as other:
        loading = threading.Thread(target=load, args=(target, writer, receipt(0, 2)))
        loading.start()
        deadline = time.monotonic() + 30
        while not lock_waits(store) and time.monotonic() < deadline:
            time.sleep(0.01)
        other.execute(f"select * from {staged(mariadb, 'deadlocked')} for update")
        other.connection.rollback()
        loading.join()
    assert int(store.sql("show global status like 'Innodb_deadlocks'")[0][1]) > int(before)
    assert (target.staged_rows(), set(target.receipts())) == (2, {0})
    target.discard()
    target.close()


def test_a_lock_that_mariadb_does_not_give_undoes_the_whole_chunk(mariadb: Any) -> None:
    """1205 rolls back only its statement: the rows that came before the receipt must not be committed with the next."""
    target: Any = opened(mariadb, "undone", kind="mariadb", lock_seconds=1)
    with target._new_writer() as writer:
        with holding(mariadb, "select * from _veilflow for update"), pytest.raises(PassingFault, match="VEIL408"):
            writer.load(ROWS, receipt(0, 2))
        writer.load(ROWS, receipt(1, 2))
    assert (target.staged_rows(), set(target.receipts())) == (2, {1})
    target.discard()
    target.close()
