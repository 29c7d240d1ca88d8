"""CSV as a bounded stream: everything is read as bytes and cast later, so a bad cell costs a row and not a block."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from veilflow.errors import VeilError
from veilflow.model import TEXT, Chunk, FileIdentity, RejectedRow, SourceColumn, SourceConfig, SourceSchema
from veilflow.sources.csv_quotes import QuoteCheck
from veilflow.sources.files import as_read, column_names, identity, is_marked, open_utf8, unreadable
from veilflow.sources.rows import rechunk

_BLOCK_BYTES = 2 << 20
_HEADER_BYTES = 1 << 20
#: A trace that is fast to look for, the pattern that proves it, and the reason.
_UNREADABLE = (
    (b"\xef\xb7", "[\\x{FDD0}-\\x{FDDF}][\\x{FDE0}-\\x{FDEF}]", "has bytes that its encoding does not allow"),
    (b"\0", "\\x00", "has a NUL byte"),
)


class CsvSource:
    """One CSV file."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config

    def files(self) -> tuple[FileIdentity, ...]:
        return (identity(self._config),)

    def schema(self) -> SourceSchema:
        return SourceSchema(tuple(SourceColumn(name, self._config.types.get(name, TEXT)) for name in self._header()))

    def _header(self) -> tuple[str, ...]:
        """The first line that is not blank, read by Python's csv module."""
        config = self._config
        with open_utf8(config) as file:
            head = _read_up_to(file, _HEADER_BYTES)
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

    def chunks(self, columns: Sequence[SourceColumn], chunk_rows: int) -> Iterator[Chunk]:
        """See ``model.Source``."""
        names = self._header()
        yield from rechunk(self._batches(names), columns, chunk_rows)

    def _batches(self, names: tuple[str, ...]) -> Iterator[tuple[pa.RecordBatch, np.ndarray, list[RejectedRow]]]:
        """Batches of text with each row's position, and the rows that were rejected up to there."""
        ragged: list[tuple[int | None, bytes, int]] = []

        def reject(row: pcsv.InvalidRow) -> str:
            ragged.append((row.number, as_read(row.text), row.actual_columns))
            return "skip"

        position = 0
        try:
            watch = QuoteCheck(self._config).feed if self._config.quote else None
            with open_utf8(self._config, watch) as file:
                reader = pcsv.open_csv(pa.PythonFile(file, mode="r"), *self._options(names, reject))
                for batch in reader:
                    taken = _next(ragged, position, batch.num_rows)
                    yield self._place(batch, taken, position, names)
                    position += batch.num_rows + len(taken)
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError):
            # Arrow's text may quote the row.
            raise VeilError(
                "VEIL210", f"{self._config.shown} cannot be read as CSV after row {position}",
                "check delimiter, quote and encoding in the pipeline's source; an open quote swallows the rest of a file",
                self._config.place,
            ) from None  # fmt: skip
        if ragged:
            empty = pa.RecordBatch.from_arrays([pa.array([], pa.string())] * len(names), names=list(names))
            yield self._place(empty, ragged, position, names)

    def _options(self, names: tuple[str, ...], reject: object) -> tuple[object, object, object]:
        config = self._config
        return (
            pcsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False, column_names=list(names), skip_rows_after_names=1),
            pcsv.ParseOptions(
                delimiter=config.delimiter, quote_char=config.quote or False, newlines_in_values=True,
                invalid_row_handler=reject,
            ),
            pcsv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=list(config.null_values),
            ),
        )  # fmt: skip

    def _place(
        self, batch: pa.RecordBatch, ragged: list[tuple[int | None, bytes, int]], position: int, names: tuple[str, ...]
    ) -> tuple[pa.RecordBatch, np.ndarray, list[RejectedRow]]:
        total = batch.num_rows + len(ragged)
        taken = np.array([_index(number, position, total) for number, _text, _columns in ragged], dtype=np.int64)
        positions = np.delete(np.arange(position, position + total, dtype=np.int64), taken - position)
        if len(positions) != batch.num_rows:
            raise unreadable(self._config)
        rejected = [
            RejectedRow(int(at), f"has {count} fields, the header {len(names)}", text)
            for at, (_number, text, count) in zip(taken, ragged, strict=True)
        ]
        bad = _unreadable_rows(batch)
        if bad is not None:
            rejected += [
                RejectedRow(int(positions[row]), reason, _raw_text(batch, row, self._config.delimiter))
                for row, reason in bad.items()
            ]
            keep = np.ones(batch.num_rows, dtype=bool)
            keep[list(bad)] = False
            batch, positions = batch.filter(pa.array(keep)), positions[keep]
        columns = [self._text(column) for column in batch.columns]
        rejected.sort(key=lambda row: row.position)
        return pa.RecordBatch.from_arrays(columns, names=list(names)), positions, rejected

    def _text(self, column: pa.Array) -> pa.Array:
        if not self._config.trim:
            return column
        text = pc.utf8_trim_whitespace(column)
        if not self._config.null_values:
            return text
        nulls = pa.array(self._config.null_values, pa.string())
        # What was a null value before trimming and is not null stood in quotes: it is text.
        null = pc.and_(pc.is_in(text, value_set=nulls), pc.invert(pc.is_in(column, value_set=nulls)))
        return pc.if_else(null, pa.scalar(None, pa.string()), text) if pc.any(null).as_py() else text


def _next(ragged: list[tuple[int | None, bytes, int]], position: int, rows: int) -> list[tuple[int | None, bytes, int]]:
    """Take the ragged rows that stand among the next ``rows`` rows: Arrow parses a block ahead of the one it gives."""
    end, count = position + rows, 0
    while count < len(ragged) and (ragged[count][0] or 0) - 2 <= end:
        end, count = end + 1, count + 1
    taken, ragged[:count] = ragged[:count], []
    return taken


def _index(number: int | None, position: int, total: int) -> int:
    """A ragged row's position: Arrow counts rows from 1 and the header is row 1."""
    found = position if number is None else number - 2
    if not position <= found < position + total:
        raise pa.ArrowInvalid
    return found


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


def _read_up_to(file: io.RawIOBase, size: int) -> bytes:
    return file.read(size) or b""
