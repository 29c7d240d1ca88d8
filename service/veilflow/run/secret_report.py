"""What can be told of a project's secrets: where they lie and how old they are, and whether each can be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from veilflow.config import NamesConfig, SecretConfig
from veilflow.errors import VeilError
from veilflow.run.secrets import open_secret, secret_named, store_of
from veilflow.secret_stores.session import Session

#: ``on demand``: the store makes it when it is read, so it has no age.
Presence = Literal["there", "missing", "on demand", "unknown"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One secret as ``veil secrets list`` tells it; nothing was opened."""

    name: str
    config: SecretConfig
    kind: str
    presence: Presence
    changed: datetime | None
    error: VeilError | None

    @property
    def due(self) -> datetime | None:
        """When it should be changed, if its age and ``rotate_after`` are known."""
        if self.changed is None or self.config.rotate_after is None:
            return None
        return self.changed + self.config.rotate_after

    def age(self, now: datetime) -> timedelta | None:
        return None if self.changed is None else max(now - self.changed, timedelta(0))


@dataclass(frozen=True, slots=True)
class Checked:
    """One secret as ``veil secrets check`` tells it: it was opened, and its value forgotten."""

    name: str
    config: SecretConfig
    kind: str
    length: int | None = None
    version: str | None = None
    seconds_to_live: float | None = None
    error: VeilError | None = None


def list_secrets(session: Session, names: NamesConfig) -> tuple[Listed, ...]:
    """Every secret of ``secrets/names.yaml``; a store that is out of reach is told in its line."""
    return tuple(_listed(session, names, name) for name in names.secrets)


def _listed(session: Session, names: NamesConfig, name: str) -> Listed:
    config = names.secrets[name]
    kind = names.stores[config.store].kind
    try:
        facts = store_of(session, names, name).facts(config.ref)
    except VeilError as error:
        return Listed(name, config, kind, "unknown", None, error)
    if facts is None:
        return Listed(name, config, kind, "on demand" if config.ref.engine == "database" else "missing", None, None)
    changed = facts.changed
    if changed is not None and changed.tzinfo is None:
        changed = changed.replace(tzinfo=UTC)
    return Listed(name, config, kind, "there", changed, None)


def check_secrets(session: Session, names: NamesConfig, wanted: Iterable[str]) -> tuple[Checked, ...]:
    """Open each of the wanted secrets (all, if none is named). VEIL220 for a name that is not there."""
    chosen = tuple(wanted) or tuple(names.secrets)
    for name in chosen:
        secret_named(names, name)
    return tuple(_checked(session, names, name) for name in chosen)


def _checked(session: Session, names: NamesConfig, name: str) -> Checked:
    config = names.secrets[name]
    kind = names.stores[config.store].kind
    try:
        reading = open_secret(session, names, name)
    except VeilError as error:
        return Checked(name, config, kind, error=error)
    return Checked(name, config, kind, len(reading.secret), reading.version, reading.seconds_to_live)
