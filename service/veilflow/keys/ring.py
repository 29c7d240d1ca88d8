"""The key ring: root keys by version, one of them active."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from veilflow.errors import VeilError, frameless
from veilflow.keys.derivation import derive
from veilflow.model import DerivedKey

_ROOT_KEY_BYTES = 32

#: ``active``: what runs use. ``ready``: may be promoted, or pinned by a run. ``retired``: opens what is there and makes
#: no new pseudonym. ``destroyed``: the key is gone.
KeyState = Literal["active", "ready", "retired", "destroyed"]


@dataclass(frozen=True, slots=True)
class RootKey:
    """One version of the ring; ``root`` is None once it is destroyed. Times are ISO 8601 in UTC."""

    state: KeyState
    created: str
    root: bytes | None = field(repr=False)
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Root keys of 32 bytes by version. Prints no key. ``lifecycle`` makes the next state of one."""

    active: int
    keys: Mapping[int, RootKey]

    @classmethod
    @frameless
    def parse(cls, text: str) -> KeyRing:
        """Read the secret's value; VEIL222 if it is not a key ring, without a word of what it holds."""
        try:
            document: Any = json.loads(text)
            if document["veilflow_keyring"] != 1:
                raise ValueError
            keys = {int(version): _parsed(entry) for version, entry in document["keys"].items()}
            active = document["active"]
            if type(active) is not int or min(keys) < 1 or len(keys) != len(document["keys"]):
                raise ValueError
            if [version for version, key in keys.items() if key.state == "active"] != [active]:
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise VeilError(
                "VEIL222", "the value is not a key ring",
                "it must be the JSON that `veil init` writes: veilflow_keyring, active, keys of 32 bytes in base64",
            ) from None  # fmt: skip
        return cls(active, dict(sorted(keys.items())))

    @staticmethod
    def generate(created: str) -> str:
        """The JSON of a new ring with one random key, version 1; ``created`` is its time in ISO 8601."""
        return KeyRing(1, {1: RootKey("active", created, random_root())}).to_json()

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that can open what was made with it, the active one first, then the newest."""
        there = (version for version, key in self.keys.items() if key.root is not None)
        return tuple(sorted(there, key=lambda version: (version != self.active, -version)))

    def to_json(self) -> str:
        """The secret's value; ``parse`` is its inverse."""
        keys = {str(version): _document(key) for version, key in self.keys.items()}
        return json.dumps({"veilflow_keyring": 1, "active": self.active, "keys": keys})

    def pinned(self, version: int) -> KeyRing:
        """The ring as a run sees it that uses ``version`` in the place of the active one. VEIL315 if it may not."""
        self._root(version, opening=False)
        return replace(self, active=version)

    def derive(
        self, use: str, key_domain: str, version: int | None = None, length: int | None = None, *, opening: bool = False
    ) -> DerivedKey:
        """The key of ``version`` (default: the active one) for a use and key domain.

        VEIL315 if the ring does not have it, if it is destroyed, or if it is retired and not for ``opening`` what was
        made with it.
        """
        chosen = self.active if version is None else version
        return DerivedKey(derive(self._root(chosen, opening), use, key_domain, chosen, length), chosen)

    def _root(self, version: int, opening: bool) -> bytes:
        key = self.keys.get(version)
        if key is None:
            raise self._unusable(f"the key ring has no version {version}", opening)
        if key.root is None or (key.state == "retired" and not opening):
            raise self._unusable(f"version {version} of the key ring is {key.state}", opening)
        return key.root

    def _unusable(self, problem: str, opening: bool) -> VeilError:
        usable = ("active", "ready", "retired") if opening else ("active", "ready")
        there = [str(version) for version, key in self.keys.items() if key.state in usable]
        return VeilError("VEIL315", problem, f"it can use: {', '.join(there)}; `veil keys list` shows all")


def random_root() -> bytes:
    """A new root key."""
    return os.urandom(_ROOT_KEY_BYTES)


def _parsed(entry: Any) -> RootKey:
    """One entry; ValueError for what is unknown, which a rewrite of the ring would lose."""
    if set(entry) - {"key", "state", "created", "changed"} or entry["state"] not in get_args(KeyState):
        raise ValueError
    root = None if entry["state"] == "destroyed" else base64.b64decode(entry["key"], validate=True)
    if (root is None) == ("key" in entry) or (root is not None and len(root) != _ROOT_KEY_BYTES):
        raise ValueError
    return RootKey(entry["state"], str(entry["created"]), root, entry.get("changed"))


def _document(key: RootKey) -> dict[str, str]:
    root = {} if key.root is None else {"key": base64.b64encode(key.root).decode()}
    changed = {} if key.changed is None else {"changed": key.changed}
    return {**root, "state": key.state, "created": key.created, **changed}
