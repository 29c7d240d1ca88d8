"""What a sample of a source suggests to expect, for a person to edit; none of it tells a person's value.

A range ends where a rounded unit ends behind which at least ``BEHIND`` rows stand, else it is left open; a set has only
members of at least as many rows, and only in a column that names nobody; a pattern is a shape. So what is
proposed is a property of many rows, or of none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.columns_there import type_name
from veilflow.checks.date_formats import date_format_test
from veilflow.checks.shapes import pattern_of
from veilflow.model import ColumnType

#: Rows that must stand behind what is told of the data.
BEHIND = 20
_MOST_MEMBERS = 50
#: The share of rows that a set must cover to be worth proposing.
_COVERED = 0.95
#: A value that may stand in a set although nobody called its column non-personal: a code.
_CODE = re.compile(r"[A-Za-z0-9_-]{0,3}", re.ASCII)
_NAMES_A_PERSON = re.compile(
    r"(^|[_ .-])(id|ids|nr|no|num|number|key|ref|name|names|first|last|given|middle|sur|nick|user|login|initials"
    r"|person|people|patient|client|customer|owner|staff|agent|doctor|author|by|contact|employee|member)($|[_ .-])"
    r"|name$|Id$|ID$|No$",
)
#: How dates are written; one is proposed if it alone fits every text.
_DATE_FORMATS = (
    "%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"
)  # fmt: skip
#: Above this share of names among its members a column is one of names.
_NAMES = 1 / 3


@dataclass(frozen=True)
class ProfiledColumn:
    """A column of the sample: as read, and typed; ``classification`` is the policy's, if one has been made. ``has_type``:
    the source or the pipeline says the type, so it is no guess."""

    name: str
    type: ColumnType
    raw: pa.ChunkedArray = field(repr=False)
    values: pa.ChunkedArray = field(repr=False)
    classification: str | None = None
    has_type: bool = False


@dataclass(frozen=True, slots=True)
class ProposedColumn:
    """What is proposed for one column, as entries of a suite; ``nulls`` is a share of the rows; ``whole_numbers`` says of
    a column of texts that each is one, so that the pipeline could declare it so."""

    name: str
    type: str
    nulls: float
    expectations: tuple[Mapping[str, Any], ...]
    whole_numbers: bool = False


def propose(column: ProfiledColumn, *, whole: bool, is_name: Callable[[str], bool]) -> ProposedColumn:
    """Expectations that hold on the sample. ``whole``: it has every row of the source; ``is_name`` knows given names
    and surnames."""
    column = replace(column, raw=_without_nan(column.raw), values=_without_nan(column.values))
    found = [
        *_type(column),
        *_nulls(column),
        *(_texts(column, is_name) if column.type.name == "text" else _ranges(column)),
    ]
    if whole and _unique(column.values):
        found.append({"type": "expect_column_values_to_be_unique", "kwargs": {}})
    entries = tuple({"type": one["type"], "kwargs": {"column": column.name, **one["kwargs"]}} for one in found)
    share = column.raw.null_count / len(column.raw) if len(column.raw) else 0.0
    return ProposedColumn(column.name, column.type.name, share, entries, _whole_numbers(column))


def _whole_numbers(column: ProfiledColumn) -> bool:
    """Whether all texts are integers as an integer is written: a number with zeros in front is a code."""
    texts = column.values.drop_null()
    if column.type.name != "text" or len(texts) < BEHIND:
        return False
    return bool(pc.all(pc.match_substring_regex(texts, r"^(0|-?[1-9][0-9]{0,17})$")).as_py())


def _expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_column_{kind}", "kwargs": kwargs}


def _type(column: ProfiledColumn) -> list[dict[str, Any]]:
    return [_expect("values_to_be_of_type", type_=type_name(column.type))] if column.has_type else []


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """NaN is missing, as it is to the checks."""
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _nulls(column: ProfiledColumn) -> list[dict[str, Any]]:
    """Not null, as it was read; or the share of values that are there and fit their type, rounded down."""
    rows = len(column.raw)
    if not column.raw.null_count:
        return [_expect("values_to_not_be_null")] if rows >= BEHIND else []
    share = _rounded_down((rows - column.values.null_count) / rows)
    return [_expect("proportion_of_non_null_values_to_be_between", min_value=share)] if share else []


def _rounded_down(share: float) -> float:
    return math.floor(share * 100) / 100


def _unique(values: pa.ChunkedArray) -> bool:
    there = values.drop_null()
    return len(there) >= BEHIND and pc.count_distinct(there).as_py() == len(there)


# --- texts ------------------------------------------------------------------------------------------


def _texts(column: ProfiledColumn, is_name: Callable[[str], bool]) -> list[dict[str, Any]]:
    texts = column.values.drop_null()
    if len(texts) < BEHIND:
        return []
    members = _set(column, texts, is_name)
    if members:
        return members
    lengths = _whole_range(pc.utf8_length(texts).cast(pa.int64()))
    if lengths.get("min_value", 0) <= 0:
        lengths.pop("min_value", None)
    found = [_expect("value_lengths_to_be_between", **lengths)] if lengths else []
    if column.classification == "free_text":
        return found
    formats = [one for one in _DATE_FORMATS if pc.all(date_format_test(one)(texts.combine_chunks())).as_py()]
    if len(formats) == 1:
        return [*found, _expect("values_to_match_strftime_format", strftime_format=formats[0])]
    pattern = pattern_of(texts, BEHIND)
    return [*found, *([_expect("values_to_match_regex", regex=pattern)] if pattern else [])]


def _set(column: ProfiledColumn, texts: pa.ChunkedArray, is_name: Callable[[str], bool]) -> list[dict[str, Any]]:
    """The values that many rows share, where these are nearly all rows and none of them names anybody."""
    counted = pc.value_counts(texts)
    if len(counted) > 2 * _MOST_MEMBERS:
        return []
    frequent = [(one["values"], one["counts"]) for one in counted.to_pylist() if one["counts"] >= BEHIND]
    members, covered = sorted(value for value, _ in frequent), sum(rows for _, rows in frequent) / len(texts)
    if not 2 <= len(members) <= _MOST_MEMBERS or covered < _COVERED or not _may_be_told(column, members, is_name):
        return []
    # Rare values are not told; the share that they leave is.
    mostly = {} if covered == 1 else {"mostly": _rounded_down(covered)}
    return [_expect("values_to_be_in_set", value_set=members, **mostly)]


def _may_be_told(column: ProfiledColumn, members: Sequence[str], is_name: Callable[[str], bool]) -> bool:
    """Words only where the policy says that the column is about no person; else codes, unless they look like people."""
    if column.classification == "non_personal":
        return True
    if column.classification not in (None, "quasi_identifier") or not all(map(_CODE.fullmatch, members)):
        return False
    if any(len(member) > 1 and member.isdigit() for member in members):
        return False  # numbers of two digits and more number something, maybe people
    named = column.classification is None and _NAMES_A_PERSON.search(column.name)
    return not named and sum(map(is_name, members)) <= _NAMES * len(members)


# --- ranges -------------------------------------------------------------------------------------------


def _ranges(column: ProfiledColumn) -> list[dict[str, Any]]:
    values = column.values.drop_null()
    if column.type.name in ("date", "timestamp"):
        ends = _date_range(values)
    elif column.type.name in ("integer", "decimal", "float"):
        ends = _whole_range(values) if column.type.name == "integer" else _number_range(values, Decimal(0))
    else:
        return []
    return [_expect("values_to_be_between", **ends)] if ends else []


def _whole_range(values: pa.ChunkedArray) -> dict[str, Any]:
    """Whole ends; one that a double cannot hold exactly is left open, for Great Expectations compares doubles."""
    return {name: end for name, end in _number_range(values, Decimal(1)).items() if abs(end) <= 2**53}


def _number_range(values: pa.ChunkedArray, smallest_unit: Decimal) -> dict[str, Any]:
    """Ends at multiples of a unit of 1, 2 or 5 times a power of ten, about a tenth of where nearly all rows lie."""
    found = _behind(values)
    if found is None:
        return {}
    lowest, low, high, highest = (Decimal(str(one)) for one in found)
    if not all(one.is_finite() for one in (lowest, low, high, highest)):
        return {}
    unit = max(_unit((high - low) / 10), smallest_unit) if high > low else smallest_unit
    if not unit:
        return {}
    start, end = _floor(low, unit), -_floor(-high, unit)
    # Of whole numbers one unit of 1 outwards would be the very number that a few rows have.
    spare = unit if unit > smallest_unit else Decimal(0)
    ends = _ends((start, start - spare), (end, end + spare), lowest, highest, _plain_number)
    return {name: one for name, one in ends.items() if math.isfinite(one)}


def _ends(
    starts: tuple[Decimal, Decimal],
    ends: tuple[Decimal, Decimal],
    lowest: Any,
    highest: Any,
    write: Callable[[Any], Any],
) -> dict[str, Any]:
    """The first end of each side that holds; one that a few rows lie far beyond is left open."""
    low = next((one for one in starts if one <= lowest), None)
    high = next((one for one in ends if one >= highest), None)
    found = {"min_value": low, "max_value": high}
    return {name: write(one) for name, one in found.items() if one is not None}


def _behind(values: pa.ChunkedArray) -> tuple[Any, Any, Any, Any] | None:
    """The lowest value, the one with ``BEHIND`` rows up to it, the one with as many from it on, and the highest."""
    if len(values) < 2 * BEHIND:
        return None
    order = pc.array_sort_indices(values)
    at = order.take(pa.array([0, BEHIND - 1, len(values) - BEHIND, len(values) - 1]))
    lowest, low, high, highest = values.take(at).to_pylist()
    return lowest, low, high, highest


def _unit(rough: Decimal) -> Decimal:
    """The smallest of 1, 2 and 5 times a power of ten that is at least ``rough``."""
    power = Decimal(1).scaleb(rough.adjusted())
    return next(power * step for step in (1, 2, 5, 10) if power * step >= rough)


def _floor(value: Decimal, unit: Decimal) -> Decimal:
    return (value / unit).to_integral_value(ROUND_FLOOR) * unit


def _plain_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() and abs(value) <= 2**53 else float(value)


def _date_range(values: pa.ChunkedArray) -> dict[str, Any]:
    """Ends at the first day of a decade, a year or a month, by how far the rows spread."""
    found = _behind(values)
    if found is None:
        return {}
    lowest, low, high, highest = (_months(one) for one in found)
    months = next((unit for least, unit in ((240, 120), (24, 12), (3, 1)) if high - low >= least), None)
    if months is None:
        return {}
    unit = Decimal(months)
    start, end = _floor(Decimal(low), unit), _floor(Decimal(high), unit) + unit
    ends = _ends((start, start - unit), (end, end + unit), lowest, highest + 1, int)
    return {name: _first_day(month).isoformat() for name, month in ends.items() if 12 <= month < 12 * 10_000}


def _months(moment: date | datetime) -> int:
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.year * 12 + moment.month - 1


def _first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)
