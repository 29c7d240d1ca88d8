"""Rows on their way: slices of a source, and the chunks that they become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from veilflow.model.columns import SourceColumn, SourceSchema
from veilflow.model.increments import Window

#: The chunks and the rows of a source's n-th file are numbered from n times these on: no file has to be read for the
#: numbers of the next. With ``MOST_FILES`` files all numbers stay below 2^53, which every reader of JSON keeps exactly.
CHUNKS_A_FILE = 1 << 32
ROWS_A_FILE = 1 << 36
MOST_FILES = 100_000


def row_number(position: int) -> int:
    """The place of a row in its file, from 1."""
    return position % ROWS_A_FILE + 1


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file was when the run began; ``size`` in bytes, ``modified_ns`` since the epoch; ``version`` is what an
    object store calls this state of it."""

    name: str
    size: int
    modified_ns: int
    version: str = ""

    @property
    def state(self) -> tuple[int | str, ...]:
        """All but the name."""
        return self.size, self.modified_ns, *filter(None, (self.version,))


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that has no columns: ragged, undecodable, not JSON. ``raw`` is its bytes, as read."""

    position: int
    reason: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadCells:
    """Cells of one column that do not fit its type: ``rows`` are row indices in the chunk."""

    column: str
    reason: str
    rows: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of a deterministic slice of a source.

    ``raw`` holds the rows as they were read (text for CSV and JSON), ``values`` the same rows cast to the
    plan's types, with null where a cell did not fit (``bad_cells`` says which). Both have the same rows
    in the same order; ``positions`` holds each row's position in the source, from 0. Rejected rows
    and those outside of a window count as read but stand in neither batch. ``file`` names the file that the rows are
    of, where a source has several.
    """

    number: int
    raw: pa.RecordBatch = field(repr=False)
    values: pa.RecordBatch = field(repr=False)
    positions: np.ndarray[Any, np.dtype[np.int64]] = field(repr=False)
    bad_cells: tuple[BadCells, ...] = ()
    rejected: tuple[RejectedRow, ...] = field(default=(), repr=False)
    file: str | None = None
    #: Rows that were read and lie outside of the run's window: they count as filtered.
    outside: int = 0
    #: The largest value of the window's column among the others.
    newest: str | None = None

    @property
    def rows_read(self) -> int:
        return int(self.raw.num_rows) + len(self.rejected) + self.outside


@dataclass(frozen=True, slots=True)
class Start:
    """Where a source goes on: the first slice that is wanted, the rows before it, and the bookmark of the slice before
    it, if that has one."""

    number: int = 0
    position: int = 0
    bookmark: int | None = None


BEGINNING = Start()


class Slice(Protocol):
    """A chunk that is not decoded yet, so that whoever loads it can decode it, beside others who do the same."""

    @property
    def number(self) -> int:
        """Its place in the source, from 0."""

    @property
    def bookmark(self) -> int | None:
        """Where the source goes on behind this slice, in its own terms; None if it finds that out otherwise."""

    def read(self) -> Chunk:
        """Decode and cast it. VEIL202 for a type that the source's values cannot become, VEIL210 where reading fails."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a source that can be read beside the others. Its chunks are numbered without a gap from ``begins``
    on; ``slices`` gives them from a chunk on, as ``Source.slices`` does."""

    begins: Start
    slices: Callable[[Start], Iterator[Slice]] = field(repr=False)


class Source(Protocol):
    """Where batches come from. One file per kind under ``sources/``."""

    def schema(self) -> SourceSchema:
        """Columns and types, from the header or the file's metadata: reads no row."""

    def files(self) -> tuple[FileIdentity, ...]:
        """The files behind it, as they are now; empty where there are none."""

    def fingerprints(self, key: bytes) -> tuple[str, ...]:
        """A keyed digest (HMAC-SHA-256, hex) for each of the files, of what it holds at its start, its end and places
        between; reads no more than a megabyte of each. VEIL210 where reading fails."""

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        """The rows in slices of ``chunk_rows`` rows read (fewer where rows are very large), to be cast to the types of
        ``columns``. The same source gives the same slices, from ``start`` on; it may begin with some before.

        Raises VeilError: VEIL301 for a key that ``columns`` does not have, VEIL210 where reading fails.
        """


@runtime_checkable
class Divisible(Source, Protocol):
    """A source whose parts can be read at the same time."""

    def parts(
        self, columns: Sequence[SourceColumn], chunk_rows: int, workers: int
    ) -> AbstractContextManager[Sequence[Part]]:
        """Parts that together hold every chunk of ``slices`` once, with the same numbers and rows, however many workers
        they are made for. They show one state of the source, and are read inside of the context."""


@runtime_checkable
class Selectable(Protocol):
    """A source of several files."""

    def only(self, names: Sequence[str], /) -> Source:
        """The same source with those of its files, in their order; there may be none."""


@runtime_checkable
class Windowed(Protocol):
    """A source that can be asked for a window, and reads little more than that."""

    def newest(self, column: SourceColumn, /) -> str | None:
        """The largest value of a column, as a text that reads back exactly; None where there is none."""

    def within(self, window: Window, /) -> Source:
        """The same source with at least the rows of the window, and those without a value in its column."""
