"""Receipts as the JSON that the metadata table ``_veilflow`` holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from veilflow.errors import VeilError
from veilflow.model import Receipt

TABLE = "_veilflow"


def to_json(receipt: Receipt) -> str:
    return json.dumps(asdict(receipt), sort_keys=True)


def from_json(text: str) -> Receipt:
    return Receipt(**json.loads(text))


def refuse_other_versions(key_versions: Mapping[str, int], there: Mapping[str, int]) -> None:
    """VEIL313 if a column of the target holds pseudonyms of another key version than this run makes."""
    other = {name: there[name] for name, version in key_versions.items() if there.get(name, version) != version}
    if not other:
        return
    listed = ", ".join(f"{name} (version {version})" for name, version in sorted(other.items()))
    versions = sorted(set(other.values()))
    pin = f"`--key-version {versions[0]}` goes on with that version; " if len(versions) == 1 else ""
    raise VeilError(
        "VEIL313", f"columns of the target hold pseudonyms of another key version: {listed}",
        f"{pin}`mode: replace` loads the table anew under the active one; where the treatment is reversible, a re-key "
        "run of the table brings its pseudonyms to the active version first",
    )  # fmt: skip
