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
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")
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


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_number, value))


def _quantiles(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"quantiles", "value_ranges"}:
        return False
    shares, ranges = value["quantiles"], value["value_ranges"]
    return (
        _numbers(shares) and all(0 <= one <= 1 for one in shares)
        and isinstance(ranges, list) and len(ranges) == len(shares) and all(map(_range, ranges))
    )  # fmt: skip


def _range(value: Any) -> bool:
    """Two numbers in order; null for one that is open."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    given = [one for one in value if one is not None]
    return all(map(_number, given)) and given == sorted(given)


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_column, value)) and len(set(value)) == len(value)


def _like(value: Any) -> bool:
    return isinstance(value, str)


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
    "quantiles": (
        _quantiles,
        "quantiles (shares from 0 to 1) and as many value_ranges, each [lowest, highest]; null is open",
    ),
    "interpolation": (
        lambda value: value is False or value in _INTERPOLATIONS,
        "false, or one of linear, lower, higher, midpoint, nearest",
    ),
    "method": (lambda value: value in ("iqr", "std"), "iqr or std"),
    "names": (_names, "a list of different names, with one at least"),
    "name": (_column, "a name"),
    "place": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "like": (_like, "a pattern with % and _"),
    "likes": (
        lambda value: isinstance(value, list) and bool(value) and all(map(_like, value)),
        "a list of patterns with % and _",
    ),
    "character": (lambda value: isinstance(value, str) and len(value) == 1, "one character"),
    "schema": (lambda value: isinstance(value, dict), "a JSON schema"),
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
    "strftime_format": "date_format", "quantile_ranges": "quantiles", "allow_relative_error": "interpolation",
    "threshold": "number", "double_sided": "flag", "method": "method", "multiplier": "number", "ties_okay": "flag",
    "strictly": "flag", "type_": "name", "type_list": "names", "column_index": "place", "column_set": "names",
    "exact_match": "flag", "json_schema": "schema", "like_pattern": "like", "like_pattern_list": "likes",
    "escape": "character", "within_days": "length", "other_table_name": "name", "other_pipeline": "name",
    "other_column": "name", "other_column_list": "names",
}  # fmt: skip


def kind_of(expectation: str, argument: str) -> str:
    """Which of ``KINDS`` an argument is; a few mean another thing in another expectation."""
    if argument == "ignore_row_if":
        return "pair_nulls" if "_pair_" in expectation else "record_nulls"
    if argument in ("min_value", "max_value") and ("_lengths_" in expectation or "_count_" in expectation):
        return "length"
    if expectation == "expect_table_columns_to_match_ordered_list":
        return "names"
    return _KIND_OF[argument]
