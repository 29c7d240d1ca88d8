"""Reading tables from within the transaction that publishes: the run's own as it will be, and others beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from veilflow.errors import VeilError

#: Rows that are fetched at once: enough for the kernels, and few enough for memory.
FETCH_ROWS = 8192

Rows = Iterator[Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class SqlView:
    """See ``model.OutputView``. ``table`` holds what will be published, quoted; ``select`` opens a statement's rows, by
    portions, and raises ``no_table`` for names that are not there; ``qualified`` quotes the name of another table, and ``lock``
    is ``hold`` of its name. ``texts`` read those columns as the text that was loaded that the driver would make something
    else of."""

    table: str
    shown: str
    schema: pa.Schema
    quote: Callable[[str], str]
    qualified: Callable[[str], str]
    select: Callable[[str, str], AbstractContextManager[Rows]]
    lock: Callable[[str], bool]
    texts: Mapping[str, Callable[[str], str]] = field(default_factory=dict)

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([self.schema.field(name) for name in columns or self.schema.names[:1]])
        with self.select(self._statement(self.table, schema.names, self.texts), self.shown) as portions:
            for rows in portions:
                yield typed_batch(rows, schema, self.shown)

    def plain(self, columns: Sequence[str], other: str | None = None) -> Iterator[pa.RecordBatch]:
        table = self.table if other is None else self.qualified(other)
        with self.select(self._statement(table, columns, {}), other or self.shown) as portions:
            for rows in portions:
                yield plain_batch(rows, columns)

    def hold(self, other: str) -> bool:
        return self.lock(other)

    def _statement(self, table: str, columns: Sequence[str], texts: Mapping[str, Callable[[str], str]]) -> str:
        # With the table before it, SQLite does not take a name that is not there for a text.
        cells = {name: f"veilflow_read.{self.quote(name)}" for name in columns}
        listed = ", ".join(texts[name](cell) if name in texts else cell for name, cell in cells.items()) or "1"
        return f"select {listed} from {table} as veilflow_read"


def portions(fetch: Callable[[int], Sequence[Sequence[Any]]]) -> Rows:
    """What ``fetchmany`` gives until it gives nothing."""
    while rows := fetch(FETCH_ROWS):
        yield rows


def typed_batch(rows: Sequence[Sequence[Any]], schema: pa.Schema, table: str) -> pa.RecordBatch:
    """Fetched rows in the types of ``schema``. VEIL307 for a value that is not of its column's type: somebody else
    wrote it, into a database whose columns hold anything."""
    columns = zip(zip(*rows, strict=True), schema, strict=True)
    return pa.RecordBatch.from_arrays([_typed(list(values), field, table) for values, field in columns], schema=schema)


def _typed(values: list[Any], field: pa.Field, table: str) -> pa.Array:
    kind = field.type
    try:
        if pa.types.is_boolean(kind):
            values = [None if value is None else (False, True)[value] for value in values]
        elif pa.types.is_integer(kind):
            values = [int(value) if isinstance(value, Decimal) else value for value in values]
        if not pa.types.is_string(kind) and any(isinstance(value, str) for value in values):
            return pa.array(values, pa.string()).cast(kind)
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, IndexError):
        raise unfit_value(table, field.name) from None


def plain_batch(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> pa.RecordBatch:
    """Fetched rows as they came, whatever their types."""
    arrays = [_plain(list(values)) for values in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns) or ["1"])


def _plain(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def unfit_value(table: str, column: str) -> VeilError:
    """VEIL307: a value in the table is not of its column's type."""
    return VeilError(
        "VEIL307", f'the table "{table}" holds a value in "{column}" that is not of the plan\'s type',
        "a check of the output cannot judge it: repair the table, or load into another one",
    )  # fmt: skip


def no_table(table: str) -> VeilError:
    """VEIL302: a check names a table, or columns of it, that are not there."""
    return VeilError(
        "VEIL302", f'a check compares with the table "{table}", which is not there, or not with those columns',
        "load it first, or repair the names in the suite",
    )  # fmt: skip
