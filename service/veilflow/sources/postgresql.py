"""PostgreSQL by table or query: ADBC's binary COPY OUT in a REPEATABLE READ transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import psycopg
import pyarrow as pa

from veilflow.databases.postgresql import READING, address, connect, mapped
from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    TEXT,
    ColumnType,
    FileIdentity,
    Part,
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
from veilflow.sources.postgresql_ranges import KeyRange, key_ranges, whole
from veilflow.sources.relation import (
    arrow_pieces,
    double_quoted,
    newest_of,
    order_cells,
    ordered,
    pushed,
    relation,
    unreadable_relation,
    unusable_rows,
)
from veilflow.sources.rows import Pieces, rechunk
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
#: The columns of each unique key without nulls; no row where it is no table of its own. Rows of inheriting tables are
#: under no key of it.
_KEYS = """
select (select array_agg(attname::text) from unnest(i.indkey::int2[]) with ordinality as u(number, place)
        join pg_attribute on attrelid = c.oid and attnum = u.number where u.place <= i.indnkeyatts)
from pg_class c left join pg_index i on i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
 and i.indpred is null and i.indexprs is null and not (c.relkind = 'r' and exists (select from pg_inherits where inhparent = c.oid))
 and not exists (select from unnest(i.indkey::int2[]) with ordinality as u(number, place) join pg_attribute on attrelid = c.oid
                 and attnum = u.number where u.place <= i.indnkeyatts and not attnotnull)
