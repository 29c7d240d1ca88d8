"""Coarser numbers: rounded, in bands, with their tails cut."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import Context, Traits, Treatment, same_type, text_type
from veilflow.treatments.text_bytes import per_distinct

NUMBERS = frozenset({"integer", "decimal", "float"})
Whole = np.ndarray[Any, np.dtype[np.int64]]


def number(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
        raise ValueError(f"{name} must be a number")


def unscaled(values: pa.Array) -> Whole | None:
    """Decimals as whole numbers of their last digit, 0 for null; None if one is beyond 64 bits."""
    words = np.frombuffer(values.buffers()[1] or b"", np.int64).reshape(-1, 2)[values.offset :][: len(values)]
    valid = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    low = np.where(valid, words[:, 0], 0)
    return low if np.array_equal(np.where(valid, words[:, 1], 0), low >> 63) else None


def scaled(numbers: Whole, kind: pa.DataType, like: pa.Array) -> pa.Array:
    """Decimals of whole numbers of their last digit, null where ``like`` is."""
    words = np.stack([numbers, numbers >> 63], axis=1)
    made = pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(words)])
    return pc.if_else(pc.is_valid(like), made, pa.scalar(None, kind))


# --- round -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Round:
    """``to``: the nearest multiple of it; what lies in the middle goes to the even one."""

    to: int | float

    def __post_init__(self) -> None:
        number("to", self.to)
        if not 0 < self.to <= 10**15:
            raise ValueError("to must be above 0 and at most 10^15")


def _round_type(kind: pa.DataType, parameters: Round) -> pa.DataType:
    if pa.types.is_integer(kind) and not isinstance(parameters.to, int):
        raise TypeError("integers are rounded to a whole number")
    if pa.types.is_decimal(kind):
        step = Decimal(str(parameters.to)).scaleb(kind.scale)
        if step != step.to_integral_value():
            raise TypeError(f"the column has {kind.scale} decimal places, fewer than `to`")
        return pa.decimal128(38, kind.scale)  # 9.99 to the nearest 10 is 10.00: a digit more
    return same_type(kind, parameters)


def _round(values: pa.Array, parameters: Round, _context: Context) -> pa.Array:
    kind = values.type
    if pa.types.is_floating(kind):
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        return _like(np.rint(numbers / parameters.to) * parameters.to, values)
    if pa.types.is_integer(kind):
        return _like(_nearest(values.fill_null(0).to_numpy(zero_copy_only=False), int(parameters.to)), values)
    step, wide = Decimal(str(parameters.to)), pa.decimal128(38, kind.scale)
    numbers = unscaled(values)
    if numbers is not None and (not len(numbers) or np.abs(numbers).max() < 10**18):
        return scaled(_nearest(numbers, int(step.scaleb(kind.scale))), wide, values)
    return per_distinct(
        values,
        lambda found: [None if one is None else (one / step).to_integral_value("ROUND_HALF_EVEN") * step for one in found],
        wide,
    )  # fmt: skip


def _nearest(numbers: Whole, step: int) -> Whole:
    quotient, rest = np.divmod(numbers, step)
    twice = rest * 2
    up = (twice > step) | ((twice == step) & (quotient % 2 == 1))
    nearest = (quotient + up) * step
    if ((nearest < numbers) & (quotient >= 0) & up).any():
        raise OverflowError("beyond 64 bits")
    return np.asarray(nearest, np.int64)


def _like(numbers: Any, values: pa.Array) -> pa.Array:
    made = pa.array(numbers, values.type)
    return pc.if_else(pc.is_valid(values), made, pa.scalar(None, values.type)) if values.null_count else made


# --- band --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Band:
    """``width``: bands of this width from ``start``; or ``edges``: the lower bounds of bands, in order. Whole numbers
    become ``18-64``, others ``18-<65``; below the first edge is ``<18``, from the last on ``65+``."""

    width: int | float | None = None
    start: int | float = 0
    edges: tuple[int | float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.width is None) == (self.edges is None):
            raise ValueError("give either width or edges")
        number("start", self.start)
        if self.width is not None:
            number("width", self.width)
            if self.width <= 0:
                raise ValueError("width must be above 0")
        if self.edges is not None:
            self._check_edges(self.edges)

    def _check_edges(self, edges: object) -> None:
        if not isinstance(edges, list | tuple) or not edges:
            raise ValueError("edges must be a list of numbers")
        for edge in edges:
            number("edges", edge)
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError("edges must rise")
        object.__setattr__(self, "edges", tuple(edges))


def _band_type(kind: pa.DataType, parameters: Band) -> pa.DataType:
    given = [parameters.start, *(parameters.edges or ()), *([parameters.width] if parameters.width is not None else [])]
    if pa.types.is_integer(kind) and not all(isinstance(one, int) for one in given):
        raise TypeError("integers take whole numbers")
    return text_type(kind, parameters)


def _band(values: pa.Array, parameters: Band, _context: Context) -> pa.Array:
    whole = pa.types.is_integer(values.type)
    numbers = (values if whole else values.cast(pa.float64())).fill_null(0).to_numpy(zero_copy_only=False)
    if parameters.edges is not None:
        labels, places = _edge_labels(parameters.edges, whole), np.searchsorted(parameters.edges, numbers, "right")
    else:
        assert parameters.width is not None
        if whole:
            bins = np.floor_divide(numbers - parameters.start, parameters.width)
        else:  # 0.3 lies on the edge of bands of 0.1, though their quotient is 2.9999999999999996
            bins = np.floor(np.round((numbers - parameters.start) / parameters.width, 9))
        encoded = pa.array(bins).dictionary_encode()
        lower = [parameters.start + (int(one) if whole or one == one // 1 else one) * parameters.width
                 for one in encoded.dictionary.to_pylist()]  # fmt: skip
        labels, places = [_label(low, low + parameters.width, whole) for low in lower], encoded.indices.to_numpy()
    found = pa.array(labels, pa.string()).take(pa.array(places))
    return pc.if_else(pc.is_valid(values), found, pa.scalar(None, pa.string()))


def _edge_labels(edges: tuple[int | float, ...], whole: bool) -> list[str]:
    inner = [_label(low, high, whole) for low, high in pairwise(edges)]
    return [f"<{_plain(edges[0])}", *inner, f"{_plain(edges[-1])}+"]


def _label(low: float, high: float, whole: bool) -> str:
    if whole and high - low == 1:
        return _plain(low)
    dash = "-" if low >= 0 else " to "
    return f"{_plain(low)}{dash}{_plain(high - 1)}" if whole else f"{_plain(low)}{dash}<{_plain(high)}"


def _plain(value: float) -> str:
    """Without the noise of binary fractions: 0.1 + 0.2 is 0.3."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


