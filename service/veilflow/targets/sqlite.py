"""SQLite: one writer by `sqlite3`, the library that everything here reads it by, and one publishing transaction."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

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
from veilflow.targets.locks import FileLock
from veilflow.targets.merging import Tables, add_columns, check_key, rewrite
from veilflow.targets.metadata import (
    TABLE,
    Metadata,
    Run,
    create_statement,
    receipt_values,
    same_number,
    same_shape,
)
from veilflow.targets.reading import Rows, SqlView, no_table, portions
from veilflow.targets.sqlite_schema import (
    addable_types,
    broken_references,
    column_types,
    definitions,
    fits,
    is_plain,
    quote,
    storable,
    wanted_types,
)

_STAGING = "veilflow_staging_"
_CONTAINERS = f"{_STAGING}quarantine"
_MOST_COLUMNS = 2000  # SQLITE_MAX_COLUMN
_PATIENCE_SECONDS = 30
_BOUND_ROWS = 4096  # as Python values at once
_BOUND_VALUES = 1000  # by a statement; SQLite's own limit is 32,766


class SqliteTarget:
    """A table of an SQLite file. Dates, timestamps and decimals are stored as text, so that they stay exact."""

    parallel_writers = 1

    def __init__(self, path: Path, output: Output, lock_directory: Path) -> None:
        self._path, self._output, self._table = path, output, output.table
        self._lock = FileLock("sqlite", path, output.table, lock_directory)
        self._run_id = ""
        table = output.table
        if table.startswith(("sqlite_", _STAGING)) or table == TABLE or not table or "\0" in table:
            raise VeilError("VEIL214", f'the table name "{table}" is reserved', "name another table")
        if len(output.schema) > _MOST_COLUMNS:
            raise VeilError(
                "VEIL214", f"the output has {len(output.schema)} columns, SQLite's tables have at most {_MOST_COLUMNS}",
                "drop columns in the policy, or load into another kind of database",
            )  # fmt: skip

    # --- before the run ---

    def inspect(self) -> Publish:
        if not self._path.exists():
            return "swap"
        with self._connect(read_only=True) as connection:
            return self._how(connection)

    def _how(self, connection: sqlite3.Connection) -> Publish:
        """Swap where nothing else refers to the table, else rewrite its rows in one transaction."""
        existing = column_types(connection, self._table)
        if not existing:
            return "swap"
        added = self._added(connection)
        if self._output.mode != "replace":
            return "transaction"
        kept = {name: kind for name, kind in wanted_types(self._schema).items() if name not in added}
        if not is_plain(connection, self._table, kept):
            return "rewrite"
        depending = connection.execute(
            "select count(*) from sqlite_master where (tbl_name = ? and type in ('index', 'trigger')) or type = 'view'"
            " or (type = 'table' and name <> ? and lower(sql) like '%references%')",
            (self._table, self._table),
        ).fetchone()[0]
        return "rewrite" if depending else "swap"

    def added_columns(self) -> tuple[str, ...]:
        if not self._path.exists():
            return ()
        with self._connect(read_only=True) as connection:
            return tuple(self._added(connection))

    def _added(self, connection: sqlite3.Connection) -> dict[str, str]:
        """The columns that publishing adds, with their types. VEIL307 if the table has another shape."""
        existing = column_types(connection, self._table)
        if not existing:
            return {}
        lacking = same_shape(self._table, existing, wanted_types(self._schema), fits, self._output.addable)
        types = addable_types(connection, self._table, self._schema)
        return {name: types[name] for name in lacking}

    @property
    def _schema(self) -> pa.Schema:
        return self._output.schema

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        self._lock.take()
        with self._connect() as connection:
            how = self._how(connection)
            connection.execute("begin immediate")
            connection.execute(create_statement(number="integer"))
            if self._output.holds:
                connection.execute(containers.create_statement(_CONTAINERS, number="integer"))
            self._metadata(connection).begin()
            own = wanted_types(self._schema) if how == "swap" else self._added(connection)
            columns = [f"{quote(name)} {kind}" for name, kind in own.items()]
            if how != "swap":
                columns += definitions(connection, self._table)
            connection.execute(f"create table if not exists {quote(self._staging)} ({', '.join(columns)})")
            connection.commit()

    def clean(self) -> tuple[str, ...]:
        if not self._path.exists():
            return ()
        self._lock.take()
        with self._connect() as connection:
            if not connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone():
                return ()
            connection.execute("begin immediate")
            metadata = self._metadata(connection)
            dead = tuple(sorted(metadata.dead_runs()))
            for run_id in dead:
                connection.execute(f"drop table if exists {quote(_STAGING + run_id)}")
                metadata.forget(run_id)
            connection.commit()
        return dead

    def _metadata(self, connection: sqlite3.Connection) -> Metadata:
        def run(sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
            return connection.execute(sql, values).fetchall()

        return Metadata(run, self._table, self._run_id, self._output.again)

    @property
    def _staging(self) -> str:
        return _STAGING + self._run_id

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id or not self._path.exists():
            return {}
        with self._connect() as connection:
            return self._metadata(connection).receipts()

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        with self._connect() as connection:
            yield _SqliteWriter(connection, self)

    def staged_rows(self) -> int:
        with self._connect() as connection:
            return int(connection.execute(f"select count(*) from {quote(self._staging)}").fetchone()[0])

    def column_keys(self) -> Mapping[str, ColumnKey]:
        if not self._path.exists():
            return {}
        with self._connect(read_only=True) as connection:
            known = connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone()
            return self._metadata(connection).column_keys() if known else {}

    def published_rows(self) -> int:
        if not self._path.exists():
            return 0
        with self._connect(read_only=True) as connection:
            tables = self._tables(connection)
            there = connection.execute(f"pragma table_info({tables.target})").fetchone()
            return tables.count(f"select count(*) from {tables.target}") if there else 0

    def publish(
        self, column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, advance: Advance | None = None
    ) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        with self._connect() as connection:
            connection.execute("begin immediate")
            metadata, tables = self._metadata(connection), self._tables(connection)
            metadata.check_versions(self._output.mode, column_keys)
            anew = self._output.mode == "replace" or not self._is_there(connection)
            metadata.check_advance(advance, anew)
            added = self._added(connection)
            staged = tables.count(f"select count(*) from {tables.staging}")
            loaded = same_number(self._move(connection, tables, staged, gate), staged)
            metadata.record(loaded, column_keys, advance, anew, added)
            connection.commit()
        return loaded

    def _move(self, connection: sqlite3.Connection, tables: Tables, staged: int, gate: Gate | None) -> int:
        """Publish by the way that ``_how`` says; returns the rows that came in."""
        if self._output.mode == "merge":
            check_key(tables, self._output, staged_only=True)
        if self._how(connection) != "swap":
            if self._output.mode == "merge":
                # SQLite makes no index of its own for rows that it looks up one by one.
                key = ", ".join(map(quote, self._output.key))
                tables.change(f"create index {quote(self._staging + '_key')} on {tables.staging} ({key})")
            add_columns(tables, self._added(connection))
            led_nowhere = broken_references(connection, self._table)
            loaded = rewrite(tables, self._output)
            if broken_references(connection, self._table) > led_nowhere:
                raise missing_partner()
            self._ask(gate, connection, tables.target)
            tables.change(f"drop table {tables.staging}")
            return loaded
        self._ask(gate, connection, tables.staging)
        tables.change(f"drop table if exists {tables.target}")
        tables.change(f"alter table {tables.staging} rename to {tables.target}")
        return staged

    def _ask(self, gate: Gate | None, connection: sqlite3.Connection, table: str) -> None:
        @contextmanager
        def select(sql: str, shown: str) -> Iterator[Rows]:
            try:
                with closing(connection.execute(sql)) as cursor:
                    yield portions(cursor.fetchmany)
            except sqlite3.OperationalError as error:
                if str(error).startswith("no such"):
                    raise no_table(shown) from None
                raise

        if gate is not None:
            # Whoever publishes is the only writer of the file.
            gate(SqlView(table, self._table, self._schema, quote, quote, select, lambda _other: True))

    def _tables(self, connection: sqlite3.Connection) -> Tables:
        return Tables(
            quote(self._table), quote(self._staging), quote,
            count=lambda sql: int(connection.execute(sql).fetchone()[0]),
            change=lambda sql: connection.execute(sql).rowcount,
        )  # fmt: skip

    def publication(self, run_id: str) -> Publication | None:
        if not self._path.exists():
            return None
        with self._connect(read_only=True) as connection:
            if not connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone():
                return None
            return self._metadata(connection).publication(run_id)

    def standing(self, pipeline: str) -> Standing:
        if not self._path.exists():
            return Standing()
        with self._connect(read_only=True) as connection:
            there = connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone()
            known = there and self._is_there(connection)
            return self._metadata(connection).standing(pipeline) if known else Standing()

    def _is_there(self, connection: sqlite3.Connection) -> bool:
        return bool(connection.execute(f"pragma table_info({quote(self._table)})").fetchone())

    def containers(self, run_id: str) -> Containers:
        return containers.TableContainers(self._held, _CONTAINERS, run_id)

    @contextmanager
    def _held(self) -> Iterator[Run | None]:
        if not self._path.exists():
            yield None
            return
        with self._connect() as connection:
            there = connection.execute("select 1 from sqlite_master where name = ?", (_CONTAINERS,)).fetchone()
            connection.execute("begin")
            yield self._metadata(connection).run if there else None
            connection.commit()

    def discard(self) -> None:
        if not self._run_id or not self._path.exists():
            return
        with self._connect() as connection:
            connection.execute("begin immediate")
            connection.execute(f"drop table if exists {quote(self._staging)}")
            if connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone():
                self._metadata(connection).forget(self._run_id)
            connection.commit()

    def close(self) -> None:
        self._lock.give_back()

    @contextmanager
    def _connect(self, read_only: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit; an error of SQLite becomes ours, without its text.

        ``read_only`` makes no file and changes no row, but is not SQLite's ``mode=ro``: that cannot open a file
        beside which a killed process left its journal, for it may not roll it back.
        """
        try:
            address = f"{self._path.resolve().as_uri()}{'?mode=rw' if read_only else ''}"
            with closing(
                sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None)
            ) as connection:
                connection.execute("pragma query_only = on" if read_only else "pragma secure_delete = on")
                yield connection
        except sqlite3.Error as error:
            raise _mapped(error, self._path) from None


