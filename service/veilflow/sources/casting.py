"""From text to declared types by kernels; one bad cell costs one row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import VeilError
from veilflow.model import BadCells, ColumnType, SourceColumn

_INTEGER = r"^[+-]?[0-9]{1,19}$"
_DECIMAL = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)$"
_FLOAT = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$"
_TRUE, _FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")


def cast_batch(raw: pa.RecordBatch, columns: Sequence[SourceColumn]) -> tuple[pa.RecordBatch, tuple[BadCells, ...]]:
    """``raw`` with each column cast to its type; a cell that does not fit is null and stands in the bad cells."""
    arrays, bad = [], []
    for column in columns:
        values = raw.column(column.name)
        cast = cast_values(values, column.type)
        arrays.append(cast)
        if cast.null_count > values.null_count:
            rows = np.flatnonzero(pc.and_(pc.is_null(cast), pc.is_valid(values)).to_numpy(zero_copy_only=False))
            bad.append(BadCells(column.name, f"does not fit the type {column.type.name}", rows))
    schema = pa.schema([pa.field(column.name, column.type.arrow) for column in columns])
    return pa.RecordBatch.from_arrays(arrays, schema=schema), tuple(bad)


def cast_values(values: pa.Array, kind: ColumnType) -> pa.Array:
    """Values in the type's Arrow form, null where they do not fit."""
    if values.type == kind.arrow:
        return values
    if not pa.types.is_string(values.type):
        try:
            return _whole_days(values, values.cast(kind.arrow))
        except pa.ArrowNotImplementedError:
            raise VeilError(
                "VEIL202",
                f"values of the type {values.type} cannot become {kind.name}",
                "leave the column's type to the file",
            ) from None
        except pa.ArrowInvalid:
            pass  # some cells do not fit: they are found one by one
        return _by_value(values, kind, lambda value: pa.scalar(value, values.type).cast(kind.arrow).as_py())
    kernel, scalar = _CASTS[kind.name]
    with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return kernel(values, kind)
    return _by_value(values, kind, lambda text: scalar(text, kind))


def _whole_days(values: pa.Array, cast: pa.Array) -> pa.Array:
    """Null where a timestamp would lose its time of day in a date; all other casts lose nothing."""
    if not (pa.types.is_timestamp(values.type) and pa.types.is_date(cast.type)):
        return cast
    plain = pa.timestamp(values.type.unit)
    return pc.if_else(pc.equal(cast.cast(plain), values.cast(plain)), cast, pa.scalar(None, cast.type))


def _by_value(values: pa.Array, kind: ColumnType, convert: Callable[[Any], Any]) -> pa.Array:
    """The slow path, for a chunk in which a kernel met something it does not take."""

    def attempt(value: Any) -> Any:
        with suppress(ValueError, OverflowError, InvalidOperation, pa.ArrowInvalid):
            return pa.scalar(convert(value), kind.arrow).as_py()
        return None

    return pa.array([None if value is None else attempt(value) for value in values.to_pylist()], kind.arrow)


def _matching(values: pa.Array, pattern: str) -> pa.Array:
    """``values`` with null where the pattern does not match."""
    return pc.if_else(pc.match_substring_regex(values, pattern), values, pa.scalar(None, pa.string()))


def _only(values: pa.Array, characters: bytes) -> bool:
    """Whether no value of a text column has any other character."""
    _validity, offsets, data = values.buffers()
    if data is None or not len(values):
        return True
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return not bytes(memoryview(data)[ends[0] : ends[-1]]).translate(None, characters)


def _integers(values: pa.Array, kind: ColumnType) -> pa.Array:
    return pc.cast(pc.utf8_ltrim(_matching(values, _INTEGER), "+"), kind.arrow)


def _decimals(values: pa.Array, kind: ColumnType) -> pa.Array:
    # Of these characters Arrow takes what the pattern takes, which costs as much as the cast itself.
    plain = values if _only(values, b"0123456789.+-") else _matching(values, _DECIMAL)
    return pc.cast(plain, kind.arrow)


def _floats(values: pa.Array, kind: ColumnType) -> pa.Array:
    floats = pc.cast(pc.utf8_ltrim(_matching(values, _FLOAT), "+"), kind.arrow)
    return pc.if_else(pc.is_finite(floats), floats, pa.scalar(None, kind.arrow))


