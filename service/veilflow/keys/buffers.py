"""Columns of text and bytes as NumPy arrays, and back, without a loop over rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[Any]]


def contents(values: pa.Array) -> tuple[Bytes, Offsets]:
    """The bytes of a string or binary array without nulls, and where each value begins in them (one more at the end)."""
    _validity, offsets, data = values.buffers()
    if not len(values):
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    starts = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    whole = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    return whole[starts[0] : starts[-1]], starts - starts[0]


def binary_array(data: Any, starts: Offsets) -> pa.Array:
    """A binary array over ``data``, cut at ``starts``; ValueError where a chunk would hold more than 2 GiB."""
    if int(starts[-1]) >= 2**31:
        raise ValueError("more than 2 GiB in one column of a chunk")
    return pa.Array.from_buffers(
        pa.binary(), len(starts) - 1, [None, pa.py_buffer(starts.astype(np.int32)), pa.py_buffer(data)]
    )


def split_first(values: pa.Array, count: int) -> tuple[Bytes, pa.Array]:
    """The first ``count`` bytes of each value as rows, and the values without them; ValueError where one is shorter."""
    data, starts = contents(values)
    if (np.diff(starts) < count).any():
        raise ValueError("a value is too short")
    places = starts[:-1, np.newaxis].astype(np.int64) + np.arange(count)
    rest = np.ones(len(data), bool)
    rest[places.reshape(-1)] = False
    return data[places], binary_array(data[rest], starts.astype(np.int64) - np.arange(len(starts)) * count)


def blocks_of(count: int, rows: int) -> list[slice]:
    """Even slices of about so many rows each."""
    parts = max(1, round(count / rows))
    ends = [count * part // parts for part in range(parts + 1)]
    return [slice(first, last) for first, last in zip(ends, ends[1:], strict=False)]


def in_blocks(values: pa.Array, rows: int, treat: Callable[[pa.Array, slice], pa.Array]) -> pa.Array:
    """``treat`` on about so many values at a time, with their slice: what it needs in between stays small."""
    blocks = blocks_of(len(values), rows)
    made = (treat(values.slice(own.start, own.stop - own.start), own) for own in blocks)
    if len(blocks) == 1:
        return next(made)
    first = next(made)
    if not (pa.types.is_string(first.type) or pa.types.is_binary(first.type)) or first.null_count:
        return pa.concat_arrays([first, *made])
    # One buffer that grows, where joined arrays would stand beside their parts.
    whole, ends = bytearray(), [np.zeros(1, np.int64)]
    for part in chain([first], made):
        data, starts = contents(part)
        ends.append(len(whole) + starts[1:].astype(np.int64))
        whole += data.data
    return binary_array(whole, np.concatenate(ends)).view(first.type)


def skip_nulls(values: pa.Array, treat: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """``treat`` on the values that are there; nulls stay null."""
    if not values.null_count:
        return treat(values)
    there = values.is_valid().to_numpy(zero_copy_only=False)
    places = np.cumsum(there) - 1
    return treat(values.drop_null()).take(pa.array(places, mask=~there))


def by_length(values: pa.Array, treat: Callable[[Bytes, Offsets], Bytes]) -> pa.Array:
    """Treat the values of each length together, as rows of bytes with their indices; the order stays.

    ``values`` is a binary array without nulls; so is what comes back. Each call gives as many rows as it got.
    """
    data, starts = contents(values)
    lengths = np.diff(starts)
    if not len(values):
        return pa.array([], pa.binary())
    if (lengths == lengths[0]).all():
        found = treat(data.reshape(len(values), int(lengths[0])), np.arange(len(values)))
        return binary_array(np.ascontiguousarray(found), np.arange(len(values) + 1) * found.shape[1])
    order = np.argsort(lengths, kind="stable")
    data, starts = contents(values.take(pa.array(order)))
    borders = [0, *(np.flatnonzero(np.diff(lengths[order])) + 1).tolist(), len(values)]
    parts, widths = [], np.empty(len(values), np.int64)
    for first, last in zip(borders, borders[1:], strict=False):
        rows = data[starts[first] : starts[last]].reshape(last - first, int(lengths[order[first]]))
        found = treat(rows, order[first:last])
        parts.append(np.ascontiguousarray(found).reshape(-1))
        widths[first:last] = found.shape[1]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(widths)])
    back = np.empty(len(values), np.int64)
    back[order] = np.arange(len(values))
    return binary_array(np.concatenate(parts), ends).take(pa.array(back))
