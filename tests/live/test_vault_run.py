"""The main job with Vault: the key ring in KV, the login of the warehouse issued for the run, all of it gone after it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pymysql
import pytest
from vault_server import POLICY, VaultServer, clean_environment

from veilflow.model import Progress, RunResult
from veilflow.run import Request, execute
from veilflow.run.stage import OnProgress

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.live

NAMES = """\
version: 1
stores:
  vault:
    kind: vault
    address: "ADDRESS"
    auth: {approle: {role_id: "ROLE_ID", secret_id: {file: secret_id}}}
secrets:
  keyring: {store: vault, engine: kv2, path: secret/veilflow, field: keyring}
  warehouse_login: {store: vault, engine: database, path: database/creds/loader}
connections:
  warehouse: {url: "URL", credential: warehouse_login}
keyring: keyring
"""
LOADED = [("A**", "a**@e******.com", 30, "London"), ("B*", "b*@e******.org", 10, "Oslo"), ("C*", None, 40, None)]
RUN = ("run", "people", "--direct", "--json")


class Warehouse:
    """A project, its Vault and its PostgreSQL."""

    def __init__(self, project: Project, vault: VaultServer, reader: psycopg.Connection[Any], url: str) -> None:
        self.project, self.vault, self.reader, self.url = project, vault, reader, url
        self.login()

    def login(self, role: str = "loader") -> None:
        """Write the project's names and a new secret id of an AppRole."""
        role_id, secret_id = self.vault.approle(role)
        self.project.write("secret_id", secret_id).chmod(0o600)
        names = NAMES.replace("ADDRESS", self.vault.address).replace("ROLE_ID", role_id).replace("URL", self.url)
        self.project.write("secrets/names.yaml", names)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.project.directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def people(self) -> list[tuple[Any, ...]]:
        return self.reader.execute("select name, email, age, city from people order by name").fetchall()

    def issued_users(self) -> list[str]:
        """The users in PostgreSQL that Vault made."""
        return [row[0] for row in self.reader.execute("select rolname from pg_roles where rolname like 'v-%'")]

    def until_gone(self, seconds: float = 10.0) -> None:
        """Wait for Vault to have revoked every user; it does so in its own time."""
        end = time.monotonic() + seconds
        while self.issued_users() and time.monotonic() < end:
            time.sleep(0.1)
        assert self.issued_users() == []


def here(warehouse: Warehouse, on_progress: OnProgress | None = None) -> RunResult:
    """A run in this very process, without a command's start-up."""
    return execute(Request(warehouse.project.directory, "dev", "people"), on_progress=on_progress)


def pausing(seconds: float) -> OnProgress:
    """Holds a run up for so long when its first chunk is loaded, however fast it is."""
    paused: list[Progress] = []

    def pause(progress: Progress) -> None:
        if progress.durable and not paused:
            paused.append(progress)
            time.sleep(seconds)

    return pause


def prepare_database(reader: psycopg.Connection[Any]) -> None:
    """An empty database with the role to which everything belongs that Vault's users make."""
    reader.execute(
        "drop schema if exists veilflow_staging cascade; drop table if exists people, _veilflow;"
        "do $$ begin if to_regrole('etl_owner') is null then create role etl_owner; end if; end $$;"
        "grant create on database postgres to etl_owner; grant create on schema public to etl_owner"
    )


@pytest.fixture
def make_warehouse(project: Project, postgresql: Any) -> Iterator[Callable[[VaultServer], Warehouse]]:
    with psycopg.connect(postgresql.full_url, autocommit=True) as reader:
        prepare_database(reader)

        def make(vault: VaultServer) -> Warehouse:
            vault.set_up_database(postgresql.url, postgresql.password)
            keyring = (project.directory / "keyring.json").read_text()
            vault.write("secret/data/veilflow", data={"keyring": keyring})
            (project.directory / "keyring.json").unlink()
            warehouse = Warehouse(project, vault, reader, postgresql.url.replace("veil@", ""))
            warehouse.edit(
                "pipelines/people.yaml", "{kind: sqlite, path: out/people.db, table: people,",
                "{kind: postgresql, connection: warehouse, table: people,",
            )  # fmt: skip
            return warehouse

        yield make


