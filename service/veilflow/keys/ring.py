"""The key ring: root keys by version, one of them active."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any

from veilflow.errors import VeilError
from veilflow.keys.derivation import derive
from veilflow.model import DerivedKey

_ROOT_KEY_BYTES = 32


@dataclass(frozen=True)
class KeyRing:
    """Root keys of 32 bytes by version. Prints no key."""

    active: int
    _roots: dict[int, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read the secret's value; VEIL222 if it is not a key ring, without a word of what it holds."""
        try:
            document: Any = json.loads(text)
            if document["veilflow_keyring"] != 1:
                raise ValueError
            roots = {
                int(version): base64.b64decode(entry["key"], validate=True)
                for version, entry in document["keys"].items()
            }
            active = document["active"]
            if type(active) is not int or active not in roots:
                raise ValueError
            if any(len(root) != _ROOT_KEY_BYTES or version < 1 for version, root in roots.items()):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise VeilError(
                "VEIL222", "the value is not a key ring",
                "it must be the JSON that `veil init` writes: veilflow_keyring, active, keys of 32 bytes in base64",
            ) from None  # fmt: skip
        return cls(active, roots)

    @staticmethod
    def generate(created: str) -> str:
        """The JSON of a new ring with one random key, version 1; ``created`` is its time in ISO 8601."""
        key = base64.b64encode(os.urandom(_ROOT_KEY_BYTES)).decode()
        entry = {"key": key, "state": "active", "created": created}
        return json.dumps({"veilflow_keyring": 1, "active": 1, "keys": {"1": entry}})

    def derive(self, use: str, key_domain: str, version: int | None = None, length: int | None = None) -> DerivedKey:
        """The key of ``version`` (default: the active one) for a use and key domain. VEIL222 if the ring lacks it."""
        chosen = self.active if version is None else version
        if chosen not in self._roots:
            raise VeilError(
                "VEIL222", f"the key ring has no version {chosen}",
                "it has: " + ", ".join(str(number) for number in sorted(self._roots)),
            )  # fmt: skip
        return DerivedKey(derive(self._roots[chosen], use, key_domain, chosen, length), chosen)
