"""Exact arithmetic on columns of numbers below 2^64 and 2^128; what is beyond a word is carried by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

Words = np.ndarray[Any, np.dtype[np.uint64]]

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def multiply_high(values: Words, factor: int) -> Words:
    """The upper 64 bits of ``values * factor``; the lower ones are NumPy's own wrapping product."""
    low, high = values & _LOW, values >> _HALF
    factor_low, factor_high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    middle = low * factor_low
    middle >>= _HALF
    middle += high * factor_low
    low *= factor_high
    low += middle & _LOW
    high *= factor_high
    middle >>= _HALF
    high += middle
    low >>= _HALF
    high += low
    return high


class Divisor:
    """Division by one number of numbers below ``2**bits``, whose quotients fit in a word.

    Barrett's method: the estimate of the quotient from the leading bits is at most 2 too small
    (Handbook of Applied Cryptography, 14.42).
    """

    def __init__(self, divisor: int, bits: int) -> None:
        self.divisor = divisor
        self._shift = divisor.bit_length() - 1
        room = bits - self._shift
        if not 0 < room <= 64 or divisor < 2:
            raise ValueError("the quotient does not fit in a word")
        self._reciprocal = (((1 << bits) - 1) // divisor) << (64 - room)
        self._high, self._low = np.uint64(divisor >> 64), np.uint64(divisor & (2**64 - 1))

    def estimate(self, *limbs: Words) -> Words:
        """Quotients, up to 2 too small; ``limbs`` are 64 bits each, the highest first."""
        return multiply_high(_shifted(limbs, self._shift), self._reciprocal)

    def remainder(self, high: Words, low: Words) -> Words:
        """``value % divisor`` for a divisor below 2^62."""
        rest = low - self.estimate(high, low) * self._low
        for _ in range(2):
            np.minimum(rest, rest - self._low, out=rest)  # where it is smaller already, the difference wraps
        return rest

    def wide_divide(self, *limbs: Words) -> tuple[Words, Words, Words]:
        """Quotient and the remainder's two limbs, for a divisor below 2^126."""
        quotient = self.estimate(*limbs)
        product_high = multiply_high(quotient, int(self._low)) + quotient * self._high
        high, low = subtract(limbs[-2], limbs[-1], product_high, quotient * self._low)
        for _ in range(2):
            above = self.reaches(high, low)
            quotient += above
            high, low = subtract(high, low, above * self._high, above * self._low)
        return quotient, high, low

    def reaches(self, high: Words, low: Words) -> Words:
        """1 where the value is at least the divisor, else 0."""
        above: Words = ((high > self._high) | ((high == self._high) & (low >= self._low))).astype(np.uint64)
        return above

    def add(self, high: Words, low: Words, other_high: Words, other_low: Words) -> tuple[Words, Words]:
        """The sum of two numbers below the divisor, modulo the divisor."""
        total = low + other_low
        high = high + other_high + (total < low)
        above = self.reaches(high, total)
        return subtract(high, total, above * self._high, above * self._low)

    def subtract(self, high: Words, low: Words, other_high: Words, other_low: Words) -> tuple[Words, Words]:
        """The difference of two numbers below the divisor, modulo the divisor."""
        high, low = subtract(high, low, other_high, other_low)
        negative = high >> np.uint64(63)
        back = low + negative * self._low
        return high + negative * self._high + (back < low), back


def subtract(high: Words, low: Words, other_high: Words, other_low: Words) -> tuple[Words, Words]:
    """The difference modulo 2^128."""
    return high - other_high - (low < other_low), low - other_low


def combine(high: Words, low: Words, unit: int) -> tuple[Words, Words]:
    """Both limbs of ``high * unit + low``, below 2^128."""
    total = high * np.uint64(unit)
    upper = multiply_high(high, unit)
    total += low
    return upper + (total < low), total


def _shifted(limbs: tuple[Words, ...], bits: int) -> Words:
    """The value shifted right, which leaves at most 64 bits."""
    last, offset = len(limbs) - 1 - bits // 64, bits % 64
    found = limbs[last]
    if not offset:
        return found
    found = found >> np.uint64(offset)
    return found if last == 0 else found | limbs[last - 1] << np.uint64(64 - offset)
