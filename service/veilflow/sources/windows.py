"""Windows over a column: values as texts that read back exactly, rows inside and outside, and the condition in SQL.

Only types with one order that Arrow and every database agree on: integers, decimals, dates and timestamps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.model import BadCells, Chunk, ColumnType, Source, SourceColumn, Window

ORDERED_TYPES = ("integer", "decimal", "date", "timestamp")
Mask = np.ndarray[Any, np.dtype[np.bool_]]

_EXACT = Context(prec=100)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_BEFORE_CHRIST = (date.min - date(1970, 1, 1)).days


def text_of(value: pa.Scalar) -> str:
    """The value as a text from which ``value_of`` makes it again; moments with a zone in UTC."""
    return str(value.cast(_plain(value.type)).cast(pa.string()).as_py())


def value_of(text: str, kind: pa.DataType) -> pa.Scalar:
    """The value of a text. ValueError if it is none of the type."""
    try:
        return pa.array([text], pa.string()).cast(_plain(kind))[0].cast(kind)
    except pa.ArrowException:
        raise ValueError from None


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz else kind


def number_of(value: pa.Scalar) -> Decimal:
    """The value as a number: of days or the timestamp's units since 1970 where it is one of time."""
    if pa.types.is_date(value.type):
        return Decimal(value.cast(pa.int32()).as_py())
    plain = value.cast(pa.int64()) if pa.types.is_timestamp(value.type) else value
    return Decimal(plain.as_py())


def earlier(text: str, lag: Decimal, kind: pa.DataType) -> str | None:
    """The value ``lag`` before (in days for dates, seconds for timestamps); None where the type has none so small."""
    unit = _PER_SECOND[kind.unit] if pa.types.is_timestamp(kind) else 1
    number = _EXACT.subtract(number_of(value_of(text, kind)), lag * unit)
    if pa.types.is_date(kind) and number < _BEFORE_CHRIST:
        return None
    if pa.types.is_timestamp(kind) and number < Decimal(_BEFORE_CHRIST) * 86_400 * unit:
        return None
    try:
        return text_of(_from_number(number, kind))
    except (pa.ArrowException, OverflowError):
        return None


def _from_number(number: Decimal, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_decimal(kind):
        return pa.scalar(number, kind)
    whole = math.floor(number)
    if pa.types.is_date(kind):
        return pa.scalar(whole, pa.int32()).cast(kind)
    return pa.scalar(whole, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.scalar(whole, kind)


def largest(texts: Iterable[str | None], kind: pa.DataType) -> str | None:
    """The largest of some values; None if there is none."""
    found = [text for text in texts if text is not None]
    return max(found, key=lambda text: number_of(value_of(text, kind))) if found else None


def inside(values: pa.Array, window: Window) -> Mask:
    """Which values lie in the window; nulls do not."""
    keep = pc.is_valid(values)
    for bound, holds in _comparisons(window):
        keep = pc.and_(keep, pc.fill_null(holds(values, value_of(bound, values.type)), False))
    found: Mask = keep.to_numpy(zero_copy_only=False)
    return found


def _comparisons(window: Window) -> list[tuple[str, Callable[..., Any]]]:
    low, high = window.low, window.high
    above = [] if low is None else [(low, pc.greater_equal if window.low_included else pc.greater)]
    below = [] if high is None else [(high, pc.less_equal if window.high_included else pc.less)]
    return above + below


def narrowed(chunk: Chunk, window: Window | None) -> Chunk:
    """The chunk's rows in the window, and those without a value in its column, which are bad rows: where they belong
    nobody knows. The others are counted. Doing it twice changes nothing."""
    if window is None:
        return chunk
    values = chunk.values.column(window.column)
    empty: Mask = values.is_null().to_numpy(zero_copy_only=False)
    within = inside(values, window)
    keep = within | empty
    top = pc.max(values.filter(pa.array(within)))
    places = np.cumsum(keep) - 1
    bad = [
        replace(cells, rows=places[cells.rows[keep[cells.rows]]])
        for cells in (*chunk.bad_cells, *_without_value(chunk, window.column, empty))
    ]
    return replace(
        chunk,
        raw=chunk.raw.filter(pa.array(keep)),
        values=chunk.values.filter(pa.array(keep)),
        positions=chunk.positions[keep],
        bad_cells=tuple(cells for cells in bad if len(cells.rows)),
        outside=chunk.outside + int(np.count_nonzero(~keep)),
        newest=text_of(top) if top.is_valid else None,
    )


def _without_value(chunk: Chunk, column: str, empty: Mask) -> list[BadCells]:
    """The rows whose cell is null, but for those that are null because it did not fit its type."""
    known = np.zeros(len(empty), dtype=bool)
    for cells in chunk.bad_cells:
        if cells.column == column:
            known[cells.rows] = True
    return [BadCells(column, "has no value, so no run would know the row as new", np.flatnonzero(empty & ~known))]


# --- SQL ---------------------------------------------------------------------------------


def condition(window: Window, cell: str, low: str, high: str) -> str:
    """The rows of the window in SQL, and those whose cell is null: whoever reads them says what becomes of them.

    ``low`` and ``high`` are the database's words for the bound values.
    """
    parts = []
    if window.low is not None:
        parts.append(f"{cell} {'>=' if window.low_included else '>'} {low}")
    if window.high is not None:
        parts.append(f"{cell} {'<=' if window.high_included else '<'} {high}")
    return f"(({' and '.join(parts)}) or {cell} is null)" if parts else "1 = 1"


def comparable(native: ColumnType, declared: ColumnType) -> bool:
    """Whether the database orders the column as Arrow orders what it is cast to."""
    zoned = [bool(getattr(kind.arrow, "tz", None)) for kind in (native, declared)]
    return native.name == declared.name and native.name in ORDERED_TYPES and zoned[0] == zoned[1]


def newest(source: Source, column: SourceColumn) -> str | None:
    """The largest value of a column over all rows of a source."""
    tops = (pc.max(piece.read().values.column(column.name)) for piece in source.slices((column,), 100_000))
    return largest((text_of(top) for top in tops if top.is_valid), column.type.arrow)
