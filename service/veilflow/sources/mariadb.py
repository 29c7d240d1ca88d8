"""MariaDB by table or query: an unbuffered cursor in one consistent snapshot, every value as its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.cursors import SSCursor

from veilflow.databases.mariadb import connect, mapped, quote
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
from veilflow.sources.ordering import SAME_ORDER, check_order, watched
from veilflow.sources.relation import (
    FETCH_ROWS,
    binaries,
    newest_of,
    ordered,
    pushed,
    relation,
    row_pieces,
    texts,
    unreadable_relation,
)
from veilflow.sources.rows import Piece, rechunk
from veilflow.sources.windows import condition, newest

_BINARY_CHARSET = 63
_IS_TABLE = (
    "select 1 from information_schema.tables where table_schema = coalesce(nullif(%s, ''), database())"
    " and table_name = %s and table_type = 'BASE TABLE'"
)
_KEYS = (
    "select index_name, column_name, nullable <> 'YES' and sub_part is null from information_schema.statistics"
    " where table_schema = coalesce(nullif(%s, ''), database()) and table_name = %s and non_unique = 0"
)
_INTEGERS = (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.INT24, FIELD_TYPE.YEAR)
_TYPES = {
    **dict.fromkeys(_INTEGERS, ColumnType("integer", pa.int64())),
    FIELD_TYPE.BIT: ColumnType("integer", pa.int64()),
    FIELD_TYPE.FLOAT: ColumnType("float", pa.float64()), FIELD_TYPE.DOUBLE: ColumnType("float", pa.float64()),
    FIELD_TYPE.DATE: ColumnType("date", pa.date32()), FIELD_TYPE.DATETIME: ColumnType("timestamp", pa.timestamp("us")),
    FIELD_TYPE.TIMESTAMP: ColumnType("timestamp", pa.timestamp("us", "UTC")), FIELD_TYPE.JSON: ColumnType("json", pa.string()),
}  # fmt: skip
_BLOBS = (FIELD_TYPE.TINY_BLOB, FIELD_TYPE.BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.STRING,
          FIELD_TYPE.VAR_STRING, FIELD_TYPE.VARCHAR)  # fmt: skip


class _Column(NamedTuple):
    """A column's name, its type, the expression that reads it, and the cell as it is."""

    name: str
    type: ColumnType
    sql: str
    cell: str


