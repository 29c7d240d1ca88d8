"""`veil secrets policy|check` and `veil keys` against a real Vault."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from vault_server import VaultServer, clean_environment

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
  keyring: {store: vault, engine: kv2, path: secret/POLICY, field: keyring}
keyring: keyring
"""
CONNECTION = 'connections: {warehouse: {url: "postgresql://127.0.0.1/w", credential: loader}}\nkeyring: keyring\n'
WRITER = 'path "secret/data/NAME" { capabilities = ["create", "read", "update"] }\n'


class Login:
    """A project whose Vault login has the policy that a test gives it."""

    def __init__(self, project: Project, vault: VaultServer, name: str) -> None:
        self.project, self.vault, self.name = project, vault, name
        self.ring = json.loads((project.directory / "keyring.json").read_text())
        vault.write(f"secret/data/{name}", data={"keyring": json.dumps(self.ring), "note": "stays"})
        (project.directory / "keyring.json").unlink()
        # Without Vault's default policy: the generated one has to be enough.
        self.allow("")
        vault.write(f"auth/approle/role/{name}", token_policies=name, token_period="45s", token_no_default_policy=True)
        role_id, secret_id = vault.approle(name)
        project.write("secret_id", secret_id).chmod(0o600)
        text = NAMES.replace("ADDRESS", vault.address).replace("ROLE_ID", role_id).replace("POLICY", name)
        project.write("secrets/names.yaml", text)

    def allow(self, policy: str) -> None:
        self.vault.write(f"sys/policies/acl/{self.name}", policy=policy or "# nothing")

    def kept(self) -> dict[str, Any]:
        """What lies in Vault now."""
        found = self.vault.ask("GET", f"secret/data/{self.name}")["data"]["data"]
        assert isinstance(found, dict)
        return found


