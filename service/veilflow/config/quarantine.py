"""A pipeline's ``quarantine:``: where rows that are held back lie, who opens them, and how long they are kept."""

from __future__ import annotations

import re

from veilflow.config.nodes import Mapping, Node
from veilflow.config.objects import HOLDING_TARGETS, QUARANTINE_DAYS
from veilflow.model import HeldIn, TargetConfig


def quarantine_config(
    found: Mapping | None, target: TargetConfig
) -> tuple[str | None, tuple[str, str] | None, int, HeldIn]:
    """Who can open the rows that are held back, or which key of a store wraps the key that can; for how many days they
    are kept, and where."""
    if found is None:
        return None, None, QUARANTINE_DAYS, "files"
    store: HeldIn = found.choice("store", ("files", "target"), "files")
    if store == "target" and target.kind not in HOLDING_TARGETS:
        found.wrong(found.node("store") or Node(None, found.place), "must be files: this target has no table for rows",
                    "store", f"targets that have one: {', '.join(HOLDING_TARGETS)}")  # fmt: skip
    recipient = found.text("recipient")
    if recipient is not None and not re.fullmatch("age1[02-9ac-hj-np-z]{58}", recipient):
        found.wrong(found.node("recipient") or Node(None, found.place), "must be an age public key", "recipient",
                    "it looks like age1…; `age-keygen` makes one")  # fmt: skip
    days = found.take("retention_days", int, "a whole number of days", QUARANTINE_DAYS)
    if not 1 <= days <= 36_500:
        found.wrong(
            found.node("retention_days") or Node(None, found.place), "must be from 1 to 36500", "retention_days"
        )
    wrapped_by = _wrapped_by(found.sub("wrapped_by"))
    if recipient is not None and wrapped_by is not None:
        found.wrong(found.node("wrapped_by") or Node(None, found.place), "stands beside a recipient", "wrapped_by",
                    "name one of the two: whose private key opens the rows, or which key of a store does")  # fmt: skip
    found.end()
    return recipient, wrapped_by, days, store


def _wrapped_by(found: Mapping | None) -> tuple[str, str] | None:
    if found is None:
        return None
    store, path = found.text("store"), found.text("path")
    if not store or not path:
        found.wrong(Node(None, found.place), "needs a store and a path", "wrapped_by",
                    "for example {store: vault, path: transit/keys/veilflow-quarantine}")  # fmt: skip
    found.end()
    return (store or "", path or "")