# --- clip --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clip:
    """What is below ``at_least`` becomes it, what is above ``at_most`` becomes that."""

    at_least: int | float | None = None
    at_most: int | float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        for name, value in (("at_least", self.at_least), ("at_most", self.at_most)):
            if value is not None:
                number(name, value)
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise ValueError("at_least must be below at_most")


def _bounds(kind: pa.DataType, parameters: Clip) -> tuple[pa.Scalar | None, pa.Scalar | None]:
    """In the column's type. TypeError if one does not fit."""
    try:
        least, most = (
            None if bound is None else pa.scalar(str(bound)).cast(kind)
            for bound in (parameters.at_least, parameters.at_most)
        )  # fmt: skip
    except pa.ArrowException:
        raise TypeError(f"a bound is no {kind}") from None
    return least, most


def _clip_type(kind: pa.DataType, parameters: Clip) -> pa.DataType:
    _bounds(kind, parameters)
    return kind


def _clip(values: pa.Array, parameters: Clip, _context: Context) -> pa.Array:
    least, most = _bounds(values.type, parameters)
    if least is not None:
        values = pc.if_else(pc.less(values, least), least, values)
    return values if most is None else pc.if_else(pc.greater(values, most), most, values)


ROUND = Treatment(
    "round", "Numbers to the nearest multiple; the middle goes to the even one.", Round, NUMBERS, _round_type, _round,
    Traits("a number of the same type"),
)  # fmt: skip
BAND = Treatment(
    "band", "Numbers to the band they lie in, as text: 30-39, 65+.", Band, NUMBERS, _band_type, _band,
    Traits("a band of numbers"),
)  # fmt: skip
CLIP = Treatment(
    "clip", "Top and bottom coding: what lies beyond a bound becomes the bound.", Clip, NUMBERS, _clip_type, _clip,
    Traits("a number of the same type"),
)  # fmt: skip