class MariadbSource:
    """A table or query. ``tinyint(1)`` is a boolean, as MariaDB's own BOOLEAN is."""

    def __init__(self, config: SourceConfig, url: Callable[[], Secret]) -> None:
        self._config, self._url = config, url

    def files(self) -> tuple[FileIdentity, ...]:
        return ()

    def schema(self) -> SourceSchema:
        with self._snapshot() as connection:
            columns = self._columns(connection)
            check_order(self._config, [one.name for one in columns], self._keys(connection))
        return SourceSchema(
            tuple(SourceColumn(one.name, self._config.types.get(one.name, one.type)) for one in columns)
        )

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(), columns, chunk_rows, start)

    def newest(self, column: SourceColumn) -> str | None:
        with self._snapshot() as connection:
            found = next(one for one in self._columns(connection) if one.name == column.name)
        return newest(MariadbSource(newest_of(self._config, found.cell, found.type, column, quote), self._url), column)

    def within(self, window: Window) -> MariadbSource:
        return MariadbSource(replace(self._config, window=window), self._url)

    def _where(self, cursor: Any, columns: Sequence[_Column]) -> str:
        """The window as a condition on variables of the session: a query's own text may hold a %."""
        found = next((one for one in columns if self._config.window and one.name == self._config.window.column), None)
        window = pushed(self._config, found.type if found else None)
        if window is None or found is None:
            return ""
        for name, bound in (("low", window.low), ("high", window.high)):
            if bound is not None:
                cursor.execute(f"set @veilflow_{name} = %s", (bound.removesuffix("Z"),))
        low, high = (f"cast(@veilflow_{name} as {_bound(found.type)})" for name in ("low", "high"))
        return f" where {condition(window, found.cell, low, high)}"

    def _columns(self, connection: Any) -> list[_Column]:
        with connection.cursor() as cursor:
            cursor.execute(f"select * from {relation(self._config, quote)} limit 0")
            fields = cursor._result.fields  # the cursor's description has no character sets
            described = cursor.description
        names = column_names([column[0] for column in described], self._config)
        return [
            _Column(name, *_read_as(column[0], field), _cell(column[0]))
            for name, column, field in zip(names, described, fields, strict=True)
        ]

    def _keys(self, connection: Any) -> list[set[str]] | None:
        """The unique keys without nulls and without parts of a text; None where it is no table of its own."""
        if self._config.query is not None or not self._config.order_by:
            return None
        namespace, _, table = (self._config.table or "").rpartition(".")
        with connection.cursor() as cursor:
            cursor.execute(_IS_TABLE, (namespace, table))
            if not cursor.fetchall():
                return None
            cursor.execute(_KEYS, (namespace, table))
            rows = cursor.fetchall()
        keys: dict[str, set[str]] = {}
        for index, column, _usable in rows:
            keys.setdefault(index, set()).add(column)
        return [key for index, key in keys.items() if all(row[2] == "1" for row in rows if row[0] == index)]

    def _pieces(self) -> Iterator[Piece]:
        config = self._config
        with self._snapshot() as connection:
            columns, vouched = self._columns(connection), self._keys(connection) is not None
            selected = ", ".join(one.sql for one in columns)
            keys = {one.name: one.type for one in columns if one.name in config.order_by and not vouched}
            by_text = {
                one.name: f"cast(convert({one.cell} using utf8mb4) as binary)"
                for one in columns
                if one.name in keys and one.type.name not in SAME_ORDER
            }
            with connection.cursor() as cursor:
                where = self._where(cursor, columns)
                cursor.execute(
                    f"select {selected} from {relation(config, quote)}{where}{ordered(config, quote, by_text)}"
                )
                converts = [binaries if one.type.name == "binary" else texts for one in columns]
                names = [one.name for one in columns]
                yield from watched(row_pieces(lambda: cursor.fetchmany(FETCH_ROWS), names, converts), config, keys)

    @contextmanager
    def _snapshot(self) -> Iterator[Any]:
        try:
            with closing(connect(self._url(), SSCursor, as_text=True)) as connection:
                connection.query("set transaction isolation level repeatable read")
                connection.query("start transaction with consistent snapshot, read only")
                yield connection
        except (pymysql.Error, OSError, UnicodeError) as error:
            raise unreadable_relation(self._config, mapped(error)) from None


def _cell(name: str) -> str:
    return f"veilflow_source.{quote(name)}"


def _bound(kind: ColumnType) -> str:
    """What a window's bounds are compared as."""
    if kind.name == "decimal":
        return f"decimal({kind.arrow.precision}, {kind.arrow.scale})"
    return {"integer": "signed", "date": "date", "timestamp": "datetime(6)"}[kind.name]


def _read_as(name: str, field: Any) -> tuple[ColumnType, str]:
    """The type, and the expression whose text loses nothing."""
    cell, code = _cell(name), field.type_code
    if code == FIELD_TYPE.TINY and field.length == 1:
        return ColumnType("boolean", pa.bool_()), cell
    if code == FIELD_TYPE.NEWDECIMAL:
        return _decimal(field), cell
    if code == FIELD_TYPE.TIMESTAMP:
        return _TYPES[code], f"concat({cell}, 'Z')"
    if code == FIELD_TYPE.BIT:
        return _TYPES[code], f"cast({cell} as unsigned)"
    if code == FIELD_TYPE.FLOAT:
        return _TYPES[code], f"cast({cell} as double)"  # its own text has six digits
    if code in _BLOBS and field.charsetnr == _BINARY_CHARSET:
        return ColumnType("binary", pa.binary()), cell
    if code in (FIELD_TYPE.TIME, FIELD_TYPE.GEOMETRY):
        return TEXT, f"cast({cell} as char)"
    return _TYPES.get(code, TEXT), cell


def _decimal(field: Any) -> ColumnType:
    """The length that the protocol tells counts the point, and the sign of signed columns: one digit too many is no harm."""
    precision = min(38, field.length - (1 if field.scale else 0))
    return ColumnType("decimal", pa.decimal128(precision, field.scale)) if field.scale <= precision else TEXT
