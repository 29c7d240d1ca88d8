"""Rows in quarantine whose key Vault's Transit wraps: a run encrypts and cannot open, who may decrypt opens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
import pytest
from vault_server import VaultServer

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.live

NAMES = """\
version: 1
stores:
  files: {kind: file}
  vault: {kind: vault, address: "ADDRESS", auth: {approle: {role_id: "ROLE_ID", secret_id: {file: secret_id}}}}
secrets: {keyring: {store: files, path: keyring.json}}
keyring: keyring
"""
SUITE = "expectations:\n  - {type: expect_column_values_to_be_in_set, kwargs: {column: city, value_set: [London]}, severity: warning}\n"
RUN = ("run", "people", "--direct", "--json")
SHOW = ("quarantine", "show", "last", "--show-values", "--json")
OPENS = 'path "transit/decrypt/held" { capabilities = ["update"] }\n'


def log_in(project: Project, vault: VaultServer, policy: str) -> None:
    """Let the project log in under a role that has this policy alone."""
    vault.write("sys/policies/acl/held", policy=policy)
    vault.write("auth/approle/role/held", token_policies="held")
    role_id, secret_id = vault.approle("held")
    project.write("secret_id", secret_id).chmod(0o600)
    project.write("secrets/names.yaml", NAMES.replace("ADDRESS", vault.address).replace("ROLE_ID", role_id))


def wrapping(make_project: Callable[[], Project], vault: VaultServer) -> Project:
    """A project whose run holds back Bo, under the policy that Veilflow itself generates for it."""
    project = make_project()
    vault.write("transit/keys/held")
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    wrapped = "quarantine: {wrapped_by: {store: vault, path: transit/keys/held}}\n"
    project.write("pipelines/people.yaml", pipeline + "expectations: people\n" + wrapped)
    project.write("pipelines/expectations/people.yaml", SUITE)
    log_in(project, vault, OPENS)
    hcl = project.veil("secrets", "policy", "people").out
    assert 'path "transit/encrypt/held"' in hcl
    assert "decrypt" not in hcl
    log_in(project, vault, hcl)
    return project


def test_a_run_wraps_its_key_and_only_who_may_decrypt_opens_the_rows(
    make_project: Callable[[], Project], vault: VaultServer
) -> None:
    """The generated policy is enough to run, and not enough to look."""
    project = wrapping(make_project, vault)
    assert project.veil("secrets", "policy", "people", "--check").status == 0
    ran = project.veil(*RUN)
    assert (ran.status, ran.json["counts"]["quarantined"]) == (0, 1), ran.out
    assert project.veil("quarantine", "show", "last").status == 0
    shown = project.veil(*SHOW)
    assert (shown.status, shown.json["errors"][0]["code"]) == (4, "VEIL406")
    assert "transit/decrypt/held" in shown.json["errors"][0]["hint"]
    log_in(project, vault, OPENS)
    assert project.veil(*SHOW).json["rows"][0]["values"]["name"] == "Bo"


def test_the_file_opens_with_age_after_vault_itself_unwrapped_its_key(
    make_project: Callable[[], Project], vault: VaultServer
) -> None:
    """`vault write transit/decrypt/held ciphertext=…` on what the manifest holds, then `age -d`: without Veilflow."""
    project = wrapping(make_project, vault)
    assert project.veil(*RUN).status == 0
    (manifest,) = (project.directory / ".veil/quarantine").glob("*/manifest.jsonl")
    (line,) = manifest.read_text().splitlines()
    wrapped = json.loads(line)["entry"]["wrapped"]
    assert (wrapped["store"], wrapped["path"]) == ("vault", "transit/keys/held")
    answer = vault.write("transit/decrypt/held", ciphertext=wrapped["key"])
    identity = base64.b64decode(answer["data"]["plaintext"]).decode()
    assert identity.startswith("AGE-SECRET-KEY-1")
    (file,) = manifest.parent.glob("*.age")
    assert b"Bo" in pyrage.decrypt(file.read_bytes(), [pyrage.x25519.Identity.from_str(identity)])
    everything = [path.read_bytes() for path in Path(project.directory).rglob("*") if path.is_file()]
    assert not any(identity.encode() in content for content in everything)


def test_each_run_has_a_key_of_its_own(make_project: Callable[[], Project], vault: VaultServer) -> None:
    """Who was given one run's key opens no other's."""
    project = wrapping(make_project, vault)
    for _ in range(2):
        assert project.veil(*RUN).status == 0
    lines = [path.read_text() for path in (project.directory / ".veil/quarantine").glob("*/manifest.jsonl")]
    assert len({json.loads(line)["entry"]["recipient"] for line in lines}) == 2


def test_refuses_before_it_reads_where_transit_denies_or_is_away(
    make_project: Callable[[], Project], own_vault: VaultServer
) -> None:
    """What could not be held back safely is not read, and nothing is loaded."""
    project = wrapping(make_project, own_vault)
    log_in(project, own_vault, OPENS)
    denied = project.veil(*RUN)
    assert (denied.status, denied.json["errors"][0]["code"], denied.json["counts"]["read"]) == (4, "VEIL406", 0)
    own_vault.seal()
    away = project.veil(*RUN)
    assert (away.status, away.json["errors"][0]["code"], away.json["counts"]["read"]) == (4, "VEIL404", 0)
    assert not (project.directory / "out/people.db").exists() or "people" not in str(project.rows("sqlite_master"))
    assert not (project.directory / ".veil/quarantine").exists()
