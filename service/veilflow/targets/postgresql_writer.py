"""PostgreSQL's bulk path: ADBC's binary COPY into the staging, with the chunk's receipt and container in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from veilflow.databases.postgresql import mapped
from veilflow.errors import PassingFault
from veilflow.model import Container, Receipt
from veilflow.targets import containers, postgresql_staging
from veilflow.targets.metadata import TABLE, receipt_values
from veilflow.targets.postgresql_types import exact

#: ADBC encodes a batch whole before it sends the first byte: by slices the server works while we encode, and both
#: hold less at a time.
_SLICE_ROWS = 8192


class PostgresqlWriter:
    """ADBC's connection: a COPY, the receipt and the container in one transaction."""

    def __init__(self, connection: Any, run_id: str, shown: str, staged_types: Mapping[str, str]) -> None:
        self._connection, self._run_id, self._shown, self._staged_types = connection, run_id, shown, staged_types

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        with self._undoing(rows):
            self._insert(rows)
            self._run(f"insert into {TABLE} values (?, ?, ?, ?, ?)", receipt_values(self._run_id, self._shown, receipt))
            if held is not None:
                containers.keep(self._run, postgresql_staging.CONTAINERS, self._run_id, held)
            self._connection.commit()
            seen = self._seen(receipt.chunk)
        if not seen:
            # ADBC's commit() is silent when the transaction had failed.
            raise PassingFault("VEIL401", "the database took a chunk and did not keep it", "run again")

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        with self._undoing(rows):
            self._insert(rows)
            self._connection.rollback()

    def _run(self, sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """See ``metadata.Run``: ADBC numbers the places of values."""
        for number in range(1, len(values) + 1):
            sql = sql.replace("?", f"${number}", 1)
        with self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values))
            return cursor.fetchall() if cursor.description else []

    def _insert(self, rows: pa.RecordBatch | pa.Table) -> None:
        if not rows.num_rows:
            return
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(
                postgresql_staging.table_of(self._run_id),
                exact(pa.table(rows), self._staged_types).to_reader(max_chunksize=_SLICE_ROWS),
                mode="append",
                db_schema_name=postgresql_staging.SCHEMA,
            )

    @contextmanager
    def _undoing(self, rows: pa.RecordBatch | pa.Table) -> Iterator[None]:
        """Roll back what fails; the error becomes ours."""
        try:
            yield
        except Exception as error:
            with suppress(Exception):
                self._connection.rollback()
            raise mapped(error, rows.schema.names) from None

    def _seen(self, number: int) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"select count(*) from {TABLE} where kind = 'receipt' and run_id = $1 and number = $2",
                (self._run_id, number),
            )
            found = cursor.fetchone()[0] == 1
        self._connection.commit()
        return bool(found)
