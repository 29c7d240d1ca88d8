"""Numerals to numbers and back, a whole column at a time: halves of FF1's strings as machine words.

Numerals stand in rows of ``uint8`` (radix up to 256) or ``uint16``. Neighbours are joined in ever wider words, so each
step works on the column as one array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veilflow.keys.words import Words

Numerals = np.ndarray[Any, np.dtype[Any]]


def numeral_type(radix: int) -> np.dtype[Any]:
    """The type that holds a numeral of this radix."""
    return np.dtype("<u1" if radix <= 256 else "<u2")


def numbers(numerals: Numerals, radix: int) -> Words:
    """NUM_radix of each row, the first numeral most significant; ``radix ** width`` is at most 2^64."""
    size = numerals.dtype.itemsize
    words, unit = _padded(numerals, 8 // size), radix
    while size < 8:
        wide = words.view(f"<u{2 * size}")
        kind = wide.dtype.type
        words = (wide & kind(2 ** (8 * size) - 1)) * kind(unit) + (wide >> kind(8 * size))
        unit, size = unit * unit, 2 * size
    total: Words = words[:, 0].astype(np.uint64)
    for group in range(1, words.shape[1]):
        total = total * np.uint64(unit) + words[:, group]
    return total


def strings(total: Words, radix: int, width: int) -> Numerals:
    """STR_radix: ``width`` numerals of each number."""
    size, per_word = 8, 8 // numeral_type(radix).itemsize
    words: Numerals = np.empty((len(total), -(-width // per_word)), "<u8")
    for group in range(words.shape[1] - 1, 0, -1):
        quotient = total // np.uint64(radix**per_word)
        words[:, group] = total - quotient * np.uint64(radix**per_word)
        total = quotient
    words[:, 0] = total
    while per_word > 1:
        size, per_word = size // 2, per_word // 2
        kind = words.dtype.type
        quotient = words // kind(radix**per_word)
        rest = words - quotient * kind(radix**per_word)
        words = (quotient | rest << kind(8 * size)).view(f"<u{size}")
    return words[:, words.shape[1] - width :]


def _padded(numerals: Numerals, multiple: int) -> Numerals:
    """The same numbers with leading zeros, so that rows fill whole words."""
    rows, width = numerals.shape
    padding = -width % multiple
    if not padding:
        return np.ascontiguousarray(numerals)
    padded = np.zeros((rows, width + padding), numerals.dtype)
    padded[:, padding:] = numerals
    return padded
