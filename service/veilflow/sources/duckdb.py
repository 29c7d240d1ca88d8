"""DuckDB by table or query, as a stream of Arrow batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import PassingFault
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
from veilflow.sources.files import column_names
from veilflow.sources.json_text import without_constants
from veilflow.sources.local_files import LOCAL
from veilflow.sources.ordering import SAME_ORDER, check_order, watched
from veilflow.sources.relation import (
    FETCH_ROWS,
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

#: A query reads this file and nothing else: no other file, no network.
_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "enable_external_access": "false",
}  # fmt: skip
_JSON = ColumnType("json", pa.string())
_TYPES = {
    "BOOLEAN": ColumnType("boolean", pa.bool_()), "TINYINT": ColumnType("integer", pa.int8()),
    "SMALLINT": ColumnType("integer", pa.int16()), "INTEGER": ColumnType("integer", pa.int32()),
    "BIGINT": ColumnType("integer", pa.int64()), "UTINYINT": ColumnType("integer", pa.uint8()),
    "USMALLINT": ColumnType("integer", pa.uint16()), "UINTEGER": ColumnType("integer", pa.uint32()),
    "UBIGINT": ColumnType("integer", pa.uint64()), "FLOAT": ColumnType("float", pa.float32()),
    "DOUBLE": ColumnType("float", pa.float64()), "VARCHAR": TEXT, "BLOB": ColumnType("binary", pa.binary()),
    "DATE": ColumnType("date", pa.date32()), "TIMESTAMP": ColumnType("timestamp", pa.timestamp("us")),
    "TIMESTAMP_S": ColumnType("timestamp", pa.timestamp("s")), "TIMESTAMP_MS": ColumnType("timestamp", pa.timestamp("ms")),
    "TIMESTAMP_NS": ColumnType("timestamp", pa.timestamp("ns")),
    "TIMESTAMP WITH TIME ZONE": ColumnType("timestamp", pa.timestamp("us", "UTC")), "JSON": _JSON,
}  # fmt: skip
_OF_TABLE = "database_name = current_database() and schema_name = ? and table_name = ?"
#: An index on columns alone, as DuckDB writes it down.
_PLAIN_NAMES, _PLAIN_NAME = re.compile(r"\[[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*\]"), re.compile(r"\w+")
_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")
_NESTED = re.compile(r"\[[0-9]*\]$|^(?:STRUCT|MAP|UNION)\b")


class DuckdbSource:
    """A table or query of a DuckDB file, by one statement: one snapshot."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config

    def files(self) -> tuple[FileIdentity, ...]:
        """None: the file of a database changes while it is read, and the snapshot does not."""
        return ()

    def schema(self) -> SourceSchema:
        with self._connect() as connection:
            found = self._columns(connection)
            check_order(self._config, [name for name, _declared in found], self._keys(connection))
        names = column_names([name for name, _declared in found], self._config)
        types = [_column_type(declared) for _name, declared in found]
        return SourceSchema(
            tuple(
                SourceColumn(name, self._config.types.get(name, kind)) for name, kind in zip(names, types, strict=True)
            )
        )

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(), columns, chunk_rows, start)

    def newest(self, column: SourceColumn) -> str | None:
        with self._connect() as connection:
            raw, native = self._native(self._columns(connection), column.name)
        usable = f"isfinite({double_quoted(raw)})" if column.type.name in ("date", "timestamp") else ""
        return newest(
            DuckdbSource(newest_of(self._config, double_quoted(raw), native, column, double_quoted, usable)), column
        )

    def within(self, window: Window) -> DuckdbSource:
        return DuckdbSource(replace(self._config, window=window))

    def _native(self, found: Sequence[tuple[str, str]], column: str) -> tuple[str, ColumnType]:
        """A column's name as it is written in the database, and its type there."""
        names = column_names([name for name, _declared in found], self._config)
        raw, declared = found[names.index(column)]
        return raw, _column_type(declared)

    def _columns(self, connection: Any) -> list[tuple[str, str]]:
        rows = connection.execute(f"describe select * from {relation(self._config, double_quoted)}").fetchall()
        return [(row[0], row[1]) for row in rows]

    def _keys(self, connection: Any) -> list[set[str]] | None:
        """The unique keys without nulls; None where it is no table of its own."""
        if self._config.query is not None or not self._config.order_by:
            return None
        namespace, _, table = (self._config.table or "").rpartition(".")
        where = [namespace or "main", table]
        if not connection.execute(f"select 1 from duckdb_tables() where {_OF_TABLE}", where).fetchall():
            return None
        rows = connection.execute(
            f"select column_name from duckdb_columns() where {_OF_TABLE} and not is_nullable", where
        )
        required = {name for (name,) in rows.fetchall()}
        constraints = connection.execute(
            "select constraint_column_names from duckdb_constraints() where constraint_type in ('PRIMARY KEY', 'UNIQUE')"
            f" and {_OF_TABLE}", where,
        ).fetchall()  # fmt: skip
        indexes = connection.execute(f"select expressions from duckdb_indexes() where is_unique and {_OF_TABLE}", where).fetchall()  # fmt: skip
        keys = [set(names) for (names,) in constraints]
        keys += [set(_PLAIN_NAME.findall(text)) for (text,) in indexes if _PLAIN_NAMES.fullmatch(text)]
        return [key for key in keys if key <= required]

    def _pieces(self) -> Iterator[Piece]:
        with self._connect() as connection:
            found = self._columns(connection)
            names = column_names([name for name, _declared in found], self._config)
            selected = [
                f"{_selected(raw, declared)} as {double_quoted(name)}"
                for (raw, declared), name in zip(found, names, strict=True)
            ]
            moments = [name for name, declared in found if _column_type(declared).name in ("date", "timestamp")]
            if moments:
                selected.append(
                    unusable_rows(
                        [f"isfinite({double_quoted(name)})" for name in moments], "to_json(veilflow_source)::varchar"
                    )
                )
            statement = f"select {', '.join(selected)} from {relation(self._config, double_quoted)}"
            vouched = self._keys(connection) is not None
            keys = {
                name: _column_type(declared)
                for (raw, declared), name in zip(found, names, strict=True)
                if raw in self._config.order_by and not vouched
            }
            by_text = {
                raw: _selected(raw, declared)
                for raw, declared in found
                if raw in keys and keys[raw].name not in SAME_ORDER
            }
            # Not ``execute``: its reader keeps what it has handed out.
            statement += self._where(connection, found) + ordered(self._config, double_quoted, by_text)
            reader = connection.sql(statement).to_arrow_reader(FETCH_ROWS)
            nested = [name for (_raw, declared), name in zip(found, names, strict=True) if _becomes_json(declared)]
            yield from watched(arrow_pieces(_as_json(batch, nested) for batch in reader), self._config, keys)

    def _where(self, connection: Any, found: Sequence[tuple[str, str]]) -> str:
        """The window as a condition on variables: a statement with parameters would keep its whole result."""
        if self._config.window is None:
            return ""
        raw, native = self._native(found, self._config.window.column)
        window = pushed(self._config, native)
        if window is None:
            return ""
        for name, bound in (("low", window.low), ("high", window.high)):
            connection.execute(f"set variable veilflow_{name} = ?", [bound])
        cell = double_quoted(raw)
        kind = "hugeint" if native.name == "integer" else dict(found)[raw]
        low, high = (f"getvariable('veilflow_{name}')::{kind}" for name in ("low", "high"))
        infinite = f" or not isfinite({cell})" if native.name in ("date", "timestamp") else ""
        return f" where {condition(window, cell, low, high)}{infinite}"

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        LOCAL.identity(self._config)
        try:
            with closing(duckdb.connect(str(self._config.path), read_only=True, config=_CONFIGURATION)) as connection:
                connection.execute("set timezone = 'UTC'")
                yield connection
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise unreadable_relation(self._config) from None
            raise PassingFault(
                "VEIL401", f"{self._config.shown} is open in another program", "close it, or wait, and run again"
            ) from None
        except duckdb.ConnectionException as error:
            if "different configuration" not in str(error):
                raise unreadable_relation(self._config) from None
            raise PassingFault(
                "VEIL401", f"another run of this process writes {self._config.shown}", "wait for it, and run again"
            ) from None
        except (duckdb.Error, pa.ArrowException):
            raise unreadable_relation(self._config) from None