where c.oid = to_regclass(%s) and c.relkind in ('r', 'p')
"""
_JSON = ColumnType("json", pa.string())
_JSON_OIDS = (114, 3802)
_ARRAY = "A"
#: A pattern for what array_dims says where JSON would not tell that a dimension begins elsewhere than at 1.
_ANOTHER_START = "'[[](?!1:)'"
_LAST_MOMENT = "294247-01-10 04:00:54.775807+00"  # 2^63 - 1 microseconds

_LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names off in silence, and would read another table
#: In SQL, by the type: what a window's bounds are compared as.
_BOUNDS = {"integer": "bigint", "decimal": "numeric", "date": "date", "timestamp": "timestamp"}


class _Column(NamedTuple):
    """A column's name, its type, the expression that reads it, and the cell as it is."""

    name: str
    type: ColumnType
    sql: str
    cell: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What is read: the columns, what holds for each cell that can be read exactly, and those of ``order_by`` for which the
    catalogue does not vouch."""

    columns: list[_Column]
    exact: list[str]
    keys: list[_Column]


class PostgresqlSource:
    """A table or query, by one statement: one snapshot. Numerics, UUIDs, enums, intervals … travel as their text."""

    def __init__(self, config: SourceConfig, url: Callable[[], Secret]) -> None:
        self._config, self._url = config, url
        for name in (config.table or "").split(".") if config.table else ():
            if len(name.encode()) > _LONGEST_NAME or "\0" in name:
                raise VeilError(
                    "VEIL210", f'the name "{name}" is longer than 63 bytes', "PostgreSQL has no such name: shorten it",
                    config.place,
                )  # fmt: skip

    def files(self) -> tuple[FileIdentity, ...]:
        return ()

    def schema(self) -> SourceSchema:
        return SourceSchema(
            tuple(SourceColumn(one.name, self._config.types.get(one.name, one.type)) for one in self._look().columns)
        )

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(self._look()), columns, chunk_rows, start)

    @contextmanager
    def parts(self, columns: Sequence[SourceColumn], chunk_rows: int, workers: int) -> Iterator[Sequence[Part]]:
        """Ranges of the keys of ``order_by``, in the snapshot of a transaction that lives as long as the context."""
        if workers == 1 or not self._config.order_by:
            yield [Part(BEGINNING, partial(self.slices, columns, chunk_rows))]
            return
        look = self._look()
        window, where = _where(self._config, look.columns)
        cells = order_cells(self._config, double_quoted, _by_text(look.keys))
        with closing(connect(self._url(), READING)) as connection:
            try:
                connection.execute("begin isolation level repeatable read, read only")
                connection.execute("set local idle_in_transaction_session_timeout = 0")
                for setting in _settings(window):
                    connection.execute("select set_config(%s, %s, true)", setting)
                found = key_ranges(connection, self._config, where, cells, chunk_rows, workers)
            except psycopg.Error as error:
                raise unreadable_relation(self._config, mapped(error)) from None
            yield [self._part(look, one, columns, chunk_rows) for one in found]

    def _part(self, look: _Found, within: KeyRange, columns: Sequence[SourceColumn], chunk_rows: int) -> Part:
        def slices(start: Start) -> Iterator[Slice]:
            if start.position < within.position + within.rows:
                pieces = whole(self._pieces(look, within), within, self._config)
                yield from rechunk(pieces, columns, chunk_rows, start)

        return Part(Start(within.position // chunk_rows, within.position), slices)

    def newest(self, column: SourceColumn) -> str | None:
        found = next(one for one in self._look().columns if one.name == column.name)
        usable = _usable(found.cell, found.type) if found.type.name in ("date", "timestamp") else ""
        config = newest_of(self._config, found.cell, found.type, column, double_quoted, usable)
        return newest(PostgresqlSource(config, self._url), column)

    def within(self, window: Window) -> PostgresqlSource:
        return PostgresqlSource(replace(self._config, window=window), self._url)

    def _look(self) -> _Found:
        """VEIL302 or VEIL330 for an ``order_by`` that is none."""
        try:
            with closing(connect(self._url(), READING)) as connection:
                statement = f"select * from {relation(self._config, double_quoted)} limit 0"
                described = connection.execute(statement.encode()).description or []
                nested = _nested(connection, [column.type_code for column in described])
                keys = self._keys(connection)
        except psycopg.Error as error:
            raise unreadable_relation(self._config, mapped(error)) from None
        names = column_names([column.name for column in described], self._config)
        columns = [
            _Column(name, *_read_as(column, column.type_code in nested), double_quoted(column.name))
            for name, column in zip(names, described, strict=True)
        ]
        check_order(self._config, names, keys)
        exact = [_usable(one.cell, one.type) for one in columns if one.type.name in ("date", "timestamp")]
        exact += [
            f"array_dims({double_quoted(column.name)}) !~ {_ANOTHER_START}"
            for column in described
            if nested.get(column.type_code) == _ARRAY
        ]
        return _Found(columns, exact, [one for one in columns if keys is None and one.name in self._config.order_by])

    def _keys(self, connection: psycopg.Connection[Any]) -> list[Sequence[str]] | None:
        if self._config.query is not None or not self._config.order_by:
            return None
        named = relation(self._config, double_quoted).removesuffix(" as veilflow_source")
        found = connection.execute(_KEYS, (named,)).fetchall()
        return [key for (key,) in found if key] if found else None

    def _pieces(self, found: _Found, within: KeyRange | None = None) -> Pieces:
        config = self._config
        selected = [f"{one.sql} as {double_quoted(one.name)}" for one in found.columns]
        if found.exact:
            selected.append(unusable_rows(found.exact, "to_json(veilflow_source)::text"))
        statement = f"select {', '.join(selected)} from {relation(config, double_quoted)}"
        window, where = _where(config, found.columns)
        if within is not None:
            where = " and ".join([where or " where true", *within.conditions])
        statement += where + ordered(config, double_quoted, _by_text(found.keys))
        try:
            batches = self._batches(statement, window, within)
            pieces = arrow_pieces(batches, within.position if within else 0)
            yield from watched(pieces, config, {one.name: one.type for one in found.keys})
        except (psycopg.Error, pa.ArrowException, OSError) as error:
            raise unreadable_relation(self._config, mapped(error)) from None

    def _batches(self, statement: str, window: Window | None, within: KeyRange | None) -> Iterator[pa.RecordBatch]:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import StatementOptions, dbapi

        try:
            with closing(dbapi.connect(address(self._url(), READING))) as connection, connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read, read only")
                if within is not None:
                    cursor.execute(f"set transaction snapshot '{within.snapshot}'")
                for setting in chain(_settings(window), within.settings if within else ()):
                    cursor.execute("select set_config($1, $2, true)", setting)
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
                cursor.execute(statement)
                yield from cursor.fetch_record_batch()
        except VeilError:
            raise
        except Error as error:
            raise unreadable_relation(self._config, mapped(error)) from None


def _by_text(keys: Sequence[_Column]) -> dict[str, str]:
    """What orders the columns that Arrow does not order as the database does: the bytes of their text."""
    return {one.name: f'({one.sql}) collate "C"' for one in keys if one.type.name not in SAME_ORDER}


def _settings(window: Window | None) -> Iterator[tuple[str, str]]:
    """The settings of a transaction that ``_where`` names."""
    for name in ("low", "high"):
        if (bound := getattr(window, name, None)) is not None:
            yield f"veilflow.{name}", bound


def _where(config: SourceConfig, columns: Sequence[_Column]) -> tuple[Window | None, str]:
    """The window as a condition whose values are settings of the transaction: a COPY takes no parameters."""
    found = next((one for one in columns if config.window and one.name == config.window.column), None)
    window = pushed(config, found.type if found else None)
    if window is None or found is None:
        return None, ""
    kind = "timestamptz" if getattr(found.type.arrow, "tz", None) else _BOUNDS[found.type.name]
    low, high = (f"current_setting('veilflow.{name}')::{kind}" for name in ("low", "high"))
    unusable = f" or not {_usable(found.cell, found.type)}" if found.type.name in ("date", "timestamp") else ""
    return window, f" where ({condition(window, found.cell, low, high)}{unusable})"


def _usable(cell: str, kind: ColumnType) -> str:
    """Whether Arrow has the date or moment: ADBC makes one that lies too late a moment long ago, without a word."""
    return f"isfinite({cell})" if kind.name == "date" else f"(isfinite({cell}) and {cell} <= '{_LAST_MOMENT}')"


def _nested(connection: psycopg.Connection[Any], oids: Sequence[int]) -> dict[int, str]:
    """Those types that are arrays or rows, each with its category."""
    found = connection.execute(
        "select oid::bigint, typcategory from pg_type where oid = any(%s) and typcategory in ('A', 'C')", (list(oids),)
    ).fetchall()
    return dict(found)


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
