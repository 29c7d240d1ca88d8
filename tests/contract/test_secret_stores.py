"""What every secret store that can be written keeps to; Prefect's and Vault's own runs of it are among the live tests."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilflow import secret_stores
from veilflow.errors import VeilError
from veilflow.model import Reading, Secret, SecretFacts, SecretRef, SecretStore
from veilflow.secret_stores import kinds, open_store
from veilflow.testing import SecretStoreContract, refused

#: One trailing line end belongs to the file, so a secret that ends with one is not a file's.
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text[-1] not in "\r\n")


class TestFiles(SecretStoreContract):
    """Files of a project."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> SecretStore:
        return open_store("file", {}, tmp_path)

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=VALUES)
    def test_any_text_is_read_back_exactly(self, store: SecretStore, value: str) -> None:
        """Numbers, JSON, blanks, any script."""
        ref = SecretRef(f"secret-{abs(hash(value))}")
        if store.facts(ref) is None:
            store.write(ref, Secret(value))
        assert store.read(ref).secret.reveal() == value


class Memory:
    """A store of a package outside."""

    def __init__(self, options: Any) -> None:
        self.options, self._kept = options, dict[str, Secret]()

    def read(self, ref: SecretRef) -> Reading:
        if ref.path not in self._kept:
            raise VeilError("VEIL221", f"memory has no {ref.path}", "write it")
        return Reading(self._kept[ref.path])

    def facts(self, ref: SecretRef) -> SecretFacts | None:
        return SecretFacts() if ref.path in self._kept else None

    def write(self, ref: SecretRef, value: Secret) -> None:
        if ref.path in self._kept:
            raise VeilError("VEIL220", f"memory has {ref.path}", "name another")
        self._kept[ref.path] = value

    def replace(self, ref: SecretRef, old: Reading, value: Secret) -> None:
        from veilflow.errors import PassingFault

        if self.read(ref).secret != old.secret:
            raise PassingFault("VEIL405", f"{ref.path} was changed", "run it again")
        self._kept[ref.path] = value


def open_memory(options: Any, _project: Path) -> SecretStore:
    return Memory(options)


BROUGHT = {
    "memory": EntryPoint("memory", f"{__name__}:open_memory", secret_stores.ENTRY_POINTS),
    "broken": EntryPoint("broken", "no_such_package:open", secret_stores.ENTRY_POINTS),
    "file": EntryPoint("file", f"{__name__}:open_memory", secret_stores.ENTRY_POINTS),
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings three kinds of store is installed."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Memory.__module__])

    def entry_points(*, group: str, name: str | None = None) -> tuple[EntryPoint, ...]:
        return tuple(entry for entry in BROUGHT.values() if entry.group == group and name in (None, entry.name))

    monkeypatch.setattr(secret_stores, "entry_points", entry_points)


@pytest.mark.usefixtures("installed")
class TestStoreOfAnotherPackage(SecretStoreContract):
    """A store that joins by its entry point keeps to the same contract."""

    @pytest.fixture
    def store(self, tmp_path: Path, installed: None) -> SecretStore:
        return open_store("memory", {"size": 3}, tmp_path)

    def test_it_gets_its_options(self, store: SecretStore) -> None:
        """As they stand under its name in secrets/names.yaml."""
        assert isinstance(store, Memory) and store.options == {"size": 3}

    def test_it_is_among_the_kinds(self) -> None:
        """After Veilflow's own."""
        assert kinds()[-1] == "memory" and "env" in kinds()

    def test_it_cannot_take_the_place_of_veilflows_own(self, tmp_path: Path) -> None:
        """Nobody gets a key ring by installing a package."""
        assert not isinstance(open_store("file", {}, tmp_path), Memory)

    def test_one_that_cannot_be_imported_is_named(self, tmp_path: Path) -> None:
        """By its kind, without the error's text."""
        error = refused("VEIL220", lambda: open_store("broken", {}, tmp_path), "no_such_package")
        assert "ModuleNotFoundError" in error.problem


def test_opening_a_store_does_not_import_prefect_unless_it_is_prefects(tmp_path: Path) -> None:
    """`veil run --direct` with a key in a file or variable works without Prefect."""
    import subprocess

    import veilflow

    root = str(Path(veilflow.__file__).resolve().parents[1])
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from pathlib import Path\n"
        "from veilflow.secret_stores import open_store\n"
        "open_store('file', {}, Path('.')), open_store('env', {}, Path('.'))\n"
        "sys.exit('prefect' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, root], check=False).returncode == 0
