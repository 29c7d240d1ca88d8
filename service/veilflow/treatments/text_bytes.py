"""A text column as its bytes, for kernels that work on them with NumPy, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[np.int32]]


def bytes_of(values: pa.Array) -> tuple[Offsets, Bytes]:
    """Offsets from 0 (one more than rows) and the bytes of a string array."""
    _validity, offset_buffer, data_buffer = values.buffers()
    if not len(values) or data_buffer is None:
        return np.zeros(len(values) + 1, np.int32), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
    return offsets - offsets[0], np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]


def sums_before(found: np.ndarray[Any, Any], offsets: Offsets) -> Offsets:
    """How much of ``found``, one number a byte, stands before each offset."""
    sums = np.zeros(len(found) + 1, np.int32)
    np.cumsum(found, out=sums[1:])
    return sums[offsets]


def text_of(offsets: np.ndarray[Any, Any], data: Bytes, like: pa.Array) -> pa.Array:
    """The string array of offsets and bytes, null where ``like`` is."""
    buffers = pa.py_buffer(np.ascontiguousarray(offsets, np.int32)), pa.py_buffer(np.ascontiguousarray(data))
    made = pa.StringArray.from_buffers(len(offsets) - 1, *buffers)
    return pc.if_else(pc.is_valid(like), made, pa.scalar(None, pa.string())) if like.null_count else made


def by_script(
    values: pa.Array, ascii_rows: Callable[[pa.Array], pa.Array], other_rows: Callable[[pa.Array], pa.Array]
) -> pa.Array:
    """A string array through one kernel where all is ASCII, and through a slower one for the rows that are not."""
    values = values.cast(pa.string())
    plain = pc.fill_null(pc.string_is_ascii(values), True)
    if pc.all(plain).as_py() is not False:
        return ascii_rows(values)
    hidden = pa.scalar(None, pa.string())
    return pc.if_else(
        plain, ascii_rows(pc.if_else(plain, values, hidden)), other_rows(pc.if_else(plain, hidden, values))
    )


def per_distinct(values: pa.Array, work: Callable[[list[Any]], list[Any]], kind: pa.DataType) -> pa.Array:
    """A function over a list of values, called once with the distinct ones: for what has no kernel."""
    encoded = values.dictionary_encode() if not pa.types.is_dictionary(values.type) else values
    return pa.array(work(encoded.dictionary.to_pylist()), kind).take(encoded.indices)