@pytest.fixture
def warehouse(make_warehouse: Callable[[VaultServer], Warehouse], vault: VaultServer) -> Warehouse:
    return make_warehouse(vault)


def test_a_run_logs_in_once_reads_each_name_once_and_gives_everything_back(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """Counted in Vault's own audit log; afterwards there is no lease and no user of it left."""
    warehouse = make_warehouse(own_vault)
    done = warehouse.project.veil(*RUN)
    assert done.status == 0, done.err + done.out
    assert warehouse.people() == LOADED
    assert own_vault.audited() == [
        ("update", "auth/approle/login"),
        ("read", "database/creds/loader"),
        ("read", "secret/data/veilflow"),
        ("update", "auth/token/revoke-self"),
    ]
    warehouse.until_gone()
    assert own_vault.leases() == []
    owners = {row[0] for row in warehouse.reader.execute("select tableowner from pg_tables where tablename = 'people'")}
    assert owners == {"etl_owner"}


def test_several_pipelines_of_one_command_log_in_once(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """A process has one token and reads each name once."""
    warehouse = make_warehouse(own_vault)
    again = (warehouse.project.directory / "pipelines/people.yaml").read_text().replace("table: people", "table: again")
    warehouse.project.write("pipelines/again.yaml", again)
    done = warehouse.project.veil("run", "people", "again", "--direct")
    warehouse.reader.execute("drop table again")
    assert done.status == 0, done.err
    assert [path for _, path in own_vault.audited()] == [
        "auth/approle/login", "database/creds/loader", "secret/data/veilflow", "auth/token/revoke-self",
    ]  # fmt: skip


def test_a_key_ring_that_transit_encrypted_is_made_and_used(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """The ciphertext lies in `.veil/keys`, the key in Vault, and the ring nowhere."""
    warehouse = make_warehouse(own_vault)
    own_vault.write("transit/keys/veilflow", type="aes256-gcm96")
    allowed = "".join(
        f'path "transit/{verb}/veilflow" {{ capabilities = ["update"] }}\n' for verb in ("encrypt", "decrypt")
    )
    own_vault.write("sys/policies/acl/veilflow", policy=POLICY + allowed)
    warehouse.edit(
        "secrets/names.yaml", "engine: kv2, path: secret/veilflow, field: keyring",
        "engine: transit, path: transit/keys/veilflow, field: keyring",
    )  # fmt: skip
    done = warehouse.project.veil("init", ".")
    assert done.status == 0, done.err
    kept = (warehouse.project.directory / ".veil/keys/keyring.transit.json").read_text()
    assert "vault:v1:" in kept and "veilflow_keyring" not in kept
    assert here(warehouse).exit_status == 0
    own_vault.write("transit/keys/veilflow/config", min_decryption_version=1, deletion_allowed=True)
    own_vault.ask("DELETE", "transit/keys/veilflow")
    gone = here(warehouse)
    assert (gone.exit_status, gone.errors[0].code) in {(2, "VEIL221"), (2, "VEIL222")}, gone.errors


def test_a_plan_gives_back_what_it_looked_with(warehouse: Warehouse) -> None:
    """It connects to see the table's shape, and leaves no user behind."""
    done = warehouse.project.veil("plan", "people", "--json")
    assert done.status == 0, done.out
    warehouse.until_gone()


# --- lifetimes ---------------------------------------------------------------------------


ROWS = 6_000


def many_rows(warehouse: Warehouse, chunk_rows: int = 20) -> None:
    """A run of several seconds, in hundreds of chunks."""
    lines = [f"{number},Name {number},,{number % 90},Oslo" for number in range(ROWS)]
    warehouse.project.write("data/people.csv", "id,name,email,age,city\n" + "\n".join(lines) + "\n")
    warehouse.edit("pipelines/people.yaml", "policy: people\n", f"policy: people\nchunk_rows: {chunk_rows}\n")


def start(warehouse: Warehouse) -> subprocess.Popen[str]:
    """A run that has begun to load."""
    run = subprocess.Popen(
        [sys.executable, "-m", "veilflow.cli", *RUN], cwd=warehouse.project.directory, env=clean_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < end and receipts(warehouse) < 5:
        time.sleep(0.02)
    assert run.poll() is None and receipts(warehouse) >= 5
    return run


def receipts(warehouse: Warehouse) -> int:
    if not warehouse.reader.execute("select to_regclass('_veilflow') is not null").fetchone()[0]:  # type: ignore[index]
        return 0
    found = warehouse.reader.execute("select count(*) from _veilflow where kind = 'receipt'").fetchone()
    return int(found[0]) if found else 0


def test_a_signal_gives_everything_back_at_once(warehouse: Warehouse) -> None:
    """Not only after the lease's time."""
    many_rows(warehouse)
    run = start(warehouse)
    assert warehouse.issued_users()
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)
    assert run.returncode == 143
    warehouse.until_gone()


def test_after_kill_9_every_lease_dies_within_a_minute(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """Although the roles of the login and of the database would let them live for an hour."""
    warehouse = make_warehouse(own_vault)
    own_vault.write("auth/approle/role/long", token_policies="veilflow", token_ttl="1h", token_max_ttl="2h")
    own_vault.database_role("loader", ttl="1h", max_ttl="2h")
    warehouse.login("long")
    many_rows(warehouse)
    run = start(warehouse)
    run.kill()
    run.communicate()
    killed = time.monotonic()
    assert warehouse.issued_users()
    while (warehouse.issued_users() or own_vault.leases()) and time.monotonic() - killed < 60:
        time.sleep(0.5)
    assert (warehouse.issued_users(), own_vault.leases()) == ([], [])
    assert own_vault.ask("LIST", "auth/token/accessors")["data"]["keys"] == [own_accessor(own_vault)]


def own_accessor(vault: VaultServer) -> str:
    return str(vault.ask("GET", "auth/token/lookup-self")["data"]["accessor"])


def test_at_its_maximum_a_credential_changes_between_two_chunks(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """No row is lost or repeated, and the old users are gone before the run ends."""
    warehouse = make_warehouse(own_vault)
    own_vault.database_role("loader", ttl="3s", max_ttl="3s")
    many_rows(warehouse, chunk_rows=12)
    result = here(warehouse, pausing(3))
    assert (result.exit_status, result.counts.loaded) == (0, ROWS), result.errors
    found = warehouse.reader.execute("select count(*), count(distinct id) from people").fetchone()
    assert found == (ROWS, ROWS)
    paths = [path for _, path in own_vault.audited()]
    assert paths.count("database/creds/loader") >= 2
    assert paths.count("auth/approle/login") == 1
    warehouse.until_gone()


def test_a_credential_that_dies_before_the_run_must_is_refused_by_the_plan(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """By the maximum of its own role or of the login's; renewable ones below it are fine."""
    warehouse = make_warehouse(own_vault)
    warehouse.edit("pipelines/people.yaml", "policy: people\n", "policy: people\nlimits: {timeout_seconds: 1800}\n")
    assert here(warehouse).exit_status == 0
    own_vault.database_role("loader", ttl="30s", max_ttl="10m")
    done = warehouse.project.veil("plan", "people", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (3, "VEIL317")
    assert re.search("lives at most (599|600) s", done.json["errors"][0]["problem"])
    own_vault.database_role("loader", ttl="30s", max_ttl="1h")
    own_vault.write("auth/approle/role/short", token_policies="veilflow", token_ttl="5m", token_max_ttl="10m")
    warehouse.login("short")
    assert here(warehouse).errors[0].code == "VEIL317"
    warehouse.until_gone()


def test_a_user_that_would_own_what_it_makes_is_refused(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """Its tables would block its removal; nothing was made."""
    warehouse = make_warehouse(own_vault)
    own_vault.database_role(
        "loader", ttl="30s", max_ttl="1h",
        creation="CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE etl_owner",
    )  # fmt: skip
    result = here(warehouse)
    assert result.errors[0].code == "VEIL214"
    assert "docs/how-to/vault.md" in result.errors[0].hint
    warehouse.until_gone()


# --- bad input ---------------------------------------------------------------------------


BAD: dict[str, tuple[str, str, str, int, str]] = {
    "malformed address": ('address: "http://127', 'address: "htp://127', "VEIL202", 2, "not an http or https URL"),
    "plain http to another host": (
        'address: "http://127.0.0.1',
        'address: "http://vault.test',
        "VEIL202",
        2,
        "plain HTTP",
    ),
    "unknown option": ("    auth: ", "    adress: x\n    auth: ", "VEIL201", 2, 'unknown key "adress"'),
    "a value where a place belongs": ("{file: secret_id}", "1234-marker", "VEIL202", 2, "must be a mapping"),
    "missing secret id": ("{file: secret_id}", "{file: nowhere}", "VEIL221", 2, "nowhere"),
    "no such field": ("field: keyring", "field: nothing", "VEIL221", 2, "no field nothing"),
    "permission denied": ("secret/veilflow", "secret/other", "VEIL406", 4, 'path "secret/data/other"'),
    "wrong mount of the login": ("approle: {role_id", "approle: {mount: nowhere, role_id", "VEIL406", 4, "login"),
    "a CA that is not there": ("    auth: ", "    ca: nowhere.pem\n    auth: ", "VEIL202", 2, "not there"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_the_contracts_status_and_publishes_nothing(case: str, warehouse: Warehouse) -> None:
    """With a code, a hint and no value."""
    old, new, code, status, words = BAD[case]
    warehouse.edit("secrets/names.yaml", old, new)
    result = here(warehouse)
    assert (result.exit_status, result.errors[0].code) == (status, code), result.errors
    assert words in result.errors[0].problem + result.errors[0].hint
    assert result.errors[0].hint and "marker" not in repr(result)
    assert not warehouse.reader.execute("select to_regclass('people') is not null").fetchone()[0]  # type: ignore[index]
    warehouse.until_gone()


def test_a_vault_that_is_not_there_is_out_of_reach(warehouse: Warehouse) -> None:
    """Tried for as long as the store says, and told."""
    warehouse.edit("secrets/names.yaml", f":{warehouse.vault.port}", ":1")
    warehouse.edit("secrets/names.yaml", "    auth:", "    retry_for_seconds: 1\n    auth:")
    result = here(warehouse)
    assert (result.exit_status, result.errors[0].code) == (4, "VEIL404")
    assert "nothing answers" in result.errors[0].problem


# --- MariaDB -----------------------------------------------------------------------------


def test_mariadb_is_loaded_by_a_user_that_is_made_for_the_run(
    project: Project, mariadb: Any, own_vault: VaultServer
) -> None:
    """In MariaDB a table belongs to its database, so nothing hinders the user's removal; the user changes on the way."""
    own_vault.enable("mounts", "database", "database")
    own_vault.write(
        "database/config/warehouse", plugin_name="mysql-database-plugin", allowed_roles="*", username="root",
        password="", connection_url=f"root@tcp(127.0.0.1:{mariadb.port})/",
    )  # fmt: skip
    creation = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; " + " ".join(
        f"GRANT ALL ON {database}.* TO '{{{{name}}}}'@'%';" for database in ("warehouse", "veilflow_staging")
    )
    own_vault.database_role("loader", ttl="3s", max_ttl="3s", creation=creation)
    own_vault.write("secret/data/veilflow", data={"keyring": (project.directory / "keyring.json").read_text()})
    role_id, secret_id = own_vault.approle()
    project.write("secret_id", secret_id).chmod(0o600)
    names = NAMES.replace("ADDRESS", own_vault.address).replace("ROLE_ID", role_id)
    project.write("secrets/names.yaml", names.replace("URL", mariadb.url.replace("veil@", "")))
    lines = [f"{number},Name {number},,{number % 90},Oslo" for number in range(ROWS)]
    project.write("data/people.csv", "id,name,email,age,city\n" + "\n".join(lines) + "\n")
    text = (project.directory / "pipelines/people.yaml").read_text().replace(
        "{kind: sqlite, path: out/people.db, table: people,", "{kind: mariadb, connection: warehouse, table: leased,"
    ).replace("policy: people\n", "policy: people\nchunk_rows: 12\n")  # fmt: skip
    project.write("pipelines/people.yaml", text)
    result = execute(Request(project.directory, "dev", "people"), on_progress=pausing(3))
    assert (result.exit_status, result.counts.loaded) == (0, ROWS), result.errors
    assert [path for _, path in own_vault.audited()].count("database/creds/loader") >= 2
    end = time.monotonic() + 10
    while own_vault.leases() and time.monotonic() < end:
        time.sleep(0.1)
    assert own_vault.leases() == []
    with (
        pymysql.connect(
            host="127.0.0.1", port=mariadb.port, user="veil", password=mariadb.password, database="warehouse"
        ) as reader,
        reader.cursor() as cursor,
    ):
        cursor.execute("select count(*), count(distinct id) from leased")
        assert cursor.fetchone() == (ROWS, ROWS)


# --- sources -----------------------------------------------------------------------------


def leased_source(warehouse: Warehouse) -> None:
    """The pipeline reads the warehouse with a login that Vault issues, and writes into a file."""
    warehouse.reader.execute(
        "drop table if exists people; create table people (id text, name text, email text, age bigint, city text);"
        "insert into people values ('1', 'Ada', 'ada@example.com', 36, 'London'); grant select on people to etl_owner"
    )
    warehouse.project.write("pipelines/people.yaml", LEASED_SOURCE)


LEASED_SOURCE = """\
version: 1
source: {kind: postgresql, connection: warehouse, table: people}
policy: people
target: {kind: sqlite, path: out/people.db, table: people, mode: replace}
"""


def test_a_preview_reads_a_source_whose_login_is_leased(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """One login and one user for the plan and the rows; both are gone afterwards."""
    warehouse = make_warehouse(own_vault)
    leased_source(warehouse)
    shown = warehouse.project.veil("preview", "people", "--json")
    assert shown.status == 0, shown.out + shown.err
    assert shown.json["rows"][0]["after"][1:] == ["A**", "a**@e******.com", "30", "London"]
    assert [path for _, path in own_vault.audited()] == [
        "auth/approle/login", "database/creds/loader", "auth/token/revoke-self",
    ]  # fmt: skip
    warehouse.until_gone()


def test_a_sources_login_that_dies_before_the_run_must_is_refused_by_the_plan(
    make_warehouse: Callable[[VaultServer], Warehouse], own_vault: VaultServer
) -> None:
    """The connection that holds its snapshot cannot change to another one."""
    warehouse = make_warehouse(own_vault)
    leased_source(warehouse)
    warehouse.edit("pipelines/people.yaml", "policy: people\n", "policy: people\nlimits: {timeout_seconds: 1800}\n")
    own_vault.database_role("loader", ttl="30s", max_ttl="10m")
    refused = here(warehouse)
    assert [error.code for error in refused.errors] == ["VEIL317"]
    own_vault.database_role("loader", ttl="30s", max_ttl="1h")
    done = here(warehouse)
    assert done.exit_status == 0, done.errors
    assert {(access.name, access.lease is not None) for access in done.accesses} == {
        ("keyring", False), ("warehouse_login", True),
    }  # fmt: skip
    warehouse.until_gone()
