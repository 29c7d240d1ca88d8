"""Parquet, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from veilflow.errors import VeilError
from veilflow.model import FileIdentity, Slice, SourceColumn, SourceConfig, SourceSchema
from veilflow.sources.arrow_types import column_type, plain_batch
from veilflow.sources.files import column_names, identity, unreadable
from veilflow.sources.rows import Piece, rechunk


class ParquetSource:
    """One Parquet file; its own types hold unless the pipeline declares others."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config

    def files(self) -> tuple[FileIdentity, ...]:
        return (identity(self._config),)

    def schema(self) -> SourceSchema:
        with self._open() as file:
            fields = list(file.schema_arrow)
        names = column_names([field.name for field in fields], self._config)
        return SourceSchema(
            tuple(
                SourceColumn(name, self._config.types.get(name) or column_type(field.type))
                for name, field in zip(names, fields, strict=True)
            )
        )

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int) -> Iterator[Slice]:
        yield from rechunk(self._pieces(chunk_rows), columns, chunk_rows)

    def _pieces(self, rows: int) -> Iterator[Piece]:
        position = 0
        try:
            with self._open() as file:
                names = list(column_names(file.schema_arrow.names, self._config))
                for batch in file.iter_batches(batch_size=min(rows, 65_536)):
                    yield (
                        plain_batch(batch.rename_columns(names)),
                        np.arange(position, position + batch.num_rows, dtype=np.int64),
                        [],
                    )
                    position += batch.num_rows
        except (pa.ArrowException, OSError):
            raise unreadable(self._config) from None

    def _open(self) -> pq.ParquetFile:
        if identity(self._config).size == 0:
            raise VeilError(
                "VEIL211", f"{self._config.shown} is empty", "it needs a Parquet file's metadata", self._config.place
            )
        try:
            return pq.ParquetFile(self._config.path, pre_buffer=False)
        except (pa.ArrowException, OSError):
            raise unreadable(self._config) from None