def _column_type(declared: str) -> ColumnType:
    decimal = _DECIMAL.fullmatch(declared)
    if decimal:
        return ColumnType("decimal", pa.decimal128(int(decimal[1]), int(decimal[2])))
    if _becomes_json(declared):
        return _JSON
    return _TYPES.get(declared, TEXT)


def _as_json(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The batch with the NaN and infinity that DuckDB writes into JSON as JSON can hold them."""
    for name in columns:
        texts = batch.column(name)
        if pc.any(pc.match_substring_regex(texts, "NaN|Infinity")).as_py():
            exact = pa.array(map(without_constants, texts.to_pylist()), pa.string())
            batch = batch.set_column(batch.schema.get_field_index(name), name, exact)
    return batch


def _becomes_json(declared: str) -> bool:
    """Whether it is nested. JSON within it stays text: DuckDB would bring its numbers through doubles."""
    return bool(_NESTED.search(declared)) and "JSON" not in declared


def _selected(name: str, declared: str) -> str:
    """The column in a form that Arrow keeps exactly: nested values as JSON, UUIDs, times, huge integers … as text."""
    cell = double_quoted(name)
    if _becomes_json(declared):
        return f"to_json({cell})::varchar"
    return cell if _DECIMAL.fullmatch(declared) or (declared in _TYPES and declared != "JSON") else f"{cell}::varchar"
