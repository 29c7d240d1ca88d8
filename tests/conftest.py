"""Projects that tests run: real files, a key ring in a file, SQLite as the target."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from database_servers import DatabaseServer, NoServer, running_mariadb, running_postgresql

from veilflow import redaction

ROWS = "id,name,email,age,city\n1,Ada,ada@example.com,36,London\n2,Bo,bo@example.org,17,Oslo\n3,Cy,,44,\n"

PIPELINE = """\
version: 1
source: {kind: csv, path: data/people.csv}
columns:
  age: {type: integer}
policy: people
target: {kind: sqlite, path: out/people.db, table: people, mode: replace}
"""

POLICY = """\
version: 1
purpose: tests
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
  email: {class: direct_identifier, treatment: mask_email}
  age: {class: quasi_identifier, treatment: {generalise: {width: 10}}}
  city: {class: quasi_identifier, treatment: keep, reason: reports are per city}
"""

NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
keyring: keyring
"""

KEYRING = {
    "veilflow_keyring": 1,
    "active": 1,
    "keys": {
        "1": {
            "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "state": "active",
            "created": "2026-01-01T00:00:00Z",
        }
    },
}


@dataclass(frozen=True)
class Finished:
    """A finished command: exit status and both streams."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on stdout."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


@dataclass(frozen=True)
class Project:
    """A project on disk and the command that runs it as a user would: in a process of its own."""

    directory: Path

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    def veil(self, *arguments: str, environment: dict[str, str] | None = None) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "veilflow.cli", *arguments],
            cwd=self.directory,
            env=clean_environment() | (environment or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def rows(self, table: str = "people", database: str = "out/people.db") -> list[tuple[Any, ...]]:
        """The published table, as another program sees it."""
        connection = sqlite3.connect(self.directory / database)
        try:
            return connection.execute(f'select * from "{table}"').fetchall()
        finally:
            connection.close()


def clean_environment() -> dict[str, str]:
    """The environment without what the person who runs the tests may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VEIL_", "GX_"))}


@pytest.fixture(autouse=True)
def forgotten_secrets() -> Iterator[None]:
    """What one test opened as a secret does not blank the texts of the next."""
    before = redaction._patterns
    yield
    redaction._patterns = before


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[[], Project]:
    """Makes a small project: five columns, five treatments."""

    def make() -> Project:
        project = Project(tmp_path / "project")
        project.write("data/people.csv", ROWS)
        project.write("pipelines/people.yaml", PIPELINE)
        project.write("policies/people.yaml", POLICY)
        project.write("secrets/names.yaml", NAMES)
        project.write("keyring.json", json.dumps(KEYRING)).chmod(0o600)
        return project

    return make


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()


def _server(start: Callable[[], AbstractContextManager[DatabaseServer]]) -> Iterator[DatabaseServer]:
    """The server while the tests run; with CI=true it must be there."""
    try:
        running = start()
        server = running.__enter__()
    except NoServer as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    try:
        yield server
    finally:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    """PostgreSQL, one for all tests."""
    yield from _server(running_postgresql)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """MariaDB, one for all tests."""
    yield from _server(running_mariadb)
