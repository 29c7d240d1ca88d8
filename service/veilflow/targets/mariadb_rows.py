"""Rows as MariaDB reads them exactly, by Arrow's kernels: the lines of a LOAD DATA, or the text of multi-row statements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from veilflow.databases.mariadb import quote
from veilflow.targets.values import decimal_text, each_column, refuse_nan, whole_microseconds

_STATEMENT_BYTES = 1 << 20
#: Every value in quotes and doubled ones within, so that only NULL is none, and no character is an escape.
_LINES = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid", null_string="NULL")
_READ_SO = """character set utf8mb4 fields terminated by ',' enclosed by '"' escaped by '' lines terminated by '\n'"""


def load_statement(into: str, table: pa.Table) -> bytes:
    """The LOAD DATA that reads ``lines(table)`` into a table."""
    names, sets = [], []
    for number, field in enumerate(table.schema):
        is_hexadecimal = pa.types.is_binary(field.type)
        names.append(f"@v{number}" if is_hexadecimal else quote(field.name))
        sets += [f"{quote(field.name)} = unhex(@v{number})"] if is_hexadecimal else []
    last = " set " + ", ".join(sets) if sets else ""
    return f"load data local infile 'rows' into table {into} {_READ_SO} ({', '.join(names)}){last}".encode()


def lines(table: pa.Table, largest: int) -> memoryview | None:
    """The rows as the lines of a file; nothing where one may have ``largest`` bytes or more. VEIL319 as below."""
    texts = each_column(table, _text)
    if sum(pc.max(pc.binary_length(column)).as_py() or 0 for column in texts.columns) >= largest:
        return None
    content = pa.BufferOutputStream()
    pa_csv.write_csv(texts, content, _LINES)
    return memoryview(content.getvalue())


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
    text = _text(name, column)
    if pa.types.is_binary(column.type):
        return pc.fill_null(pc.binary_join_element_wise("x'", text, "'", ""), "NULL")
    if pa.types.is_string(column.type):
        text = pc.replace_substring(text, "'", "''")
    return pc.fill_null(pc.binary_join_element_wise("'", text, "'", ""), "NULL")


def _text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bytes in hexadecimal digits."""
    kind = column.type
    refuse_nan(name, column, infinite_too=True)
    if pa.types.is_binary(kind):
        return _hexadecimal(column)
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "1", "0")
    if pa.types.is_decimal(kind):
        return decimal_text(column)
    if pa.types.is_timestamp(kind):
        return _moments(column)
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())  # the shortest text of a narrower float is another double
    return column.cast(pa.string())


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """In UTC where they have a zone, without one where they have none; to the microsecond."""
    exact = whole_microseconds(column)
    return exact.cast(pa.timestamp("us")).cast(pa.string())  # strftime takes thirty times as long


def _hexadecimal(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import polars as pl

    encoded = pl.from_arrow(column).bin.encode("hex")  # type: ignore[union-attr]
    return pa.chunked_array([encoded.to_arrow().cast(pa.string())])
