"""A pattern for the texts of a column that says how they are built and repeats none of them."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

#: Kinds of characters, from fine to coarse: what stands in a shape, and the class that it means.
_FINENESS = (
    (("A", "[A-Z]"), ("a", "[a-z]"), ("9", "[0-9]")),
    (("a", "[A-Za-z]"), ("9", "[0-9]")),
    (("a", "[A-Za-z0-9]"),),
)
#: What a shape may hold beside them.
_MARKS = " @.,:;/_+()'#&*-"
_READABLE = re.escape(_MARKS) + "A-Za-z0-9"
_MOST_SHAPES, _MOST_PARTS = 3, 12


def pattern_of(texts: pa.ChunkedArray, behind: int) -> str | None:
    """A pattern that all ``texts`` match: at most three shapes of at least ``behind`` rows each, at the finest of the
    levels that allows it. None where there is no such, or where texts have other characters than ASCII's common ones."""
    plain = pc.match_substring_regex(texts, f"^[{_READABLE}]+$")
    if plain.false_count if isinstance(plain, pa.BooleanArray) else not pc.all(plain).as_py():
        return None
    for kinds in _FINENESS:
        found = _shapes(texts, kinds)
        counted = pc.value_counts(found).to_pylist() if pc.count_distinct(found).as_py() <= _MOST_SHAPES else []
        if counted and all(one["counts"] >= behind and len(one["values"]) <= _MOST_PARTS for one in counted):
            shapes = sorted(str(one["values"]) for one in counted)
            parts = [_pattern(texts.filter(pc.equal(found, shape)), shape, dict(kinds), behind) for shape in shapes]
            return f"^(?:{'|'.join(parts)})$" if len(parts) > 1 else f"^{parts[0]}$"
    return None


def _shapes(texts: pa.ChunkedArray, kinds: tuple[tuple[str, str], ...]) -> pa.ChunkedArray:
    """``Anna-12`` as ``Aa-9``. A class is replaced after those whose letter lies in it, so nothing is replaced twice."""
    for letter, characters in kinds:
        texts = pc.replace_substring_regex(texts, f"{characters}+", letter)
    return texts


def _pattern(texts: pa.ChunkedArray, shape: str, kinds: dict[str, str], behind: int) -> str:
    groups = {f"p{at}": kinds[part] for at, part in enumerate(shape) if part in kinds}
    if not groups:
        return _literal(shape)
    whole = "".join(f"(?P<p{at}>{kinds[part]}+)" if part in kinds else _literal(part) for at, part in enumerate(shape))
    parts = pc.extract_regex(texts, f"^{whole}$")
    lengths = {name: pc.utf8_length(pc.struct_field(parts, name)) for name in groups}
    return "".join(
        kinds[part] + _times(lengths[f"p{at}"], behind) if part in kinds else _literal(part)
        for at, part in enumerate(shape)
    )


def _times(lengths: pa.ChunkedArray, behind: int) -> str:
    """How often, exactly only where enough rows have the shortest and the longest."""
    counted = {one["values"]: one["counts"] for one in pc.value_counts(lengths).to_pylist()}
    shortest, longest = min(counted), max(counted)
    if longest > 1_000 or counted[shortest] < behind or counted[longest] < behind:
        return "+"
    if shortest == longest:
        return "" if shortest == 1 else f"{{{shortest}}}"
    return f"{{{shortest},{longest}}}"


def _literal(marks: str) -> str:
    return re.sub(r"[.+*()]", r"\\\g<0>", marks)
