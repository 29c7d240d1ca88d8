"""Three loaders that are broken on purpose, as many real ones are: a harness that does not catch them proves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from veilflow.errors import PassingFault
from veilflow.model import Receipt
from veilflow.run.result import counts_of
from veilflow.targets import postgresql, sqlite
from veilflow.targets.metadata import TABLE, receipt_values

_BETWEEN_COMMITS_SECONDS = 0.01
ORDERS = {"before": ("receipt", "rows"), "after": ("rows", "receipt"), "none": ("rows",)}


def break_loader(how: str) -> None:
    """Commit rows and receipt apart (``before``, ``after``: the receipt comes first or last) or leave the receipt out
    (``none``), in this process; and take out the counting of staged rows, which would catch most of it by itself."""
    for writer, ingest, insert in (
        (sqlite._SqliteWriter, _sqlite_rows, _sqlite_receipt),
        (postgresql._PostgresqlWriter, _postgresql_rows, _postgresql_receipt),
    ):
        writer.load = _loading(ORDERS[how], ingest, insert)  # type: ignore[method-assign]
    for target in (sqlite.SqliteTarget, postgresql.PostgresqlTarget):
        _believe_receipts(target)


def _loading(order: tuple[str, ...], ingest: Callable[..., None], insert: Callable[..., None]) -> Callable[..., None]:
    def load(self: Any, rows: pa.Table, receipt: Receipt) -> None:
        try:
            for step in order:
                with self._connection.cursor() as cursor:
                    if step == "receipt":
                        insert(self._target, cursor, receipt)
                    elif rows.num_rows:
                        ingest(self._target, cursor, rows)
                self._connection.commit()
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


def _sqlite_rows(target: Any, cursor: Any, rows: pa.Table) -> None:
    cursor.adbc_ingest(target._staging, sqlite._storable(pa.table(rows)), mode="append")


def _sqlite_receipt(target: Any, cursor: Any, receipt: Receipt) -> None:
    cursor.execute(
        f"insert into {TABLE} values (?, ?, ?, ?, ?)", receipt_values(target._run_id, target._table, receipt)
    )


def _postgresql_rows(target: Any, cursor: Any, rows: pa.Table) -> None:
    name = postgresql._staging_name(target._run_id)
    cursor.adbc_ingest(name, postgresql._exact(pa.table(rows)), mode="append", db_schema_name="veilflow_staging")


def _postgresql_receipt(target: Any, cursor: Any, receipt: Receipt) -> None:
    values = receipt_values(target._run_id, target._shown, receipt)
    cursor.execute(f"insert into {TABLE} values ($1, $2, $3, $4, $5)", values)
