"""CSV as a bounded stream: everything is read as bytes and cast later, so a bad cell costs a row and not a block."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    TEXT,
    Chunk,
    FileIdentity,
    RejectedRow,
    Slice,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
)
from veilflow.sources.csv_rows import RowEnds
from veilflow.sources.decoding import as_read, is_marked, is_utf8
from veilflow.sources.files import column_names, fingerprint, placed_blocks, utf8_blocks
from veilflow.sources.local_files import LOCAL
from veilflow.sources.rows import Positions, cast_chunk
from veilflow.sources.storage import Storage

#: Where rows are large, a chunk ends with the one that brings it to this size.
_CHUNK_BYTES = 32 << 20
_LARGEST_ROW = 256 << 20
_HEADER_BYTES = 1 << 20
#: A trace that is fast to look for, the pattern that proves it, and the reason.
_UNREADABLE = (
    (b"\xef\xb7", "[\\x{FDD0}-\\x{FDDF}][\\x{FDE0}-\\x{FDEF}]", "has bytes that its encoding does not allow"),
    (b"\0", "\\x00", "has a NUL byte"),
)


class CsvSource:
    """One CSV file."""

    def __init__(self, config: SourceConfig, storage: Storage = LOCAL) -> None:
        self._config, self._storage = config, storage

    def files(self) -> tuple[FileIdentity, ...]:
        return (self._storage.identity(self._config),)

    def schema(self) -> SourceSchema:
        return SourceSchema(tuple(SourceColumn(name, self._config.types.get(name, TEXT)) for name in self._header()))

    def _header(self) -> tuple[str, ...]:
        """The first line that is not blank, read by Python's csv module."""
        config = self._config
        head = _beginning(utf8_blocks(config, self._storage), _HEADER_BYTES)
        if not head.strip():
            raise VeilError("VEIL211", f"{config.shown} is empty", "it needs at least a header", config.place)
        rows = csv.reader(
            io.StringIO(head.decode("utf-8", "ignore"), newline=""), delimiter=config.delimiter,
            quotechar=config.quote or None, quoting=csv.QUOTE_MINIMAL if config.quote else csv.QUOTE_NONE,
        )  # fmt: skip
        try:
            first = next((row for row in rows if row), [])
        except csv.Error:
            first = []
        if any(is_marked(name) for name in first):
            raise VeilError(
                "VEIL212", f"the header of {config.shown} is not {config.encoding}",
                "name the file's encoding in the pipeline's source", config.place,
            )  # fmt: skip
        return column_names(first or [""], config)

    def fingerprints(self, key: bytes) -> tuple[str, ...]:
        return (fingerprint(self._config, self._storage, key),)

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        """See ``model.Source``. What is read here is bytes; each slice parses its own."""
        names = self._header()
        position = 0
        if start.bookmark is None:
            start = BEGINNING
        position = start.position
        texts = self._texts(chunk_rows, start.bookmark)
        for number, (text, rows, bookmark) in enumerate(texts, start.number):
            yield _CsvSlice(number, position, rows, text, bookmark, names, tuple(columns), self._config)
            position += rows

    def _texts(self, chunk_rows: int, offset: int | None) -> Iterator[tuple[bytes, int, int | None]]:
        """Whole rows as bytes, how many they are, and the offset in the file behind them; the header is left out."""
        parts: list[bytes] = []
        rows = size = 0
        header = offset is None
        at = 0  # in all that was read, where ``data`` begins
        for data, ends, ahead in self._row_ends(offset or 0):
            if header and len(ends):
                at += int(ends[0])
                data, ends, header, parts = data[ends[0] :], ends[1:] - ends[0], False, []
                size = 0
            while (cut := _cut(ends, chunk_rows - rows, _CHUNK_BYTES - size)) is not None:
                behind = int(ends[cut - 1])
                at += behind
                yield b"".join([*parts, data[:behind]]), rows + cut, None if ahead is None else at + ahead
                data, ends, parts, rows, size = data[behind:], ends[cut:] - behind, [], 0, 0
            parts.append(data)
            rows, size, at = rows + len(ends), size + len(data), at + len(data)
            if size > _LARGEST_ROW:
                raise VeilError(
                    "VEIL210", f"a row of {self._config.shown} is larger than {_LARGEST_ROW >> 20} MiB",
                    "check delimiter, quote and encoding in the pipeline's source", self._config.place,
                )  # fmt: skip
        if rows:
            yield b"".join(parts), rows, None

    def _row_ends(self, offset: int) -> Iterator[tuple[bytes, Positions, int | None]]:
        """See ``RowEnds.feed`` and ``placed_blocks``."""
        follow = RowEnds(self._config).feed
        try:
            for data, ahead in placed_blocks(self._config, self._storage, offset):
                yield *follow(data, False), ahead
            yield *follow(b"", True), None
        except VeilError:
            if offset:
                # From the beginning it is the same error, with the line as the file counts it.
                deque(self._row_ends(0), maxlen=0)
            raise


def _cut(ends: Positions, rows: int, size: int) -> int | None:
    """After how many of the rows that end here a chunk is full, by their number or by their bytes; None if it is not."""
    full = min(rows, int(np.searchsorted(ends, size)) + 1)
    return full if full <= len(ends) else None


