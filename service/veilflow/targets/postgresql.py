"""PostgreSQL: ADBC's binary COPY over two connections, staging in a schema of its own, one publishing transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import BigInteger, Boolean, Column, Date, Double, LargeBinary, MetaData, Numeric, Table, Text
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.schema import CreateTable

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Mode, Publication, Receipt, Secret, Writer
from veilflow.targets.changing import ChangingWriter
from veilflow.targets.receipts import TABLE, from_json, refuse_other_versions, to_json

_STAGING_SCHEMA = "veilflow_staging"
_METADATA = f"""
create table if not exists {TABLE} (
    kind text not null, run_id text not null, target text not null, number bigint not null, detail text not null,
    primary key (kind, run_id, target, number)
)
"""
_DIALECT: Any = postgresql_dialect.dialect()  # type: ignore[no-untyped-call]
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names off in silence
#: ADBC encodes a batch whole before it sends the first byte: by slices the server works while we encode, and both
#: hold less at a time.
_SLICE_ROWS = 8192
_ALLOWED_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "options")


class PostgresqlTarget:
    """A table of a PostgreSQL database; ``table`` may name its schema: ``schema.table``."""

    parallel_writers = 2

    def __init__(self, url: Callable[[], Secret], table: str, mode: Mode, schema: pa.Schema) -> None:
        self._url, self._mode, self._schema = url, mode, schema
        self._namespace, _, self._table = table.rpartition(".")
        self._shown = table
        self._run_id = ""
        self._lock: psycopg.Connection[Any] | None = None
        for name in (self._table, self._namespace, *schema.names):
            if len(name.encode()) > _LONGEST_NAME or "\0" in name:
                raise VeilError(
                    "VEIL214", f'the name "{name}" is longer than 63 bytes', "PostgreSQL would cut it off: shorten it"
                )

    # --- before the run ---

    def inspect(self) -> Literal["swap", "rewrite", "transaction", "rename"]:
        with self._connect() as connection:
            how = self._how(connection)
            self._refuse_mortal_owner(connection)
            return how

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

    def _how(self, connection: psycopg.Connection[Any]) -> Literal["swap", "rewrite"]:
        existing = self._columns(connection)
        if not existing:
            return "swap"
        wanted = {field.name: _comparable(_sql_type(field.type).compile(dialect=_DIALECT)) for field in self._schema}
        if existing != wanted:
            differing = sorted(
                name for name in wanted.keys() | existing.keys() if wanted.get(name) != existing.get(name)
            )
            raise VeilError(
                "VEIL307", f'the table "{self._shown}" exists with another shape: {", ".join(differing)}',
                "name another table, or change the existing one to the plan's columns and types, or drop it",
            )  # fmt: skip
        return "rewrite" if self._mode == "append" or self._depended_on(connection) else "swap"

    def _columns(self, connection: psycopg.Connection[Any]) -> dict[str, str]:
        rows = connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
            (self._target,),
        ).fetchall()
        return {name: _comparable(kind) for name, kind in rows}

    def _depended_on(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether dropping the table would lose something: indexes, constraints, triggers, views, rules, grants,
        comments, defaults, partitions or row security."""
        row = connection.execute(
            "select relhasindex or relhastriggers or relhasrules or relrowsecurity or relispartition or relkind <> 'r'"
            " or relacl is not null"
            " or exists (select from pg_constraint where conrelid = c.oid or confrelid = c.oid)"
            " or exists (select from pg_attrdef where adrelid = c.oid)"
            " or exists (select from pg_attribute where attrelid = c.oid and attnum > 0 and (attnotnull or attacl is not null))"
            " or exists (select from pg_description where objoid = c.oid)"
            " or exists (select from pg_inherits where inhparent = c.oid)"
            " or exists (select from pg_publication_rel where prrelid = c.oid)"
            " or exists (select from pg_depend where refobjid = c.oid and deptype = 'n')"
            " from pg_class c where oid = to_regclass(%s)",
            (self._target,),
        ).fetchone()
        return bool(row and row[0])

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        self._take_lock()
        with self._connect() as connection:
            self._how(connection)
            if not connection.execute("select to_regclass(%s)", (TABLE,)).fetchone()[0]:  # type: ignore[index]
                connection.execute(_METADATA)
            connection.execute(f"create schema if not exists {_STAGING_SCHEMA}")
            connection.execute(f"revoke all on schema {_STAGING_SCHEMA} from public")
            self._drop_dead(connection)
            if not connection.execute("select to_regclass(%s)", (self._staging,)).fetchone()[0]:  # type: ignore[index]
                connection.execute(self._create().encode())

    def _take_lock(self) -> None:
        if self._lock is not None and not self._lock.closed:
            return
        key = int.from_bytes(hashlib.sha256(f"veilflow\0{self._shown}".encode()).digest()[:8], "big", signed=True)
        lock = self._open()
        try:
            row = lock.execute("select pg_try_advisory_lock(%s)", (key,)).fetchone()
        except psycopg.Error as error:
            lock.close()
            raise _mapped(error) from None
        if not row or not row[0]:
            lock.close()
            raise VeilError("VEIL308", f'another run is loading the table "{self._shown}"', "wait until it has ended")
        self._lock = lock

    def _drop_dead(self, connection: psycopg.Connection[Any]) -> None:
        """Staging of runs of this table that hold no lock any more: whoever has the lock knows that they are dead."""
        rows = connection.execute(
            f"select run_id from {TABLE} where kind = 'staging' and target = %s and run_id <> %s",
            (self._shown, self._run_id),
        ).fetchall()
        for (run_id,) in rows:
            connection.execute(f"drop table if exists {_STAGING_SCHEMA}.{_quote(_staging_name(run_id))}".encode())
            connection.execute(f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = %s", (run_id,))
        connection.execute(
            f"insert into {TABLE} values ('staging', %s, %s, 0, '{{}}') on conflict do nothing",
            (self._run_id, self._shown),
        )

    @property
    def _target(self) -> str:
        return f"{_quote(self._namespace)}.{_quote(self._table)}" if self._namespace else _quote(self._table)

    @property
    def _staging(self) -> str:
        return f"{_STAGING_SCHEMA}.{_quote(_staging_name(self._run_id))}"

    def _create(self) -> str:
        columns = [Column(field.name, _sql_type(field.type)) for field in self._schema]
        table = Table(_staging_name(self._run_id), MetaData(schema=_STAGING_SCHEMA), *columns)
        return str(CreateTable(table).compile(dialect=_DIALECT))

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id:
            return {}
        with self._connect() as connection:
            rows = connection.execute(
                f"select detail from {TABLE} where kind = 'receipt' and run_id = %s", (self._run_id,)
            ).fetchall()
        return {receipt.chunk: receipt for receipt in (from_json(row[0]) for row in rows)}

    def writer(self) -> AbstractContextManager[Writer]:
        return ChangingWriter(self._url, self._new_writer)

    @contextmanager
    def _new_writer(self) -> Iterator[Writer]:
        from adbc_driver_postgresql import dbapi

        try:
            connection = dbapi.connect(self._address())
        except Exception as error:
            raise _mapped(error) from None
        with closing(connection):
            yield _PostgresqlWriter(connection, self)

    def staged_rows(self) -> int:
        with self._connect() as connection:
            row = connection.execute(f"select count(*) from {self._staging}".encode()).fetchone()
        return int(row[0]) if row else 0

    def publish(self, key_versions: Mapping[str, int]) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        with self._connect() as connection, connection.transaction():
            self._check_versions(connection, key_versions)
            staged = connection.execute(f"select count(*) from {self._staging}".encode()).fetchone()[0]  # type: ignore[index]
            exists = bool(self._columns(connection))
            if not exists or self._how(connection) == "swap":
                loaded = self._swap(connection, staged)
            else:
                loaded = self._rewrite(connection)
            if loaded != staged:
                raise VeilError(
                    "VEIL502",
                    "the target took another number of rows than were staged",
                    "look for triggers and rules on the table",
                )
            self._record(connection, loaded, key_versions)
        return int(loaded)

    def _swap(self, connection: psycopg.Connection[Any], staged: int) -> int:
        namespace = self._namespace or connection.execute("select current_schema()").fetchone()[0]  # type: ignore[index]
        connection.execute(f"drop table if exists {self._target}".encode())
        connection.execute(f"alter table {self._staging} set schema {_quote(namespace)}".encode())
        moved = f"{_quote(namespace)}.{_quote(_staging_name(self._run_id))}"
        connection.execute(f"alter table {moved} rename to {_quote(self._table)}".encode())
        return staged

    def _rewrite(self, connection: psycopg.Connection[Any]) -> int:
        names = ", ".join(_quote(name) for name in self._schema.names)
        if self._mode == "replace":
            connection.execute(f"delete from {self._target}".encode())
        inserted = connection.execute(
            f"insert into {self._target} ({names}) select {names} from {self._staging}".encode()
        )
        rows = inserted.rowcount
        connection.execute(f"drop table {self._staging}".encode())
        return rows

    def _check_versions(self, connection: psycopg.Connection[Any], key_versions: Mapping[str, int]) -> None:
        if self._mode != "append":
            return
        row = connection.execute(
            f"select detail from {TABLE} where kind = 'keys' and target = %s", (self._shown,)
        ).fetchone()
        refuse_other_versions(key_versions, json.loads(row[0]) if row else {})

    def _record(self, connection: psycopg.Connection[Any], rows: int, key_versions: Mapping[str, int]) -> None:
        connection.execute(f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = %s", (self._run_id,))
        connection.execute(
            f"insert into {TABLE} values ('published', %s, %s, 0, %s)",
            (self._run_id, self._shown, json.dumps({"rows": rows})),
        )
        connection.execute(f"delete from {TABLE} where kind = 'keys' and target = %s", (self._shown,))
        connection.execute(
            f"insert into {TABLE} values ('keys', '', %s, 0, %s)",
            (self._shown, json.dumps(dict(key_versions), sort_keys=True)),
        )

    def publication(self, run_id: str) -> Publication | None:
        with self._connect() as connection:
            if not connection.execute("select to_regclass(%s)", (TABLE,)).fetchone()[0]:  # type: ignore[index]
                return None
            row = connection.execute(
                f"select detail from {TABLE} where kind = 'published' and run_id = %s and target = %s",
                (run_id, self._shown),
            ).fetchone()
        return None if row is None else Publication(run_id, json.loads(row[0])["rows"])

    def discard(self) -> None:
        if not self._run_id:
            return
        with self._connect() as connection:
            connection.execute(f"drop table if exists {self._staging}".encode())
            if connection.execute("select to_regclass(%s)", (TABLE,)).fetchone()[0]:  # type: ignore[index]
                connection.execute(
                    f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = %s", (self._run_id,)
                )

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- connections ---

    def _address(self) -> str:
        """The URL for the drivers; only parameters that are known to be harmless pass."""
        parts = urlsplit(self._url().reveal())
        given = dict(parse_qsl(parts.query))
        other = sorted(set(given) - set(_ALLOWED_PARAMETERS))
        if other:
            raise VeilError(
                "VEIL214",
                f"the connection's URL has the parameter {other[0]}",
                "allowed: " + ", ".join(_ALLOWED_PARAMETERS),
            )
        given.setdefault("connect_timeout", "10")
        return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(given)))

    def _open(self) -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(self._address(), autocommit=True)
        except psycopg.Error as error:
            raise _mapped(error) from None

    @contextmanager
    def _connect(self) -> Iterator[psycopg.Connection[Any]]:
        with closing(self._open()) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                raise _mapped(error) from None


