"""Receipts as the JSON that the metadata table ``_veilflow`` holds."""

from __future__ import annotations

import json
from dataclasses import asdict

from veilflow.model import Receipt

TABLE = "_veilflow"


def to_json(receipt: Receipt) -> str:
    return json.dumps(asdict(receipt), sort_keys=True)


def from_json(text: str) -> Receipt:
    return Receipt(**json.loads(text))
