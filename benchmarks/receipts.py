"""What do receipts and staging cost? The same stream into a new table, with them and without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from benchmarks.measure import QUIETLY, ROOT, Case, alternating, measure, told
from benchmarks.project import people, run
from veilflow.model import Receipt

_WITHOUT = "without receipts and staging"


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    with people(rows) as (directory, _server):
        bare = [sys.executable, "-m", "benchmarks.receipts", "run", "people", "--project", str(directory), *QUIETLY]
        cases = {
            _WITHOUT: Case(lambda: measure(bare, ROOT)),
            "with them": Case(lambda: run(directory, "people")),
        }
        return told(alternating(cases, rows, runs), (_WITHOUT,))


def take_out_receipts() -> None:
    """In this process rows go by one transaction a connection into a table that takes its place at the end: no receipt,
    none read back, no row counted again, nothing to resume from."""
    from veilflow.run.result import counts_of
    from veilflow.targets import postgresql, postgresql_staging, postgresql_writer

    target: Any = postgresql.PostgresqlTarget
    writer: Any = postgresql_writer.PostgresqlWriter
    opened = target._new_writer

    @contextmanager
    def new_writer(self: Any) -> Iterator[Any]:
        with opened(self) as open_writer:
            open_writer.loaded = self.receipts()
            open_writer._connection.autocommit = False
            yield open_writer
            open_writer._connection.commit()

    def load(self: Any, rows: pa.RecordBatch | pa.Table, receipt: Receipt, _held: object = None) -> None:
        self._insert(rows)
        self.loaded[receipt.chunk] = receipt

    def publish(self: Any, *_how: object) -> int:
        name = postgresql_staging.table_of(self._run_id)
        with self._connect() as connection, connection.transaction():
            connection.execute("drop table if exists people")
            connection.execute(f"alter table veilflow_staging.{name} set schema public")
            connection.execute(f"alter table {name} rename to people")
        return int(self.staged_rows())

    target._new_writer, target.publish, writer.load = new_writer, publish, load
    target.receipts = lambda self: self.__dict__.setdefault("loaded", {})
    target.staged_rows = lambda self: counts_of(self.receipts().values()).loaded


def main() -> int:
    """`veil` with these arguments, without receipts."""
    from veilflow.cli.commands import run_command

    take_out_receipts()
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
