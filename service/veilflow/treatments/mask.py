"""Masks by position: code points are counted, not bytes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import TEXT_ONLY, Context, Traits, Treatment, text, text_type, whole


@dataclass(frozen=True, slots=True)
class Mask:
    """``keep_first`` and ``keep_last`` code points stay, each other becomes ``with``. A value of which more than the
    share ``at_most`` would be shown is masked whole."""

    keep_first: int = 0
    keep_last: int = 0
    with_: str = "*"
    at_most: float = 0.5

    def __post_init__(self) -> None:
        whole("keep_first", self.keep_first, 0, 64)
        whole("keep_last", self.keep_last, 0, 64)
        text("with", self.with_)
        if len(self.with_) != 1:
            raise ValueError("with must be one character")
        if isinstance(self.at_most, bool) or not isinstance(self.at_most, int | float) or not 0 < self.at_most < 1:
            raise ValueError("at_most must be a share above 0 and below 1")

    @property
    def shortest(self) -> int:
        """The length from which a value is shown in part."""
        shown = self.keep_first + self.keep_last
        return max(shown + 1, ceil(shown / Fraction(str(self.at_most))))


def mask_text(values: pa.Array, keep_first: int, keep_last: int, with_: str, shortest: int | None = None) -> pa.Array:
    """Mask a string array; the length in code points stays. Values below ``shortest`` are masked whole, as are those
    that would be shown whole."""
    shortest = keep_first + keep_last + 1 if shortest is None else shortest
    fast = _mask_ascii(values, keep_first, keep_last, with_, shortest)
    return _mask_any(values, keep_first, keep_last, with_, shortest) if fast is None else fast


def _mask_ascii(values: pa.Array, keep_first: int, keep_last: int, with_: str, shortest: int) -> pa.Array | None:
    """The common case on the bytes themselves: where all is ASCII a byte is a code point. None if it is not."""
    _validity, offset_buffer, data_buffer = values.buffers()
    if data_buffer is None or not len(values) or not with_.isascii():
        return None
    offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    if (data >= 128).any():
        return None
    offsets = offsets - offsets[0]
    starts, ends = offsets[:-1], offsets[1:]
    partly = ends - starts >= shortest
    starts, ends = starts[partly], ends[partly]
    masked = np.full(len(data), ord(with_), np.uint8)
    for shown in [starts + n for n in range(keep_first)] + [ends - n for n in range(1, keep_last + 1)]:
        masked[shown] = data[shown]
    text = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(masked))
    return pc.if_else(pc.is_valid(values), text, pa.scalar(None, pa.string())) if values.null_count else text


def _mask_any(values: pa.Array, keep_first: int, keep_last: int, with_: str, shortest: int) -> pa.Array:
    lengths = pc.utf8_length(values)
    shown = keep_first + keep_last
    hidden = pc.if_else(pc.greater_equal(lengths, shortest), pc.subtract(lengths, shown), lengths)
    stars = pc.binary_repeat(pa.scalar(with_), hidden)
    if not shown:
        return stars
    first = pc.utf8_slice_codeunits(values, 0, keep_first) if keep_first else pa.scalar("")
    last = pc.utf8_slice_codeunits(values, -keep_last) if keep_last else pa.scalar("")
    masked = pc.binary_join_element_wise(first, stars, last, "")
    return pc.if_else(pc.greater_equal(lengths, shortest), masked, stars)


def _mask(values: pa.Array, parameters: Mask, _context: Context) -> pa.Array:
    return mask_text(
        values.cast(pa.string()), parameters.keep_first, parameters.keep_last, parameters.with_, parameters.shortest
    )


@dataclass(frozen=True, slots=True)
class KeepPrefix:
    """``length`` code points at the beginning stay, the rest is cut off."""

    length: int

    def __post_init__(self) -> None:
        whole("length", self.length, 1, 64)


def _keep_prefix(values: pa.Array, parameters: KeepPrefix, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    return pc.utf8_slice_codeunits(values, 0, parameters.length)


MASK = Treatment(
    "mask", "Keeps the first and last characters and masks the others.", Mask, TEXT_ONLY, text_type, _mask,
    Traits("text of the same length"),
)  # fmt: skip
KEEP_PREFIX = Treatment(
    "keep_prefix", "Keeps the first characters and cuts the rest off.", KeepPrefix, TEXT_ONLY, text_type, _keep_prefix,
    Traits("the beginning of a text"),
)  # fmt: skip
