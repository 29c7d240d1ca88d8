"""The numbers of a stream as doubles, on disk and encrypted: what needs them all again, or in order, in little memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from veilflow.checks.spill import Piece, Spill

_BLOCK = 1 << 16
_DIGIT_BITS = 16
_SIGN = np.uint64(1 << 63)

_Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Numbers:
    """Every number that was added, in no order. Not safe to use from several threads."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[_Numbers] = []
        self._held = 0
        self._pieces: list[Piece] = []
        self._spill = Spill()

    def add(self, values: _Numbers) -> None:
        """Keep numbers; none is NaN. Both zeros become one."""
        self.count += len(values)
        self._waiting.append(values + 0.0)
        self._held += len(values)
        if self._held >= _BLOCK:
            self._pieces.append(self._spill.write(np.concatenate(self._waiting).tobytes(), len(self._pieces)))
            self._waiting, self._held = [], 0

    def blocks(self) -> Iterator[_Numbers]:
        """All of them again, by portions."""
        for place, piece in enumerate(self._pieces):
            yield np.frombuffer(self._spill.read(piece, place), np.float64)
        yield from self._waiting

    def mean(self) -> float:
        """Correctly rounded; NaN of none, or of infinities of both signs."""
        return _total(value for block in self.blocks() for value in block.tolist()) / self.count if self.count else math.nan  # fmt: skip

    def standard_deviation(self) -> float:
        """Of a sample (n - 1), by deviations from the mean; NaN for fewer than two."""
        if self.count < 2:
            return math.nan
        mean = self.mean()
        with np.errstate(over="ignore", invalid="ignore"):
            squares = _total(value for block in self.blocks() for value in np.square(block - mean).tolist())
        return math.sqrt(squares / (self.count - 1))

    def quantile(self, share: float, how: str) -> float:
        """As pandas has it: ``how`` is linear, lower, higher, midpoint or nearest. NaN of none."""
        if not self.count:
            return math.nan
        place = (self.count - 1) * share
        if how == "nearest":
            return self.ranked(int(np.around(place)))
        low, part = int(math.floor(place)), place - math.floor(place)
        if how in ("lower", "higher") or not part:
            return self.ranked(low + (how == "higher" and part > 0))
        pair = [self.ranked(low), self.ranked(low + 1)]
        return float(np.quantile(pair, part if how == "linear" else 0.5, method=how))  # type: ignore[call-overload]

    def median(self) -> float:
        """The number in the middle, or between the two there."""
        if not self.count:
            return math.nan
        low, high = self.ranked((self.count - 1) // 2), self.ranked(self.count // 2)
        return float(np.mean([low, high]))

    def ranked(self, rank: int) -> float:
        """The number that would stand at ``rank`` (from 0) if they were sorted: found digit by digit of their bits, by
        counting, once through all for each of four."""
        prefix = 0
        for shift in range(64 - _DIGIT_BITS, -1, -_DIGIT_BITS):
            counts = np.zeros(1 << _DIGIT_BITS, np.int64)
            for block in self.blocks():
                bits = _ordered_bits(block) >> np.uint64(shift)
                digits = bits[bits >> np.uint64(_DIGIT_BITS) == np.uint64(prefix)] & np.uint64((1 << _DIGIT_BITS) - 1)
                counts += np.bincount(digits.astype(np.int64), minlength=1 << _DIGIT_BITS)
            ends = np.cumsum(counts)
            digit = int(np.searchsorted(ends, rank, side="right"))
            rank -= int(ends[digit] - counts[digit])
            prefix = prefix << _DIGIT_BITS | digit
        return _from_ordered_bits(prefix)

    def close(self) -> None:
        """Give the disk back."""
        self._spill.close()


def _total(values: Iterator[float]) -> float:
    """Their sum, correctly rounded whatever the order; NaN for infinities of both signs."""
    try:
        return math.fsum(values)
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def _ordered_bits(values: _Numbers) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Bits that sort as the numbers do."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _from_ordered_bits(bits: int) -> float:
    found = np.uint64(bits)
    return float(np.array([found ^ _SIGN if found & _SIGN else ~found], np.uint64).view(np.float64)[0])


def isclose(value: float, bounds: Sequence[float]) -> bool:
    """Whether a value is within a ten-thousandth of a bound, as Great Expectations' quantiles allow."""
    return any(bool(np.isclose(value, bound, rtol=1.0e-4, atol=1.0e-8)) for bound in bounds)
