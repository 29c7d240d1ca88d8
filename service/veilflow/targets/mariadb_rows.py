"""Rows as the text of multi-row statements, by Arrow's kernels.

Not by ``LOAD DATA LOCAL``: that cuts values off with a warning even in strict mode, needs a server that allows it, and a
client that allows it sends any of its files to a server that asks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.targets.values import decimal_text, each_column, refuse_nan, whole_microseconds

_STATEMENT_BYTES = 1 << 20


def value_lists(table: pa.Table) -> Iterator[tuple[bytes, int]]:
    """``(…),(…)`` for a statement each, of about a megabyte, and how many rows it holds. VEIL319 for a value that
    MariaDB has not (NaN, infinite)."""
    literals = each_column(table, _literals)
    columns = [column.combine_chunks() for column in literals.columns]
    rows = pc.binary_join_element_wise("(", pc.binary_join_element_wise(*columns, ","), "),", "")
    rows = rows.cast(pa.large_binary())
    offsets = np.frombuffer(rows.buffers()[1], dtype=np.int64)[rows.offset : rows.offset + len(rows) + 1]
    data = memoryview(rows.buffers()[2])
    first = 0
    while first < len(rows):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _STATEMENT_BYTES, side="right")) - 1)
        yield bytes(data[offsets[first] : offsets[last] - 1]), last - first
        first = last


def _literals(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    refuse_nan(name, column, infinite_too=True)
    if pa.types.is_binary(kind):
        text = _hexadecimal(column)
        return pc.fill_null(pc.binary_join_element_wise("x'", text, "'", ""), "NULL")
    if pa.types.is_boolean(kind):
        text = pc.if_else(column, "1", "0")
    elif pa.types.is_decimal(kind):
        text = decimal_text(column)
    elif pa.types.is_timestamp(kind):
        text = _moments(column)
    elif pa.types.is_string(kind):
        text = pc.replace_substring(column, "'", "''")
    elif pa.types.is_floating(kind):
        text = column.cast(pa.float64()).cast(pa.string())  # the shortest text of a narrower float is another double
    else:
        text = column.cast(pa.string())
    return pc.fill_null(pc.binary_join_element_wise("'", text, "'", ""), "NULL")


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """In UTC where they have a zone, without one where they have none; to the microsecond."""
    exact = whole_microseconds(column)
    return exact.cast(pa.timestamp("us")).cast(pa.string())  # strftime takes thirty times as long


def _hexadecimal(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import polars as pl

    encoded = pl.from_arrow(column).bin.encode("hex")  # type: ignore[union-attr]
    return pa.chunked_array([encoded.to_arrow().cast(pa.string())])
