"""MariaDB: LOAD DATA or multi-row inserts into staging, each chunk with its receipt in one transaction.

Its DDL commits by itself, so a table is replaced by one atomic RENAME with a journal, which the next command completes;
where something depends on the table its rows are rewritten in one transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from veilflow.databases.mariadb import connect, mapped, quote, run
from veilflow.errors import PassingFault, VeilError
from veilflow.model import (
    Advance,
    Checkpoint,
    ColumnKey,
    Containers,
    Gate,
    Output,
    Publication,
    Publish,
    Receipt,
    Secret,
    Standing,
    Writer,
)
from veilflow.targets import containers
from veilflow.targets.changing import ChangingWriter
from veilflow.targets.mariadb_merge import merge, prepare
from veilflow.targets.mariadb_rights import STAGING_DATABASE, refuse_without_staging
from veilflow.targets.mariadb_schema import (
    check_names,
    column_types,
    definitions,
    depended_on,
    fits,
    referenced_key,
    sql_type,
)
from veilflow.targets.mariadb_writer import CONTAINERS, MariadbWriter
from veilflow.targets.merging import Tables, check_key, rewrite
from veilflow.targets.metadata import (
    LOCK_SECONDS,
    TABLE,
    Metadata,
    Run,
    create_statement,
    keys_text,
    locked_out,
    parse_keys,
    same_number,
    same_shape,
)
from veilflow.targets.reading import Rows, SqlView, no_table, portions

_PATIENCE_SECONDS = 30
#: Reading locks what it read, so nobody changes it or adds a row between the gate and the commit.
_KEEPING_WHAT_IT_READS = "set session transaction isolation level serializable"
_LONGEST_PUBLISHING_SECONDS = 3600
#: The numbers of the errors for a table and a column that are not there.
_NOT_THERE = (1146, 1054)
#: Compared byte by byte, blanks at the end included: no collation brings two people's keys together.
_TABLE_OPTIONS = "engine = InnoDB default character set utf8mb4 collate utf8mb4_nopad_bin"
_METADATA = create_statement("varchar(190)", long="longtext") + " " + _TABLE_OPTIONS


class MariadbTarget:
    """A table of the connection's database."""

    parallel_writers = 2

    def __init__(self, url: Callable[[], Secret], output: Output) -> None:
        self._url, self._output, self._schema = url, output, output.schema
        self._run_id = ""
        self._lock: Connection | None = None
        check_names(output)

    # --- before the run ---

    def inspect(self) -> Publish:
        with self._connect() as connection:
            refuse_without_staging(grant for (grant,) in run(connection, "show grants"))
            return self._how(connection)

    def _how(self, connection: Connection) -> Publish:
        existing = column_types(connection, self._output.table)
        if not existing:
            return "rename"
        wanted = {field.name: sql_type(field.type) for field in self._schema}
        lacking = same_shape(self._output.table, existing, wanted, fits, self._output.addable)
        kept = {name: kind for name, kind in wanted.items() if name not in lacking}
        is_plain = existing == kept and not depended_on(connection, self._output.table)
        if self._output.mode == "replace" and is_plain:
            return "rename"
        if lacking:
            raise _outside(self._output.table, {name: wanted[name] for name in lacking})
        return "rewrite" if self._output.mode == "replace" else "transaction"

    def added_columns(self) -> tuple[str, ...]:
        with self._connect() as connection:
            self._how(connection)
            existing = column_types(connection, self._output.table)
        return tuple(name for name in self._schema.names if existing and name not in existing)

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        self._take_lock()
        with self._connect() as connection:
            how = self._how(connection)
            run(connection, _METADATA)
            run(connection, f"create database if not exists {STAGING_DATABASE} character set utf8mb4")
            if self._output.holds:
                made = containers.create_statement(CONTAINERS, "varchar(190)", content="mediumblob")
                run(connection, f"{made} {_TABLE_OPTIONS}")
            self._metadata(connection).begin()
            columns = ", ".join(self._own_columns() if how == "rename" else definitions(connection, self._output.table))
            run(connection, f"create table if not exists {_staging(run_id)} ({columns}) {_TABLE_OPTIONS}")
            # A connection that was lost may still be at its commit, seen from the server.
            run(connection, f"set session lock_wait_timeout = {_PATIENCE_SECONDS}")
            run(connection, f"alter table {_staging(run_id)} comment = ''")

    def _own_columns(self) -> list[str]:
        return [f"{quote(field.name)} {sql_type(field.type)}" for field in self._schema]

    def clean(self) -> tuple[str, ...]:
        self._take_lock()
        with self._connect() as connection:
            if not column_types(connection, TABLE):
                return ()
            metadata = self._metadata(connection)
            dead = tuple(sorted(metadata.dead_runs()))
            for run_id in dead:
                self._complete(connection, run_id)
                run(connection, f"drop table if exists {_staging(run_id)}")
                metadata.forget(run_id)
        return dead

    def _take_lock(self) -> None:
        """A lock of the server that ends with its connection."""
        if self._lock is not None and _alive(self._lock):
            return
        lock = connect(self._url())
        name = "veilflow_" + hashlib.sha256(f"{_decoded(lock.db)}\0{self._output.table}".encode()).hexdigest()[:40]
        try:
            taken = run(lock, "select get_lock(%s, %s)", (name, LOCK_SECONDS))[0][0]
        except pymysql.Error as error:
            lock.close()
            raise mapped(error) from None
        if taken != 1:
            lock.close()
            raise locked_out(self._output.table)
        self._lock = lock

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id:
            return {}
        with self._connect() as connection:
            return self._metadata(connection).receipts()

    def writer(self) -> AbstractContextManager[Writer]:
        return ChangingWriter(self._url, self._new_writer)

    @contextmanager
    def _new_writer(self) -> Iterator[Writer]:
        with closing(connect(self._url(), loads=True)) as connection:
            yield MariadbWriter(connection, self._metadata(connection), _staging(self._run_id))

    def staged_rows(self) -> int:
        with self._connect() as connection:
            return int(run(connection, f"select count(*) from {_staging(self._run_id)}")[0][0])

    def column_keys(self) -> Mapping[str, ColumnKey]:
        with self._connect() as connection:
            return self._metadata(connection).column_keys() if column_types(connection, TABLE) else {}

    def published_rows(self) -> int:
        with self._connect() as connection:
            there = column_types(connection, self._output.table)
            return (
                self._tables(connection).count(f"select count(*) from {self._tables(connection).target}")
                if there
                else 0
            )

    # --- publishing ---

    def publish(
        self, column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, advance: Advance | None = None
    ) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        with self._connect() as connection:
            self._publish_alone(connection, self._run_id)
            metadata, tables = self._metadata(connection), self._tables(connection)
            metadata.check_versions(self._output.mode, column_keys)
            how = self._how(connection)
            metadata.check_advance(advance, anew=how == "rename")
            output = self._kept(connection)
            if output.mode == "merge":
                check_key(tables, output, staged_only=how == "rename")
            if how == "rename":
                # Its staging is all that will be published, and only the run's own connections write there.
                with self._beside(gate) as beside:
                    self._ask(gate, connection, tables.staging, beside)
                    return self._rename(connection, tables, column_keys, advance)
            return self._rewrite(connection, tables, output, column_keys, gate, advance)

    def _kept(self, connection: Connection) -> Output:
        """The output, by the key to which other tables refer if there are any: to remove a row and bring it again would
        end what refers to it, or take that along."""
        key = referenced_key(connection, self._output.table) if self._output.mode == "replace" else ()
        return replace(self._output, mode="merge", key=key, delete=True) if key else self._output

    def _publish_alone(self, connection: Connection, run_id: str) -> None:
        """Wait until no other connection publishes the run: it may be at that though who asked for it is gone."""
        name = "veilflow_publish_" + hashlib.sha256(run_id.encode()).hexdigest()[:40]
        if run(connection, "select get_lock(%s, %s)", (name, _LONGEST_PUBLISHING_SECONDS))[0][0] != 1:
            raise PassingFault("VEIL401", "the database is still publishing the run", "wait, and look again")

    @contextmanager
    def _beside(self, gate: Gate | None) -> Iterator[Connection | None]:
        """A transaction of its own for other tables, because a RENAME ends that of its connection."""
        if gate is None:
            yield None
            return
        with self._connect() as connection:
            run(connection, _KEEPING_WHAT_IT_READS)
            connection.begin()
            yield connection

    def _ask(self, gate: Gate | None, connection: Connection, table: str, beside: Connection | None = None) -> None:
        own = self._output.table

        @contextmanager
        def select(sql: str, shown: str) -> Iterator[Rows]:
            reading = connection if shown == own or beside is None else beside
            try:
                with closing(reading.cursor(SSCursor)) as cursor:
                    cursor.execute(sql)
                    yield portions(cursor.fetchmany)
            except pymysql.Error as error:
                if error.args and error.args[0] in _NOT_THERE:
                    raise no_table(shown) from None
                raise

        def lock(other: str) -> bool:
            """Reading does it, where the engine has locks of rows; not of what a RENAME of ours moves."""
            engine = run(connection, "select engine from information_schema.tables where table_schema = database() and table_name = %s", (other,))  # fmt: skip
            if not engine:
                raise no_table(other)
            return engine[0][0] == "InnoDB" and (beside is None or other != own)

        if gate is not None:
            gate(SqlView(table, own, self._schema, quote, quote, select, lock))

    def _rewrite(
        self,
        connection: Connection,
        tables: Tables,
        output: Output,
        column_keys: Mapping[str, ColumnKey],
        gate: Gate | None,
        advance: Advance | None,
    ) -> int:
        """In one transaction; the staging is dropped afterwards, because dropping commits."""
        metadata = self._metadata(connection)
        if output.mode == "merge":
            prepare(tables, output)
        if gate is not None:
            run(connection, _KEEPING_WHAT_IT_READS)
        connection.begin()
        staged = tables.count(f"select count(*) from {tables.staging}")
        loaded = merge(tables, output) if output.mode == "merge" else rewrite(tables, output)
        self._ask(gate, connection, tables.target)
        metadata.record(same_number(loaded, staged), column_keys, advance, self._output.mode == "replace")
        metadata.begin()  # the staging is still there: should this process die now, the next run drops it
        connection.commit()
        self._drop_staging(connection)
        return loaded

    def _rename(
        self, connection: Connection, tables: Tables, column_keys: Mapping[str, ColumnKey], advance: Advance | None
    ) -> int:
        """The journal first, then one RENAME of both tables, then the record."""
        staged = tables.count(f"select count(*) from {tables.staging}")
        journal = json.dumps(
            {
                "rows": staged,
                "keys": json.loads(keys_text(column_keys)),
                "advance": None if advance is None else asdict(advance),
            }
        )
        run(connection, f"replace into {TABLE} values ('publishing', %s, %s, 0, %s)",
            (self._run_id, self._output.table, journal))  # fmt: skip
        moves = [f"{tables.staging} to {tables.target}"]
        if column_types(connection, self._output.table):
            moves.insert(0, f"{tables.target} to {_replaced(self._run_id)}")
        run(connection, "rename table " + ", ".join(moves))
        self._complete(connection, self._run_id)
        return staged

    def _complete(self, connection: Connection, run_id: str) -> None:
        """Close the journal of a run that was renaming: its staging is gone if, and only if, the RENAME happened."""
        where = (run_id, self._output.table)
        journal = run(connection, f"select detail from {TABLE} where kind = 'publishing' and run_id = %s and target = %s", where)  # fmt: skip
        if not journal:
            return
        renamed = not run(
            connection, "select 1 from information_schema.tables where table_schema = %s and table_name = %s",
            (STAGING_DATABASE, _staging_name(run_id)),
        )  # fmt: skip
        connection.begin()
        if renamed:
            found = json.loads(journal[0][0])
            self._metadata(connection, run_id).record(
                found["rows"], parse_keys(found["keys"]), _advance(found.get("advance")), anew=True
            )
        run(connection, f"delete from {TABLE} where kind = 'publishing' and run_id = %s and target = %s", where)
        connection.commit()
        run(connection, f"drop table if exists {_replaced(run_id)}")

    def publication(self, run_id: str) -> Publication | None:
        with self._connect() as connection:
            if not column_types(connection, TABLE):
                return None
            self._publish_alone(connection, run_id)
            self._complete(connection, run_id)
            return self._metadata(connection).publication(run_id)

    def standing(self, pipeline: str) -> Standing:
        with self._connect() as connection:
            there = column_types(connection, TABLE) and column_types(connection, self._output.table)
            return self._metadata(connection).standing(pipeline) if there else Standing()

    def containers(self, run_id: str) -> Containers:
        return containers.TableContainers(self._held, CONTAINERS, run_id)

    @contextmanager
    def _held(self) -> Iterator[Run | None]:
        with self._connect() as connection:
            there = run(
                connection, "select 1 from information_schema.tables where table_schema = %s and table_name = %s",
                (STAGING_DATABASE, containers.TABLE),
            )  # fmt: skip
            connection.begin()
            yield self._metadata(connection).run if there else None
            connection.commit()

    def discard(self) -> None:
        if not self._run_id:
            return
        with self._connect() as connection:
            if column_types(connection, TABLE):
                self._drop_staging(connection)

    def _drop_staging(self, connection: Connection) -> None:
        run(connection, f"drop table if exists {_staging(self._run_id)}")
        self._metadata(connection).forget(self._run_id)

    def close(self) -> None:
        if self._lock is not None:
            with suppress(pymysql.Error):
                self._lock.close()
            self._lock = None

    # --- connections ---

    def _metadata(self, connection: Connection, run_id: str | None = None) -> Metadata:
        def statement(sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
            return run(connection, sql.replace("?", "%s"), tuple(values)) if values else run(connection, sql)

        return Metadata(statement, self._output.table, run_id or self._run_id, self._output.again)

    def _tables(self, connection: Connection) -> Tables:
        def change(sql: str) -> int:
            with connection.cursor() as cursor:
                return int(cursor.execute(sql))

        return Tables(
            quote(self._output.table), _staging(self._run_id), quote,
            count=lambda sql: int(run(connection, sql)[0][0]), change=change,
        )  # fmt: skip

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with closing(connect(self._url())) as connection:
            try:
                yield connection
            except pymysql.Error as error:
                raise mapped(error) from None


def _outside(table: str, lacking: Mapping[str, str]) -> VeilError:
    """VEIL307: only a table that is made anew gets new columns in the step that publishes."""
    added = ", ".join(f"add column {quote(name)} {kind}" for name, kind in lacking.items())
    return VeilError(
        "VEIL307", f'the table "{table}" lacks columns, and MariaDB adds none within a transaction: readers would see '
        "them before their rows, and a run that fails would leave them",
        f"`alter table {quote(table)} {added}`, and run again",
    )  # fmt: skip


def _alive(connection: Connection) -> bool:
    """Whether the server still knows the connection: a crash or a cut took its locks."""
    try:
        connection.ping(reconnect=False)
    except (pymysql.Error, OSError):
        return False
    return True


def _advance(found: Mapping[str, Any] | None) -> Advance | None:
    """What the journal holds of it."""
    if found is None:
        return None
    before, after = found["before"], found["after"]
    return Advance(found["pipeline"], None if before is None else Checkpoint(**before), Checkpoint(**after))


def _decoded(name: str | bytes | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""


def _staging_name(run_id: str) -> str:
    return f"run_{run_id.lower()}"


def _staging(run_id: str) -> str:
    return f"{STAGING_DATABASE}.{quote(_staging_name(run_id))}"


def _replaced(run_id: str) -> str:
    """Where the old table waits to be dropped."""
    return f"{STAGING_DATABASE}.{quote('old_' + run_id.lower())}"
