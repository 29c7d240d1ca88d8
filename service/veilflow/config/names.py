"""The loader of ``secrets/names.yaml``: where secrets lie, who answers for them, and never what they are."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from veilflow.config.environments import overlay
from veilflow.config.files import LONGEST_SECONDS
from veilflow.config.nodes import Mapping, Node, read_yaml
from veilflow.config.objects import ConnectionConfig, NamesConfig, SecretConfig, StoreConfig
from veilflow.errors import Place, VeilError, raise_all
from veilflow.model import SecretRef

_DAYS = re.compile(r"([1-9][0-9]{0,4}) ?(?:d|days?)")


def load_names(project: Path, environment: str) -> NamesConfig:
    """``secrets/names.yaml`` with the stores, secrets and connections of ``environments/<environment>.yaml`` laid over
    its own."""
    problems: list[VeilError] = []
    path = project / "secrets" / "names.yaml"
    if not path.is_file():
        raise VeilError(
            "VEIL204", "the project has no secrets/names.yaml", "`veil init DIR` shows one; it names places of secrets"
        )
    root = Mapping(read_yaml(path, "secrets/names.yaml"), "secrets/names.yaml", problems)
    root.version()
    stores = _stores(root.sub("stores"))
    secrets = _secrets(root.sub("secrets"))
    connections = _connections(root.sub("connections"))
    keyring = root.text("keyring")
    root.end()
    over = overlay(project, environment, problems)
    if over is not None:
        stores |= _stores(over.sub("stores"))
        secrets |= _secrets(over.sub("secrets"))
        connections |= _connections(over.sub("connections"))
    names = NamesConfig(stores, secrets, connections, keyring)
    problems += _dangling(names, root.place)
    raise_all(problems)
    return names


def _stores(found: Mapping | None) -> dict[str, StoreConfig]:
    stores = {}
    for name, node in found.items() if found else ():
        store = Mapping(node, f"stores.{name}", found._problems if found else [])
        kind = store.text("kind", "", required=True)
        options = {key: value.plain for key, value in store.items() if key != "kind"}
        stores[name] = StoreConfig(kind, options, node.place)
    return stores


def _secrets(found: Mapping | None) -> dict[str, SecretConfig]:
    secrets = {}
    for name, node in found.items() if found else ():
        secret = Mapping(node, f"secrets.{name}", found._problems if found else [])
        ref = SecretRef(
            path=secret.text("path", "", required=True),
            field=secret.text("field"),
            engine=secret.text("engine"),
            version=_version(secret),
        )
        secrets[name] = SecretConfig(
            store=secret.text("store", "", required=True),
            ref=ref,
            owner=secret.text("owner"),
            rotate_after=_rotate_after(secret),
            unsafe_short=_reason(secret),
            place=node.place,
        )
        secret.end()
    return secrets


def _version(secret: Mapping) -> int | None:
    version: int | None = secret.take("version", int, "the number of a version")
    if version is not None and version < 1:
        secret.wrong(secret.node("version") or Node(None, secret.place), "must be 1 or more", "version")
        return None
    return version


def _rotate_after(secret: Mapping) -> timedelta | None:
    written = secret.text("rotate_after")
    if written is None:
        return None
    match = _DAYS.fullmatch(written)
    if match is None:
        secret.wrong(
            secret.node("rotate_after") or Node(None, secret.place), "must be a number of days", "rotate_after",
            "for example `rotate_after: 90 d`",
        )  # fmt: skip
        return None
    return timedelta(days=int(match[1]))


def _reason(secret: Mapping) -> str | None:
    reason: str | None = secret.text("unsafe_short")
    if reason is not None and not reason.strip():
        secret.wrong(
            secret.node("unsafe_short") or Node(None, secret.place), "needs a reason", "unsafe_short",
            "why this secret cannot have 8 characters; it is not redacted from texts",
        )  # fmt: skip
        return None
    return reason


def _connections(found: Mapping | None) -> dict[str, ConnectionConfig]:
    connections = {}
    for name, node in found.items() if found else ():
        connection = Mapping(node, f"connections.{name}", found._problems if found else [])
        url = connection.text("url", "", required=True)
        try:
            urlsplit(url)
        except ValueError:
            connection.wrong(node, "is not a URL", "url", "for example postgresql://db.example/warehouse")
        connections[name] = ConnectionConfig(
            url, connection.text("credential"), _seconds(connection, "lock_timeout_seconds"),
            _seconds(connection, "statement_timeout_seconds"), node.place,
        )  # fmt: skip
        connection.end()
    return connections


def _seconds(connection: Mapping, key: str) -> float | None:
    seconds: float | None = connection.take(key, (int, float), "a number of seconds")
    if seconds is not None and not 0 <= seconds <= LONGEST_SECONDS:
        connection.wrong(connection.node(key) or Node(None, connection.place), "must be a number of seconds, 0 for no limit", key)  # fmt: skip
        return None
    return seconds


def _dangling(names: NamesConfig, place: Place) -> list[VeilError]:
    problems = []

    def missing(what: str, name: str, there: Collection[str], where: Place | None) -> None:
        near = get_close_matches(name, there, n=1)
        hint = (f"did you mean {near[0]}? " if near else "") + "there are: " + (", ".join(sorted(there)) or "none")
        problems.append(VeilError("VEIL220", f'secrets/names.yaml: {what} "{name}" is not there', hint, where or place))

    for secret in names.secrets.values():
        if secret.store and secret.store not in names.stores:
            missing("the store", secret.store, names.stores, secret.place)
    for connection in names.connections.values():
        if connection.credential is not None and connection.credential not in names.secrets:
            missing("the credential", connection.credential, names.secrets, None)
    if names.keyring is not None and names.keyring not in names.secrets:
        missing("the key ring", names.keyring, names.secrets, None)
    return problems
