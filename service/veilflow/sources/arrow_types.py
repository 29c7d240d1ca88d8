"""Arrow's types as column types."""

from __future__ import annotations

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import ColumnType
from veilflow.sources.json_text import dump

_KINDS = (
    (pa.types.is_boolean, "boolean"), (pa.types.is_integer, "integer"), (pa.types.is_floating, "float"),
    (pa.types.is_decimal, "decimal"), (pa.types.is_date, "date"), (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_string, "text"), (pa.types.is_large_string, "text"), (pa.types.is_string_view, "text"),
    (pa.types.is_null, "text"), (pa.types.is_nested, "json"), (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"), (pa.types.is_fixed_size_binary, "binary"),
)  # fmt: skip


def column_type(kind: pa.DataType) -> ColumnType:
    """The column type of an Arrow type. VEIL210 for types that have none (durations, times)."""
    if pa.types.is_dictionary(kind):
        return column_type(kind.value_type)
    for test, name in _KINDS:
        if test(kind):
            return ColumnType(name, _plain(kind, name))
    raise VeilError(
        "VEIL210",
        f"columns of the Arrow type {kind} cannot be read",
        "cast them to text, a number or a timestamp first",
    )


def _plain(kind: pa.DataType, name: str) -> pa.DataType:
    if name in ("text", "json"):
        return pa.string()
    if name == "binary":
        return pa.binary()
    return pa.date32() if name == "date" else kind


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with each column in its column type's Arrow form; nested values become JSON text."""
    arrays = []
    for column in batch.columns:
        kind = column_type(column.type)
        if kind.name == "json":
            column = pa.array([None if v is None else dump(v) for v in column.to_pylist()], pa.string())
        arrays.append(column if column.type == kind.arrow else column.cast(kind.arrow))
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
