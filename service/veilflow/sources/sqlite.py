"""SQLite by table or query. Its types are hints: a cell that does not fit its column's declared type is a bad cell."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pyarrow as pa

from veilflow.model import (
    BEGINNING,
    TEXT,
    ColumnType,
    FileIdentity,
    Slice,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
    Window,
)
from veilflow.sources.decoding import marked
from veilflow.sources.files import column_names
from veilflow.sources.local_files import LOCAL
from veilflow.sources.ordering import SAME_ORDER, check_order, watched
from veilflow.sources.relation import (
    FETCH_ROWS,
    binaries,
    double_quoted,
    floats_as_text,
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

#: No row id is smaller.
_BEFORE_ALL = -(2**63)
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC) *\( *([0-9]+) *(?:, *([0-9]+) *)?\)")
#: The first that stands in the declared type decides, as in SQLite's own rules, which know no more than five.
_TYPES = (
    ("BOOL", ColumnType("boolean", pa.bool_())), ("DATETIME", ColumnType("timestamp", pa.timestamp("us"))),
    ("TIMESTAMP", ColumnType("timestamp", pa.timestamp("us"))), ("DATE", ColumnType("date", pa.date32())),
    ("JSON", ColumnType("json", pa.string())), ("INT", ColumnType("integer", pa.int64())),
    ("CHAR", TEXT), ("CLOB", TEXT), ("TEXT", TEXT), ("BLOB", ColumnType("binary", pa.binary())),
    ("REAL", ColumnType("float", pa.float64())), ("FLOA", ColumnType("float", pa.float64())),
    ("DOUB", ColumnType("float", pa.float64())),
)  # fmt: skip


def _text(value: object) -> object:
    return marked(value) if isinstance(value, bytes) else value


def _texts(values: Sequence[bytes | None]) -> pa.Array:
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return texts([None if value is None else marked(value) for value in values])


_CONVERTS = {"binary": binaries, "float": lambda values: floats_as_text([_text(value) for value in values])}


class SqliteSource:
    """A table or query of an SQLite file, read in one transaction: one snapshot, whatever others write meanwhile."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config

    def files(self) -> tuple[FileIdentity, ...]:
        """None: the file of a database changes while it is read, and the snapshot does not."""
        return ()

    def schema(self) -> SourceSchema:
        with self._view() as connection:
            columns = self._columns(connection)
            check_order(self._config, [name for name, _kind in columns], self._keys(connection))
        names = column_names([name for name, _kind in columns], self._config)
        return SourceSchema(
            tuple(
                SourceColumn(name, self._config.types.get(name, kind))
                for name, (_raw, kind) in zip(names, columns, strict=True)
            )
        )

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(), columns, chunk_rows, start)

    def _columns(self, connection: sqlite3.Connection) -> list[tuple[str, ColumnType]]:
        rows = connection.execute("pragma table_info(veilflow_source)").fetchall()
        return [(row[1], _column_type(str(row[2] or ""))) for row in rows]

    def _keys(self, connection: sqlite3.Connection) -> list[set[str]] | None:
        """The unique keys without nulls; None where it is no table of its own."""
        if self._config.query is not None or not self._config.order_by:
            return None
        namespace, _, table = (self._config.table or "").rpartition(".")
        where = (table, namespace or "main")
        if connection.execute("select type from pragma_table_list(?) where schema = ?", where).fetchone() != ("table",):
            return None
        columns = connection.execute('select name, type, "notnull", pk from pragma_table_info(?, ?)', where).fetchall()
        required = {name for name, _kind, required, _pk in columns if required}
        indexes = connection.execute("select name, origin from pragma_index_list(?, ?) where \"unique\" and not partial", where).fetchall()  # fmt: skip
        keys = [
            {name for (name,) in connection.execute("select name from pragma_index_info(?, ?)", (index, where[1]))}
            for index, _origin in indexes
        ]
        alias = {name for name, kind, _required, pk in columns if pk and kind.upper() == "INTEGER"}
        if len(alias) == 1 == sum(bool(pk) for *_rest, pk in columns) and "pk" not in [
            origin for _name, origin in indexes
        ]:
            return [*[key for key in keys if key <= required | alias], alias]  # another name of the row's own number
        return [key for key in keys if key <= required]

    def _pieces(self) -> Iterator[Piece]:
        with self._view() as connection:
            columns = self._columns(connection)
            names = column_names([name for name, _kind in columns], self._config)
            converts = [_CONVERTS.get(kind.name, _texts) for _name, kind in columns]
            selected = ", ".join(_as_text(name, kind) for name, kind in columns)
            vouched = self._keys(connection) is not None
            keys = {
                name: kind
                for name, (raw, kind) in zip(names, columns, strict=True)
                if raw in self._config.order_by and not vouched
            }
            by_text = {
                name: f"{_as_text(name, kind)} collate binary"
                for name, kind in keys.items()
                if kind.name not in SAME_ORDER
            }
            connection.text_factory = bytes  # decoded by the column: a call for each cell is three times as slow
            where, bounds = self._where(columns, names)
            rows = connection.execute(
                f"select {selected} from veilflow_source{where}{ordered(self._config, double_quoted, by_text)}", bounds
            )
            yield from watched(row_pieces(lambda: rows.fetchmany(FETCH_ROWS), names, converts), self._config, keys)

    def newest(self, column: SourceColumn) -> str | None:
        with self._view() as connection:
            columns = self._columns(connection)
        raw, native = columns[column_names([name for name, _kind in columns], self._config).index(column.name)]
        cell = double_quoted(raw)
        config = newest_of(self._config, cell, _sorted_as(native), column, double_quoted, f"typeof({cell}) = 'integer'")
        return newest(SqliteSource(config), column)

    def within(self, window: Window) -> SqliteSource:
        return SqliteSource(replace(self._config, window=window))

    def _where(
        self, columns: Sequence[tuple[str, ColumnType]], names: Sequence[str]
    ) -> tuple[str, dict[str, int | None]]:
        """The window of an integer column, and every cell that is no integer."""
        if self._config.window is None:
            return "", {}
        raw, native = columns[names.index(self._config.window.column)]
        window = pushed(self._config, _sorted_as(native))
        if window is None:
            return "", {}
        cell = double_quoted(raw)
        bounds = {
            name: None if bound is None else int(bound) for name, bound in (("low", window.low), ("high", window.high))
        }
        return f" where {condition(window, cell, ':low', ':high')} or typeof({cell}) <> 'integer'", bounds

    @contextmanager
    def _view(self) -> Iterator[sqlite3.Connection]:
        """A connection in a read transaction, with the table or query as a temporary view: so its types are known."""
        config = self._config
        LOCAL.identity(config)
        try:
            address = f"{config.path.resolve().as_uri()}?mode=rw"
            with closing(sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)) as connection:
                connection.text_factory = marked
                connection.execute("begin")
                connection.execute(
                    f"create temp view veilflow_source as select * from {relation(config, double_quoted)}"
                )
                connection.execute("pragma query_only = on")
                yield connection
        except sqlite3.Error:
            raise unreadable_relation(config) from None


