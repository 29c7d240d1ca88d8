"""What each kind of argument accepts, without knowing the type of its column."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

_SCALARS = (str, int, float, bool, Decimal, date)
_PAIR_NULLS = ("both_values_are_missing", "either_value_is_missing", "neither")
_RECORD_NULLS = ("all_values_are_missing", "any_value_is_missing", "never")


def _number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)


def _length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _bound(value: Any) -> bool:
    return _number(value) or isinstance(value, date) or (isinstance(value, str) and bool(value))


def _scalars(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, _SCALARS) for one in value)


def _pairs(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)
        and all(one is None or isinstance(one, _SCALARS) for pair in value for one in pair)
    )


def _column(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _columns(value: Any) -> bool:
    return isinstance(value, list) and len(set(map(str, value))) == len(value) > 1 and all(map(_column, value))


def _regex(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _regexes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_regex, value))


def _date_format(value: Any) -> bool:
    """Whether the format can be written and read; %D for one can only be written."""
    if not isinstance(value, str) or "%" not in value:
        return False
    try:
        datetime.strptime(datetime(2001, 2, 3, 4, 5, 6).strftime(value), value)
    except (ValueError, re.error):
        return False
    return True


#: Per kind: whether a value is one, and the words for what was wanted.
KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "column": (_column, "the name of a column"),
    "columns": (_columns, "a list of two or more different columns"),
    "values": (_scalars, "a list of texts, numbers, dates or booleans, with one at least"),
    "pairs": (_pairs, "a list of pairs, with one at least"),
    "regex": (_regex, "a regular expression that Python's re can compile"),
    "regexes": (_regexes, "a list of regular expressions that Python's re can compile"),
    "bound": (_bound, "a number, a date or a timestamp"),
    "length": (_length, "a whole number from 0"),
    "number": (_number, "a number"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "date_format": (_date_format, "a strftime format that can be read back, such as %Y-%m-%d"),
    "any_or_all": (lambda value: value in ("any", "all"), "any or all"),
    "pair_nulls": (lambda value: value in _PAIR_NULLS, "one of " + ", ".join(_PAIR_NULLS)),
    "record_nulls": (lambda value: value in _RECORD_NULLS, "one of " + ", ".join(_RECORD_NULLS)),
}

#: The kind of each argument, by its name.
_KIND_OF: Mapping[str, str] = {
    "column": "column", "column_A": "column", "column_B": "column", "column_list": "columns",
    "value_set": "values", "value_pairs_set": "pairs", "regex": "regex", "regex_list": "regexes",
    "min_value": "bound", "max_value": "bound", "value": "length", "sum_total": "number",
    "strict_min": "flag", "strict_max": "flag", "or_equal": "flag", "match_on": "any_or_all",
    "strftime_format": "date_format",
}  # fmt: skip


def kind_of(expectation: str, argument: str) -> str:
    """Which of ``KINDS`` an argument is; a few mean another thing in another expectation."""
    if argument == "ignore_row_if":
        return "pair_nulls" if "_pair_" in expectation else "record_nulls"
    if "_lengths_" in expectation and argument in ("min_value", "max_value"):
        return "length"
    return _KIND_OF[argument]
