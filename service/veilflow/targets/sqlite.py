"""SQLite: one writer, ADBC ingest, one publishing transaction."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Double, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateTable

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Mode, Publication, Receipt, Writer
from veilflow.targets.receipts import TABLE, from_json, refuse_other_versions, to_json

_METADATA = f"""
create table if not exists {TABLE} (
    kind text not null, run_id text not null, target text not null, number integer not null, detail text not null,
    primary key (kind, run_id, target, number)
)
"""
_DIALECT = sqlite_dialect.dialect()
_STAGING = "veilflow_staging_"


class SqliteTarget:
    """A table of an SQLite file. Dates, timestamps and decimals are stored as text, so that they stay exact."""

    parallel_writers = 1

    def __init__(self, path: Path, table: str, mode: Mode, schema: pa.Schema, lock_directory: Path) -> None:
        self._path, self._table, self._mode, self._schema = path, table, mode, schema
        self._lock_directory = lock_directory
        self._lock: IO[str] | None = None
        self._run_id = ""
        if table.startswith(("sqlite_", _STAGING)) or table == TABLE or not table or "\0" in table:
            raise VeilError("VEIL214", f'the table name "{table}" is reserved', "name another table")

    # --- before the run ---

    def inspect(self) -> Literal["swap", "rewrite", "transaction", "rename"]:
        if not self._path.exists():
            return "swap"
        with self._connect(read_only=True) as connection:
            return self._how(connection)

    def _how(self, connection: sqlite3.Connection) -> Literal["swap", "rewrite"]:
        """Swap where nothing else refers to the table, else rewrite its rows in one transaction."""
        existing = connection.execute(f"pragma table_info({_quote(self._table)})").fetchall()
        if not existing:
            return "swap"
        self._same_shape({row[1]: str(row[2]).upper() for row in existing})
        if self._mode == "append":
            return "rewrite"
        depending = connection.execute(
            "select count(*) from sqlite_master where (tbl_name = ? and type in ('index', 'trigger')) or type = 'view'"
            " or (type = 'table' and name <> ? and lower(sql) like '%references%')",
            (self._table, self._table),
        ).fetchone()[0]
        return "rewrite" if depending else "swap"

    def _same_shape(self, existing: Mapping[str, str]) -> None:
        wanted = {field.name: str(_sql_type(field.type).compile(dialect=_DIALECT)).upper() for field in self._schema}
        if existing != wanted:
            differing = sorted(
                name for name in wanted.keys() | existing.keys() if wanted.get(name) != existing.get(name)
            )
            raise VeilError(
                "VEIL307", f'the table "{self._table}" exists with another shape: {", ".join(differing)}',
                "name another table, or change the existing one to the plan's columns and types, or drop it",
            )  # fmt: skip

    # --- the run ---

    def open(self, run_id: str) -> None:
        self._run_id = run_id
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError:
            raise VeilError(
                "VEIL101", "the target's directory cannot be written", "fix its permission, or free some space"
            ) from None
        with self._connect() as connection:
            self._how(connection)
            connection.execute("begin immediate")
            connection.execute(_METADATA)
            self._drop_dead(connection)
            if not connection.execute(f"pragma table_info({_quote(self._staging)})").fetchone():
                connection.execute(self._create(self._staging))
            connection.commit()

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self._lock_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(f"{self._path.resolve()}\0{self._table}".encode()).hexdigest()[:16]
        lock = (self._lock_directory / f"sqlite-{name}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise VeilError(
                "VEIL308", f'another run is loading the table "{self._table}"', "wait until it has ended"
            ) from None
        self._lock = lock

    def _drop_dead(self, connection: sqlite3.Connection) -> None:
        """Staging of runs that hold no lock any more: whoever has the lock knows that they are dead."""
        rows = connection.execute(
            f"select distinct run_id from {TABLE} where kind = 'staging' and target = ? and run_id <> ?",
            (self._table, self._run_id),
        ).fetchall()
        for (run_id,) in rows:
            connection.execute(f"drop table if exists {_quote(_STAGING + run_id)}")
            connection.execute(f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = ?", (run_id,))
        connection.execute(
            f"insert or ignore into {TABLE} values ('staging', ?, ?, 0, '{{}}')", (self._run_id, self._table)
        )

    @property
    def _staging(self) -> str:
        return _STAGING + self._run_id

    def _create(self, name: str) -> str:
        columns = [Column(field.name, _sql_type(field.type)) for field in self._schema]
        return str(CreateTable(Table(name, MetaData(), *columns)).compile(dialect=_DIALECT))

    def receipts(self) -> dict[int, Receipt]:
        if not self._run_id or not self._path.exists():
            return {}
        with self._connect() as connection:
            rows = connection.execute(
                f"select detail from {TABLE} where kind = 'receipt' and run_id = ?", (self._run_id,)
            ).fetchall()
        return {receipt.chunk: receipt for receipt in (from_json(row[0]) for row in rows)}

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        from adbc_driver_sqlite import dbapi

        with closing(dbapi.connect(str(self._path))) as connection:
            yield _SqliteWriter(connection, self)

    def staged_rows(self) -> int:
        with self._connect() as connection:
            return int(connection.execute(f"select count(*) from {_quote(self._staging)}").fetchone()[0])

    def publish(self, key_versions: Mapping[str, int]) -> int:
        published = self.publication(self._run_id)
        if published is not None:
            return published.rows
        with self._connect() as connection:
            connection.execute("begin immediate")
            self._check_versions(connection, key_versions)
            staged = connection.execute(f"select count(*) from {_quote(self._staging)}").fetchone()[0]
            exists = connection.execute(f"pragma table_info({_quote(self._table)})").fetchone() is not None
            if self._how(connection) == "swap" and not (exists and self._mode == "append"):
                connection.execute(f"drop table if exists {_quote(self._table)}")
                connection.execute(f"alter table {_quote(self._staging)} rename to {_quote(self._table)}")
                loaded = staged
            else:
                loaded = self._rewrite(connection)
            if loaded != staged:
                raise VeilError(
                    "VEIL502",
                    "the target took another number of rows than were staged",
                    "look for triggers on the table",
                )
            self._record(connection, loaded, key_versions)
            connection.commit()
        return int(loaded)

    def _rewrite(self, connection: sqlite3.Connection) -> int:
        names = ", ".join(_quote(name) for name in self._schema.names)
        if self._mode == "replace":
            connection.execute(f"delete from {_quote(self._table)}")
        inserted = connection.execute(
            f"insert into {_quote(self._table)} ({names}) select {names} from {_quote(self._staging)} order by rowid"
        ).rowcount
        connection.execute(f"drop table {_quote(self._staging)}")
        return inserted

    def _check_versions(self, connection: sqlite3.Connection, key_versions: Mapping[str, int]) -> None:
        if self._mode != "append":
            return
        row = connection.execute(
            f"select detail from {TABLE} where kind = 'keys' and target = ?", (self._table,)
        ).fetchone()
        refuse_other_versions(key_versions, json.loads(row[0]) if row else {})

    def _record(self, connection: sqlite3.Connection, rows: int, key_versions: Mapping[str, int]) -> None:
        connection.execute(f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = ?", (self._run_id,))
        connection.execute(
            f"insert into {TABLE} values ('published', ?, ?, 0, ?)",
            (self._run_id, self._table, json.dumps({"rows": rows})),
        )
        connection.execute(f"delete from {TABLE} where kind = 'keys' and target = ?", (self._table,))
        connection.execute(
            f"insert into {TABLE} values ('keys', '', ?, 0, ?)",
            (self._table, json.dumps(dict(key_versions), sort_keys=True)),
        )

    def publication(self, run_id: str) -> Publication | None:
        if not self._path.exists():
            return None
        with self._connect(read_only=True) as connection:
            if not connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone():
                return None
            row = connection.execute(
                f"select detail from {TABLE} where kind = 'published' and run_id = ? and target = ?",
                (run_id, self._table),
            ).fetchone()
        return None if row is None else Publication(run_id, json.loads(row[0])["rows"])

    def discard(self) -> None:
        if not self._run_id or not self._path.exists():
            return
        with self._connect() as connection:
            connection.execute("begin immediate")
            connection.execute(f"drop table if exists {_quote(self._staging)}")
            if connection.execute("select 1 from sqlite_master where name = ?", (TABLE,)).fetchone():
                connection.execute(
                    f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = ?", (self._run_id,)
                )
            connection.commit()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextmanager
    def _connect(self, read_only: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit; an error of SQLite becomes ours, without its text.

        ``read_only`` makes no file and changes no row, but is not SQLite's ``mode=ro``: that cannot open a file
        beside which a killed process left its journal, for it may not roll it back.
        """
        try:
            address = f"{self._path.resolve().as_uri()}{'?mode=rw' if read_only else ''}"
            with closing(sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)) as connection:
                connection.execute("pragma query_only = on" if read_only else "pragma secure_delete = on")
                yield connection
        except sqlite3.Error as error:
            raise _mapped(error, self._path) from None


