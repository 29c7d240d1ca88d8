"""A table in memory: what ``veilflow.anonymize`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from veilflow.model import Advance, ColumnKey, Container, Gate, Publication, Publish, Receipt, Standing, Writer
from veilflow.targets.reading import FETCH_ROWS, no_table


@dataclass(frozen=True, slots=True)
class _View:
    """See ``model.OutputView``."""

    table: pa.Table

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self.table.select(list(columns) or self.table.column_names[:1]).to_batches(FETCH_ROWS)

    def plain(self, columns: Sequence[str], other: str | None = None) -> Iterator[pa.RecordBatch]:
        if other is not None:
            raise no_table(other)
        yield from self.rows(columns)

    def hold(self, other: str) -> bool:
        raise no_table(other)


class MemoryTarget:
    """Chunks in the order of their numbers; ``table`` after publishing."""

    parallel_writers = 1

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._chunks: dict[int, tuple[pa.Table, Receipt]] = {}
        self._run_id = ""
        self.table: pa.Table | None = None

    def inspect(self) -> Publish:
        return "rename"

    def added_columns(self) -> tuple[str, ...]:
        return ()

    def open(self, run_id: str) -> None:
        self._run_id = run_id

    def clean(self) -> tuple[str, ...]:
        return ()

    def receipts(self) -> dict[int, Receipt]:
        return {number: receipt for number, (_rows, receipt) in self._chunks.items()}

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        yield self

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, _held: Container | None = None) -> None:
        self._chunks[receipt.chunk] = (pa.table(rows), receipt)

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Memory takes everything."""

    def staged_rows(self) -> int:
        return sum(rows.num_rows for rows, _receipt in self._chunks.values())

    def column_keys(self) -> Mapping[str, ColumnKey]:
        return {}

    def published_rows(self) -> int:
        return 0

    def publish(
        self, _column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, _advance: Advance | None = None
    ) -> int:
        parts = [self._chunks[number][0] for number in sorted(self._chunks)]
        table = pa.concat_tables(parts) if parts else self._schema.empty_table()
        if gate is not None:
            gate(_View(table))
        self.table = table
        return int(self.table.num_rows)

    def publication(self, _run_id: str) -> Publication | None:
        return None

    def standing(self, _pipeline: str) -> Standing:
        return Standing()

    def discard(self) -> None:
        self._chunks.clear()

    def close(self) -> None:
        """Nothing is held."""
