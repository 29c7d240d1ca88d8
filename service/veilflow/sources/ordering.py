"""``order_by`` of a database: that its columns tell every row apart, without which a resumed run would cut other chunks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import VeilError
from veilflow.model import ColumnType, SourceColumn, SourceConfig
from veilflow.sources.casting import cast_batch
from veilflow.sources.rows import Piece, Pieces

#: Types that Arrow orders as databases do; others are ordered and compared as the bytes of their text.
SAME_ORDER: tuple[str, ...] = ("integer", "decimal", "float", "boolean", "date", "timestamp", "binary")


def check_order(config: SourceConfig, names: Collection[str], keys: Iterable[Collection[str]] | None) -> None:
    """VEIL302 for a column that is not there, VEIL330 where no key of the table lies within ``order_by``.

    ``keys`` are the table's unique keys without nulls; None where the catalogue cannot know them, in a query or a
    view: those are watched while they are read.
    """
    unknown = [name for name in config.order_by if name not in names]
    if unknown:
        raise VeilError(
            "VEIL302", f'`order_by` names "{unknown[0]}", which {config.shown} does not have there',
            "there are: " + ", ".join(names), config.place,
        )  # fmt: skip
    if config.order_by and keys is not None and not any(set(key) <= set(config.order_by) for key in keys):
        raise VeilError(
            "VEIL330", f'no primary key and no unique index without nulls of "{config.table}" lies within its `order_by`',
            "order by the columns of one, or leave `order_by` out: a resumed run then begins again", config.place,
        )  # fmt: skip


def watched(pieces: Pieces, config: SourceConfig, keys: Mapping[str, ColumnType]) -> Iterator[Piece]:
    """The pieces, each held against the last row of the one before. VEIL330 where ``keys``, the columns of ``order_by``,
    are null or do not increase from row to row; none are nothing to hold."""
    columns = [SourceColumn(name, keys[name]) for name in config.order_by if keys]
    last: list[pa.RecordBatch] = []
    with closing(pieces):
        for piece in pieces:
            if columns and piece[0].num_rows:
                found = cast_batch(piece[0].select(list(keys)), columns)[0]
                if not _increasing(pa.Table.from_batches([*last, found])):
                    raise _no_order(config)
                last = [found.slice(found.num_rows - 1)]
            yield piece


def _no_order(config: SourceConfig) -> VeilError:
    return VeilError(
        "VEIL330", f"`order_by` ({', '.join(config.order_by)}) is null or stands twice in rows of {config.shown}",
        "order by columns that tell every row apart, or leave `order_by` out: a resumed run then begins again",
        config.place,
    )  # fmt: skip


def _increasing(keys: pa.Table) -> bool:
    """Whether every row is greater than the one before it, column by column, and none is null."""
    if any(column.null_count for column in keys.columns):
        return False
    greater = np.zeros(keys.num_rows - 1, dtype=bool)
    for column in reversed(keys.columns):
        before, after = column.slice(0, keys.num_rows - 1), column.slice(1)
        greater = _true(pc.less(before, after)) | (_true(pc.equal(before, after)) & greater)
    return bool(greater.all())


def _true(found: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(found.to_numpy(), dtype=bool)
