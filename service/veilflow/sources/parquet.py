"""Parquet, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, takewhile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from veilflow.errors import VeilError
from veilflow.model import BEGINNING, FileIdentity, Part, Slice, SourceColumn, SourceConfig, SourceSchema, Start
from veilflow.sources.arrow_types import column_type, plain_batch
from veilflow.sources.files import column_names, fingerprint
from veilflow.sources.local_files import LOCAL
from veilflow.sources.rows import Piece, rechunk
from veilflow.sources.storage import Storage, unreadable


class ParquetSource:
    """One Parquet file; its own types hold unless the pipeline declares others."""

    def __init__(self, config: SourceConfig, storage: Storage = LOCAL) -> None:
        self._config, self._storage = config, storage

    def files(self) -> tuple[FileIdentity, ...]:
        return (self._storage.identity(self._config),)

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

    def fingerprints(self, key: bytes) -> tuple[str, ...]:
        return (fingerprint(self._config, self._storage, key),)

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(chunk_rows, start), columns, chunk_rows, start)

    @contextmanager
    def parts(self, columns: Sequence[SourceColumn], chunk_rows: int, workers: int) -> Iterator[Sequence[Part]]:
        """A part for each worker, that begins with the first chunk within a row group."""
        with self._open() as file:
            rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        firsts = shared([-(-begin // chunk_rows) for begin in accumulate(rows, initial=0)], workers)
        yield [
            Part(Start(first, first * chunk_rows), partial(self._slices_before, end, columns, chunk_rows))
            for first, end in zip(firsts, [*firsts[1:], None], strict=True)
        ]

    def _slices_before(
        self, end: int | None, columns: Sequence[SourceColumn], chunk_rows: int, start: Start
    ) -> Iterator[Slice]:
        pieces = self.slices(columns, chunk_rows, start)
        yield from takewhile(lambda piece: end is None or piece.number < end, pieces)

    def _pieces(self, rows: int, start: Start) -> Iterator[Piece]:
        with self._open() as file:
            names = list(column_names(file.schema_arrow.names, self._config))
            groups, position = _groups_from(file.metadata, start.position)
            for batch in file.iter_batches(batch_size=min(rows, 65_536), row_groups=groups):
                yield (
                    plain_batch(batch.rename_columns(names)),
                    np.arange(position, position + batch.num_rows, dtype=np.int64),
                    [],
                )
                position += batch.num_rows

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        config = self._config
        try:
            with self._storage.open(config) as file:
                if file.size() == 0:
                    raise VeilError(
                        "VEIL211", f"{config.shown} is empty", "it needs a Parquet file's metadata", config.place
                    )
                yield pq.ParquetFile(file, pre_buffer=False)
        except OSError as error:
            raise self._storage.failure(config, error) from None
        except pa.ArrowException:
            raise unreadable(config) from None


def shared(places: Sequence[int], workers: int) -> list[int]:
    """Where each worker's share begins, out of the places where one may begin (rising; the last is the end)."""
    ideal = [places[-1] * number / workers for number in range(workers)]
    begins = {min(places[:-1] or [0], key=lambda place: abs(place - wanted)) for wanted in ideal}
    return sorted({0, *begins} - {places[-1]} | {0})


def _groups_from(metadata: pq.FileMetaData, position: int) -> tuple[list[int], int]:
    """The row groups from the one that holds the row at ``position`` on, and the position of their first row."""
    before = group = 0
    while group < metadata.num_row_groups and before + metadata.row_group(group).num_rows <= position:
        before += metadata.row_group(group).num_rows
        group += 1
    return list(range(group, metadata.num_row_groups)), before
