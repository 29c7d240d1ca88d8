"""How often the values of a stream stand, exactly and in little memory: digests under a key that dies with the process.

A value becomes 128 bits of HMAC-SHA-256, with its count. Digests are sorted into 256 parts by their first bits, and what
does not fit into memory waits in an encrypted file (``spill``); at the end one part at a time is looked at.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.checks.spill import Piece, Spill
from veilflow.keys import hmac_words

_PARTS = 256
#: Digests of one part that wait in memory before they are written.
_WAITING = 1_024

#: Rows of two words of a digest and a count.
_Counted = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True, slots=True)
class Distinct:
    """``rows`` values, of which ``repeated`` stand more than once; ``values`` are different."""

    rows: int
    repeated: int
    values: int


class ValueCounts:
    """Counts the values of one column, or of several together. Values may be added from several threads."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._waiting: list[list[_Counted]] = [[] for _ in range(_PARTS)]
        self._sizes = [0] * _PARTS
        self._written: list[list[Piece]] = [[] for _ in range(_PARTS)]
        self._spill = Spill()

    def beside(self) -> ValueCounts:
        """Counts of another column, to compare with this one's."""
        return ValueCounts(self._key)

    def add(self, texts: pa.Array) -> None:
        """Count texts; none is null."""
        # Merged at once: a value that stands in most rows would fill its part alone.
        counted = self._counted(texts)
        ends = np.searchsorted(counted[:, 0] >> np.uint64(56), np.arange(1, _PARTS + 1)).tolist()
        with self._lock:
            for part, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if start < end:
                    self._put(part, counted[start:end])

    def _counted(self, texts: pa.Array) -> _Counted:
        words = hmac_words(texts, self._key, 2)
        return _merged(np.column_stack([words, np.ones(len(words), np.uint64)]))

    def _put(self, part: int, counted: _Counted) -> None:
        self._waiting[part].append(counted.copy())  # a view would keep the digests of a whole chunk
        self._sizes[part] += len(counted)
        if self._sizes[part] >= _WAITING:
            data = np.concatenate(self._waiting[part]).tobytes()
            self._written[part].append(self._spill.write(data, part))
            self._waiting[part], self._sizes[part] = [], 0

    def distinct(self) -> Distinct:
        """How many values there are, and how many stand more than once."""
        rows = once = values = 0
        for part in range(_PARTS):
            counts = self._read(part)[:, 2]
            rows, values = rows + int(counts.sum()), values + len(counts)
            once += int(np.count_nonzero(counts == 1))
        return Distinct(rows, rows - once, values)

    def most_common(self, members: pa.Array) -> tuple[int, int]:
        """How many values stand most often, and how many of ``members`` (texts, each once) are among them."""
        wanted = self._counted(members)
        most, modes, among = 0, 0, 0
        for part in range(_PARTS):
            counted = self._read(part)
            top = int(counted[:, 2].max()) if len(counted) else 0
            if top > most:
                most, modes, among = top, 0, 0
            if top and top == most:
                found = counted[counted[:, 2] == np.uint64(top), :2]
                modes += len(found)
                among += sum(bool((found == one).all(axis=1).any()) for one in _of_part(wanted, part)[:, :2])
        return modes, among

    def missing_in(self, other: ValueCounts) -> int:
        """How many of the values counted here, each as often as it stands, are none of the other's."""
        missing = 0
        for part in range(_PARTS):
            ours, theirs = self._read(part), other._read(part)
            theirs[:, 2] = 0
            both = np.concatenate([theirs, ours])
            order = np.lexsort((both[:, 1], both[:, 0]))
            ordered, starts = both[order], np.flatnonzero(_starts(both[order]))
            if len(starts):
                there = np.minimum.reduceat(ordered[:, 2], starts) == 0
                missing += int(np.add.reduceat(ordered[:, 2], starts)[~there].sum())
        return missing

    def _read(self, part: int) -> _Counted:
        pieces = [np.frombuffer(self._spill.read(one, part), np.uint64).reshape(-1, 3) for one in self._written[part]]
        return _merged(np.concatenate([np.empty((0, 3), np.uint64), *self._waiting[part], *pieces]))

    def close(self) -> None:
        """Give the disk back."""
        self._spill.close()


def _of_part(counted: _Counted, part: int) -> _Counted:
    first, last = np.searchsorted(counted[:, 0] >> np.uint64(56), [part, part + 1])
    return counted[first:last]


def _merged(counted: _Counted) -> _Counted:
    """Each digest once, in order, with the sum of its counts."""
    if not len(counted):
        return counted
    # The first half alone is sorted, which is several times as fast; it decides but for one pair in 2^64.
    ordered = counted[np.argsort(counted[:, 0])]
    new = _starts(ordered)
    if (new[1:] & (ordered[1:, 0] == ordered[:-1, 0])).any():
        ordered = counted[np.lexsort((counted[:, 1], counted[:, 0]))]
        new = _starts(ordered)
    starts = np.flatnonzero(new)
    merged = ordered[starts]
    merged[:, 2] = np.add.reduceat(ordered[:, 2], starts)
    return merged


def _starts(ordered: _Counted) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where another digest begins."""
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:, 0] != ordered[:-1, 0]) | (ordered[1:, 1] != ordered[:-1, 1])
    return new
