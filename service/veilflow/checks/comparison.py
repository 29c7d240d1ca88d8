"""The arguments of a check in the form of its column: known from the schema, so the plan refuses what does not fit.

Dates and timestamps become datetimes (``date`` and text never equal a datetime), decimals become doubles on both
sides (a Decimal and the double of the same digits differ), so a comparison holds on 15 significant digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import CheckPlan, ColumnType

_WANTED = {"integer": "numbers", "decimal": "numbers", "float": "numbers", "boolean": "booleans"} | {
    "date": "ISO 8601 dates",
    "timestamp": "ISO 8601 timestamps",
}


def comparable_arguments(check: CheckPlan, types: tuple[ColumnType, ...]) -> dict[str, Any]:
    """The check's arguments with every set, pair and bound in the form of its column; ``types`` in the order of
    its columns. VEIL207 for one that does not fit, whose text says what is wanted."""
    try:
        if check.type == "expect_column_values_to_be_between":
            return _bounds(check.arguments, types[0])
        _try_patterns(check.arguments)
        return _sets(check.arguments, types)
    except ValueError as error:
        raise VeilError(
            "VEIL207", f"{check.type} does not fit {check.column}: {error}",
            "change the expectation, or declare the column's type under `columns:` in the pipeline", check.place,
        ) from None  # fmt: skip


def _sets(arguments: Mapping[str, Any], types: tuple[ColumnType, ...]) -> dict[str, Any]:
    found = dict(arguments)
    if "value_set" in found:
        found["value_set"] = [_as(one, types[0]) for one in found["value_set"]]
    if "value_pairs_set" in found:
        found["value_pairs_set"] = [
            tuple(None if one is None else _as(one, kind) for one, kind in zip(pair, types, strict=True))
            for pair in found["value_pairs_set"]
        ]
    return found


def _try_patterns(arguments: Mapping[str, Any]) -> None:
    """ValueError for a pattern that ``re`` compiles and pandas' own engine (RE2, through Arrow) does not:
    possessive and atomic groups, comments, repetitions above 1,000. Else it would fail on the first chunk."""
    patterns = (*arguments.get("regex_list", ()), *([arguments["regex"]] if "regex" in arguments else ()))
    if not patterns:
        return
    import pandas as pd  # only who has patterns waits for it

    for pattern in patterns:
        try:
            pd.Series(["a"], dtype="str").str.contains(pattern)
        except Exception:  # noqa: BLE001  # whatever the engine raises, it does not take the pattern
            raise ValueError("its pattern uses what the engine for columns (RE2) does not know") from None


def _bounds(arguments: Mapping[str, Any], kind: ColumnType) -> dict[str, Any]:
    """The arguments of a range. Great Expectations parses a datetime into a date, but not its ISO text."""
    if kind.name not in _WANTED or kind.name == "boolean":
        raise ValueError(f"a range needs a column of numbers, dates or timestamps, and this one is {kind.name}")
    found = dict(arguments)
    for name in ("min_value", "max_value"):
        if name in found:
            bound = _as(found[name], kind)
            found[name] = bound.isoformat() if isinstance(bound, datetime) else bound
    return found


def _as(value: Any, kind: ColumnType) -> Any:
    if kind.name in ("date", "timestamp"):
        return _moment(value, kind)
    if kind.name == "boolean":
        fits = isinstance(value, bool)
    elif kind.name in _WANTED:
        fits = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise ValueError(f"the column is {kind.name}, so it is compared with {_WANTED.get(kind.name, 'texts')}")
    return float(value) if isinstance(value, Decimal) else value


def _moment(value: Any, kind: ColumnType) -> datetime:
    wanted = f"the column is {kind.name}, so it is compared with {_WANTED[kind.name]}"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(wanted) from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError(wanted)
    zoned = pa.types.is_timestamp(kind.arrow) and kind.arrow.tz is not None
    if zoned and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value.astimezone(UTC).replace(tzinfo=None) if not zoned and value.tzinfo else value
