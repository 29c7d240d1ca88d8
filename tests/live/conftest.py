"""Real servers, started on free loopback ports in temporary directories and stopped by their own pid."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from vault_server import NoVault, VaultServer, find_vault, running_vault


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
