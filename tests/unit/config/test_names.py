"""``secrets/names.yaml``: places of secrets and who answers for them, with no field in which a value would fit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from veilflow.config import NamesConfig, load_names
from veilflow.errors import VeilError
from veilflow.model import SecretRef
from veilflow.run.secrets import check_kinds

NAMES = """\
version: 1
stores:
  local: {kind: prefect}
  vault: {kind: file}
secrets:
  keyring: {store: vault, engine: kv2, path: secret/veilflow, field: keyring, version: 3, owner: platform, rotate_after: 90 d}
  pin: {store: local, path: pin, unsafe_short: the terminal takes four digits}
keyring: keyring
"""


def load(tmp_path: Path, names: str, environment: str = "dev") -> NamesConfig:
    (tmp_path / "secrets").mkdir(exist_ok=True)
    (tmp_path / "secrets/names.yaml").write_text(names, encoding="utf-8")
    return load_names(tmp_path, environment)


def test_a_secret_is_a_place_with_an_owner_and_a_time_to_rotate(tmp_path: Path) -> None:
    """Every key that it takes."""
    names = load(tmp_path, NAMES)
    keyring = names.secrets["keyring"]
    assert keyring.ref == SecretRef("secret/veilflow", "keyring", "kv2", 3)
    assert (keyring.store, keyring.owner, keyring.rotate_after) == ("vault", "platform", timedelta(days=90))
    assert names.secrets["pin"].unsafe_short == "the terminal takes four digits"
    assert str(keyring.place) == "secrets/names.yaml:6:3"


@pytest.mark.parametrize("key", ["value", "password", "secret", "default", "token"])
def test_there_is_no_key_for_a_value(tmp_path: Path, key: str) -> None:
    """An unknown key is an error that names the line and not what stands there."""
    with pytest.raises(VeilError) as caught:
        load(tmp_path, NAMES.replace("path: pin", f"path: pin, {key}: marker-7f3a"))
    assert (caught.value.code, caught.value.place and caught.value.place.line) == ("VEIL201", 7)
    assert "marker" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        ("version: 3", "version: 0"), ("version: 3", 'version: "3"'), ("90 d", "90"), ("90 d", "0 d"),
        ("90 d", "3 weeks"), ("the terminal takes four digits", '" "'), ("owner: platform", "owner: 3"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_an_error_with_its_line(tmp_path: Path, change: tuple[str, str]) -> None:
    """Versions from 1, days in words, reasons with a reason."""
    with pytest.raises(VeilError) as caught:
        load(tmp_path, NAMES.replace(*change))
    assert caught.value.code == "VEIL202"
    assert caught.value.place and caught.value.place.line in (6, 7)


def test_an_environment_lays_its_own_places_over_the_secrets(tmp_path: Path) -> None:
    """Production's key ring lies elsewhere; the other secrets stay."""
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments/prod.yaml").write_text(
        "version: 1\nstores: {safe: {kind: file}}\nsecrets: {keyring: {store: safe, path: /run/ring}}\n"
    )
    names = load(tmp_path, NAMES, "prod")
    assert names.secrets["keyring"].ref == SecretRef("/run/ring") and "pin" in names.secrets
    assert load(tmp_path, NAMES).secrets["keyring"].store == "vault"


def test_a_kind_of_store_that_nobody_brings_is_named_with_its_line(tmp_path: Path) -> None:
    """Before anything is opened, and with the nearest kind."""
    with pytest.raises(VeilError, match="did you mean prefect") as caught:
        check_kinds(load(tmp_path, NAMES.replace("kind: prefect", "kind: perfect")))
    assert (caught.value.code, str(caught.value.place)) == ("VEIL220", "secrets/names.yaml:3:3")
