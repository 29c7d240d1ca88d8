"""What loads a chunk into MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa
import pymysql

from veilflow.databases.mariadb import mapped, quote, run
from veilflow.databases.mariadb_client import FilelessConnection
from veilflow.errors import VeilError
from veilflow.model import Container, Receipt
from veilflow.targets import containers
from veilflow.targets.mariadb_rows import lines, load_statement, value_lists
from veilflow.targets.metadata import TABLE, Metadata, receipt_values

CONTAINERS = f"veilflow_staging.{containers.TABLE}"


class MariadbWriter:
    """Rows, their receipt and their container in one transaction.

    LOAD DATA LOCAL takes half of the time, but cuts values off, leaves rows out and makes zeros in strict mode too, with
    a warning each. So it loads what it takes without one; the rest goes by statements, which refuse.
    """

    def __init__(self, connection: FilelessConnection, metadata: Metadata, staging: str) -> None:
        self._connection, self._metadata, self._staging = connection, metadata, staging
        self._largest = int(run(connection, "select @@max_allowed_packet")[0][0])
        self._loads_data = _may_load_data(connection)

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        connection, metadata = self._connection, self._metadata
        with self._undoing(rows):
            connection.begin()
            if not (self._loads_data and self._load_data(pa.table(rows))):
                self._insert(pa.table(rows))
            values = receipt_values(metadata.run_id, metadata.target, receipt)
            metadata.run(f"insert into {TABLE} values (?, ?, ?, ?, ?)", values)
            if held is not None:
                containers.keep(metadata.run, CONTAINERS, metadata.run_id, held)
            connection.commit()
            seen = metadata.has_receipt(receipt.chunk)
        if not seen:
            raise VeilError("VEIL102", "the database took a chunk and did not keep it", "run again")

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        with self._undoing(rows):
            self._connection.begin()
            self._insert(pa.table(rows))
            self._connection.rollback()

    @contextmanager
    def _undoing(self, rows: pa.RecordBatch | pa.Table) -> Iterator[None]:
        """Roll back what fails: a lock time-out undoes only its statement, a deadlock the whole transaction, and here both
        undo all of it. The error becomes ours."""
        try:
            yield
        except BaseException as error:
            with suppress(pymysql.Error):
                self._connection.rollback()
            if isinstance(error, pymysql.Error | OSError):
                raise mapped(error, rows.schema.names) from None
            raise

    def _load_data(self, table: pa.Table) -> bool:
        """Whether LOAD DATA took the rows without a warning; else the transaction has begun anew."""
        content = lines(table, self._largest)
        if content is None:
            return False
        taken, warnings = self._connection.load(load_statement(self._staging, table), content)
        if taken == table.num_rows and not warnings:
            return True
        self._connection.rollback()
        self._connection.begin()
        return False

    def _insert(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        names = ", ".join(map(quote, table.column_names))
        head = f"insert into {self._staging} ({names}) values ".encode()
        for values, rows in value_lists(table):
            if len(head) + len(values) >= self._largest:
                raise VeilError(
                    "VEIL319", "a row is larger than the server takes in one statement",
                    "raise its max_allowed_packet, or shorten the text in the policy",
                )  # fmt: skip
            self._connection.query(head + values)
            taken = self._connection.affected_rows()
            # Their list is empty where the server keeps none, their count is not.
            if taken != rows or run(self._connection, "show count(*) warnings")[0][0]:
                raise VeilError(
                    "VEIL319", "the database would have changed a value to make it fit",
                    "compare the plan's types with the table's; nothing of the chunk was kept",
                )  # fmt: skip


def _may_load_data(connection: FilelessConnection) -> bool:
    """Whether the server takes LOAD DATA LOCAL, and within one transaction: Galera may commit in the midst of it."""
    wanted = "'local_infile', 'wsrep_load_data_splitting'"
    found = dict(run(connection, f"show global variables where variable_name in ({wanted})"))
    return found.get("local_infile") == "ON" and found.get("wsrep_load_data_splitting", "OFF") == "OFF"
