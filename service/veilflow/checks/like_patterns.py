"""SQL's LIKE over whole columns: % for any text, _ for one character, case-sensitive, as PostgreSQL has it.

Great Expectations judges LIKE in databases alone, each in its own way (SQLite and MariaDB fold case); here it is the
standard's way, for every source.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc


def like_pattern(pattern: str, escape: str | None) -> Callable[[pa.Array], pa.Array]:
    """A test of texts; null for null. ``escape`` is the character before a % or _ that means itself (a backslash unless
    given). ValueError where it stands last."""
    re2 = _as_re2(pattern, escape or "\\")
    return lambda values: pc.match_substring_regex(values, re2)


def _as_re2(pattern: str, escape: str) -> str:
    parts, rest = [], iter(pattern)
    for character in rest:
        if character == escape:
            following = next(rest, None)
            if following is None:
                raise ValueError("its like_pattern ends with the escape character")
            parts.append(f"\\x{{{ord(following):x}}}")
        elif character in "%_":
            parts.append("(?s:.*)" if character == "%" else "(?s:.)")
        else:
            parts.append(f"\\x{{{ord(character):x}}}")
    return rf"\A{''.join(parts)}\z"
