"""Any other database that has a dialect of SQLAlchemy: batched inserts, and publishing by DML in one transaction.

DDL may commit by itself, so what it makes is noted first: a staging, and a table that is new. Whoever finds the note of a
dead run drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from veilflow.databases.sqlalchemy import MYSQL, connect, dialect_of, mapped
from veilflow.errors import VeilError
from veilflow.model import (
    Advance,
    ColumnKey,
    Container,
    Gate,
    Output,
    Publication,
    Publish,
    Receipt,
    Secret,
    Standing,
    UrlTerms,
    Writer,
)
from veilflow.targets import sqlalchemy_locks as locks
from veilflow.targets.changing import ChangingWriter
from veilflow.targets.merging import Tables, check_key, insert_all, merge_apart
from veilflow.targets.metadata import TABLE, Metadata, receipt_values, refuse_differences, same_number
from veilflow.targets.reading import Rows, SqlView, no_table, portions
from veilflow.targets.sqlalchemy_tables import (
    is_there,
    metadata_table,
    quoter,
    reflected,
    refuse_longer_names,
    refuse_referenced,
    run,
    table_options,
    unfit,
)
from veilflow.targets.sqlalchemy_types import column_type, fits, insert, probe, refuse_larger, refuse_without_zone

_STAGING = "veilflow_staging_"
_LONGEST_PUBLISHING_SECONDS = 3600.0


class SqlalchemyTarget:
    """A table of the login's default schema."""

    parallel_writers = 1

    def __init__(self, url: Callable[[], Secret], output: Output, terms: UrlTerms) -> None:
        self._url, self._output, self._schema, self._terms = url, output, output.schema, terms
        self._run_id = ""
        self._lock: sa.Connection | None = None
        if output.table == TABLE or output.table.startswith(_STAGING) or not output.table or "\0" in output.table:
            raise VeilError("VEIL214", f'the table name "{output.table}" is reserved', "name another table")
        for field in output.schema:
            column_type(field)

    # --- before the run ---

    def inspect(self) -> Publish:
        dialect = dialect_of(self._url(), self._terms)
        locks.refuse_without(dialect)
        refuse_longer_names(dialect, self._output)
        refuse_without_zone(dialect, self._schema)
        with self._connect() as connection:
            return self._how(connection)

    def _how(self, connection: sa.Connection) -> Publish:
        """VEIL307 for a table of another shape, VEIL214 for one whose rows others refer to and that would be deleted."""
        there = reflected(connection, self._output.table)
        if there is not None:
            self._refuse_other_shape(there, connection.dialect)
            if self._output.mode == "replace" or self._output.delete:
                refuse_referenced(connection, self._output.table)
        return "rewrite" if self._output.mode == "replace" else "transaction"

    def _refuse_other_shape(self, there: sa.Table, dialect: Dialect) -> None:
        types = {column.name: column.type for column in there.c}
        names = self._schema.names
        told = [f'"{name}" is missing' for name in names if name not in types]
        told += [f'"{name}" is not in the plan' for name in types if name not in names]
        told += [
            f'"{field.name}" is of a type that does not keep {field.type} exactly'
            for field in self._schema
            if field.name in types and not fits(types[field.name], field, dialect)
        ]
        refuse_differences(self._output.table, told)

    def added_columns(self) -> tuple[str, ...]:
        """None: DDL may commit before the rows."""
        self.inspect()
        return ()

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        with self._connect() as connection:
            self._how(connection)
            self._prepare(connection)
        self._take_lock()
        with self._connect() as connection:
            # A connection that was lost may still be at its commit.
            locks.hold(connection, self._output.table, locks.LOADING)
            self._metadata(connection).begin()
            connection.commit()
            there = reflected(connection, self._output.table)
            self._make(connection, self._staging, there)
            self._check(connection, made=there is None)

    def _prepare(self, connection: sa.Connection) -> None:
        try:
            metadata_table(connection.dialect).create(connection, checkfirst=True)
        except DBAPIError:  # another run made it meanwhile
            connection.rollback()
            if not is_there(connection, TABLE):
                raise
        connection.commit()
        locks.prepare(connection, self._output.table)

    def _make(self, connection: sa.Connection, name: str, there: sa.Table | None) -> None:
        """A table of the types that the target has if it is ``there``: what that refuses is refused on loading. Commits."""
        columns = [
            sa.Column(field.name, column_type(field))
            if there is None
            else sa.Column(field.name, there.c[field.name].type, nullable=there.c[field.name].nullable)
            for field in self._schema
        ]
        table = sa.Table(name, sa.MetaData(), *columns, **table_options(connection.dialect))
        try:
            table.create(connection, checkfirst=True)
        except DBAPIError as error:
            own = mapped(error)
            raise (unfit("it makes no table of these columns") if own.code == "VEIL102" else own) from None
        connection.commit()

    def _check(self, connection: sa.Connection, made: bool) -> None:
        """VEIL214 if the staging is not what was asked for, or does not keep values; looked at before it has rows."""
        staging = self._reflected_staging(connection)
        if not connection.scalar(sa.select(sa.func.count()).select_from(staging)):
            connection.rollback()
            probe(connection, staging, self._output, made)

    def _reflected_staging(self, connection: sa.Connection) -> sa.Table:
        staging = reflected(connection, self._staging)
        if staging is None or [column.name for column in staging.c] != self._schema.names:
            raise unfit("it does not keep the names of columns as they are written")
        return staging

    def _take_lock(self) -> None:
        if self._lock is not None and _alive(self._lock):
            return
        self.close()
        lock = self._open()
        try:
            locks.hold(lock, self._output.table, locks.RUN, nowait=True)
            with self._connect() as other:
                self._must_not_hold(other)
        except BaseException as error:
            _shut(lock)
            raise (mapped(error) if isinstance(error, SQLAlchemyError) else error) from None
        self._lock = lock

    def _must_not_hold(self, connection: sa.Connection) -> None:
        try:
            locks.hold(connection, self._output.table, locks.RUN, nowait=True)
        except VeilError as error:
            if error.code == "VEIL308":
                return
            raise
        raise unfit("a row that is locked can be locked again")

    def clean(self) -> tuple[str, ...]:
        with self._connect() as connection:
            if not is_there(connection, TABLE):
                return ()
            self._prepare(connection)
        self._take_lock()
        with self._connect() as connection:
            dead = tuple(sorted(self._metadata(connection).dead_runs()))
            connection.rollback()
            for run_id in dead:
                self._drop(connection, run_id)
        return dead

    def _drop(self, connection: sa.Connection, run_id: str) -> None:
        """What the run made, once none of its connections is at a commit. Should this process die in between, the note of
        it is still there."""
        locks.hold(connection, self._output.table, locks.LOADING)
        connection.rollback()
        self._unmake(connection, run_id)
        sa.Table(_STAGING + run_id.lower(), sa.MetaData()).drop(connection, checkfirst=True)
        connection.commit()
        self._metadata(connection).forget(run_id)
        connection.commit()

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id:
            return {}
        with self._connect() as connection:
            return self._metadata(connection).receipts()

    def writer(self) -> AbstractContextManager[Writer]:
        return ChangingWriter(self._url, self._new_writer)

    @contextmanager
    def _new_writer(self) -> Iterator[Writer]:
        connection = self._open()
        try:
            yield _SqlalchemyWriter(connection, self)
        finally:
            _shut(connection)

    def staged_rows(self) -> int:
        with self._connect() as connection:
            tables = self._tables(connection)
            return tables.count(f"select count(*) from {tables.staging}")

    def column_keys(self) -> Mapping[str, ColumnKey]:
        with self._connect() as connection:
            return self._metadata(connection).column_keys() if is_there(connection, TABLE) else {}

    def published_rows(self) -> int:
        with self._connect() as connection:
            tables = self._tables(connection)
            there = is_there(connection, self._output.table)
            return tables.count(f"select count(*) from {tables.target}") if there else 0

    # --- publishing ---

    def publish(
        self, column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, advance: Advance | None = None
    ) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        try:
            self._make_target()
            with self._connect("SERIALIZABLE") as connection:
                loaded = self._publish(connection, column_keys, gate, advance)
        except BaseException:
            with suppress(VeilError), self._connect() as connection:
                self._unmake(connection, self._run_id)
            raise
        with self._connect() as connection:
            self._drop(connection, self._run_id)
        return loaded

    def _make_target(self) -> None:
        """The table, if it is not there, with a note of who made it: nobody else's is ever dropped."""
        with self._connect() as connection:
            if not is_there(connection, self._output.table):
                self._metadata(connection).run(
                    f"insert into {TABLE} values ('made', ?, ?, 0, '{{}}')", (self._run_id, self._output.table)
                )
                connection.commit()
                self._make(connection, self._output.table, None)
                if self._output.key:
                    self._index_key(connection, self._output.table)
            if self._output.mode == "merge":
                self._index_key(connection, self._staging)

    def _unmake(self, connection: sa.Connection, run_id: str) -> None:
        """Drop a table that the run made and did not publish, once it is not at that any more."""
        self._wait_for_publishing(connection)
        metadata, where = self._metadata(connection), (run_id, self._output.table)
        which = f"from {TABLE} where kind = 'made' and run_id = ? and target = ?"
        if not metadata.run(f"select 1 {which}", where):
            return
        tables = self._tables(connection)
        if is_there(connection, self._output.table) and not tables.count(f"select count(*) from {tables.target}"):
            connection.rollback()
            sa.Table(self._output.table, sa.MetaData()).drop(connection, checkfirst=True)
            connection.commit()
        metadata.run(f"delete {which}", where)
        connection.commit()

    def _index_key(self, connection: sa.Connection, name: str) -> None:
        """So that a merge finds a row's partner at once; where the database cannot index such keys, it takes longer."""
        table = reflected(connection, name)
        assert table is not None
        key = [table.c[column] for column in self._output.key]
        texts = {column.name: 100 for column in key if not isinstance(column.type, sa.Numeric | sa.Integer | sa.Date)}
        index = sa.Index(f"{self._staging}_{'key' if name == self._staging else 'new'}", *key, mysql_length=texts, mariadb_length=texts)  # fmt: skip
        with suppress(DBAPIError):
            index.create(connection, checkfirst=True)
            connection.commit()
        connection.rollback()

    def _publish(
        self,
        connection: sa.Connection,
        column_keys: Mapping[str, ColumnKey],
        gate: Gate | None,
        advance: Advance | None,
    ) -> int:
        locks.hold(connection, self._output.table, locks.LOADING)
        locks.hold(connection, self._output.table, locks.PUBLISHING)
        metadata, tables, output = self._metadata(connection), self._tables(connection), self._output
        metadata.check_versions(output.mode, column_keys)
        anew = output.mode == "replace"
        metadata.check_advance(advance, anew)
        self._how(connection)
        staged = tables.count(f"select count(*) from {tables.staging}")
        loaded = same_number(self._move(tables), staged)
        self._ask(gate, connection, tables.target)
        metadata.record(loaded, column_keys, advance, anew)
        metadata.begin()  # the staging is still there: dropping it might commit
        metadata.run(f"delete from {TABLE} where kind = 'made' and target = ?", (output.table,))
        connection.commit()
        return loaded

    def _move(self, tables: Tables) -> int:
        """Bring the staged rows in; returns how many."""
        if self._output.mode == "merge":
            check_key(tables, self._output)
            return merge_apart(tables, self._output)
        if self._output.mode == "replace":
            tables.change(f"delete from {tables.target}")
        return insert_all(tables, self._output)

    def _ask(self, gate: Gate | None, connection: sa.Connection, table: str) -> None:
        @contextmanager
        def select(sql: str, shown: str) -> Iterator[Rows]:
            try:
                result = connection.exec_driver_sql(sql, execution_options={"stream_results": True})
            except DBAPIError as error:
                if error.connection_invalidated or shown == self._output.table:
                    raise
                raise no_table(shown) from None
            with closing(result):
                yield portions(result.fetchmany)

        def lock(other: str) -> bool:
            """No statement locks a table in every dialect."""
            if not is_there(connection, other):
                raise no_table(other)
            return False

        if gate is not None:
            quote = quoter(connection)
            gate(SqlView(table, self._output.table, self._schema, quote, quote, select, lock))

    def publication(self, run_id: str) -> Publication | None:
        with self._connect() as connection:
            if not is_there(connection, TABLE):
                return None
            self._prepare(connection)
            self._wait_for_publishing(connection)
            return self._metadata(connection).publication(run_id)

    def _wait_for_publishing(self, connection: sa.Connection) -> None:
        """Until no other connection publishes: it may be at that though who asked for it is gone."""
        with self._connect(lock_seconds=_LONGEST_PUBLISHING_SECONDS) as waiting:
            locks.hold(waiting, self._output.table, locks.PUBLISHING)
        connection.rollback()  # what was committed meanwhile is seen from here on

    def standing(self, pipeline: str) -> Standing:
        with self._connect() as connection:
            there = is_there(connection, TABLE) and is_there(connection, self._output.table)
            return self._metadata(connection).standing(pipeline) if there else Standing()

    def discard(self) -> None:
        if not self._run_id:
            return
        with self._connect() as connection:
            if is_there(connection, TABLE):
                self._drop(connection, self._run_id)

    def close(self) -> None:
        if self._lock is not None:
            _shut(self._lock)
            self._lock = None

    # --- connections ---

    @property
    def _staging(self) -> str:
        return _STAGING + self._run_id.lower()

    def _metadata(self, connection: sa.Connection) -> Metadata:
        def statement(sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
            return run(connection, sql, values)

        return Metadata(statement, self._output.table, self._run_id, self._output.again)

    def _tables(self, connection: sa.Connection) -> Tables:
        quote = quoter(connection)
        return Tables(
            quote(self._output.table), quote(self._staging), quote,
            count=lambda sql: int(connection.exec_driver_sql(sql).scalar_one()),
            change=lambda sql: int(connection.exec_driver_sql(sql).rowcount),
        )  # fmt: skip

    @contextmanager
    def _connect(self, isolation: str = "READ COMMITTED", lock_seconds: float | None = None) -> Iterator[sa.Connection]:
        """A connection in a transaction, rolled back unless it was committed."""
        connection = self._open(isolation, lock_seconds)
        try:
            yield connection
        except SQLAlchemyError as error:
            raise mapped(error) from None
        finally:
            _shut(connection)

    def _open(self, isolation: str = "READ COMMITTED", lock_seconds: float | None = None) -> sa.Connection:
        return connect(self._url(), self._terms, isolation, lock_seconds)


class _SqlalchemyWriter:
    """Batches and the receipt in one transaction."""

    def __init__(self, connection: sa.Connection, target: SqlalchemyTarget) -> None:
        self._connection, self._target = connection, target
        with self._undoing(()):
            self._staging = target._reflected_staging(connection)
            asked = "select @@max_allowed_packet" if connection.dialect.name in MYSQL else None
            self._largest = int(connection.exec_driver_sql(asked).scalar_one()) if asked else None
            connection.rollback()

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, _held: Container | None = None) -> None:
        target, connection = self._target, self._connection
        with self._undoing(rows.schema.names):
            locks.hold(connection, target._output.table, locks.LOADING)
            self._insert(pa.table(rows))
            values = receipt_values(target._run_id, target._output.table, receipt)
            run(connection, f"insert into {TABLE} values (?, ?, ?, ?, ?)", values)
            connection.commit()
            seen = target._metadata(connection).has_receipt(receipt.chunk)
            connection.rollback()
        if not seen:
            raise VeilError("VEIL102", "the database took a chunk and did not keep it", "run again")

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        with self._undoing(rows.schema.names):
            self._insert(pa.table(rows))
            self._connection.rollback()

    @contextmanager
    def _undoing(self, columns: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            with suppress(SQLAlchemyError):
                self._connection.rollback()
            if isinstance(error, SQLAlchemyError | OSError):
                raise mapped(error, columns) from None
            raise

    def _insert(self, rows: pa.Table) -> None:
        if self._largest is not None:
            refuse_larger(rows, self._largest)
        insert(self._connection, self._staging, rows)


def _alive(connection: sa.Connection) -> bool:
    try:
        connection.execute(sa.select(1))
    except SQLAlchemyError:
        return False
    return True


def _shut(connection: sa.Connection) -> None:
    with suppress(SQLAlchemyError, OSError):
        connection.close()