class _PostgresqlWriter:
    """ADBC's connection: a COPY and the receipt in one transaction."""

    def __init__(self, connection: Any, target: PostgresqlTarget) -> None:
        self._connection, self._target = connection, target

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt) -> None:
        target = self._target
        try:
            with self._connection.cursor() as cursor:
                if rows.num_rows:
                    cursor.adbc_ingest(
                        _staging_name(target._run_id),
                        _exact(pa.table(rows)).to_reader(max_chunksize=_SLICE_ROWS),
                        mode="append",
                        db_schema_name=_STAGING_SCHEMA,
                    )
                cursor.execute(
                    f"insert into {TABLE} values ('receipt', $1, $2, $3, $4)",
                    (target._run_id, target._shown, receipt.chunk, to_json(receipt)),
                )
            self._connection.commit()
            seen = self._seen(receipt.chunk)
        except Exception as error:
            with suppress(Exception):
                self._connection.rollback()
            raise _mapped(error) from None
        if not seen:
            # ADBC's commit() is silent when the transaction had failed.
            raise PassingFault("VEIL401", "the database took a chunk and did not keep it", "run again")

    def _seen(self, number: int) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"select count(*) from {TABLE} where kind = 'receipt' and run_id = $1 and number = $2",
                (self._target._run_id, number),
            )
            found = cursor.fetchone()[0] == 1
        self._connection.commit()
        return bool(found)


