"""Ranges of a unique key, which several connections read in one snapshot: together they are one reading in its order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg

from veilflow.errors import VeilError
from veilflow.model import SourceConfig
from veilflow.sources.relation import double_quoted, relation
from veilflow.sources.rows import Piece, Pieces

_PREFIX = "veilflow.key"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The rows of a snapshot from one key on and before another, of which the first stands at ``position``. Keys are
    text, and values of people: they go to the database as settings of a transaction, and nowhere else."""

    snapshot: str
    position: int
    rows: int
    keys: tuple[tuple[str, str], ...]
    low: tuple[str, ...] | None = field(repr=False)
    high: tuple[str, ...] | None = field(repr=False)

    @property
    def conditions(self) -> list[str]:
        """What holds for its rows, in SQL."""
        cells = ", ".join(cell for cell, _kind in self.keys)
        bounds = (("low", ">=", self.low), ("high", "<", self.high))
        return [f"({cells}) {sign} ({self._bound(name)})" for name, sign, bound in bounds if bound is not None]

    def _bound(self, name: str) -> str:
        return ", ".join(
            f"current_setting('{_PREFIX}_{name}_{number}')::{kind}" for number, (_cell, kind) in enumerate(self.keys)
        )

    @property
    def settings(self) -> Iterator[tuple[str, str]]:
        """The settings that the conditions name."""
        for name, bound in (("low", self.low), ("high", self.high)):
            for number, value in enumerate(bound or ()):
                yield f"{_PREFIX}_{name}_{number}", value


def key_ranges(
    connection: psycopg.Connection[Any],
    config: SourceConfig,
    where: str,
    cells: Sequence[str],
    chunk_rows: int,
    workers: int,
) -> list[KeyRange]:
    """Ranges of whole chunks, about as many rows each, by the expressions that order the rows, in the snapshot of the
    connection's transaction, which has to stay open while they are read. VEIL330 if a key is null."""
    rows_of = f"{relation(config, double_quoted)}{where}"
    (snapshot,) = _row(connection, "select pg_export_snapshot()")
    (rows,) = _row(connection, f"select count(*) from {rows_of}")
    size = chunk_rows * max(1, -(-rows // (chunk_rows * workers)))
    keys = _typed(connection, config, cells)
    texts = ", ".join(f"({cell})::text as key_{number}" for number, cell in enumerate(cells))
    names = ", ".join(f"key_{number}" for number in range(len(cells)))
    found = connection.execute(
        f"select {names} from (select {texts}, row_number() over (order by {', '.join(cells)}) - 1 as place from {rows_of}) "
        f"as numbered where place % {size} = 0 and place > 0 order by place".encode()
    ).fetchall()
    if any(value is None for key in found for value in key):
        raise no_key(config)
    bounds: list[tuple[str, ...] | None] = [None, *found, None]
    return [
        KeyRange(snapshot, number * size, min(size, rows - number * size), keys, low, high)
        for number, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
    ]


def _row(connection: psycopg.Connection[Any], statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return tuple(row)


def _typed(
    connection: psycopg.Connection[Any], config: SourceConfig, cells: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """The expressions, and the names of their types."""
    statement = f"select {', '.join(cells)} from {relation(config, double_quoted)} limit 0"
    described = connection.execute(statement.encode()).description or []
    # A modifier of -1: that of `character` would otherwise be one character.
    kinds = [_row(connection, f"select format_type({column.type_code}, -1)")[0] for column in described]
    return tuple(zip(cells, kinds, strict=True))


def whole(pieces: Pieces, found: KeyRange, config: SourceConfig) -> Iterator[Piece]:
    """The pieces of a range, at their positions in the source. VEIL330 if they are not as many rows as the range has: its
    keys do not tell rows apart."""
    read = 0
    with closing(pieces):
        for batch, positions, rejected in pieces:
            read += batch.num_rows + len(rejected)
            yield batch, positions, rejected
    if read != found.rows:
        raise no_key(config)


def no_key(config: SourceConfig) -> VeilError:
    """VEIL330: the source cannot be shared."""
    return VeilError(
        "VEIL330", f"`order_by` of {config.shown} is no key of its rows: workers would lose some or read them twice",
        "name columns that are unique and not null, or leave `workers` out", config.place,
    )  # fmt: skip
