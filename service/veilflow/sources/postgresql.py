"""PostgreSQL by table or query: ADBC's binary COPY OUT in a REPEATABLE READ transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
import pyarrow as pa

from veilflow.databases.postgresql import address, connect, mapped
from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    TEXT,
    ColumnType,
    FileIdentity,
    Secret,
    Slice,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
    Window,
)
from veilflow.sources.files import column_names
from veilflow.sources.relation import (
    arrow_pieces,
    double_quoted,
    newest_of,
    ordered,
    pushed,
    relation,
    unreadable_relation,
    unusable_rows,
)
from veilflow.sources.rows import Piece, rechunk
from veilflow.sources.windows import condition, newest

_BATCH_BYTES = 2 << 20
_NUMERIC = 1700
#: By type OID, which PostgreSQL never changes for its own types: those that ADBC keeps exactly.
_TYPES = {
    16: ColumnType("boolean", pa.bool_()), 17: ColumnType("binary", pa.binary()), 20: ColumnType("integer", pa.int64()),
    21: ColumnType("integer", pa.int16()), 23: ColumnType("integer", pa.int32()), 25: TEXT, 1043: TEXT,
    700: ColumnType("float", pa.float32()), 701: ColumnType("float", pa.float64()),
    1082: ColumnType("date", pa.date32()), 1114: ColumnType("timestamp", pa.timestamp("us")),
    1184: ColumnType("timestamp", pa.timestamp("us", "UTC")),
}  # fmt: skip
_JSON = ColumnType("json", pa.string())
_JSON_OIDS, _MOMENTS = (114, 3802), (1082, 1114, 1184)

#: In SQL, by the type: what a window's bounds are compared as.
_BOUNDS = {"integer": "bigint", "decimal": "numeric", "date": "date", "timestamp": "timestamp"}


class _Column(NamedTuple):
    """A column's name, its type, the expression that reads it, and the cell as it is."""

    name: str
    type: ColumnType
    sql: str
    cell: str


class PostgresqlSource:
    """A table or query, by one statement: one snapshot. Numerics, UUIDs, enums, intervals … travel as their text."""

    def __init__(self, config: SourceConfig, url: Callable[[], Secret]) -> None:
        self._config, self._url = config, url

    def files(self) -> tuple[FileIdentity, ...]:
        return ()

    def schema(self) -> SourceSchema:
        columns, _moments = self._columns()
        return SourceSchema(
            tuple(SourceColumn(one.name, self._config.types.get(one.name, one.type)) for one in columns)
        )

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(), columns, chunk_rows, start)

    def newest(self, column: SourceColumn) -> str | None:
        found = next(one for one in self._columns()[0] if one.name == column.name)
        usable = f"isfinite({found.cell})" if column.type.name in ("date", "timestamp") else ""
        config = newest_of(self._config, found.cell, found.type, column, double_quoted, usable)
        return newest(PostgresqlSource(config, self._url), column)

    def within(self, window: Window) -> PostgresqlSource:
        return PostgresqlSource(replace(self._config, window=window), self._url)

    def _columns(self) -> tuple[list[_Column], list[str]]:
        """The columns, and which of them may hold an infinite date."""
        try:
            with closing(connect(self._url())) as connection:
                statement = f"select * from {relation(self._config, double_quoted)} limit 0"
                described = connection.execute(statement.encode()).description or []
                nested = _nested(connection, [column.type_code for column in described])
        except psycopg.Error as error:
            raise unreadable_relation(self._config, mapped(error)) from None
        names = column_names([column.name for column in described], self._config)
        columns = [
            _Column(name, *_read_as(column, column.type_code in nested), double_quoted(column.name))
            for name, column in zip(names, described, strict=True)
        ]
        return columns, [column.name for column in described if column.type_code in _MOMENTS]

    def _pieces(self) -> Iterator[Piece]:
        columns, moments = self._columns()
        selected = [f"{one.sql} as {double_quoted(one.name)}" for one in columns]
        if moments:
            selected.append(unusable_rows(moments, double_quoted, "to_json(veilflow_source)::text"))
        statement = f"select {', '.join(selected)} from {relation(self._config, double_quoted)}"
        window, where = _where(self._config, columns, moments)
        try:
            yield from arrow_pieces(self._batches(statement + where + ordered(self._config, double_quoted), window))
        except (psycopg.Error, pa.ArrowException, OSError) as error:
            raise unreadable_relation(self._config, mapped(error)) from None

    def _batches(self, statement: str, window: Window | None) -> Iterator[pa.RecordBatch]:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import StatementOptions, dbapi

        try:
            with closing(dbapi.connect(address(self._url()))) as connection, connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read, read only")
                for name in ("low", "high"):
                    if (bound := getattr(window, name, None)) is not None:
                        cursor.execute("select set_config($1, $2, true)", (f"veilflow.{name}", bound))
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
                cursor.execute(statement)
                yield from cursor.fetch_record_batch()
        except VeilError:
            raise
        except Error as error:
            raise unreadable_relation(self._config, mapped(error)) from None


def _where(config: SourceConfig, columns: Sequence[_Column], moments: Sequence[str]) -> tuple[Window | None, str]:
    """The window as a condition whose values are settings of the transaction: a COPY takes no parameters."""
    found = next((one for one in columns if config.window and one.name == config.window.column), None)
    window = pushed(config, found.type if found else None)
    if window is None or found is None:
        return None, ""
    kind = "timestamptz" if getattr(found.type.arrow, "tz", None) else _BOUNDS[found.type.name]
    low, high = (f"current_setting('veilflow.{name}')::{kind}" for name in ("low", "high"))
    infinite = f" or not isfinite({found.cell})" if found.type.name in ("date", "timestamp") else ""
    return window, f" where {condition(window, found.cell, low, high)}{infinite}"


def _nested(connection: psycopg.Connection[Any], oids: Sequence[int]) -> set[int]:
    """Those types that are arrays or rows."""
    found = connection.execute(
        "select oid::bigint from pg_type where oid = any(%s) and typcategory in ('A', 'C')", (list(oids),)
    ).fetchall()
    return {oid for (oid,) in found}


def _read_as(column: psycopg.Column, nested: bool) -> tuple[ColumnType, str]:
    """The type, and the expression that ADBC reads without a loss."""
    cell = double_quoted(column.name)
    if nested:
        return _JSON, f"to_json({cell})::text"
    if column.type_code in _JSON_OIDS:
        return _JSON, f"{cell}::text"
    if column.type_code in _TYPES:
        return _TYPES[column.type_code], cell
    precision, scale = column.precision, column.scale
    if column.type_code == _NUMERIC and precision and precision <= 38 and 0 <= (scale or 0) <= precision:
        return ColumnType("decimal", pa.decimal128(precision, scale or 0)), f"{cell}::text"
    return TEXT, f"{cell}::text"