def test_the_generated_policy_is_enough_for_a_run_and_nothing_less_is(project: Project, vault: VaultServer) -> None:
    """A login with exactly that policy runs; without one of its lines on a secret it does not."""
    login = Login(project, vault, "policyrun")
    printed = project.veil("secrets", "policy", "people")
    assert printed.status == 0, printed.err
    login.allow(printed.out)
    done = project.veil("run", "people", "--direct", "--json")
    assert done.status == 0, done.out + done.err
    login.allow("\n".join(line for line in printed.out.splitlines() if "secret/data" not in line))
    refused = project.veil("run", "people", "--direct", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (4, "VEIL406")
    assert 'path "secret/data/policyrun"' in refused.json["errors"][0]["hint"]


def test_the_check_tells_what_the_login_lacks_and_what_it_has_beyond(project: Project, vault: VaultServer) -> None:
    """From Vault's own answer."""
    login = Login(project, vault, "policycheck")
    asks = 'path "sys/capabilities-self" { capabilities = ["update"] }\n'
    exact = project.veil("secrets", "policy", "people").out
    login.allow(exact + asks)
    assert project.veil("secrets", "policy", "people", "--check").status == 0
    login.allow(
        exact.replace(
            'secret/data/policycheck" { capabilities = ["read"',
            'secret/data/policycheck" { capabilities = ["read", "update"',
        )
        + asks
    )
    beyond = project.veil("secrets", "policy", "people", "--check", "--json")
    assert (beyond.status, beyond.json["differences"]) == (
        0, [{"store": "vault", "path": "secret/data/policycheck", "missing": [], "beyond": ["update"]}],
    )  # fmt: skip
    login.allow(asks)
    lacking = project.veil("secrets", "policy", "people", "--check", "--json")
    assert (lacking.status, lacking.json["errors"][0]["code"]) == (4, "VEIL406")
    assert {one["path"] for one in lacking.json["differences"] if one["missing"]} >= {"secret/data/policycheck"}


def test_the_check_of_secrets_tells_the_version_and_leaves_no_lease(project: Project, own_vault: VaultServer) -> None:
    """It logs in, reads and gives the login back."""
    login = Login(project, own_vault, "checked")
    login.allow(project.veil("secrets", "policy", "people").out)
    done = project.veil("secrets", "check", "--json")
    assert done.status == 0, done.out + done.err
    assert [(one["version"], one["readable"]) for one in done.json["secrets"]] == [("1", True)]
    assert own_vault.audited()[-1] == ("update", "auth/token/revoke-self")
    (access,) = project.veil("secrets", "list", "--accesses", "--json").json["accesses"]
    assert (access["name"], access["kind"], access["version"]) == ("keyring", "vault", "1")


def test_what_the_check_issues_it_revokes(project: Project, own_vault: VaultServer, postgresql: Any) -> None:
    """A user of the database was made and is gone; its lease stands in the record as a hash."""
    login = Login(project, own_vault, "issued")
    own_vault.set_up_database(postgresql.url, postgresql.password)
    with psycopg.connect(postgresql.full_url, autocommit=True) as connection:
        connection.execute("do $$ begin if to_regrole('etl_owner') is null then create role etl_owner; end if; end $$")
    names = project.directory / "secrets/names.yaml"
    text = names.read_text().replace("keyring: keyring\n", CONNECTION)
    names.write_text(
        text.replace(
            "secrets:\n", "secrets:\n  loader: {store: vault, engine: database, path: database/creds/loader}\n"
        )
    )
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(
        pipeline.read_text().replace("{kind: sqlite, path: out/people.db,", "{kind: postgresql, connection: warehouse,")
    )
    policy = project.veil("secrets", "policy", "people").out
    assert 'path "database/creds/loader" { capabilities = ["read"] }' in policy and "sys/leases/renew" in policy
    login.allow(policy)
    done = project.veil("secrets", "check", "loader", "--json")
    assert done.status == 0, done.out + done.err
    assert 0 < done.json["secrets"][0]["seconds_to_live"] <= 60
    assert own_vault.leases() == []
    (access,) = project.veil("secrets", "list", "--accesses", "--json").json["accesses"]
    assert len(access["lease"]) == 64 and "database" not in access["lease"]
    assert {one["name"]: one["presence"] for one in project.veil("secrets", "list", "--json").json["secrets"]}[
        "loader"
    ] == "on demand"


def test_keys_are_rotated_in_vault_where_the_policy_allows_it(project: Project, vault: VaultServer) -> None:
    """With a login that may write; the other fields of the secret stay. A login that reads prints the steps."""
    login = Login(project, vault, "rotated")
    login.allow(project.veil("secrets", "policy", "people").out)
    refused = project.veil("keys", "rotate")
    assert refused.status == 2 and "VEIL224" in refused.err and "veil keys rotate --out" in refused.err
    assert json.loads(login.kept()["keyring"]) == login.ring
    login.allow(project.veil("secrets", "policy", "people").out + WRITER.replace("NAME", "rotated"))
    done = project.veil("keys", "rotate", "--json")
    assert (done.status, done.json["active"]) == (0, 2), done.err
    kept = login.kept()
    assert kept["note"] == "stays" and json.loads(kept["keyring"])["active"] == 2


def test_a_login_that_may_not_read_metadata_lists_without_an_age(project: Project, vault: VaultServer) -> None:
    """The policy of a run stays as small as it is; the reason and the line for an operator are told."""
    login = Login(project, vault, "ages")
    exact = project.veil("secrets", "policy", "people").out
    assert "metadata" not in exact
    login.allow(exact)
    listed = project.veil("secrets", "list")
    assert listed.status == 0 and "VEIL406" not in listed.out, listed.err
    assert 'path "secret/metadata/ages" { capabilities = ["read"] }' in listed.err
    login.allow(exact + 'path "secret/metadata/ages" { capabilities = ["read"] }\n')
    assert "there" in project.veil("secrets", "list").out


def test_processes_that_add_together_lose_no_version_in_vault(project: Project, vault: VaultServer) -> None:
    """Each that ends well has a version of its own in the ring, by KV's check-and-set; who is refused is told so."""
    login = Login(project, vault, "together")
    login.allow(project.veil("secrets", "policy", "people").out + WRITER.replace("NAME", "together"))
    command = [sys.executable, "-m", "veilflow.cli", "keys", "add", "--json"]
    adding = [
        subprocess.Popen(command, cwd=project.directory, env=clean_environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [(one.communicate(timeout=120)[0], one.returncode) for one in adding]
    versions = sorted(json.loads(out)["version"] for out, status in ended if status == 0)
    refused = [json.loads(out)["errors"][0]["code"] for out, status in ended if status != 0]
    assert versions and set(refused) <= {"VEIL405"}
    assert versions == list(range(2, 2 + len(versions)))
    assert sorted(map(int, json.loads(login.kept()["keyring"])["keys"])) == [1, *versions]
    assert login.kept()["note"] == "stays"
