"""JSON read without loss, and the tree of paths that rules cover."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

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


@dataclass(slots=True)
class Leaf:
    """A value under a rule, and where it stands: ``holder[key]``. ``kind`` is None for what no rule covers."""

    holder: Any
    key: Any
    value: Any = field(repr=False)
    row: int
    path: str
    kind: str | None


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

    def walk(self, root: list[Any], row: int, drop_unlisted: bool) -> Iterator[Leaf]:
        """The leaves under the rules, and what no rule covers. ``root`` holds the document; dropped paths leave it."""
        yield from self._visit(root, 0, row, drop_unlisted)

    def _visit(self, holder: Any, key: Any, row: int, drop_unlisted: bool) -> Iterator[Leaf]:
        value = holder[key]
        if self.rule is not None:
            if value is not None:
                yield Leaf(holder, key, value, row, self.rule, _kind(value))
        elif isinstance(value, dict):
            yield from self._entries(value, list(value), row, drop_unlisted)
        elif isinstance(value, list) and _ITEMS in self.below:
            yield from self._entries(value, list(range(len(value)))[::-1], row, drop_unlisted)
        elif value is not None:
            yield from self._uncovered(holder, key, row, drop_unlisted)

    def _entries(self, holder: Any, keys: list[Any], row: int, drop_unlisted: bool) -> Iterator[Leaf]:
        for key in keys:
            below = self.below.get(_ITEMS if isinstance(holder, list) else key)
            if below is None:
                yield from self._uncovered(holder, key, row, drop_unlisted)
            elif below.drop:
                del holder[key]
            else:
                yield from below._visit(holder, key, row, drop_unlisted)

    def _uncovered(self, holder: Any, key: Any, row: int, drop_unlisted: bool) -> Iterator[Leaf]:
        if not drop_unlisted:
            yield Leaf(holder, key, None, row, self.path, None)
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "float" if isinstance(value, float) else "text" if isinstance(value, str) else "json"


def parse_json(text: str) -> list[Any] | None:
    """The document inside a list, or None for what is not JSON or could not be written back as it was: a repeated
    key, a number beyond double precision or 64 bits, half a surrogate pair, NaN, too deep."""
    try:
        root = json.loads(
            text, object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_refuse
        )
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
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
