"""Regular expressions with the verdicts of Python's ``re.search`` over whole columns, in bounded time.

Great Expectations judges by ``re`` (pandas hands a column to RE2 only where both agree). Here a pattern is parsed by
``re`` itself and written anew for RE2, which takes linear time: exact for ASCII cells, and for all cells where no
part of it (``\\w``, ``\\d``, ``\\s``, ``\\b``, ``(?i)``) knows Unicode. The rest, and patterns that RE2 has no
words for (lookaround, back-references), go to ``re``, and only if they cannot explode there.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.ambiguity import Explodes, longest_for_re

#: ``re``'s own parser; its tree is what both engines agree on.
_sre: Any = importlib.import_module("re._parser")

_ASCII = {
    "CATEGORY_DIGIT": "0-9", "CATEGORY_WORD": "0-9A-Za-z_", "CATEGORY_SPACE": r"\t-\r\x1c-\x20",
}  # fmt: skip
_UNICODE = {
    "CATEGORY_DIGIT": r"\p{Nd}", "CATEGORY_WORD": r"\p{L}\p{N}_",
    "CATEGORY_SPACE": r"\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}",
}  # fmt: skip


class _NotInRe2(Exception):
    """A part of a pattern has no exact form in RE2."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, ready for columns. ``re2`` is None where only ``re`` knows it; ``for_unicode`` judges cells that
    are not ASCII where ``re2`` would err on them; ``longest`` is the longest cell that ``re`` may be given."""

    source: str
    re2: str | None
    unicode_matters: bool
    for_unicode: str | None
    longest: int

    def matches(self, values: pa.Array) -> pa.Array:
        """Whether each text contains a match; null for null. OverflowError for a cell longer than ``longest``
        that only ``re`` could judge."""
        if self.re2 is None:
            return self._by_re(values)
        found = pc.match_substring_regex(values, self.re2)
        if not self.unicode_matters:
            return found
        ascii_ = pc.string_is_ascii(values)
        if not ascii_.false_count:
            return found
        mask = pc.fill_null(pc.invert(ascii_), False)
        others = values.filter(mask)
        judged = pc.match_substring_regex(others, self.for_unicode) if self.for_unicode else self._by_re(others)
        return pc.replace_with_mask(found, mask, judged)

    def _by_re(self, values: pa.Array) -> pa.Array:
        longest = pc.max(pc.utf8_length(values)).as_py() or 0
        if longest > self.longest:
            raise OverflowError
        search = re.compile(self.source).search
        return by_distinct(values, lambda text: search(text) is not None)


def by_distinct(values: pa.Array, test: Callable[[str], bool]) -> pa.Array:
    """``test`` on each distinct text once, laid back over the column; null for null."""
    coded = values.dictionary_encode()
    verdicts = pa.array([test(text) for text in coded.dictionary.to_pylist()], pa.bool_())
    return verdicts.take(coded.indices)


def parse_pattern(source: str) -> Pattern:
    """The pattern in its two forms. ValueError for one that RE2 cannot judge and that could explode in ``re``."""
    tree = _sre.parse(source)
    try:
        re2 = _checked(_flags(tree) + _sequence(tree, _ASCII, tail=True))
    except _NotInRe2:
        return Pattern(source, None, True, None, longest_for_re(source))
    if not _unicode_matters(tree):
        return Pattern(source, re2, False, None, 0)
    try:
        return Pattern(source, re2, True, None, longest_for_re(source))
    except Explodes as explodes:
        try:
            wide = _checked(_flags(tree) + _sequence(tree, _UNICODE, tail=True))
        except _NotInRe2:
            raise explodes from None
        return Pattern(source, re2, True, wide, 0)


def _checked(pattern: str) -> str:
    try:
        pc.match_substring_regex(pa.array(["a"]), pattern)
    except pa.ArrowInvalid:
        raise _NotInRe2 from None
    return pattern


# --- from re's tree to RE2 ----------------------------------------------------------------


def _flags(tree: Any) -> str:
    flags = tree.state.flags & ~re.UNICODE
    if flags & ~re.IGNORECASE or (flags and not tree.state.str.isascii()):
        raise _NotInRe2
    return "(?i)" if flags else ""


def _sequence(nodes: Any, classes: dict[str, str], *, tail: bool) -> str:
    """``tail``: nothing follows, so ``$`` may swallow the newline that it allows."""
    last = len(nodes) - 1
    return "".join(_node(str(op), value, classes, tail and at == last) for at, (op, value) in enumerate(nodes))


def _node(op: str, value: Any, classes: dict[str, str], tail: bool) -> str:
    if op == "LITERAL":
        return _character(value)
    if op == "NOT_LITERAL":
        return f"[^{_character(value)}]"
    if op == "ANY":
        return r"[^\n]"
    if op == "IN":
        return _class(value, classes)
    if op == "AT":
        return _at(str(value), classes, tail)
    if op == "BRANCH":
        return "(?:" + "|".join(_sequence(branch, classes, tail=tail) for branch in value[1]) + ")"
    if op == "SUBPATTERN":
        _group, added, removed, nodes = value
        if added or removed:
            raise _NotInRe2
        return "(?:" + _sequence(nodes, classes, tail=tail) + ")"
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high, nodes = value
        top = "" if high == _sre.MAXREPEAT else str(high)
        return f"(?:{_sequence(nodes, classes, tail=False)}){{{low},{top}}}"
    raise _NotInRe2


def _character(code: int) -> str:
    return f"\\x{{{code:x}}}"


def _class(items: Any, classes: dict[str, str]) -> str:
    parts, negated = [], ""
    for op, value in items:
        if str(op) == "NEGATE":
            negated = "^"
        elif str(op) == "LITERAL":
            parts.append(_character(value))
        elif str(op) == "RANGE":
            parts.append(f"{_character(value[0])}-{_character(value[1])}")
        else:
            parts.append(_category(str(value), classes))
    return f"[{negated}{''.join(parts)}]"


def _category(name: str, classes: dict[str, str]) -> str:
    if name in classes:
        return classes[name]
    # RE2 knows these two negations inside a class; \S differs between the engines even in ASCII.
    plain = name.replace("_NOT", "")
    if plain == "CATEGORY_SPACE":
        return r"\x00-\x08\x0e-\x1b\x21-\x{10ffff}" if classes is _ASCII else _raise()
    if classes is _ASCII:
        return r"\D" if plain == "CATEGORY_DIGIT" else r"\W"
    return r"\P{Nd}" if plain == "CATEGORY_DIGIT" else _raise()


def _raise() -> str:
    raise _NotInRe2


def _at(name: str, classes: dict[str, str], tail: bool) -> str:
    if name in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        return r"\A"
    if name == "AT_END_STRING":
        return r"\z"
    if name == "AT_END" and tail:
        return r"\n?\z"
    if name == "AT_BOUNDARY" and classes is _ASCII:
        return r"\b"
    # \B: re does not find it in an empty text, RE2 does.
    raise _NotInRe2


def _unicode_matters(tree: Any) -> bool:
    return bool(tree.state.flags & re.IGNORECASE) or any(
        str(op) == "CATEGORY" or (str(op) == "AT" and "BOUNDARY" in str(value)) for op, value in _walk(tree)
    )


def _walk(nodes: Any) -> Iterable[tuple[Any, Any]]:
    for op, value in nodes:
        yield op, value
        if str(op) == "IN":
            yield from value
        for inner in _inside(str(op), value):
            yield from _walk(inner)


def _inside(op: str, value: Any) -> list[Any]:
    if op == "BRANCH":
        return list(value[1])
    if op == "SUBPATTERN":
        return [value[3]]
    if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [value[2]]
    if op in ("ASSERT", "ASSERT_NOT"):
        return [value[1]]
    if op == "ATOMIC_GROUP":
        return [value]
    if op == "GROUPREF_EXISTS":
        return [branch for branch in value[1:] if branch is not None]
    return []