def _sorted_as(native: ColumnType) -> ColumnType:
    """The type whose order SQLite keeps: only of integers. It holds dates, moments and decimals as texts of any form."""
    return native if native.name == "integer" else TEXT


class SqlitePages:
    """A table that is read while the same file is written: page by page in the order of its rows, each in a short
    transaction, for one that lasts would keep every writer out. The lock of the target keeps other runs away."""

    def __init__(self, config: SourceConfig) -> None:
        self._config, self._whole = config, SqliteSource(config)

    def files(self) -> tuple[FileIdentity, ...]:
        return ()

    def schema(self) -> SourceSchema:
        return self._whole.schema()

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(), columns, chunk_rows, start)

    def _pieces(self) -> Iterator[Piece]:
        table, position, last = double_quoted(self._config.table or ""), 0, _BEFORE_ALL
        while (page_end := self._page_end(table, last)) is not None:
            end, rows = page_end
            query = f"select * from {table} where rowid > {last} and rowid <= {end} order by rowid"
            page = SqliteSource(replace(self._config, table=None, query=query))
            for batch, positions, rejected in list(page._pieces()):
                yield batch, positions + position, [replace(row, position=row.position + position) for row in rejected]
            position, last = position + rows, end

    def _page_end(self, table: str, last: int) -> tuple[int, int] | None:
        """The row id at which the next page ends, and its rows; None if none is left."""
        page = f"select rowid as id from {table} where rowid > {last} order by rowid limit {FETCH_ROWS}"
        with self._whole._view() as connection:
            end, rows = connection.execute(f"select max(id), count(*) from ({page})").fetchone()
        return (int(end), int(rows)) if rows else None


def _column_type(declared: str) -> ColumnType:
    text = declared.upper()
    decimal = _DECIMAL.search(text)
    if decimal:
        precision, scale = int(decimal[1]), int(decimal[2] or 0)
        if 1 <= precision <= 38 and scale <= precision:
            return ColumnType("decimal", pa.decimal128(precision, scale))
    return next((kind for word, kind in _TYPES if word in text), TEXT)


def _as_text(name: str, kind: ColumnType) -> str:
    """The cell as text that loses nothing, bytes in a text column as SQLite writes them down. Floats come as they are:
    SQLite's own text of them is not exact."""
    cell = double_quoted(name)
    if kind.name == "binary":
        return f"cast({cell} as blob)"
    real = f" when 'real' then {cell}" if kind.name == "float" else ""
    return f"case typeof({cell}){real} when 'blob' then quote({cell}) else cast({cell} as text) end"
