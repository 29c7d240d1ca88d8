"""`docs/how-to/vault.md` is followed line by line, against a real Vault and a real PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from vault_server import VaultServer, clean_environment, find_vault, free_port

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.live

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/vault.md"
#: The few of Vault's commands that the page uses, as the requests that they are. A `vault` on the PATH is used itself.
COMMAND = """\
#!{python}
import json, os, sys, urllib.request
words, options = [], {{}}
for word in sys.argv[1:]:
    if word.startswith("-"):
        name, _, value = word[1:].partition("=")
        options[name] = value
    else:
        words.append(word)
def value(text):
    return open(text[1:]).read() if text.startswith("@") else text
def ask(method, path, body=None):
    request = urllib.request.Request(os.environ["VAULT_ADDR"] + "/v1/" + path, method=method)
    request.add_header("X-Vault-Token", os.environ["VAULT_TOKEN"])
    data = None if body is None else json.dumps(body).encode()
    text = urllib.request.urlopen(request, data).read()
    return json.loads(text)["data"] if text else {{}}
pairs = {{k: value(v) for k, _, v in (word.partition("=") for word in words[2:])}}
match words[0], words[1]:
    case "secrets", "enable":
        mount = {{"type": words[2]}}
        if "version" in options:
            mount["options"] = {{"version": options["version"]}}
        found = ask("POST", "sys/mounts/" + options.get("path", words[2]), mount)
    case "auth", "enable":
        found = ask("POST", "sys/auth/" + words[2], {{"type": words[2]}})
    case "policy", "write":
        found = ask("POST", "sys/policies/acl/" + words[2], {{"policy": open(words[3]).read()}})
    case "write", path:
        found = ask("POST", path, pairs)
    case "read", path:
        found = ask("GET", path)
if "field" in options:
    print(found[options["field"]], end="")
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_leads_to_a_run_that_gives_everything_back(
    vault_binary: None, project: Project, postgresql: Any, tmp_path: Path
) -> None:
    """Only host names, the port and the role's id are put in."""
    server = VaultServer(*find_vault(), tmp_path, free_port())
    with psycopg.connect(postgresql.full_url, autocommit=True) as administrator:
        administrator.execute("drop database if exists warehouse")
        administrator.execute("drop role if exists vault_admin")
        administrator.execute(
            "do $$ begin if to_regrole('etl_owner') is not null then drop owned by etl_owner; drop role etl_owner; end if; end $$"
        )
        administrator.execute("create database warehouse")
    warehouse = postgresql.full_url.replace("/postgres", "/warehouse")
    try:
        server.start()
        with psycopg.connect(warehouse, autocommit=True) as administrator:
            administrator.execute(blocks("sql")[0].encode())
            follow(project, server, postgresql.port)
            loaded = administrator.execute("select name, city from people order by name").fetchall()
            assert loaded == [("A**", "London"), ("B*", "Oslo"), ("C*", None)]
            owner = administrator.execute("select tableowner from pg_tables where tablename = 'people'").fetchone()
            assert owner == ("etl_owner",)
        assert server.leases() == []
    finally:
        server.stop()


def follow(project: Project, server: VaultServer, port: int) -> None:
    """Write the page's files and run its commands, in the page's order."""
    directory = project.directory
    (directory / "keyring.json").unlink()
    here = {
        "https://vault.example:8200": server.address, "db.example:5432": f"127.0.0.1:{port}",
    }  # fmt: skip
    project.write("loader.sql", blocks("sql-of-vault")[0])
    project.write("veilflow.hcl", blocks("hcl")[0])
    commands = directory / ".commands"
    project.write(".commands/veil", f'#!/bin/sh\nexec {sys.executable} -m veilflow.cli "$@"\n').chmod(0o755)
    if server.kind == "built":
        project.write(".commands/vault", COMMAND.format(python=sys.executable)).chmod(0o755)
    environment = clean_environment() | {
        "VAULT_ADDR": server.address, "VAULT_TOKEN": server.token, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip

    def shell(number: int) -> str:
        text = replaced(blocks("sh")[number], here)
        done = subprocess.run(
            ["sh", "-e", "-c", text], cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        return done.stdout

    shell(0)
    role_id = re.findall(r"[0-9a-f-]{36}", shell(1))[0]
    project.write("secrets/names.yaml", replaced(blocks("yaml")[0], here | {"ROLE_ID": role_id}))
    project.write("environments/operator.yaml", replaced(blocks("operator-yaml")[0], here))
    pipeline = directory / "pipelines/people.yaml"
    target = re.search(r"`target: (\{.*?\})`", PAGE.read_text(encoding="utf-8"))
    assert target is not None
    pipeline.write_text(re.sub(r"target: .*", f"target: {target[1]}", pipeline.read_text()))
    shell(2)
    shell(3)


def replaced(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text