def _exact(table: pa.Table) -> pa.Table:
    """Columns in the very types of the table: ADBC stores others as garbage without a word."""
    for index, field in enumerate(table.schema):
        kind, column = field.type, table.column(index)
        if pa.types.is_integer(kind):
            column = pc.cast(column, pa.int64())
        elif pa.types.is_floating(kind):
            column = pc.cast(column, pa.float64())
        elif pa.types.is_timestamp(kind):
            column = pc.cast(column, pa.timestamp("us", kind.tz))
        table = table.set_column(index, field.name, column)
    return table


def _sql_type(kind: pa.DataType) -> Any:
    if pa.types.is_integer(kind):
        return BigInteger()
    if pa.types.is_floating(kind):
        return Double()
    if pa.types.is_decimal(kind):
        return Numeric(kind.precision, kind.scale)
    if pa.types.is_boolean(kind):
        return Boolean()
    if pa.types.is_date(kind):
        return Date()
    if pa.types.is_timestamp(kind):
        return TIMESTAMP(timezone=kind.tz is not None)
    return LargeBinary() if pa.types.is_binary(kind) else Text()


def _comparable(kind: str) -> str:
    """A type's name as both SQLAlchemy and PostgreSQL's catalogue are brought to."""
    name = str(kind).lower().replace(" ", "")
    return {"timestampwithouttimezone": "timestamp", "timestampwithtimezone": "timestamptz"}.get(name, name)


