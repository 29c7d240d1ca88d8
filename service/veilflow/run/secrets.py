"""Opening secrets by their names, at the point of use; there is no second place to look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from veilflow.config import NamesConfig, SecretConfig
from veilflow.errors import VeilError, raise_all
from veilflow.model import Secret
from veilflow.redaction import SHORTEST
from veilflow.secret_stores import open_store, unknown_kind


def check_kinds(names: NamesConfig) -> NamesConfig:
    """``names``, if every kind of store in it is known; all that are not are raised together."""
    raise_all(
        VeilError(error.code, error.problem, error.hint, store.place)
        for store in names.stores.values()
        if (error := unknown_kind(store.kind))
    )
    return names


def read_secret(project: Path, names: NamesConfig, name: str | None) -> Secret:
    """Open a secret by its name in ``secrets/names.yaml``. VEIL222 if it is shorter than may be redacted."""
    config = secret_named(names, name)
    store = names.stores[config.store]
    try:
        reading = open_store(store.kind, store.options, project).read(config.ref)
        return long_enough(reading.secret, config)
    except VeilError as error:
        hint = error.hint if error.code != "VEIL221" else f"{error.hint}; `veil init` makes the key ring"
        raise type(error)(error.code, f'secret "{name}": {error.problem}', hint, error.place) from None


def secret_named(names: NamesConfig, name: str | None) -> SecretConfig:
    """Where a secret lies. VEIL220 for a name that is not there."""
    if name is None or name not in names.secrets:
        raise VeilError(
            "VEIL220", "the project names no key ring" if name is None else f'there is no secret named "{name}"',
            "add it to secrets/names.yaml; it has: " + (", ".join(sorted(names.secrets)) or "none"),
        )  # fmt: skip
    return names.secrets[name]


def long_enough(secret: Secret, config: SecretConfig) -> Secret:
    """The secret, if it can be redacted or a person said why it may be short."""
    if len(secret) < SHORTEST and config.unsafe_short is None:
        raise VeilError(
            "VEIL222", f"the value has fewer than {SHORTEST} characters",
            "redacting it would blank ordinary text: choose a longer one, or say why not with `unsafe_short: reason`",
            config.place,
        )  # fmt: skip
    return secret


def connection_url(project: Path, names: NamesConfig, name: str) -> Secret:
    """The connection's URL with its credential: JSON with username and password, or the bare password."""
    connection = names.connections[name]
    if connection.credential is None:
        return Secret(connection.url)
    credential = read_secret(project, names, connection.credential)
    user, password = _login(credential)
    long_enough(password, secret_named(names, connection.credential))
    return _with_login(connection.url, user, password)


def _with_login(url: str, user: str | None, password: Secret) -> Secret:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    name = quote(user or parts.username or "", safe="")
    return Secret(urlunsplit(parts._replace(netloc=f"{name}:{quote(password.reveal(), safe='')}@{host}")))


def _login(credential: Secret) -> tuple[str | None, Secret]:
    try:
        document: Any = json.loads(credential.reveal())
    except ValueError:
        return None, credential
    if isinstance(document, dict) and isinstance(document.get("password"), str):
        user = document.get("username")
        return (user if isinstance(user, str) else None), Secret(document["password"])
    return None, credential
