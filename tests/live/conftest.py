"""Real servers, started on free loopback ports in temporary directories and stopped by their own pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from vault_server import NoVault, VaultServer, find_vault, running_vault

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass(frozen=True)
class PostgresqlServer:
    """A server of our own; ``url`` has no password, ``password`` stands beside it."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://veil@127.0.0.1:{self.port}/postgres"

    @property
    def full_url(self) -> str:
        return f"postgresql://veil:{self.password}@127.0.0.1:{self.port}/postgres"


def _binaries() -> Path | None:
    directories = [*_DEBIAN, *(Path(part) for part in os.environ.get("PATH", "").split(os.pathsep))]
    return next((one for one in directories if (one / "initdb").exists() and (one / "pg_ctl").exists()), None)


def _install() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "postgresql"],
            check=False,
            capture_output=True,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """PostgreSQL as a non-root user; with CI=true it must be there."""
    global _DEBIAN
    if _binaries() is None:
        _install()
        _DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    binaries = _binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed, and CI needs it")
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    directory = Path(tempfile.mkdtemp(prefix="veilflow-pg-"))
    try:
        password = directory / "password"
        password.write_text("loopback-only-secret")
        if user:
            for path in (directory, password):
                shutil.chown(path, "postgres")
        data = directory / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        initdb = [
            str(binaries / "initdb"),
            "-D",
            str(data),
            "-A",
            "scram-sha-256",
            "-U",
            "veil",
            "--pwfile",
            str(password),
            "-E",
            "UTF8",
        ]
        subprocess.run([*user, *initdb], check=True, capture_output=True, cwd=directory)
        control = [*user, str(binaries / "pg_ctl"), "-D", str(data)]
        options = f"-p {port} -h 127.0.0.1 -k {directory}"
        subprocess.run(
            [*control, "-o", options, "-w", "-l", str(directory / "log"), "start"],
            check=True,
            capture_output=True,
            cwd=directory,
        )
        try:
            yield PostgresqlServer(port, "loopback-only-secret")
        finally:
            subprocess.run([*control, "-m", "immediate", "-w", "stop"], check=False, capture_output=True, cwd=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def vault_binary() -> None:
    """Vault, from the PATH or built; with CI=true it must be there."""
    try:
        find_vault()
    except NoVault as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def vault(vault_binary: None) -> Iterator[VaultServer]:
    """The server that most tests share; one that is sealed or killed belongs to its test alone."""
    with own_directory() as directory, running_vault(directory) as server:
        yield server


@pytest.fixture
def own_vault(vault_binary: None) -> Iterator[VaultServer]:
    """A server that its test may seal and kill."""
    with own_directory() as directory, running_vault(directory) as server:
        yield server


@contextmanager
def own_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="veilflow-vault-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
