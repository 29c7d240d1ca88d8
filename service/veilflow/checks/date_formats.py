"""Whether texts are dates of a format, with the verdicts of ``datetime.strptime``, at the speed of a kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.patterns import by_distinct

_TWO = "[0-9]{2}"
#: Texts that strptime surely takes, for directives of fixed width. It takes more (single digits, leap seconds).
_SURE = {"Y": "[1-9][0-9]{3}", "y": _TWO, "H": "(?:[01][0-9]|2[0-3])", "M": "[0-5][0-9]", "S": "[0-5][0-9]", "f": "[0-9]{6}"}  # fmt: skip
#: Months with the days that they have in every year; 29 February is left to strptime.
_MONTHS_AND_DAYS = (
    ("(?:0[13578]|1[02])", "(?:0[1-9]|[12][0-9]|3[01])"),
    ("(?:0[469]|11)", "(?:0[1-9]|[12][0-9]|30)"),
    ("02", "(?:0[1-9]|1[0-9]|2[0-8])"),
)
_DIRECTIVE = re.compile("%(.)", re.DOTALL)


def date_format_test(pattern: str) -> Callable[[pa.Array], pa.Array]:
    """A test of text columns; null for null. Only what the sure form does not take is parsed, each distinct text once."""
    sure = _sure_form(pattern)

    def test(values: pa.Array) -> pa.Array:
        if sure is None:
            return by_distinct(values, lambda text: _parses(text, pattern))
        found = pc.match_substring_regex(values, sure)
        if not found.false_count:
            return found
        doubtful = pc.fill_null(pc.invert(found), False)
        judged = by_distinct(values.filter(doubtful), lambda text: _parses(text, pattern))
        return pc.replace_with_mask(found, doubtful, judged)

    return test


def _parses(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def _sure_form(pattern: str) -> str | None:
    """An RE2 pattern for a part of what strptime takes; None where a directive has no fixed width."""
    directives = _DIRECTIVE.findall(pattern)
    known = set(directives) <= {*_SURE, "m", "d", "%"} and not pattern.endswith("%")
    if not known or len(set(directives)) != len(directives):
        return None
    forms = {_form(pattern, month, day) for month, day in _MONTHS_AND_DAYS}
    return r"\A(?:" + "|".join(sorted(forms)) + r")\z"


def _form(pattern: str, month: str, day: str) -> str:
    pieces = {**_SURE, "m": month, "d": day, "%": "%"}
    parts = re.split("(%.)", pattern, flags=re.DOTALL)
    return "".join(pieces[part[1]] if part.startswith("%") else "".join(f"\\x{{{ord(c):x}}}" for c in part) for part in parts)  # fmt: skip
