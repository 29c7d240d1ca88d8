"""PostgreSQL: binary COPY over two connections, staging in a schema of its own, one publishing transaction."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.sql import Identifier

from veilflow.databases.postgresql import LOADING, connect, mapped
from veilflow.errors import VeilError, raise_all
from veilflow.model import (
    Advance,
    ColumnKey,
    Containers,
    Gate,
    Mode,
    Output,
    Publication,
    Publish,
    Receipt,
    Secret,
    Standing,
    Writer,
)
from veilflow.targets import containers, postgresql_staging
from veilflow.targets import postgresql_catalog as catalog
from veilflow.targets.changing import ChangingWriter
from veilflow.targets.merging import Tables, add_columns, check_key, rewrite
from veilflow.targets.metadata import (
    LOCK_SECONDS,
    TABLE,
    Metadata,
    Run,
    create_statement,
    locked_out,
    refuse_differences,
    same_number,
)
from veilflow.targets.postgresql_types import is_sent_as_it_is, wanted_types
from veilflow.targets.postgresql_writer import PostgresqlWriter
from veilflow.targets.reading import Rows, SqlView, no_table, portions
from veilflow.targets.values import unheld

_NEEDED: Mapping[Mode, Sequence[str]] = {
    "replace": ("select", "insert", "update", "delete"), "append": ("select", "insert"),
    "merge": ("select", "insert", "update"),
}  # fmt: skip
_NAMESPACE_OF_TABLE = """
select coalesce((select nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass(%s)),
                current_schema())
