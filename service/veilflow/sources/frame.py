"""A table in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from veilflow.model import BEGINNING, FileIdentity, Slice, SourceColumn, SourceConfig, SourceSchema, Start
from veilflow.sources.arrow_types import column_type, plain_batch
from veilflow.sources.files import column_names
from veilflow.sources.rows import Piece, rechunk


class FrameSource:
    """An Arrow table as a source; its types are the file's."""

    def __init__(self, table: pa.Table) -> None:
        from pathlib import Path

        names = column_names(table.column_names, SourceConfig("frame", Path(), "the table"))
        self._table = table.rename_columns(list(names))

    def files(self) -> tuple[FileIdentity, ...]:
        return ()

    def schema(self) -> SourceSchema:
        return SourceSchema(tuple(SourceColumn(field.name, column_type(field.type)) for field in self._table.schema))

    def fingerprints(self, _key: bytes) -> tuple[str, ...]:
        return ()

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        def pieces() -> Iterator[Piece]:
            position = 0
            for batch in self._table.to_batches(max_chunksize=chunk_rows):
                yield plain_batch(batch), np.arange(position, position + batch.num_rows, dtype=np.int64), []
                position += batch.num_rows

        yield from rechunk(pieces(), columns, chunk_rows, start)
