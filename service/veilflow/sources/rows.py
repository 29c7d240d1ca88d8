"""Cutting a stream of batches into chunks of a fixed number of rows read."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.model import BEGINNING, Chunk, RejectedRow, Slice, SourceColumn, Start
from veilflow.sources.casting import cast_batch

Positions = np.ndarray[Any, np.dtype[np.int64]]
Piece = tuple[pa.RecordBatch, Positions, list[RejectedRow]]
#: To be closed by whoever does not read them to their end: a database's connection hangs on them.
Pieces = Generator[Piece, None, None]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A slice that is decoded already and only has to be cast."""

    number: int
    pieces: list[Piece]
    columns: Sequence[SourceColumn]
    bookmark: int | None = None

    def read(self) -> Chunk:
        table = pa.Table.from_batches([piece[0] for piece in self.pieces]).combine_chunks()
        batches = table.to_batches()
        raw = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
        positions = np.concatenate([piece[1] for piece in self.pieces])
        return cast_chunk(self.number, raw, positions, [row for piece in self.pieces for row in piece[2]], self.columns)


def cast_chunk(
    number: int,
    raw: pa.RecordBatch,
    positions: Positions,
    rejected: Sequence[RejectedRow],
    columns: Sequence[SourceColumn],
) -> Chunk:
    """The chunk of decoded rows, cast to the types of ``columns``."""
    values, bad = cast_batch(raw, columns)
    return Chunk(number, raw, values, positions, bad, tuple(rejected))


def rechunk(
    pieces: Iterable[Piece], columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING
) -> Iterator[Slice]:
    """Slice ``n`` holds the rows at positions ``n * chunk_rows`` up to ``(n + 1) * chunk_rows``, rejected ones included.

    ``pieces`` go on without a gap, from the row of ``start`` or one before it.
    """
    number, read = start.number, start.position
    waiting: list[Piece] = []
    for piece in pieces:
        wanted = _cut([piece], start.position)[1] if start.position else [piece]
        waiting += wanted
        read += sum(batch.num_rows + len(rejected) for batch, _positions, rejected in wanted)
        while read >= (number + 1) * chunk_rows:
            chunk, rest = _cut(waiting, (number + 1) * chunk_rows)
            yield _Pieces(number, chunk, columns)
            waiting, number = rest, number + 1
    if read > number * chunk_rows:
        yield _Pieces(number, waiting, columns)


def _cut(pieces: list[Piece], end: int) -> tuple[list[Piece], list[Piece]]:
    before, after = [], []
    for batch, positions, rejected in pieces:
        rows = int(np.searchsorted(positions, end))
        early = [row for row in rejected if row.position < end]
        late = [row for row in rejected if row.position >= end]
        if rows or early:
            before.append((batch.slice(0, rows), positions[:rows], early))
        if rows < batch.num_rows or late:
            after.append((batch.slice(rows), positions[rows:], late))
    return before, after
