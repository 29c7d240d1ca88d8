"""A pipeline's ``incremental:``: by which column, or by which files, it reads what is new."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from veilflow.config.nodes import Mapping, Node
from veilflow.config.objects import IncrementalConfig, Lag

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(s|min|h|d)")
_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")


def incremental_config(found: Mapping | None) -> IncrementalConfig | None:
    """The column and the lag, or new files, or nothing."""
    if found is None:
        return None
    if found.choice("files", ("new",)) is not None:
        changed = found.choice("changed_files", ("refuse", "load"), "refuse")
        found.end()
        return IncrementalConfig(None, None, found.place, changed)
    column = found.text("column", "", required=True)
    node = found.node("lag")
    lag = None if node is None else _lag(node)
    if node is not None and lag is None:
        found.wrong(node, "must be a number, or a time such as 90 s, 15 min, 2 h or 3 d", "lag")
    found.end()
    return IncrementalConfig(unicodedata.normalize("NFC", column).strip(), lag, found.place)


def _lag(node: Node) -> Lag | None:
    """As written: a float would round it."""
    written = node.written if node.written is not None else str(node.value)
    if _NUMBER.fullmatch(written):
        return Lag(Decimal(written), written)
    match = _DURATION.fullmatch(written)
    if match is None:
        return None
    return Lag(Decimal(match[1]) * _SECONDS[match[2]], written, unit=match[2])
