"""Prefect's own server as a child: modes, secrets, and that it never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from veilflow import prefect_server
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret, SecretRef, SecretStore
from veilflow.secret_stores import open_store
from veilflow.testing import SecretStoreContract

pytestmark = pytest.mark.live

PARENT = """
import sys, time
from pathlib import Path
from veilflow import prefect_server
server = prefect_server.start(Path(sys.argv[1]))
server.wait()
assert "prefect" not in sys.modules
print(server.pid, flush=True)
time.sleep(600)
"""


APPEND = """
import sys, time
from pathlib import Path
from veilflow.errors import PassingFault
from veilflow.model import Secret, SecretRef
from veilflow.secret_stores import open_store
store, ref = open_store("prefect", {}, Path(".")), SecretRef("written-by-two")
for number in range(5):
    while True:
        old = store.read(ref)
        try:
            store.replace(ref, old, Secret(f"{old.secret.reveal()} {sys.argv[1]}{number}"))
            break
        except PassingFault:
            time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A `.veil` whose server is up, with this process's Prefect client pointed at it."""
    path = tmp_path_factory.mktemp("project") / ".veil"
    before = _environment()
    server = prefect_server.start(path)
    server.wait()
    yield path
    server.stop()
    assert _environment() == before


class TestPrefectBlocks(SecretStoreContract):
    """Secret blocks keep to the contract of all stores; Prefect's own ``get`` would parse what looks like JSON."""

    @pytest.fixture
    def store(self, directory: Path) -> SecretStore:
        return open_store("prefect", {}, directory.parent)

    def ref(self, name: str) -> SecretRef:
        """One server serves all tests: each test has names of its own."""
        test = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].partition(" ")[0]
        return SecretRef(f"{test.replace('_', '-')}-{name}")


def test_a_field_is_an_entry_of_the_object_in_the_block(directory: Path) -> None:
    """A login block can hold user and password together."""
    store = open_store("prefect", {}, directory.parent)
    store.write(SecretRef("login"), Secret('{"user": "u", "password": "007"}'))
    assert store.read(SecretRef("login", "password")).secret.reveal() == "007"
    with pytest.raises(VeilError, match="VEIL221"):
        store.read(SecretRef("login", "token"))


def test_a_typed_block_is_a_login_with_its_password_as_it_was_typed(directory: Path) -> None:
    """The form of Prefect's page: a password that looks like a number stays a text, and one field can be named."""
    from veilflow.secret_stores.prefect_blocks import DatabaseCredentials

    store = open_store("prefect", {}, directory.parent)
    DatabaseCredentials(username="loader", password="1e5000000").save("warehouse", _sync=True)  # type: ignore[call-arg,arg-type]
    ref = SecretRef("veilflow-database-credentials/warehouse")
    assert json.loads(store.read(ref).secret.reveal()) == {"username": "loader", "password": "1e5000000"}
    password = SecretRef(ref.path, field="password")
    assert store.read(password).secret.reveal() == "1e5000000"
    assert store.facts(ref) is not None
    store.replace(password, store.read(password), Secret("another-password"))
    assert json.loads(store.read(ref).secret.reveal()) == {"username": "loader", "password": "another-password"}
    with pytest.raises(VeilError, match="VEIL221.*warehous"):
        store.read(SecretRef("veilflow-database-credentials/warehous"))


def test_the_block_type_shows_in_prefects_pages(directory: Path) -> None:
    """Its form marks the password as a secret, so the pages and the API show it as stars."""
    from prefect.client.orchestration import get_client

    from veilflow.secret_stores.prefect_blocks import DatabaseCredentials, register

    register()
    DatabaseCredentials(username="loader", password="clear-marker-value").save("shown", _sync=True)  # type: ignore[call-arg,arg-type]
    with get_client(sync_client=True) as client:
        kind = client.read_block_type_by_slug("veilflow-database-credentials")
        assert kind.name == "Veilflow Database Credentials"
        schema = client.get_most_recent_block_schema_for_block_type(kind.id)
        assert schema is not None and schema.fields["secret_fields"] == ["password"]
        shown = client.read_block_document_by_name("shown", "veilflow-database-credentials", include_secrets=False)
    assert "clear-marker-value" not in str(shown.data)


def test_two_processes_that_write_a_block_never_lose_what_the_other_wrote(directory: Path) -> None:
    """Who died in the middle of writing stops the others for a minute at most."""
    store, ref = open_store("prefect", {}, directory.parent), SecretRef("written-by-two")
    store.write(ref, Secret("beginning"))
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, name]) for name in "ab"]
    assert [writer.wait(240) for writer in writers] == [0, 0]
    written = store.read(ref).secret.reveal().split()
    assert sorted(written[1:]) == sorted(f"{name}{number}" for name in "ab" for number in range(5))


def test_what_a_dead_writer_left_is_taken_away_after_its_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the block is somebody's, and nothing is written."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import VariableCreate

    from veilflow.secret_stores import prefect as room

    store, ref = open_store("prefect", {}, directory.parent), SecretRef("left-behind")
    store.write(ref, Secret("value-one"))
    with get_client(sync_client=True) as client:
        client.create_variable(VariableCreate(name="veilflow_writes_left_behind", value="a process that died"))
    for _ in range(2):
        with pytest.raises(PassingFault, match="VEIL405"):
            store.replace(ref, store.read(ref), Secret("value-two"))
    monkeypatch.setattr(room, "_TURN_SECONDS", 0.0)
    with pytest.raises(PassingFault, match="VEIL405"):
        store.replace(ref, store.read(ref), Secret("value-two"))
    store.replace(ref, store.read(ref), Secret("value-two"))
    assert store.read(ref).secret.reveal() == "value-two"


def test_a_missing_block_is_named(directory: Path) -> None:
    """The error says which block, with a code of its own."""
    with pytest.raises(VeilError, match="VEIL221.*no-such-block"):
        open_store("prefect", {}, directory.parent).read(SecretRef("no-such-block"))


def test_only_the_owner_can_read_what_the_server_keeps(directory: Path) -> None:
    """Directories are 0700, the database and the key 0600; the secret and its key are not in clear in it."""
    open_store("prefect", {}, directory.parent).write(SecretRef("marker"), Secret("clear-marker-value"))
    for path in [directory, *directory.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    kept = b"".join(file.read_bytes() for file in (directory / "prefect").iterdir())
    key = (directory / "keys" / "prefect-encryption.key").read_bytes()
    assert b"clear-marker-value" not in kept
    assert key not in kept
    assert os.environ["PREFECT_API_AUTH_STRING"].encode() not in kept


def test_a_stranger_on_the_machine_is_rejected(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this start's credential a block cannot be read, and the error does not say more."""
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    with (
        temporary_settings({PREFECT_API_AUTH_STRING: "veil:guess"}),
        pytest.raises(VeilError, match="VEIL403"),
    ):
        open_store("prefect", {}, directory.parent).read(SecretRef("first"))


def test_the_server_ends_when_its_parent_is_killed(directory: Path, tmp_path: Path) -> None:
    """Also by SIGKILL, which no parent can answer."""
    root = str(Path(prefect_server.__file__).resolve().parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / ".veil")],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root},
    ) as parent:  # fmt: skip
        assert parent.stdout
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        end = time.monotonic() + 30
        while _alive(child) and time.monotonic() < end:
            time.sleep(0.05)
        assert not _alive(child)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def _alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
