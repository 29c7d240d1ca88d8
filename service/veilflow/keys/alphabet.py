"""Text as numerals of an alphabet, whole columns at a time, and what stands between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.keys.buffers import Offsets, binary_array, contents
from veilflow.keys.numerals import Numerals, numeral_type

_OUTSIDE = 255  # in the table of an ASCII alphabet, which has at most 128 characters
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Spelling:
    """A column of text without nulls, taken apart. ``numerals`` is a binary array with the characters of the alphabet,
    1 or 2 bytes each; ``codes`` are all characters (bytes, or code points), of which ``inside`` marks those (None:
    all), and ``starts`` says where each value begins."""

    numerals: pa.Array = field(repr=False)
    codes: Numerals = field(repr=False)
    starts: Offsets = field(repr=False)
    inside: Mask | None = field(repr=False)

    def rows_with(self, places: Mask) -> Offsets:
        """The rows, each once, that hold a marked character."""
        return np.unique(np.searchsorted(self.starts, np.flatnonzero(places), side="right") - 1)


class Alphabet:
    """Distinct characters in order: the numeral of each is its place. ``separators`` only widen what is looked at as
    code points; a value may hold any."""

    def __init__(self, characters: str, separators: str = "") -> None:
        if not 2 <= len(characters) <= 65536 or len(set(characters)) != len(characters):
            raise ValueError("an alphabet has 2 to 65536 characters, each once")
        if set(characters) & set(separators):
            raise ValueError("a separator stands in the alphabet")
        self.characters, self.radix = characters, len(characters)
        self._ascii = (characters + separators).isascii()
        self._kind = numeral_type(self.radix)
        self._codes = np.array([ord(character) for character in characters], np.uint32)
        self._separators = np.array([ord(character) for character in separators], np.uint32)
        # Digits and the like: counting from the first is many times as fast as a table.
        in_a_row = self._ascii and (np.diff(self._codes.astype(np.int64)) == 1).all()
        self._first = np.uint8(self._codes[0]) if in_a_row else None
        if self._ascii:
            table = np.full(256, _OUTSIDE, np.uint8)
            table[self._codes] = np.arange(self.radix)
            self._table = table.tobytes()
            foreign = np.ones(256, np.uint8)
            foreign[self._codes] = 0
            foreign[self._separators] = 0
            self._foreign = foreign.tobytes()
            self._back = characters.encode().ljust(256, b"\0")

    def split(self, values: pa.Array) -> Spelling:
        """Take a string array without nulls apart."""
        data, starts = contents(values)
        if not self._ascii:
            return self._split_code_points(data, starts)
        numerals = self._numerals(data)
        if not len(data) or numerals.max() < self.radix:
            return Spelling(binary_array(numerals, starts), data, starts, None)
        inside = numerals < self.radix
        return Spelling(_cut(numerals[inside], inside, starts), data, starts, inside)

    def _numerals(self, data: Numerals) -> Numerals:
        """A numeral for each byte, at least the radix for one outside the alphabet."""
        if self._first is not None:
            return data - self._first  # what stands before the first wraps to the end
        return np.frombuffer(data.tobytes().translate(self._table), np.uint8)

    def _split_code_points(self, data: Numerals, starts: Offsets) -> Spelling:
        codes = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), "<u4")
        starts = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])[starts]
        order = np.argsort(self._codes)
        near = order[np.searchsorted(self._codes[order], codes).clip(max=self.radix - 1)]
        inside = self._codes[near] == codes
        return Spelling(_cut(near[inside].astype(self._kind), inside, starts), codes, starts, inside)

    def join(self, spelling: Spelling, numerals: pa.Array) -> pa.Array:
        """The text with other numerals, as many in each value, in the places of its own."""
        made = contents(numerals)[0]
        if self._first is not None:
            codes: Numerals = made + self._first
        elif self._ascii:
            codes = np.frombuffer(made.tobytes().translate(self._back), np.uint8)
        else:
            codes = self._codes[np.ascontiguousarray(made).view(self._kind)]
        if spelling.inside is not None:
            whole = spelling.codes.copy()
            whole[spelling.inside] = codes
            codes = whole
        return _encoded(codes, spelling.starts)

    def foreign_rows(self, spelling: Spelling) -> Offsets:
        """The rows with a character that is neither of the alphabet nor a separator."""
        if spelling.inside is None:
            return np.empty(0, np.int64)
        if not self._ascii:
            return spelling.rows_with(~spelling.inside & ~np.isin(spelling.codes, self._separators))
        found = spelling.codes.tobytes().translate(self._foreign)
        return spelling.rows_with(np.frombuffer(found, bool)) if b"\1" in found else np.empty(0, np.int64)

    def numerals(self, values: pa.Array) -> pa.Array:
        """The numerals of each value. ValueError for a character outside the alphabet."""
        spelling = self.split(values)
        if spelling.inside is not None and not spelling.inside.all():
            raise ValueError("a character outside the alphabet")
        return spelling.numerals

    def text(self, numerals: pa.Array) -> pa.Array:
        """The string array that numerals spell."""
        starts = contents(numerals)[1] // self._kind.itemsize
        return self.join(Spelling(numerals, np.empty(0, np.uint8), starts, None), numerals)


def _cut(numerals: Numerals, inside: Mask, starts: Offsets) -> pa.Array:
    """The numerals of the marked characters, cut where their values begin."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(inside)])
    return binary_array(numerals, before[starts] * numerals.dtype.itemsize)


def _encoded(codes: Numerals, starts: Offsets) -> pa.Array:
    """Bytes or code points as a string array."""
    if codes.dtype == np.uint8:
        return binary_array(codes, starts).view(pa.string())
    widths = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(widths)])
    text = codes.astype("<u4").tobytes().decode("utf-32-le").encode()
    return binary_array(text, ends[starts]).view(pa.string())
