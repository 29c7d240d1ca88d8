"""The embedded server's start and end, with a child that does not come up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from veilflow import prefect_server
from veilflow.errors import VeilError


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


@pytest.fixture
def broken_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends at once."""
    monkeypatch.setattr(prefect_server, "_CHILD", "import sys; sys.exit(3)")


@pytest.mark.usefixtures("broken_child")
def test_a_server_that_ends_is_reported_without_its_credential(tmp_path: Path) -> None:
    """The error names status and log; the environment is as it was before."""
    before = environment()
    server = prefect_server.start(tmp_path / ".veil")
    credential = os.environ["PREFECT_API_AUTH_STRING"]
    with pytest.raises(VeilError, match="ended with status 3") as caught:
        server.wait()
    assert caught.value.code == "VEIL104"
    assert credential not in str(caught.value) + repr(server)
    assert environment() == before


@pytest.mark.usefixtures("broken_child")
def test_the_key_is_made_once_and_each_start_has_its_own_credential(tmp_path: Path) -> None:
    """Another key would make every stored secret unreadable."""
    key = tmp_path / ".veil/keys/prefect-encryption.key"
    seen = []
    for _ in range(2):
        server = prefect_server.start(tmp_path / ".veil")
        seen.append((key.read_bytes(), os.environ["PREFECT_API_AUTH_STRING"]))
        server.stop()
        server.stop()
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [file.name for file in key.parent.iterdir()] == [key.name]


@pytest.mark.usefixtures("broken_child")
def test_settings_for_another_server_do_not_reach_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's Prefect Cloud key is not sent to it, and comes back afterwards; a proxy is passed by."""
    monkeypatch.setenv("PREFECT_API_KEY", "of-another-account")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    server = prefect_server.start(tmp_path / ".veil")
    assert "PREFECT_API_KEY" not in os.environ
    assert os.environ["NO_PROXY"] == "intern.example,127.0.0.1"
    server.stop()
    assert os.environ["PREFECT_API_KEY"] == "of-another-account"


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before any process is started."""
    (tmp_path / ".veil").write_text("a file")
    with pytest.raises(VeilError) as caught:
        prefect_server.start(tmp_path / ".veil")
    assert caught.value.code == "VEIL101"
