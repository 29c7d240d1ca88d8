"""PostgreSQL's bulk path: a binary COPY into the staging, with the chunk's receipt and container in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg.sql import SQL, Identifier

from veilflow.databases.postgresql import mapped
from veilflow.model import Container, Receipt
from veilflow.targets import containers, postgresql_staging
from veilflow.targets.metadata import TABLE, receipt_values
from veilflow.targets.postgresql_types import exact

#: By slices the server works while we encode, and both hold less at a time.
_SLICE_ROWS = 8192


class PostgresqlWriter:
    """A COPY, the receipt and the container in one transaction of a connection in autocommit."""

    def __init__(
        self, connection: psycopg.Connection[Any], run_id: str, shown: str, staged_types: Mapping[str, str]
    ) -> None:
        self._connection, self._run_id, self._shown, self._staged_types = connection, run_id, shown, staged_types

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        with self._errors_of(rows), self._connection.transaction():
            self._insert(rows)
            self._run(f"insert into {TABLE} values (?, ?, ?, ?, ?)", receipt_values(self._run_id, self._shown, receipt))
            if held is not None:
                containers.keep(self._run, postgresql_staging.CONTAINERS, self._run_id, held)

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        with self._errors_of(rows), self._connection.transaction(force_rollback=True):
            self._insert(rows)

    def _run(self, sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """See ``metadata.Run``."""
        cursor = self._connection.execute(sql.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description else []

    def _insert(self, rows: pa.RecordBatch | pa.Table) -> None:
        if not rows.num_rows:
            return
        sent = exact(pa.table(rows), self._staged_types)
        statement = SQL("copy {} ({}) from stdin (format binary)").format(
            Identifier(postgresql_staging.SCHEMA, postgresql_staging.table_of(self._run_id)),
            SQL(", ").join(map(Identifier, sent.schema.names)),
        )
        encoder = ArrowToPostgresBinaryEncoder(sent.schema)
        with self._connection.cursor().copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in sent.to_batches(max_chunksize=_SLICE_ROWS):
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())

    @contextmanager
    def _errors_of(self, rows: pa.RecordBatch | pa.Table) -> Iterator[None]:
        """What fails was rolled back; the error becomes ours."""
        try:
            yield
        except Exception as error:
            raise mapped(error, rows.schema.names) from None
