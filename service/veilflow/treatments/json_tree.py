"""JSON read without loss, and the tree of paths that rules cover."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

#: ``.name``, ``['any name']`` or ``["any name"]``, ``[*]``.
_SEGMENT = re.compile(r"""\.([^\s.\[\]'"*$]+)|\['([^']+)'\]|\["([^"]+)"\]|(\[\*\])""")
_ITEMS = object()
_INT64 = range(-(2**63), 2**63)


def parse_path(path: Any) -> tuple[Any, ...]:
    """The segments of a path: names, and a mark for the items of an array. ValueError if it is none."""
    if not isinstance(path, str) or not path.startswith("$"):
        raise ValueError("a path begins with $, for example $.address.city or $.tags[*]")
    segments, at = [], 1
    while at < len(path):
        match = _SEGMENT.match(path, at)
        if match is None:
            raise ValueError(f"the path {path} is not made of .name, ['name'] and [*]")
        segments.append(_ITEMS if match[4] else match[1] or match[2] or match[3])
        at = match.end()
    return tuple(segments)


class Leaf(NamedTuple):
    """A value under a rule, and where it stands: ``holder[key]`` in the document of a row."""

    holder: Any
    key: Any
    value: Any
    row: int


@dataclass(slots=True)
class Found:
    """The leaves under each rule by the kind of their value, and the rows that hold something no rule covers, by the
    path above it."""

    drop_unlisted: bool
    leaves: dict[tuple[str, str], list[Leaf]] = field(default_factory=lambda: defaultdict(list), repr=False)
    uncovered: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class Tree:
    """Rules by path. ``path`` is what a message may say of a place: it comes from the policy, never from the data."""

    path: str = "$"
    below: dict[Any, Tree] = field(default_factory=dict)
    rule: str | None = None
    drop: bool = False

    def add(self, segments: tuple[Any, ...], path: str, *, drop: bool) -> None:
        """Put a rule at a path. ValueError where it lies above or below another."""
        if self.rule is not None:
            raise ValueError(f"two rules cover {path}")
        if segments:
            named = f"{self.path}[*]" if segments[0] is _ITEMS else f"{self.path}.{segments[0]}"
            self.below.setdefault(segments[0], Tree(named)).add(segments[1:], path, drop=drop)
            return
        if self.below:
            raise ValueError(f"two rules cover {path}")
        self.rule, self.drop = path, drop

    def walk(self, holder: Any, key: Any, row: int, found: Found) -> None:
        """Note the leaves under ``holder[key]`` and what no rule covers; dropped paths leave the document."""
        value = holder[key]
        if value is None:
            return
        if self.rule is not None:
            found.leaves[self.rule, _kind(value)].append(Leaf(holder, key, value, row))
        elif isinstance(value, dict):
            self._entries(value, list(value), row, found)
        elif isinstance(value, list) and _ITEMS in self.below:
            # From the end, so that what is dropped moves nothing that is still to be visited.
            self._entries(value, range(len(value) - 1, -1, -1), row, found)
        else:
            self._uncovered(holder, key, row, found)

    def _entries(self, holder: Any, keys: Iterable[Any], row: int, found: Found) -> None:
        of_items = self.below.get(_ITEMS) if isinstance(holder, list) else None
        for key in keys:
            below = of_items or self.below.get(key)
            if below is None:
                self._uncovered(holder, key, row, found)
            elif below.drop:
                del holder[key]
            else:
                below.walk(holder, key, row, found)

    def _uncovered(self, holder: Any, key: Any, row: int, found: Found) -> None:
        if not found.drop_unlisted:
            found.uncovered[self.path].append(row)
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = None


_KINDS = {bool: "boolean", int: "integer", float: "float", str: "text"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "json")


def parse_json(text: str) -> list[Any] | None:
    """The document inside a list, or None for what is not JSON or could not be written back as it was: a repeated
    key, a number beyond double precision or 64 bits, half a surrogate pair, NaN, too deep."""
    try:
        root = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            dump(root).encode()
    except (ValueError, RecursionError):
        return None
    return [root]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0 or Decimal(repr(value)) != Decimal(text):
        raise ValueError("a number beyond double precision")
    return value


def _integer(text: str) -> int:
    value = int(text)
    if value not in _INT64:
        raise ValueError("a number beyond 64 bits")
    return value


def _refuse(_constant: str) -> Any:
    raise ValueError("JSON has no such number")


def dump(value: Any) -> str:
    """JSON without blanks; dates as ISO text."""
    return _ENCODER.encode(value)


# Made once: `loads` and `dumps` make one a call where they are given anything.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_refuse)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
