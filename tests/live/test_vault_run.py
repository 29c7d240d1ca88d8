"""The main job with Vault: the key ring in KV, the login of the warehouse issued for the run, all of it gone after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from vault_server import VaultServer

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