"""
_MAY_IN_SCHEMA = "select has_schema_privilege(%s, 'usage'), has_schema_privilege(%s, 'create')"
_MOST_COLUMNS = 1600
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names off in silence
_PATIENCE_SECONDS = 30
#: How long a swap waits for readers with an older snapshot before the rows are rewritten in its place.
_SETTLING_SECONDS = 2.0


class PostgresqlTarget:
    """A table of a PostgreSQL database; ``table`` may name its schema: ``schema.table``."""

    parallel_writers = 2

    def __init__(self, url: Callable[[], Secret], output: Output) -> None:
        self._url, self._output, self._schema = url, output, output.schema
        self._namespace, _, self._table = output.table.rpartition(".")
        self._shown = output.table
        self._run_id = ""
        self._lock: psycopg.Connection[Any] | None = None
        self._staged_types: dict[str, str] = {}
        if len(self._schema) > _MOST_COLUMNS:
            raise VeilError(
                "VEIL214", f"the output has {len(self._schema)} columns, PostgreSQL's tables have at most {_MOST_COLUMNS}",
                "drop columns in the policy, or load into another kind of database",
            )  # fmt: skip
        own = self._table.startswith(TABLE) or self._namespace == postgresql_staging.SCHEMA
        if own or not self._table or output.table.startswith("."):
            raise VeilError(
                "VEIL214", f'"{output.table}" does not name a table, or one of Veilflow\'s own', "say `table: schema.table`"
            )  # fmt: skip
        for name in (self._table, self._namespace, *self._schema.names):
            if len(name.encode()) > _LONGEST_NAME or "\0" in name:
                raise VeilError(
                    "VEIL214", f'the name "{name}" is longer than 63 bytes', "PostgreSQL would cut it off: shorten it"
                )

    # --- before the run ---

    def inspect(self) -> Publish:
        with self._connect() as connection:
            raise_all([*postgresql_staging.problems(connection), *self._problems(connection)])
            namespace = self._namespace_of(connection) or self._namespace
            raise_all(postgresql_staging.past_elsewhere(connection, namespace, self._table, self._shown))
            how = self._how(connection)
            self._refuse_mortal_owner(connection)
            return how

    def _problems(self, connection: psycopg.Connection[Any]) -> list[VeilError]:
        """What the plan can tell of the table and its schema that forbids the run."""
        namespace = self._namespace_of(connection)
        if namespace is None:
            named = f'the schema "{self._namespace}" does not exist' if self._namespace else "the user's search_path names no schema that exists"  # fmt: skip
            return [VeilError("VEIL214", named, "create it, or name another one: `table: schema.table`")]
        usage, create = connection.execute(_MAY_IN_SCHEMA, (namespace, namespace)).fetchone() or (False, False)
        if not usage:
            return [self._denied(namespace, "use", "usage")]
        found = catalog.relation(connection, self._target)
        if found is not None:
            closed = catalog.closed(connection, self._shown, found) if self._added(found) else []
            return closed + catalog.unusable(self._shown, found, _NEEDED[self._output.mode])
        return [] if create else [self._denied(namespace, "make a table in", "create", ", or make the table for it")]

    @staticmethod
    def _denied(namespace: str, what: str, privilege: str, otherwise: str = "") -> VeilError:
        return VeilError(
            "VEIL402", f'the database user may not {what} the schema "{namespace}"',
            f'as its owner: grant {privilege} on schema "{namespace}" to the role{otherwise}',
        )  # fmt: skip

    def _namespace_of(self, connection: psycopg.Connection[Any]) -> str | None:
        """The schema in which the table lies or will lie; None if there is no such schema."""
        if not self._namespace:
            sql, values = _NAMESPACE_OF_TABLE, self._target
        else:
            sql, values = "select nspname from pg_namespace where nspname = %s", self._namespace
        row = connection.execute(sql.encode(), (values,)).fetchone()
        return row[0] if row else None

    def _refuse_mortal_owner(self, connection: psycopg.Connection[Any]) -> None:
        """A user who expires soon must make things under a role that stays: else they would block its removal."""
        row = connection.execute(
            "select session_user = current_user and rolvaliduntil < now() + interval '1 day'"
            " from pg_roles where rolname = session_user"
        ).fetchone()
        if row and row[0]:
            raise VeilError(
                "VEIL214", "the database user expires within a day, and what it makes would belong to it",
                "let the statements that create it put it into a role that stays: docs/how-to/vault.md has them",
            )  # fmt: skip

    def _how(self, connection: psycopg.Connection[Any]) -> Publish:
        found = catalog.relation(connection, self._target)
        if found is None:
            return "swap"
        wanted = wanted_types(self._schema)
        refuse_differences(self._shown, catalog.differences(found, wanted, self._output.addable))
        if self._output.mode != "replace":
            return "transaction"
        exact = catalog.same_types(found, wanted)
        return "swap" if exact and not catalog.depended_on(connection, found) else "rewrite"

    def added_columns(self) -> tuple[str, ...]:
        with self._connect() as connection:
            self._how(connection)
            return tuple(self._added(catalog.relation(connection, self._target)))

    def _added(self, found: catalog.Relation | None) -> dict[str, str]:
        """The columns that publishing adds to the table, with their types."""
        wanted = wanted_types(self._schema)
        lacking = catalog.lacking(found, wanted) if found is not None else {}
        return {name: kind for name, kind in lacking.items() if name in self._output.addable}

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        self._take_lock()
        with self._connect() as connection:
            self._how(connection)
            if not catalog.is_there(connection, TABLE):
                connection.execute(create_statement().encode())
            postgresql_staging.make(connection)
            raise_all(postgresql_staging.problems(connection))
            if self._output.holds and not catalog.is_there(connection, postgresql_staging.CONTAINERS):
                connection.execute(containers.create_statement(postgresql_staging.CONTAINERS, content="bytea").encode())
            self._metadata(connection).begin()
            if catalog.is_there(connection, self._staging):
                self._wait_for_writers(connection)
            else:
                found = catalog.relation(connection, self._target)
                alike = found is not None and all(map(is_sent_as_it_is, found.columns.values()))
                connection.execute((self._like(self._added(found)) if alike else self._create()).encode())
            staged = catalog.relation(connection, self._staging)
            self._staged_types = (
                {} if staged is None else {name: column.base for name, column in staged.columns.items()}
            )

    def _wait_for_writers(self, connection: psycopg.Connection[Any]) -> None:
        """A connection that was lost may still be at its commit, seen from the server."""
        with connection.transaction():
            connection.execute(f"set local lock_timeout = '{_PATIENCE_SECONDS}s'".encode())
            connection.execute(f"lock table {self._staging} in share mode".encode())

    def _take_lock(self) -> None:
        if self._lock is not None and _alive(self._lock):
            return
        lock = self._open()
        try:
            lock.execute(f"set lock_timeout = '{LOCK_SECONDS}s'".encode())
            lock.execute("select pg_advisory_lock(%s)", (_lock_number("veilflow", self._shown),))
        except psycopg.Error as error:
            lock.close()
            taken = isinstance(error, psycopg.errors.LockNotAvailable)
            raise (locked_out(self._shown) if taken else mapped(error)) from None
        self._lock = lock

    def clean(self) -> tuple[str, ...]:
        self._take_lock()
        with self._connect() as connection:
            if not catalog.is_there(connection, TABLE):
                return ()
            dead = tuple(sorted(self._metadata(connection).dead_runs()))
            for run_id in dead:
                self._drop(connection, run_id)
        return dead

    def _drop(self, connection: psycopg.Connection[Any], run_id: str) -> None:
        with connection.transaction():
            connection.execute(
                f"drop table if exists {postgresql_staging.SCHEMA}.{_quote(postgresql_staging.table_of(run_id))}".encode()
            )
            self._metadata(connection).forget(run_id)

    def _metadata(self, connection: psycopg.Connection[Any]) -> Metadata:
        def run(sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
            cursor = connection.execute(sql.replace("?", "%s").encode() if values else sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

        return Metadata(run, self._shown, self._run_id, self._output.again)

    @property
    def _target(self) -> str:
        return _qualified(self._shown)

    @property
    def _staging(self) -> str:
        return f"{postgresql_staging.SCHEMA}.{_quote(postgresql_staging.table_of(self._run_id))}"

    def _create(self) -> str:
        columns = ", ".join(f"{_quote(name)} {kind}" for name, kind in wanted_types(self._schema).items())
        return f"create table {self._staging} ({columns})"

    def _like(self, added: Mapping[str, str]) -> str:
        """With the table's types, NOT NULL and CHECK, so that a row that it does not take is refused with its chunk."""
        more = "".join(f", {_quote(name)} {kind}" for name, kind in added.items())
        return f"create table {self._staging} (like {self._target} including constraints{more})"

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id:
            return {}
        with self._connect() as connection:
            return self._metadata(connection).receipts()

    def writer(self) -> AbstractContextManager[Writer]:
        return ChangingWriter(self._url, self._new_writer)

    @contextmanager
    def _new_writer(self) -> Iterator[Writer]:
        with closing(self._open()) as connection:
            yield PostgresqlWriter(connection, self._run_id, self._shown, self._staged_types)

    def staged_rows(self) -> int:
        with self._connect() as connection:
            row = connection.execute(f"select count(*) from {self._staging}".encode()).fetchone()
        return int(row[0]) if row else 0

    def column_keys(self) -> Mapping[str, ColumnKey]:
        with self._connect() as connection:
            return self._metadata(connection).column_keys() if catalog.is_there(connection, TABLE) else {}

    def published_rows(self) -> int:
        with self._connect() as connection:
            there = catalog.is_there(connection, self._target)
            return self._tables(connection).count(f"select count(*) from {self._target}") if there else 0

    def publish(
        self, column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, advance: Advance | None = None
    ) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        # The table is ours still: a server that went down took the lock along.
        self._take_lock()
        with self._connect() as connection, connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (_lock_number("publish", self._run_id),))
            metadata, tables = self._metadata(connection), self._tables(connection)
            metadata.check_versions(self._output.mode, column_keys)
            there = catalog.relation(connection, self._target)
            anew = self._output.mode == "replace" or there is None
            metadata.check_advance(advance, anew)
            staged = tables.count(f"select count(*) from {tables.staging}")
            loaded = same_number(self._move(connection, tables, staged, gate), staged)
            metadata.record(loaded, column_keys, advance, anew, self._added(there))
        return loaded

    def _move(self, connection: psycopg.Connection[Any], tables: Tables, staged: int, gate: Gate | None) -> int:
        """Publish by the way that ``_how`` says; returns the rows that came in."""
        if self._output.mode == "merge":
            # The plan of a join needs to know the staging's size, and nothing else counts it before autovacuum does.
            connection.execute(f"analyze {tables.staging}".encode())
            check_key(tables, self._output, staged_only=True)
        found = catalog.relation(connection, self._target)
        if found is None or (self._how(connection) == "swap" and _settled(connection)):
            self._ask(gate, connection, tables.staging, {})
            return self._swap(connection, found is None, staged)
        add_columns(tables, self._added(found))
        found = catalog.relation(connection, self._target) or found
        self._refuse_misfits(connection, found)
        if gate is not None:
            # Others may read it as it was, and write only after what was judged is published.
            connection.execute(f"lock table {tables.target} in share row exclusive mode".encode())
        loaded = rewrite(replace(tables, casts=catalog.casts(found, self._schema.names)), self._kept(connection, found))
        self._ask(gate, connection, tables.target, catalog.texts(found, self._schema.names))
        catalog.advance_sequences(connection, found, self._target, _quote)
        tables.change(f"drop table {tables.staging}")
        return loaded

    def _kept(self, connection: psycopg.Connection[Any], found: catalog.Relation) -> Output:
        """The output, by the key to which other tables refer if there are any: to remove a row and bring it again would
        end what refers to it, or take that along."""
        key = catalog.referenced_key(connection, found) if self._output.mode == "replace" else ()
        return replace(self._output, mode="merge", key=key, delete=True) if key else self._output

    def _refuse_misfits(self, connection: psycopg.Connection[Any], found: catalog.Relation) -> None:
        """VEIL319 with the names of columns whose staged values the table cannot hold."""
        tests = {name: catalog.misfit(found.columns[name], _quote(name)) for name in self._schema.names}
        wanted = {name: test for name, test in tests.items() if test}
        if not wanted:
            return
        counts = ", ".join(f"count(*) filter (where {test})" for test in wanted.values())
        rows = connection.execute(f"select {counts} from {self._staging}".encode()).fetchone() or ()
        raise_all(
            unheld(
                name,
                f"in {number} rows it is null, too long, out of range or another value as {found.columns[name].kind}",
            )
            for name, number in zip(wanted, rows, strict=True)
            if number
        )

    def _swap(self, connection: psycopg.Connection[Any], is_new: bool, staged: int) -> int:
        namespace = self._namespace_of(connection) or self._namespace
        connection.execute(f"drop table if exists {self._target}".encode())
        connection.execute(f"alter table {self._staging} set schema {_quote(namespace)}".encode())
        moved = f"{_quote(namespace)}.{_quote(postgresql_staging.table_of(self._run_id))}"
        connection.execute(f"alter table {moved} rename to {_quote(self._table)}".encode())
        for grant in catalog.default_grants(connection, namespace, self._target) if is_new else ():
            connection.execute(grant.encode())
        return staged

    def _ask(
        self,
        gate: Gate | None,
        connection: psycopg.Connection[Any],
        table: str,
        texts: Mapping[str, Callable[[str], str]],
    ) -> None:
        @contextmanager
        def select(sql: str, shown: str) -> Iterator[Rows]:
            try:
                with connection.cursor(name="veilflow_read") as cursor:
                    yield portions(cursor.execute(sql.encode()).fetchmany)
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                raise no_table(shown) from None

        def lock(other: str) -> bool:
            try:
                with connection.transaction():
                    connection.execute(f"lock table {_qualified(other)} in share mode".encode())
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                raise no_table(other) from None
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType):
                return False  # whoever may only read it cannot lock it, and nobody a foreign table
            return True

        if gate is not None:
            gate(SqlView(table, self._shown, self._schema, _quote, _qualified, select, lock, texts))

    def _tables(self, connection: psycopg.Connection[Any]) -> Tables:
        def count(sql: str) -> int:
            row = connection.execute(sql.encode()).fetchone()
            return int(row[0]) if row else 0

        def change(sql: str) -> int:
            return connection.execute(sql.encode()).rowcount

        # Columns that are always generated take what the run loads.
        return Tables(self._target, self._staging, _quote, count, change, overriding="overriding system value")

    def publication(self, run_id: str) -> Publication | None:
        with self._connect() as connection:
            if not catalog.is_there(connection, TABLE):
                return None
            with connection.transaction():
                # Its commit may be under way though who asked for it is gone.
                connection.execute("select pg_advisory_xact_lock(%s)", (_lock_number("publish", run_id),))
            return self._metadata(connection).publication(run_id)

    def standing(self, pipeline: str) -> Standing:
        with self._connect() as connection:
            row = connection.execute("select to_regclass(%s), to_regclass(%s)", (TABLE, self._target)).fetchone()
            return self._metadata(connection).standing(pipeline) if row and all(row) else Standing()

    def containers(self, run_id: str) -> Containers:
        return containers.TableContainers(self._held, postgresql_staging.CONTAINERS, run_id)

    @contextmanager
    def _held(self) -> Iterator[Run | None]:
        with self._connect() as connection, connection.transaction():
            yield (
                self._metadata(connection).run if catalog.is_there(connection, postgresql_staging.CONTAINERS) else None
            )

    def discard(self) -> None:
        if not self._run_id:
            return
        with self._connect() as connection:
            if catalog.is_there(connection, TABLE):
                self._drop(connection, self._run_id)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- connections ---

    def _open(self) -> psycopg.Connection[Any]:
        return connect(self._url(), LOADING)

    @contextmanager
    def _connect(self) -> Iterator[psycopg.Connection[Any]]:
        with closing(self._open()) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise mapped(error) from None
            except BaseException:
                # A signal: the server would finish the statement before it sees that nobody listens.
                connection.cancel_safe(timeout=_PATIENCE_SECONDS)
                raise


def _settled(connection: psycopg.Connection[Any]) -> bool:
    """Whether everybody who held a snapshot when this was asked has let it go."""
    older, end = catalog.older_readers(connection), time.monotonic() + _SETTLING_SECONDS
    while older and time.monotonic() < end:
        time.sleep(0.05)
        older &= catalog.older_readers(connection)
    return not older


def _alive(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server still knows the connection: a crash or a cut took its locks."""
    try:
        connection.execute("select 1")
    except psycopg.Error:
        connection.close()
        return False
    return True


def _lock_number(purpose: str, name: str) -> int:
    """The number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{name}".encode()).digest()[:8], "big", signed=True)


def _qualified(name: str) -> str:
    """A table's name, which may name its schema."""
    namespace, _, table = name.rpartition(".")
    return f"{_quote(namespace)}.{_quote(table)}" if namespace else _quote(table)


def _quote(name: str) -> str:
    return Identifier(name).as_string()
