"""What do receipts and staging cost? The same stream into a new table, with them and without."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa

from benchmarks.measure import QUIETLY, ROOT, Case, alternating, measure, told
from benchmarks.project import people, run

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
    from veilflow.targets import postgresql

    target: Any = postgresql.PostgresqlTarget

    @contextmanager
    def new_writer(self: Any) -> Iterator[_BareWriter]:
        from adbc_driver_postgresql import dbapi

        with closing(dbapi.connect(postgresql.address(self._url()))) as connection:
            yield _BareWriter(connection, self)
            connection.commit()

    def publish(self: Any, _key_versions: Mapping[str, int], _gate: object = None) -> int:
        name = postgresql._staging_name(self._run_id)
        with self._connect() as connection, connection.transaction():
            connection.execute("drop table if exists people")
            connection.execute(f"alter table veilflow_staging.{name} set schema public")
            connection.execute(f"alter table {name} rename to people")
        return int(self.staged_rows())

    target._new_writer, target.publish = new_writer, publish
    target.receipts = lambda self: self.__dict__.setdefault("loaded", {})
    target.staged_rows = lambda self: counts_of(self.receipts().values()).loaded


class _BareWriter:
    def __init__(self, connection: Any, target: Any) -> None:
        self._connection, self._target = connection, target

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Any) -> None:
        from veilflow.targets import postgresql

        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(
                postgresql._staging_name(self._target._run_id),
                postgresql._exact(pa.table(rows)).to_reader(max_chunksize=postgresql._SLICE_ROWS),
                mode="append", db_schema_name="veilflow_staging",
            )  # fmt: skip
        self._target.receipts()[receipt.chunk] = receipt


def main() -> int:
    """`veil` with these arguments, without receipts."""
    from veilflow.cli.commands import run_command

    take_out_receipts()
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