def _staging_name(run_id: str) -> str:
    return f"run_{run_id.lower()}"


def _quote(name: str) -> str:
    return str(_DIALECT.identifier_preparer.quote_identifier(name))


def _mapped(error: BaseException) -> VeilError:
    """Ours for a driver's error, by SQLSTATE; the drivers' texts quote rows and addresses."""
    if isinstance(error, VeilError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    text = str(error).lower()
    if state.startswith("28") or "password authentication failed" in text or "no password supplied" in text:
        return VeilError(
            "VEIL402", "the database rejected the user or password", "check the connection's credential in its store"
        )
    if state == "42501":
        return VeilError(
            "VEIL402",
            "the database user lacks a permission",
            "it must create the schema veilflow_staging and the table, and own the table",
        )
    if state.startswith("3D") or ('database "' in text and "does not exist" in text):
        return VeilError(
            "VEIL214", "the database does not exist on this server", "check the connection's URL in secrets/names.yaml"
        )
    if state in ("53100",):
        return VeilError("VEIL101", "the database's disk is full", "free some space and run again")
    lost = state.startswith(("08", "57P", "53")) or state in ("40001", "40P01", "55P03")
    if lost or not state or isinstance(error, psycopg.OperationalError) and not state:
        return PassingFault(
            "VEIL401",
            "the database is out of reach, or the connection was lost",
            "check host, port and network; then run again",
        )
    return VeilError(
        "VEIL102",
        f"the database refused a statement (SQLSTATE {state})",
        "look the code up in PostgreSQL's documentation; the text is not shown, it may quote rows",
    )
