"""What a database source reads: one table or one query, and how its rows become pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import PassingFault, VeilError
from veilflow.model import ColumnType, RejectedRow, SourceColumn, SourceConfig, Window
from veilflow.sources.arrow_types import plain_batch
from veilflow.sources.decoding import as_read, is_marked
from veilflow.sources.rows import Piece, Pieces
from veilflow.sources.windows import comparable

#: Rows that are fetched at once: enough for the kernels, and few enough for memory.
FETCH_ROWS = 8192
#: A column of our own that holds the whole row as text where it cannot be used.
UNUSABLE = "veilflow_unusable"
_MARKED = "[\\x{FDD0}-\\x{FDDF}][\\x{FDE0}-\\x{FDEF}]|\\x00"

Quote = Callable[[str], str]


def double_quoted(name: str) -> str:
    """An identifier of standard SQL."""
    return '"' + name.replace('"', '""') + '"'


def relation(config: SourceConfig, quote: Quote) -> str:
    """The table or query as something to select from, under the name ``veilflow_source``."""
    if config.query is not None:
        # The line ends first: a comment at the query's end would swallow the bracket.
        return f"({config.query.strip().rstrip(';')}\n) as veilflow_source"
    namespace, _, table = (config.table or "").rpartition(".")
    name = f"{quote(namespace)}.{quote(table)}" if namespace else quote(table)
    return f"{name} as veilflow_source"


def ordered(config: SourceConfig, quote: Quote, instead: Mapping[str, str] | None = None) -> str:
    """The ``order by`` that the pipeline asks for, or nothing; ``instead`` has expressions for some of its columns."""
    cells = order_cells(config, quote, instead or {})
    return " order by " + ", ".join(cells) if cells else ""


def order_cells(config: SourceConfig, quote: Quote, instead: Mapping[str, str]) -> list[str]:
    """The expressions that order the rows."""
    return [instead.get(name, f"veilflow_source.{quote(name)}") for name in config.order_by]


def newest_of(
    config: SourceConfig, cell: str, native: ColumnType, column: SourceColumn, quote: Quote, usable: str = ""
) -> SourceConfig:
    """The source as a query for the column's largest value, or for all its values where the database has another order.
    ``usable`` is the condition that leaves out what is no value to Arrow."""
    ordered_alike = comparable(native, column.type)
    what = f"max({cell})" if ordered_alike else cell
    where = f" where {usable}" if usable and ordered_alike else ""
    query = f"select {what} as {quote(column.name)} from {relation(config, quote)}{where}"
    return replace(config, table=None, query=query, order_by=(), window=None)


def pushed(config: SourceConfig, native: ColumnType | None) -> Window | None:
    """The run's window, if the database can tell what lies in it: it orders the column as Arrow does."""
    window = config.window
    if window is None or native is None:
        return None
    return window if comparable(native, config.types.get(window.column, native)) else None


def unusable_rows(conditions: Sequence[str], as_text: str) -> str:
    """An expression that is the whole row as text where a cell is one that cannot be read exactly, as an infinite date, else
    null; ``conditions`` hold for those that can."""
    usable = " and ".join(f"coalesce({condition}, true)" for condition in conditions)
    return f"case when not ({usable}) then {as_text} end as {UNUSABLE}"


def arrow_pieces(batches: Iterable[pa.RecordBatch], position: int = 0) -> Pieces:
    """Typed batches as pieces, from a row's position on; rows that stand in ``UNUSABLE`` are rejected."""
    for batch in batches:
        positions = np.arange(position, position + batch.num_rows, dtype=np.int64)
        position += batch.num_rows
        rejected: list[RejectedRow] = []
        if UNUSABLE in batch.schema.names:
            flagged = batch.column(UNUSABLE)
            batch = batch.drop_columns([UNUSABLE])
            if flagged.null_count < len(flagged):
                keep = pc.is_null(flagged)
                rejected = [
                    RejectedRow(
                        int(positions[row]),
                        "has a date or timestamp that is infinite or too late, or an array that does not begin at 1",
                        flagged[row].as_py().encode(),
                    )
                    for row in np.flatnonzero(~keep.to_numpy(zero_copy_only=False))
                ]
                batch, positions = batch.filter(keep), positions[keep.to_numpy(zero_copy_only=False)]
        yield plain_batch(batch), positions, rejected


#: Makes one column of fetched rows; every chunk's must have the same type.
Convert = Callable[[Sequence[Any]], pa.Array]


def texts(values: Sequence[Any]) -> pa.Array:
    return pa.array(values, pa.string())


def binaries(values: Sequence[Any]) -> pa.Array:
    return pa.array(values, pa.binary())


def floats_as_text(values: Sequence[Any]) -> pa.Array:
    """Floats as the shortest text that reads back as the same float; what is text already stays."""
    try:
        return pa.array(values, pa.float64()).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        return pa.array([repr(value) if isinstance(value, float) else value for value in values], pa.string())


def row_pieces(
    fetch: Callable[[], Sequence[Sequence[Any]]], names: Sequence[str], converts: Sequence[Convert]
) -> Pieces:
    """Fetched rows as pieces; rows with text that is not UTF-8 or has a NUL are rejected, as they are in a file."""
    position = 0
    while rows := fetch():
        columns = zip(*rows, strict=True)
        arrays = [convert(values) for convert, values in zip(converts, columns, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, names=list(names))
        positions = np.arange(position, position + len(rows), dtype=np.int64)
        position += len(rows)
        yield _without_bad_text(batch, positions)


def _without_bad_text(batch: pa.RecordBatch, positions: Any) -> Piece:
    bad = np.zeros(batch.num_rows, dtype=bool)
    for column in batch.columns:
        if pa.types.is_string(column.type) and _suspicious(column):
            hits = pc.fill_null(pc.match_substring_regex(column, _MARKED), False)
            bad |= hits.to_numpy(zero_copy_only=False)
    if not bad.any():
        return batch, positions, []
    rejected = [_rejected(batch, int(row), int(positions[row])) for row in np.flatnonzero(bad)]
    return batch.filter(pa.array(~bad)), positions[~bad], rejected


def _suspicious(column: pa.Array) -> bool:
    buffer = column.buffers()[2]
    data = buffer.to_pybytes() if buffer is not None else b""
    return b"\xef" in data or b"\0" in data


def _rejected(batch: pa.RecordBatch, row: int, position: int) -> RejectedRow:
    texts = [str(column[row].as_py() or "") for column in batch.columns]
    marked = any(map(is_marked, texts))
    reason = "has bytes that its encoding does not allow" if marked else "has a NUL character"
    return RejectedRow(position, reason, as_read("\t".join(texts)))


def unreadable_relation(config: SourceConfig, error: VeilError | None = None) -> VeilError:
    """What a database said, as the fault of a source: out of reach stays so, a refused statement is VEIL210."""
    if isinstance(error, PassingFault) or (error is not None and error.code in ("VEIL402", "VEIL214")):
        return error
    what = "the query" if config.query is not None else f'the table "{config.table}"'
    said = f": {error.problem}" if error is not None else ""
    return VeilError(
        "VEIL210", f"{what} in {config.shown} cannot be read{said}",
        "run it by hand with this connection's user; its text stands in the pipeline", config.place,
    )  # fmt: skip