@dataclass(frozen=True, slots=True)
class _CsvSlice:
    """The bytes of a slice's rows, of which the first stands at ``position`` in the source."""

    number: int
    position: int
    rows: int
    text: bytes
    bookmark: int | None
    names: tuple[str, ...]
    columns: tuple[SourceColumn, ...]
    config: SourceConfig

    def read(self) -> Chunk:
        raw, positions, rejected = self._parse()
        return cast_chunk(self.number, raw, positions, rejected, self.columns)

    def _parse(self) -> tuple[pa.RecordBatch, Positions, list[RejectedRow]]:
        """The rows as text, with the position of each, and the rows that were rejected."""
        ragged: list[tuple[int, bytes, int]] = []

        def reject(row: pcsv.InvalidRow) -> str:
            ragged.append((row.number - 1, as_read(row.text), row.actual_columns))
            return "skip"

        try:
            table = pcsv.read_csv(pa.BufferReader(self.text), *self._options(reject))
        except (pa.ArrowInvalid, pa.ArrowKeyError):
            # Arrow's text may quote the row.
            raise self._unreadable() from None
        if table.num_rows + len(ragged) != self.rows:
            raise self._unreadable()
        batch = pa.RecordBatch.from_arrays([_whole(column) for column in table.columns], names=list(self.names))
        return self._place(batch, ragged)

    def _options(self, reject: object) -> tuple[object, object, object]:
        config = self.config
        return (
            pcsv.ReadOptions(block_size=len(self.text) + 1, use_threads=False, column_names=list(self.names)),
            pcsv.ParseOptions(
                delimiter=config.delimiter, quote_char=config.quote or False, newlines_in_values=True,
                invalid_row_handler=reject,
            ),
            pcsv.ConvertOptions(
                column_types={name: pa.string() for name in self.names},
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=list(config.null_values),
                # What came as UTF-8 was decoded once; other encodings can write what UTF-8 does not allow.
                check_utf8=not is_utf8(config.encoding),
            ),
        )  # fmt: skip

    def _place(
        self, batch: pa.RecordBatch, ragged: list[tuple[int, bytes, int]]
    ) -> tuple[pa.RecordBatch, Positions, list[RejectedRow]]:
        taken = np.array([number for number, _text, _columns in ragged], dtype=np.int64)
        positions = np.delete(np.arange(self.rows, dtype=np.int64), taken) + self.position
        rejected = [
            RejectedRow(self.position + at, f"has {count} fields, the header {len(self.names)}", text)
            for at, text, count in ragged
        ]
        bad = _unreadable_rows(batch)
        if bad is not None:
            rejected += [
                RejectedRow(int(positions[row]), reason, _raw_text(batch, row, self.config.delimiter))
                for row, reason in bad.items()
            ]
            keep = np.ones(batch.num_rows, dtype=bool)
            keep[list(bad)] = False
            batch, positions = batch.filter(pa.array(keep)), positions[keep]
        columns = [_trimmed(column, self.config) for column in batch.columns] if self.config.trim else batch.columns
        rejected.sort(key=lambda row: row.position)
        return pa.RecordBatch.from_arrays(columns, names=list(self.names)), positions, rejected

    def _unreadable(self) -> VeilError:
        return VeilError(
            "VEIL210", f"{self.config.shown} cannot be read as CSV after row {self.position}",
            "check delimiter, quote and encoding in the pipeline's source; an open quote swallows the rest of a file",
            self.config.place,
        )  # fmt: skip


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _trimmed(column: pa.Array, config: SourceConfig) -> pa.Array:
    text = pc.utf8_trim_whitespace(column)
    if not config.null_values:
        return text
    nulls = pa.array(config.null_values, pa.string())
    # What was a null value before trimming and is not null stood in quotes: it is text.
    null = pc.and_(pc.is_in(text, value_set=nulls), pc.invert(pc.is_in(column, value_set=nulls)))
    return pc.if_else(null, pa.scalar(None, pa.string()), text) if pc.any(null).as_py() else text


def _unreadable_rows(batch: pa.RecordBatch) -> dict[int, str] | None:
    """Rows with undecodable bytes, or with a NUL byte; None in the common case that there are none."""
    found: dict[int, str] = {}
    for column in batch.columns:
        buffer = column.buffers()[2]
        data = buffer.to_pybytes() if buffer is not None else b""
        for trace, pattern, reason in _UNREADABLE:
            # A search for one byte is 25 times as fast as one for two, and nearly always enough.
            if trace[:1] in data and trace in data:
                hits = pc.fill_null(pc.match_substring_regex(column, pattern), False)
                for row in np.flatnonzero(hits.to_numpy(zero_copy_only=False)):
                    found.setdefault(int(row), reason)
    return dict(sorted(found.items())) or None


def _raw_text(batch: pa.RecordBatch, row: int, delimiter: str) -> bytes:
    return as_read(delimiter.join(column[row].as_py() or "" for column in batch.columns))


def _beginning(blocks: Iterable[bytes], size: int) -> bytes:
    """The first ``size`` bytes, or all where there are fewer."""
    found = b""
    for data in blocks:
        found += data
        if len(found) >= size:
            break
    return found[:size]
