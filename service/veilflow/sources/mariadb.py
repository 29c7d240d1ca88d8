"""MariaDB by table or query: an unbuffered cursor in one consistent snapshot, every value as its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

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
)
from veilflow.sources.files import column_names
from veilflow.sources.relation import FETCH_ROWS, binaries, ordered, relation, row_pieces, texts, unreadable_relation
from veilflow.sources.rows import Piece, rechunk

_BINARY_CHARSET = 63
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


class MariadbSource:
    """A table or query. ``tinyint(1)`` is a boolean, as MariaDB's own BOOLEAN is."""

    def __init__(self, config: SourceConfig, url: Callable[[], Secret]) -> None:
        self._config, self._url = config, url

    def files(self) -> tuple[FileIdentity, ...]:
        return ()

    def schema(self) -> SourceSchema:
        with self._snapshot() as connection:
            columns = self._columns(connection)
        return SourceSchema(
            tuple(SourceColumn(name, self._config.types.get(name, kind)) for name, kind, _sql in columns)
        )

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(), columns, chunk_rows, start)

    def _columns(self, connection: Any) -> list[tuple[str, ColumnType, str]]:
        """Names, types, and the expressions that read them."""
        with connection.cursor() as cursor:
            cursor.execute(f"select * from {relation(self._config, quote)} limit 0")
            fields = cursor._result.fields  # the cursor's description has no character sets
            described = cursor.description
        names = column_names([column[0] for column in described], self._config)
        return [
            (name, *_read_as(column[0], field)) for name, column, field in zip(names, described, fields, strict=True)
        ]

    def _pieces(self) -> Iterator[Piece]:
        with self._snapshot() as connection:
            columns = self._columns(connection)
            selected = ", ".join(sql for _name, _kind, sql in columns)
            with connection.cursor() as cursor:
                cursor.execute(f"select {selected} from {relation(self._config, quote)}{ordered(self._config, quote)}")
                converts = [binaries if kind.name == "binary" else texts for _name, kind, _sql in columns]
                names = [name for name, _kind, _sql in columns]
                yield from row_pieces(lambda: cursor.fetchmany(FETCH_ROWS), names, converts)

    @contextmanager
    def _snapshot(self) -> Iterator[Any]:
        try:
            with closing(connect(self._url(), SSCursor, as_text=True)) as connection:
                connection.query("set transaction isolation level repeatable read")
                connection.query("start transaction with consistent snapshot, read only")
                yield connection
        except (pymysql.Error, OSError, UnicodeError) as error:
            raise unreadable_relation(self._config, mapped(error)) from None


def _read_as(name: str, field: Any) -> tuple[ColumnType, str]:
    """The type, and the expression whose text loses nothing."""
    cell, code = f"veilflow_source.{quote(name)}", field.type_code
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
