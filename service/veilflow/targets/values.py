"""Values in the form in which a database takes them exactly, and the refusal of those that it cannot hold.

Databases and drivers change such values in silence: SQLite makes null of NaN, drivers cut nanoseconds off or store an
unsigned integer's bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import VeilError

LARGEST_INTEGER = 2**63 - 1


def unheld(column: str, problem: str) -> VeilError:
    """VEIL319: the target cannot hold a value of the column."""
    return VeilError(
        "VEIL319", f'the column "{column}" has a value that the target cannot hold: {problem}',
        "round or redact it in the policy, hold such rows back with a check, or choose another target",
    )  # fmt: skip


def each_column(table: pa.Table, change: Callable[[str, pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    """The table with each column changed. VEIL319 where a cast would lose something."""
    for index, name in enumerate(table.column_names):
        try:
            changed = change(name, table.column(index))
        except (pa.ArrowInvalid, OverflowError):
            # The exception's text quotes the value.
            raise unheld(name, "it is out of range, or finer than the target's type") from None
        if changed is not table.column(index):
            table = table.set_column(index, name, changed)
    return table


def is_unsigned_64(kind: pa.DataType) -> bool:
    """Whether integers of the type may not fit into the 64 signed bits that databases have."""
    return bool(pa.types.is_uint64(kind))


def decimal_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals with all digits of their scale and no exponent, which Arrow writes for small numbers."""
    text = column.cast(pa.string())
    if not pc.any(pc.match_substring(text, "E")).as_py():
        return text
    return pa.chunked_array([[None if v is None else format(v, "f") for v in column.to_pylist()]], pa.string())


def whole_microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps in microseconds; Arrow refuses those that would lose digits."""
    return column.cast(pa.timestamp("us", column.type.tz))


def refuse_nan(name: str, column: pa.ChunkedArray, infinite_too: bool = False) -> None:
    """VEIL319 for a float that is not a number (or not finite)."""
    if not pa.types.is_floating(column.type):
        return
    wrong = pc.invert(pc.is_finite(column)) if infinite_too else pc.is_nan(column)
    if pc.any(wrong).as_py():
        raise unheld(name, "it is not a number" + (", or infinite" if infinite_too else ""))


def refuse_longer(name: str, column: pa.ChunkedArray, characters: int) -> None:
    """VEIL319 for a text of more characters: databases cut blanks at its end off without a word."""
    if pc.any(pc.greater(pc.utf8_length(column), characters)).as_py():
        raise unheld(name, f"it has more than {characters} characters")


def has_nul(column: pa.ChunkedArray) -> bool:
    """Whether a text holds a NUL character, which PostgreSQL has not."""
    if not pa.types.is_string(column.type):
        return False
    for chunk in column.chunks:
        buffer = chunk.buffers()[2]
        if buffer is not None and b"\0" in memoryview(buffer).tobytes():
            return bool(pc.any(pc.match_substring(column, "\0")).as_py())
    return False
