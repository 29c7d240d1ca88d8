"""PostgreSQL's types: what a column of ours becomes, which other types take its values, and how they are sent there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from psycopg.types.numeric import DecimalBinaryDumper

from veilflow.targets.postgresql_catalog import Column
from veilflow.targets.values import each_column, has_nul, is_unsigned_64, refuse_longer, unheld, whole_microseconds

_UUID = "^[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}(-?)[0-9A-Fa-f]{4}(-?)[0-9A-Fa-f]{4}(-?)[0-9A-Fa-f]{12}$"
_LENGTH = re.compile(r"character varying\((\d+)\)")
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_SENT = (
    "text", "character varying", "uuid", "json", "jsonb", "smallint", "integer", "bigint", "numeric", "double precision",
    "boolean", "date", "timestamp without time zone", "timestamp with time zone", "bytea",
)  # fmt: skip
#: 24 November 4714 BC, day 0 of the Julian calendar, in days from 1970; and the microseconds of a day.
_FIRST_DAY, _DAY = -2_440_588, 86_400_000_000
_WIDTHS = {"smallint": pa.int16(), "integer": pa.int32()}


def sql_type(kind: pa.DataType) -> str:
    """The type of a column that we make, as the catalogue writes it."""
    if is_unsigned_64(kind):
        return "numeric(20,0)"
    if pa.types.is_integer(kind):
        return "bigint"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind):
        return f"timestamp {'without' if kind.tz is None else 'with'} time zone"
    return "bytea" if pa.types.is_binary(kind) else "text"


def wanted_types(schema: pa.Schema) -> dict[str, str]:
    """The type of each column that we would make."""
    return {field.name: sql_type(field.type) for field in schema}


def is_sent_as_it_is(column: Column) -> bool:
    """Whether ``exact`` makes the column's binary form. One of another type is staged in ours, and cast by publishing."""
    return not column.generated and (column.is_enum or column.base.partition("(")[0] in _SENT)


def exact(table: pa.Table, types: Mapping[str, str]) -> pa.Table:
    """Columns whose binary form is that of the table's types: the server takes the bytes as they come, so those of
    another type would be garbage without a word. VEIL319 for a value that the type does not have."""
    return each_column(table, lambda name, column: _exact_column(name, column, types.get(name, "")))


def _exact_column(name: str, column: pa.ChunkedArray, there: str) -> pa.ChunkedArray:
    kind = column.type
    if has_nul(column):
        raise unheld(name, "PostgreSQL's text has no NUL character")
    if there == "uuid":
        return _uuid(name, column)
    if limited := _LENGTH.fullmatch(there):
        refuse_longer(name, column, int(limited[1]))
    if there == "jsonb":
        return pc.binary_join_element_wise("\x01", column, "")  # the version of its binary form
    if is_unsigned_64(kind):
        return column.cast(pa.decimal128(20, 0))
    if pa.types.is_integer(kind) and there.startswith("numeric"):
        return column.cast(pa.decimal128(20, 0))
    if pa.types.is_integer(kind):
        return column.cast(_WIDTHS.get(there, pa.int64()))
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_decimal(kind):
        return _decimal(column, there)
    if pa.types.is_date(kind):
        return _since(_FIRST_DAY, name, column.cast(pa.date32()), pa.int32())
    if pa.types.is_timestamp(kind):
        return _since(_FIRST_DAY * _DAY, name, whole_microseconds(column), pa.int64())
    return column


def _since(first: int, name: str, column: pa.ChunkedArray, number: pa.DataType) -> pa.ChunkedArray:
    """What is earlier is refused here: the encoder counts from 2000 and says nothing of the column where it fails."""
    earliest = pc.min(column.cast(number)).as_py()
    if earliest is not None and earliest < first:
        raise unheld(name, "PostgreSQL's first day is in 4714 BC")
    return column


def _decimal(column: pa.ChunkedArray, there: str) -> pa.ChunkedArray:
    """With the scale of the table's type, which Arrow refuses where it would have to round."""
    kind, found = column.type, _DECIMAL.fullmatch(there)
    if found is not None and int(found[2]) < kind.scale:
        column = column.cast(
            (pa.decimal256 if pa.types.is_decimal256(kind) else pa.decimal128)(kind.precision, int(found[2]))
        )
    return _by_psycopg(column) if pa.types.is_decimal256(kind) else column


def _by_psycopg(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The binary form of decimals with more digits than pgpq takes."""
    dump = DecimalBinaryDumper(Decimal).dump
    return pa.chunked_array(
        [[None if value is None else bytes(dump(value) or b"") for value in column.to_pylist()]], pa.binary()
    )


def _uuid(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Its sixteen bytes."""
    import polars as pl

    if not pc.all(pc.fill_null(pc.match_substring_regex(column, _UUID), True)).as_py():
        raise unheld(name, "it is no UUID")
    digits = pl.from_arrow(pc.replace_substring(column, "-", ""))
    return pa.chunked_array([digits.str.decode("hex").to_arrow().cast(pa.binary())])  # type: ignore[union-attr]
