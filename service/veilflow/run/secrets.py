"""Opening secrets by their names, at the point of use; there is no second place to look."""

from __future__ import annotations

import json
import resource
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from veilflow.config import NamesConfig, SecretConfig, StoreConfig
from veilflow.databases import addresses
from veilflow.databases.addresses import LOCK, NAME, STATEMENT
from veilflow.errors import VeilError, raise_all
from veilflow.model import Access, Reading, Secret, SecretStore
from veilflow.redaction import SHORTEST
from veilflow.secret_stores import unknown_kind
from veilflow.secret_stores.session import Session
from veilflow.state import State, utc_now

#: What a server may round away.
_CLOCKS_SECONDS = 2.0


def check_kinds(names: NamesConfig) -> NamesConfig:
    """``names``, if every kind of store in it is known and no connection's URL asks for what it may not; all faults are
    raised together."""
    kinds = [(unknown_kind(store.kind), store.place) for store in names.stores.values()]
    urls = [(addresses.refusal(connection.url), connection.place) for connection in names.connections.values()]
    raise_all(VeilError(error.code, error.problem, error.hint, place) for error, place in [*kinds, *urls] if error)
    return names


def read_secret(session: Session, names: NamesConfig, name: str | None) -> Secret:
    """Open a secret by its name in ``secrets/names.yaml``, and record that. VEIL222 if it is shorter than may be
    redacted."""
    return open_secret(session, names, name).secret


def open_secret(session: Session, names: NamesConfig, name: str | None, *, anew: bool = False) -> Reading:
    """``read_secret``, with what the store tells of the value. ``anew``: as it is now, also if it was read before."""
    config = secret_named(names, name)
    assert name is not None
    store = names.stores[config.store]
    _no_core_file()
    try:
        reading = session.read(store.kind, store.options, config.ref, anew=anew)
        long_enough(reading.secret, config)
    except VeilError as error:
        raise_all(_of_secret(part, name, config, store) for part in error.parts)
        raise
    access = Access(utc_now(), name, config.store, store.kind, reading.version, reading.lease)
    if session.notes(access):
        State(session.project).accessed(access)
    return reading


def store_of(session: Session, names: NamesConfig, name: str) -> SecretStore:
    """The store of a secret that ``names`` has."""
    store = names.stores[names.secrets[name].store]
    return session.store(store.kind, store.options)


def _no_core_file() -> None:
    """A process that opens a secret leaves no core file, which would hold it; a person may allow it again."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _of_secret(error: VeilError, name: str | None, config: SecretConfig, store: StoreConfig) -> VeilError:
    """The error with the secret's name; one in the store's options keeps to the store."""
    if error.code in ("VEIL201", "VEIL202"):
        return VeilError(error.code, error.problem, error.hint, error.place or store.place)
    hint = error.hint if error.code != "VEIL221" else f"{error.hint}; `veil init` makes the key ring"
    return type(error)(error.code, f'secret "{name}": {error.problem}', hint, error.place or config.place)


def short_lived(session: Session, names: NamesConfig, connection: str, timeout_seconds: float) -> VeilError | None:
    """VEIL317 if the connection's credential cannot live as long as the run may take, renewed or not."""
    name = names.connections[connection].credential
    if name is None:
        return None
    config = secret_named(names, name)
    store = names.stores[config.store]
    seconds = session.longest_life(store.kind, store.options, config.ref, timeout_seconds)
    if seconds >= timeout_seconds - _CLOCKS_SECONDS:
        return None
    return VeilError(
        "VEIL317",
        f'secret "{name}" lives at most {seconds:.0f} s, and the run may take {timeout_seconds:g} s',
        "raise the maximum TTL of its role (and of the login's), or lower limits.timeout_seconds in the pipeline",
        config.place,
    )


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


def known_connection(names: NamesConfig, name: str) -> str:
    """``name``, if ``secrets/names.yaml`` has such a connection. VEIL220 otherwise."""
    if name not in names.connections:
        there = ", ".join(sorted(names.connections)) or "none"
        raise VeilError("VEIL220", f'there is no connection "{name}"', "secrets/names.yaml has: " + there)
    return name


def connection_url(session: Session, names: NamesConfig, name: str) -> Secret:
    """The connection's URL with its limits of time and its current credential: JSON with username and password, or with
    access_key and secret_key, or the bare password."""
    connection = names.connections[name]
    limits = {LOCK: connection.lock_timeout_seconds, STATEMENT: connection.statement_timeout_seconds}
    more = {key: f"{seconds:g}" for key, seconds in limits.items() if seconds is not None}
    url = addresses.completed(connection.url, session.project, more | {NAME: session.label})
    if connection.credential is None:
        return Secret(url)
    credential = read_secret(session, names, connection.credential)
    user, password = _login(credential)
    long_enough(password, secret_named(names, connection.credential))
    return _with_login(url, user, password)


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
    for name, password in (("username", "password"), ("access_key", "secret_key")):
        if isinstance(document, dict) and isinstance(document.get(password), str):
            user = document.get(name)
            return (user if isinstance(user, str) else None), Secret(document[password])
    return None, credential