class _SqliteWriter:
    """ADBC's connection: the rows and their receipt in one transaction."""

    def __init__(self, connection: Any, target: SqliteTarget) -> None:
        self._connection, self._target = connection, target

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt) -> None:
        target = self._target
        try:
            with self._connection.cursor() as cursor:
                if rows.num_rows:
                    cursor.adbc_ingest(target._staging, _storable(pa.table(rows)), mode="append")
                cursor.execute(
                    f"insert into {TABLE} values ('receipt', ?, ?, ?, ?)",
                    (target._run_id, target._table, receipt.chunk, to_json(receipt)),
                )
            self._connection.commit()
        except Exception as error:
            with suppress(Exception):
                self._connection.rollback()
            raise _mapped(error, target._path) from None
        with target._connect(read_only=True) as connection:
            seen = connection.execute(
                f"select 1 from {TABLE} where kind = 'receipt' and run_id = ? and number = ?",
                (target._run_id, receipt.chunk),
            ).fetchone()
        if seen is None:
            raise VeilError("VEIL102", "the database took a chunk and did not keep it", "run again")


def _storable(table: pa.Table) -> pa.Table:
    """Decimals, dates and timestamps as exact text: SQLite would make floats of the first."""
    import pyarrow.compute as pc

    from veilflow.keys import token_bytes

    for index, field in enumerate(table.schema):
        kind, column = field.type, table.column(index)
        if pa.types.is_decimal(kind) or pa.types.is_date(kind):
            column = column.cast(pa.string())
        elif pa.types.is_timestamp(kind):
            column = pa.chunked_array([token_bytes(chunk) for chunk in column.chunks], pa.string())
        elif pa.types.is_boolean(kind):
            column = pc.cast(column, pa.int64())
        table = table.set_column(index, field.name, column)
    return table


def _sql_type(kind: pa.DataType) -> Any:
    if pa.types.is_integer(kind):
        return BigInteger()
    if pa.types.is_floating(kind):
        return Double()
    if pa.types.is_boolean(kind):
        return Boolean()
    if pa.types.is_date(kind):
        return Date()
    if pa.types.is_timestamp(kind):
        return DateTime()
    return LargeBinary() if pa.types.is_binary(kind) else Text()


def _quote(name: str) -> str:
    return str(_DIALECT.identifier_preparer.quote_identifier(name))


def _mapped(error: BaseException, path: Path) -> VeilError:
    text = str(error).lower()
    if isinstance(error, VeilError):
        return error
    if "full" in text or "disk i/o" in text:
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
