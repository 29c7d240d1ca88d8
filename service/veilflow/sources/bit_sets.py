"""Sets of places in a block of bytes, a bit a byte in words of 64: what simdjson does with registers, in NumPy.

Bit ``n`` of word ``w`` stands for byte ``64 * w + n``. The bits behind the last byte are 0 unless said otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Words = np.ndarray[Any, np.dtype[np.uint64]]
Places = np.ndarray[Any, np.dtype[np.int64]]
_ONE, _LAST = np.uint64(1), np.uint64(63)


def places_of(data: bytes, *characters: int) -> Words:
    """The places of any of these bytes."""
    codes = np.frombuffer(data, np.uint8)
    found = codes == characters[0]
    for character in characters[1:]:
        found |= codes == character
    packed = np.packbits(found, bitorder="little")
    words = np.zeros(-(-len(data) // 64), np.uint64)
    words.view(np.uint8)[: len(packed)] = packed
    return words


def odd_up_to(places: Words, odd_before: bool) -> Words:
    """The places up to which, itself included, an odd number of ``places`` stand; ``odd_before`` of the first byte.
    Bits behind the last byte go on like it."""
    odd = places.copy()
    for step in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(step)
    carry = np.bitwise_xor.accumulate(np.concatenate([np.array([odd_before], np.uint64), odd[:-1] >> _LAST]))
    return odd ^ (np.uint64(0) - carry)


def right_behind(places: Words, first: bool) -> Words:
    """The places right behind one of ``places``; ``first`` says whether the first byte is such a place."""
    moved = places << _ONE
    moved[1:] |= places[:-1] >> _LAST
    moved[0] |= np.uint64(first)
    return moved


def right_before(places: Words, size: int) -> Words:
    """The places right before one of ``places``, and the last of the ``size`` bytes."""
    moved = places >> _ONE
    moved[:-1] |= places[1:] << _LAST
    moved[-1] |= _ONE << np.uint64((size - 1) % 64)
    return moved


def among(places: Words, asked: Places) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each of the asked places is one of ``places``."""
    found: np.ndarray[Any, np.dtype[np.bool_]] = (places[asked >> 6] >> (asked & 63).astype(np.uint64) & _ONE) != 0
    return found


def last_of(places: Words) -> int | None:
    """The last place; None where there is none."""
    words = np.flatnonzero(places)
    return None if not len(words) else int(words[-1]) * 64 + int(places[words[-1]]).bit_length() - 1