def _booleans(values: pa.Array, _kind: ColumnType) -> pa.Array:
    yes = pc.is_in(values, value_set=pa.array(_TRUE))
    known = pc.or_(yes, pc.is_in(values, value_set=pa.array(_FALSE)))
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_()))


def _dates(values: pa.Array, kind: ColumnType) -> pa.Array:
    """By strptime, then written back: it takes day 31 of a short month, and only equal text proves the day."""
    pattern = kind.format or "%Y-%m-%d"
    if pattern not in ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"):
        raise pa.ArrowNotImplementedError
    if pattern == "%Y-%m-%d":
        # Arrow's own cast is ten times as fast and knows the calendar; one bad cell sends the chunk down the other way.
        with suppress(pa.ArrowInvalid):
            return _in_the_calendar(pc.cast(values, pa.date32()))
    moments = pc.strptime(values, format=pattern, unit="s", error_is_null=True)
    same = pc.equal(pc.strftime(moments, format=pattern), values)
    days = pc.if_else(pc.fill_null(same, False), moments, pa.scalar(None, moments.type)).cast(pa.date32())
    return _in_the_calendar(days)


def _in_the_calendar(days: pa.Array) -> pa.Array:
    """Null for days of the year 0, which Arrow has and the calendar has not."""
    # As a number: Arrow imports pandas, which takes a second, to make a scalar of a Python date.
    first = pa.scalar((date.min - date(1970, 1, 1)).days, pa.int32()).cast(pa.date32())
    return pc.if_else(pc.greater_equal(days, first), days, pa.scalar(None, pa.date32()))


def _timestamps(values: pa.Array, kind: ColumnType) -> pa.Array:
    if kind.format:
        raise pa.ArrowNotImplementedError
    moments = pc.cast(values, kind.arrow)
    first = (datetime.min - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    if pc.any(pc.less(moments, pa.scalar(first, pa.int64()).cast(kind.arrow))).as_py():
        raise pa.ArrowInvalid
    return moments


def _no_week_date(text: str) -> str:
    """The text, unless it counts weeks (``2020-W01-1``): Python reads that, and nobody who writes dates means it."""
    if "W" in text:
        raise ValueError
    return text


def _a_date(text: str, kind: ColumnType) -> date:
    return datetime.strptime(text, kind.format).date() if kind.format else date.fromisoformat(_no_week_date(text))


def _a_timestamp(text: str, kind: ColumnType) -> datetime:
    if not kind.format and re.search(r"[.,][0-9]{7}", text):
        raise ValueError  # finer than a microsecond: cutting it off would change the value
    moment = datetime.strptime(text, kind.format) if kind.format else datetime.fromisoformat(_no_week_date(text))
    if kind.arrow.tz is None:
        if moment.tzinfo is not None:
            raise ValueError
        return moment
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _a_decimal(text: str, kind: ColumnType) -> Decimal:
    if not re.fullmatch(_DECIMAL[1:-1], text):
        raise ValueError
    value = Decimal(text)
    if len(text.partition(".")[2].rstrip("0")) > kind.arrow.scale:
        raise ValueError  # more digits than the type has: rounding would change the value
    return value


def _an_integer(text: str, _kind: ColumnType) -> int:
    if not re.fullmatch(_INTEGER[1:-1], text):
        raise ValueError
    return int(text)


def _a_float(text: str, _kind: ColumnType) -> float:
    if not re.fullmatch(_FLOAT[1:-1], text):
        raise ValueError
    return float(text)


def _text(values: pa.Array, _kind: ColumnType) -> pa.Array:
    return values


_CASTS: dict[str, tuple[Callable[[pa.Array, ColumnType], pa.Array], Callable[[str, ColumnType], Any]]] = {
    "text": (_text, lambda text, _kind: text),
    "json": (_text, lambda text, _kind: text),
    "integer": (_integers, _an_integer),
    "decimal": (_decimals, _a_decimal),
    "float": (_floats, _a_float),
    "boolean": (_booleans, lambda _text, _kind: None),
    "date": (_dates, _a_date),
    "timestamp": (_timestamps, _a_timestamp),
}
