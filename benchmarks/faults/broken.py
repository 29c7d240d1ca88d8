"""Loaders that are broken on purpose, as many real ones are: a harness that does not catch them proves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from veilflow.errors import PassingFault
from veilflow.model import Receipt
from veilflow.run.result import counts_of
from veilflow.targets import duckdb, files, mariadb, postgresql, sqlite
from veilflow.targets.metadata import TABLE, receipt_values

_BETWEEN_COMMITS_SECONDS = 0.01
ORDERS = {"before": ("receipt", "rows"), "after": ("rows", "receipt"), "none": ("rows",)}
#: What a file can be broken by: it has no receipts, and its one commit is the rename.
IN_PLACE = "in place"

#: Does one half of a chunk in the writer's open transaction.
Half = Callable[[Any, Any], None]


def ways(database: str) -> tuple[str, ...]:
    """How the loader of a database can be broken."""
    return (IN_PLACE,) if database == "csv" else tuple(ORDERS)


def break_loader(how: str) -> None:
    """Commit rows and receipt apart (``before``, ``after``: the receipt comes first or last) or leave the receipt out
    (``none``), in this process; and take out the counting of staged rows, which would catch most of it by itself.
    ``in place`` writes the file where its readers look."""
    if how == IN_PLACE:
        _write_in_place()
        return
    for target, writer, transaction, halves in _LOADERS:
        writer.load = _loading(ORDERS[how], transaction, halves)
        _believe_receipts(target)


def _loading(order: tuple[str, ...], transaction: tuple[Half, Half], halves: dict[str, Half]) -> Callable[..., None]:
    begin, commit = transaction

    def load(self: Any, rows: pa.Table, receipt: Receipt) -> None:
        try:
            for half in order:
                begin(self, None)
                if half == "receipt" or rows.num_rows:
                    halves[half](self, rows if half == "rows" else receipt)
                commit(self, None)
                # Between two commits anything may happen, and here it takes long enough to be struck.
                time.sleep(_BETWEEN_COMMITS_SECONDS)
        except Exception:
            raise PassingFault("VEIL401", "the connection was lost", "run again") from None
        self._target.loaded = {**getattr(self._target, "loaded", {}), receipt.chunk: receipt}

    return load


def _believe_receipts(target: Any) -> None:
    stored = target.receipts

    def receipts(self: Any) -> dict[int, Receipt]:
        return {**stored(self), **getattr(self, "loaded", {})}

    target.receipts = receipts
    target.staged_rows = lambda self: counts_of(self.receipts().values()).loaded


def _write_in_place() -> None:
    opened = files.FileTarget.open

    def open_in_place(self: Any, run_id: str) -> None:
        opened(self, run_id)
        self._temporary.replace(self._path)
        self._temporary = self._path

    files.FileTarget.open = open_in_place  # type: ignore[method-assign]


# --- by ADBC, where every statement belongs to a transaction ---


def _goes_on(_writer: Any, _nothing: None) -> None:
    return


def _commit(writer: Any, _nothing: None) -> None:
    writer._connection.commit()


def _sqlite_rows(writer: Any, rows: pa.Table) -> None:
    with writer._connection.cursor() as cursor:
        cursor.adbc_ingest(writer._target._staging, sqlite._storable(pa.table(rows)), mode="append")


def _sqlite_receipt(writer: Any, receipt: Receipt) -> None:
    target = writer._target
    with writer._connection.cursor() as cursor:
        values = receipt_values(target._run_id, target._table, receipt)
        cursor.execute(f"insert into {TABLE} values (?, ?, ?, ?, ?)", values)


def _postgresql_rows(writer: Any, rows: pa.Table) -> None:
    name = postgresql._staging_name(writer._target._run_id)
    with writer._connection.cursor() as cursor:
        cursor.adbc_ingest(name, postgresql._exact(pa.table(rows)), mode="append", db_schema_name="veilflow_staging")


def _postgresql_receipt(writer: Any, receipt: Receipt) -> None:
    target = writer._target
    with writer._connection.cursor() as cursor:
        values = receipt_values(target._run_id, target._shown, receipt)
        cursor.execute(f"insert into {TABLE} values ($1, $2, $3, $4, $5)", values)


# --- by drivers that are told where a transaction begins and ends ---


def _begin_mariadb(writer: Any, _nothing: None) -> None:
    writer._connection.begin()


def _mariadb_rows(writer: Any, rows: pa.Table) -> None:
    writer._insert(pa.table(rows))


def _begin_duckdb(writer: Any, _nothing: None) -> None:
    writer._connection.execute("begin")


def _commit_duckdb(writer: Any, _nothing: None) -> None:
    writer._connection.execute("commit")


def _duckdb_rows(writer: Any, rows: pa.Table) -> None:
    incoming = pa.table(rows)
    writer._connection.register("incoming", incoming)
    writer._connection.execute(f"insert into {duckdb._staging(writer._target._run_id)} by name select * from incoming")
    writer._connection.unregister("incoming")


def _receipt_by_metadata(writer: Any, receipt: Receipt) -> None:
    target = writer._target
    values = receipt_values(target._run_id, target._output.table, receipt)
    target._metadata(writer._connection).run(f"insert into {TABLE} values (?, ?, ?, ?, ?)", values)


_LOADERS: tuple[tuple[Any, Any, tuple[Half, Half], dict[str, Half]], ...] = (
    (sqlite.SqliteTarget, sqlite._SqliteWriter, (_goes_on, _commit), {"rows": _sqlite_rows, "receipt": _sqlite_receipt}),
    (postgresql.PostgresqlTarget, postgresql._PostgresqlWriter, (_goes_on, _commit),
     {"rows": _postgresql_rows, "receipt": _postgresql_receipt}),
    (mariadb.MariadbTarget, mariadb._MariadbWriter, (_begin_mariadb, _commit),
     {"rows": _mariadb_rows, "receipt": _receipt_by_metadata}),
    (duckdb.DuckdbTarget, duckdb._DuckdbWriter, (_begin_duckdb, _commit_duckdb),
     {"rows": _duckdb_rows, "receipt": _receipt_by_metadata}),
)  # fmt: skip
