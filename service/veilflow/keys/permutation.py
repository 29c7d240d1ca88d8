"""A keyed permutation of the numbers below any size, by FF1 with cycle walking."""

from __future__ import annotations

from math import isqrt

import numpy as np

from veilflow.keys.ff1 import FF1, MINIMUM_DOMAIN
from veilflow.keys.numerals import numbers, strings
from veilflow.keys.words import Words

_LEAST_RADIX = 10  # FF1 is not defined on fewer than 100 values


class Permutation:
    """One to one on 0 to ``size - 1``; ``size`` is at most 2^63.

    A number is written with two numerals (four above 2^32) in the smallest radix that holds them all, so that the
    numerals form hardly more values than ``size``; what FF1 makes of it is encrypted again while it is not below
    ``size`` (SP 800-38G does not define other domains; cycle walking is Black and Rogaway's, 2002). Under a million
    values the permutation can be searched through: the caller answers for it.
    """

    def __init__(self, key: bytes, size: int) -> None:
        if not 2 <= size <= 2**63:
            raise ValueError("a permutation has 2 to 2^63 values")
        self.size, self._width = size, 2 if size <= 2**32 else 4
        self._radix = max(_root(size, self._width), _LEAST_RADIX)
        self._cipher = FF1(key, self._radix, min(MINIMUM_DOMAIN, self._radix**self._width))

    def forward(self, values: Words) -> Words:
        """The image of each number. ValueError for one that is not below ``size``."""
        return self._walk(values, inverse=False)

    def backward(self, values: Words) -> Words:
        """The number of each image."""
        return self._walk(values, inverse=True)

    def _walk(self, values: Words, *, inverse: bool) -> Words:
        if len(values) and int(values.max()) >= self.size:
            raise ValueError("a number outside the permutation")
        found = self._step(values, inverse=inverse)
        outside = np.flatnonzero(found >= self.size)
        while len(outside):
            found[outside] = self._step(found[outside], inverse=inverse)
            outside = outside[found[outside] >= self.size]
        return found

    def _step(self, values: Words, *, inverse: bool) -> Words:
        numerals = strings(values, self._radix, self._width)
        done = self._cipher.decrypt(numerals) if inverse else self._cipher.encrypt(numerals)
        return numbers(done, self._radix)


def _root(size: int, degree: int) -> int:
    """The smallest number whose power is at least ``size``; ``degree`` is 2 or 4."""
    root = isqrt(size - 1) + 1
    return root if degree == 2 else isqrt(root - 1) + 1
