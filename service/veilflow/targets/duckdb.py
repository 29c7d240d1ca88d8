"""DuckDB: Arrow inserts into a staging schema, each with its receipt in one transaction; one publishing transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from veilflow.databases.refusals import missing_partner, shared_key
from veilflow.errors import PassingFault, VeilError
from veilflow.model import (
    Advance,
    ColumnKey,
    Container,
    Containers,
    Gate,
    Output,
    Publication,
    Publish,
    Receipt,
    Standing,
    Writer,
)
from veilflow.targets import containers
from veilflow.targets.duckdb_schema import column_types, definitions, fits, quote, sql_type
from veilflow.targets.locks import FileLock
from veilflow.targets.merging import Tables, add_columns, check_key, insert_all, rewrite
from veilflow.targets.metadata import (
    TABLE,
    Metadata,
    Run,
    create_statement,
    receipt_values,
    same_number,
    same_shape,
)
from veilflow.targets.reading import FETCH_ROWS, no_table, unfit_value
from veilflow.targets.values import each_column, whole_microseconds

_STAGING_SCHEMA = "veilflow_staging"
_CONTAINERS = f"{_STAGING_SCHEMA}.{containers.TABLE}"
_INCOMING = "veilflow_incoming"
_SAME_KEY = ("Constraint Error: Duplicate key", "Constraint Error: PRIMARY KEY or UNIQUE")
#: Nothing is fetched from the network in passing.
_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


class DuckdbTarget:
    """A table of a DuckDB file. DuckDB lets one process at a time write a file: from ``open`` to ``close`` it is ours."""

    parallel_writers = 1

    def __init__(self, path: Path, output: Output, lock_directory: Path) -> None:
        self._path, self._output, self._schema = path, output, output.schema
        self._lock = FileLock("duckdb", path, output.table, lock_directory)
        self._database: Any = None
        self._run_id = ""
        if output.table == TABLE or not output.table or "\0" in output.table:
            raise VeilError("VEIL214", f'the table name "{output.table}" is reserved', "name another table")

    # --- before the run ---

    def inspect(self) -> Publish:
        if self._path.exists():
            with self._connect() as connection:
                self._check_shape(connection)
        return "transaction"

    def _check_shape(self, connection: Any) -> bool:
        """Whether the table is there. VEIL307 if it has another shape."""
        self._added(connection)
        return bool(column_types(connection, self._output.table))

    def added_columns(self) -> tuple[str, ...]:
        if not self._path.exists():
            return ()
        with self._connect() as connection:
            return tuple(self._added(connection))

    def _added(self, connection: Any) -> dict[str, str]:
        """The columns that publishing adds, with their types. VEIL307 if the table has another shape."""
        existing = column_types(connection, self._output.table)
        if not existing:
            return {}
        wanted = self._wanted
        lacking = same_shape(self._output.table, existing, wanted, fits, self._output.addable)
        return {name: wanted[name] for name in lacking}

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        self._lock.take()
        if self._database is None:
            self._database = self._new_connection()
        with self._connect() as connection:
            there = self._check_shape(connection)
            connection.execute("begin")
            connection.execute(create_statement())
            connection.execute(f"create schema if not exists {_STAGING_SCHEMA}")
            if self._output.holds:
                connection.execute(containers.create_statement(_CONTAINERS))
            self._metadata(connection).begin()
            columns = _columns(self._added(connection) if there else self._wanted)
            columns += definitions(connection, self._output.table) if there else []
            connection.execute(f"create table if not exists {_staging(run_id)} ({', '.join(columns)})")
            connection.execute("commit")

    def clean(self) -> tuple[str, ...]:
        if not self._path.exists():
            return ()
        self._lock.take()
        with self._connect() as connection:
            if not _has_metadata(connection):
                return ()
            connection.execute("begin")
            metadata = self._metadata(connection)
            dead = tuple(sorted(metadata.dead_runs()))
            for run_id in dead:
                connection.execute(f"drop table if exists {_staging(run_id)}")
                metadata.forget(run_id)
            connection.execute("commit")
        return dead

    @property
    def _wanted(self) -> dict[str, str]:
        return {field.name: sql_type(field.type) for field in self._schema}

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id:
            return {}
        with self._connect() as connection:
            return self._metadata(connection).receipts()

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        with self._connect() as connection:
            yield _DuckdbWriter(connection, self)

    def staged_rows(self) -> int:
        with self._connect() as connection:
            return int(connection.execute(f"select count(*) from {_staging(self._run_id)}").fetchone()[0])

    def column_keys(self) -> Mapping[str, ColumnKey]:
        if not self._path.exists():
            return {}
        with self._connect() as connection:
            return self._metadata(connection).column_keys() if _has_metadata(connection) else {}

    def published_rows(self) -> int:
        if not self._path.exists():
            return 0
        with self._connect() as connection:
            tables = self._tables(connection)
            return tables.count(f"select count(*) from {tables.target}") if self._check_shape(connection) else 0

    def publish(
        self, column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, advance: Advance | None = None
    ) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        with self._connect() as connection:
            connection.execute("begin")
            metadata, tables = self._metadata(connection), self._tables(connection)
            metadata.check_versions(self._output.mode, column_keys)
            anew = self._output.mode == "replace" or not self._check_shape(connection)
            metadata.check_advance(advance, anew)
            added = self._added(connection)
            staged = tables.count(f"select count(*) from {tables.staging}")
            loaded = same_number(self._move(connection, tables), staged)
            if gate is not None:
                gate(_View(connection, self._output))
            metadata.record(loaded, column_keys, advance, anew, added)
            connection.execute("commit")
        return loaded

    def _move(self, connection: Any, tables: Tables) -> int:
        """Bring the staged rows into the table, which is made if it is not there; returns how many came in."""
        if self._check_shape(connection):
            add_columns(tables, self._added(connection))
            loaded = rewrite(tables, self._output)
        else:
            if self._output.mode == "merge":
                check_key(tables, self._output, staged_only=True)
            connection.execute(f"create table {tables.target} ({', '.join(_columns(self._wanted))})")
            loaded = insert_all(tables, self._output)
        connection.execute(f"drop table {tables.staging}")
        return loaded

    def publication(self, run_id: str) -> Publication | None:
        if not self._path.exists():
            return None
        with self._connect() as connection:
            return self._metadata(connection).publication(run_id) if _has_metadata(connection) else None

    def standing(self, pipeline: str) -> Standing:
        if not self._path.exists():
            return Standing()
        with self._connect() as connection:
            there = _has_metadata(connection) and self._check_shape(connection)
            return self._metadata(connection).standing(pipeline) if there else Standing()

    def containers(self, run_id: str) -> Containers:
        return containers.TableContainers(self._held, _CONTAINERS, run_id)

    @contextmanager
    def _held(self) -> Iterator[Run | None]:
        if not self._path.exists():
            yield None
            return
        with self._connect() as connection:
            connection.execute("begin")
            there = connection.execute(
                "select 1 from duckdb_tables() where table_name = ?", [containers.TABLE]
            ).fetchone()
            yield self._metadata(connection).run if there else None
            connection.execute("commit")

    def discard(self) -> None:
        if not self._run_id or not self._path.exists():
            return
        with self._connect() as connection:
            connection.execute("begin")
            if _has_metadata(connection):
                connection.execute(f"drop table if exists {_staging(self._run_id)}")
                self._metadata(connection).forget(self._run_id)
            connection.execute("commit")

    def close(self) -> None:
        if self._database is not None:
            with suppress(duckdb.Error):
                self._database.close()
            self._database = None
        self._lock.give_back()

    # --- connections ---

    def _metadata(self, connection: Any) -> Metadata:
        def run(sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
            return list(connection.execute(sql, list(values)).fetchall())

        return Metadata(run, self._output.table, self._run_id, self._output.again)

    def _tables(self, connection: Any) -> Tables:
        def number(sql: str) -> int:
            row = connection.execute(sql).fetchone()
            return int(row[0]) if row else 0

        return Tables(quote(self._output.table), _staging(self._run_id), quote, count=number, change=number)

    def _new_connection(self) -> Any:
        try:
            return duckdb.connect(str(self._path), config=_CONFIGURATION)
        except duckdb.Error as error:
            raise _mapped(error, self._path) from None

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        """A connection in autocommit, of the run's own instance while it is open; errors of DuckDB become ours, and what
        was not committed is rolled back."""
        with closing(self._database.cursor() if self._database is not None else self._new_connection()) as connection:
            try:
                yield connection
            except BaseException as error:
                with suppress(duckdb.Error):
                    connection.execute("rollback")
                if isinstance(error, duckdb.Error):
                    raise _mapped(error, self._path) from None
                raise


@dataclass(frozen=True, slots=True)
class _View:
    """See ``model.OutputView``: DuckDB gives Arrow by itself."""

    connection: Any
    output: Output

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([self.output.schema.field(name) for name in columns or self.output.schema.names[:1]])
        for batch in self.plain(schema.names):
            try:
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()
            except pa.ArrowException:
                raise unfit_value(self.output.table, ", ".join(schema.names)) from None

    def plain(self, columns: Sequence[str], other: str | None = None) -> Iterator[pa.RecordBatch]:
        table = self.output.table if other is None else other
        listed = ", ".join(f"veilflow_read.{quote(name)}" for name in columns) or "1"
        try:
            relation = self.connection.sql(f"select {listed} from {quote(table)} as veilflow_read")
        except (duckdb.CatalogException, duckdb.BinderException):
            raise no_table(table) from None
        yield from relation.to_arrow_reader(FETCH_ROWS)

    def hold(self, other: str) -> bool:
        """The file belongs to this process alone."""
        return True


class _DuckdbWriter:
    """One insert from Arrow and the receipt in one transaction."""

    def __init__(self, connection: Any, target: DuckdbTarget) -> None:
        self._connection, self._target = connection, target

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        target, connection = self._target, self._connection
        metadata = target._metadata(connection)
        with self._undoing(rows):
            connection.execute("begin")
            self._insert(rows)
            values = receipt_values(target._run_id, target._output.table, receipt)
            metadata.run(f"insert into {TABLE} values (?, ?, ?, ?, ?)", values)
            if held is not None:
                containers.keep(metadata.run, _CONTAINERS, target._run_id, held)
            connection.execute("commit")
            seen = metadata.has_receipt(receipt.chunk)
        if not seen:
            raise VeilError("VEIL102", "the database took a chunk and did not keep it", "run again")

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        with self._undoing(rows):
            self._connection.execute("begin")
            self._insert(rows)
            self._connection.execute("rollback")

    def _insert(self, rows: pa.RecordBatch | pa.Table) -> None:
        if not rows.num_rows:
            return
        self._connection.register(_INCOMING, each_column(pa.table(rows), _exact))
        self._connection.execute(f"insert into {_staging(self._target._run_id)} by name select * from {_INCOMING}")
        self._connection.unregister(_INCOMING)

    @contextmanager
    def _undoing(self, rows: pa.RecordBatch | pa.Table) -> Iterator[None]:
        """Roll back what fails; the error becomes ours."""
        try:
            yield
        except BaseException as error:
            with suppress(duckdb.Error):
                self._connection.execute("rollback")
            if isinstance(error, duckdb.Error):
                raise _mapped(error, self._target._path, rows.schema.names) from None
            raise


def _exact(_name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return whole_microseconds(column) if pa.types.is_timestamp(column.type) else column


def _has_metadata(connection: Any) -> bool:
    return bool(connection.execute("select 1 from duckdb_tables() where table_name = ?", [TABLE]).fetchone())


def _columns(types: Mapping[str, str]) -> list[str]:
    return [f"{quote(name)} {kind}" for name, kind in types.items()]


def _staging(run_id: str) -> str:
    return f"{_STAGING_SCHEMA}.{quote('run_' + run_id.lower())}"


def _which(text: str, columns: Sequence[str]) -> str:
    """The CHECK as the table has it, or the column that may not be null; a text about types quotes the value."""
    if check := re.match(r"Constraint Error: CHECK constraint failed on table \S+ with expression (CHECK.*)", text):
        return f": {check[1]}"
    empty = re.match(r"Constraint Error: NOT NULL constraint failed: (.*)", text)
    return next((f' of the column "{name}"' for name in columns if empty and empty[1].endswith(f".{name}")), "")


def _mapped(error: duckdb.Error, path: Path, columns: Sequence[str] = ()) -> VeilError:
    """Ours for DuckDB's error; its text quotes values."""
    if str(error).startswith(_SAME_KEY):
        return shared_key()
    if str(error).startswith("Constraint Error: Violates foreign key"):
        return missing_partner()
    if isinstance(error, duckdb.IntegrityError | duckdb.DataError):
        which = _which(str(error), columns)
        return VeilError("VEIL319", f"a constraint or a type of the table refuses a value{which}", "look at its checks and keys")  # fmt: skip
    text = str(error).lower()
    if "no space left" in text or "could not write" in text or "file too large" in text:
        return VeilError("VEIL101", f"the disk of {path.name} is full or cannot be written", "free some space and run again")  # fmt: skip
    if "lock" in text and isinstance(error, duckdb.IOException):
        return PassingFault("VEIL401", f"{path.name} is open in another program", "close it, or wait, and run again")
    if "different configuration" in text:
        return PassingFault("VEIL401", f"another run of this process reads {path.name}", "wait for it, and run again")
    if isinstance(error, duckdb.IOException | duckdb.SerializationException | duckdb.ConnectionException):
        return VeilError("VEIL214", f"{path.name} cannot be opened as a DuckDB database for writing", "name another file")  # fmt: skip
    return VeilError(
        "VEIL102", f"DuckDB refused a statement on {path.name}",
        "the text is not shown, it may quote rows; check the table's constraints",
    )  # fmt: skip
