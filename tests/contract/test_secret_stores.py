"""What every secret store that can be written keeps to; Prefect's own run of it is among the live tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilflow.errors import VeilError
from veilflow.model import Secret, SecretStore
from veilflow.secret_stores import open_store

WRITABLE = ["file"]
#: One trailing line end belongs to the file, so a secret that ends with one is not a file's.
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text[-1] not in "\r\n")


@pytest.fixture(params=WRITABLE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SecretStore:
    """An empty store of each kind."""
    return open_store(request.param, {}, tmp_path)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_what_is_written_is_read_back_exactly(store: SecretStore, value: str) -> None:
    """Any text: numbers, JSON, blanks, any script."""
    name = f"secret-{abs(hash(value))}"
    if not store.exists(name):
        store.write(name, Secret(value))
    assert store.read(name, None).reveal() == value


def test_nothing_is_ever_replaced(store: SecretStore) -> None:
    """The first value stays, and the refusal does not tell it."""
    store.write("name", Secret("first-marker"))
    with pytest.raises(VeilError) as caught:
        store.write("name", Secret("second-marker"))
    assert caught.value.code == "VEIL220"
    assert "marker" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert store.read("name", None).reveal() == "first-marker"


@pytest.mark.parametrize("kind", ["file", "env"])
def test_a_missing_secret_is_not_there_and_cannot_be_read(kind: str, tmp_path: Path) -> None:
    """``exists`` and ``read`` agree."""
    store = open_store(kind, {}, tmp_path)
    assert not store.exists("VEIL_NO_SUCH_SECRET")
    with pytest.raises(VeilError) as caught:
        store.read("VEIL_NO_SUCH_SECRET", None)
    assert caught.value.code == "VEIL221"


def test_opening_a_store_does_not_import_prefect_unless_it_is_prefects(tmp_path: Path) -> None:
    """`veil run --direct` with a key in a file or variable works without Prefect."""
    import subprocess
    import sys

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