class _SqliteWriter:
    """The rows and their receipt in one transaction."""

    def __init__(self, connection: sqlite3.Connection, target: SqliteTarget) -> None:
        self._connection, self._target = connection, target

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        target, metadata = self._target, self._target._metadata(self._connection)
        with self._transaction(rows):
            self._insert(rows)
            values = receipt_values(target._run_id, target._table, receipt)
            metadata.run(f"insert into {TABLE} values (?, ?, ?, ?, ?)", values)
            if held is not None:
                containers.keep(metadata.run, _CONTAINERS, target._run_id, held)
            self._connection.commit()
        with target._connect(read_only=True) as connection:
            seen = target._metadata(connection).has_receipt(receipt.chunk)
        if not seen:
            raise VeilError("VEIL102", "the database took a chunk and did not keep it", "run again")

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        with self._transaction(rows):
            self._insert(rows)

    def _insert(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Many rows by a statement: `sqlite3` gives the interpreter's lock away for each, and waits to have it back."""
        names = rows.schema.names
        together = max(1, _BOUND_VALUES // len(names))
        for batch in storable(pa.table(rows)).to_batches(_BOUND_ROWS):
            values = chain.from_iterable(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            for start in range(0, batch.num_rows, together):
                count = min(together, batch.num_rows - start)
                statement = _insert_statement(self._target._staging, tuple(names), count)
                self._connection.execute(statement, tuple(islice(values, count * len(names))))

    @contextmanager
    def _transaction(self, rows: pa.RecordBatch | pa.Table) -> Iterator[None]:
        """What is not committed is rolled back; what fails becomes ours."""
        try:
            self._connection.execute("begin immediate")
            yield
        except Exception as error:
            raise _mapped(error, self._target._path, rows.schema.names) from None
        finally:
            with suppress(sqlite3.Error):
                self._connection.rollback()


@lru_cache(maxsize=8)
def _insert_statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"insert into {quote(table)} ({', '.join(map(quote, columns))}) values {', '.join([row] * rows)}"


def _mapped(error: BaseException, path: Path, columns: Sequence[str] = ()) -> VeilError:
    """Ours for SQLite's error, whose text names tables and columns: they may say anything."""
    if isinstance(error, VeilError):
        return error
    text = str(error).lower()
    if key := re.match("UNIQUE constraint failed: (.*)", str(error)):
        return shared_key(key[1])
    if isinstance(error, sqlite3.IntegrityError) or "constraint failed" in text or "cannot store" in text:
        return VeilError(
            "VEIL319", f"a constraint of the table refuses a row{_which(str(error), columns)}",
            "look at the table's checks, keys and triggers",
        )  # fmt: skip
    if "is full" in text or "disk i/o" in text:
        return VeilError(
            "VEIL101", f"the disk of {path.name} is full or cannot be written", "free some space and run again"
        )
    if "locked" in text or "busy" in text:
        return PassingFault("VEIL401", f"{path.name} is locked by another program", "close it, or wait, and run again")
    if "not a database" in text or "unable to open" in text or "readonly" in text:
        return VeilError(
            "VEIL214", f"{path.name} cannot be opened as an SQLite database for writing", "name another file"
        )
    return VeilError(
        "VEIL102",
        f"SQLite refused a statement on {path.name}",
        "the text is not shown, it may quote rows; check the table's constraints",
    )


def _which(text: str, columns: Sequence[str]) -> str:
    """The CHECK, by its name or as the table has it, or the column that may not be null."""
    if check := re.search("CHECK constraint failed: (.*)", text):
        return f": {check[1]}"
    return next((f' of the column "{name}"' for name in columns if re.search(rf"\.{re.escape(name)}(\n|$)", text)), "")
