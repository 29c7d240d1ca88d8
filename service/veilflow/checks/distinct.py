"""How many values of a stream stand once, exactly and in little memory: digests under a key that dies with the process.

A value becomes 127 bits of HMAC-SHA-256, and one that says whether it was seen more than once. Digests are sorted into 256 parts by their first bits, and what does not fit
into memory waits in an encrypted file (``spill``); at the end one part at a time is looked at.
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

#: The last bit of a digest's second half is a mark.
_REPEATED = np.uint64(1)
_DIGEST = np.array([2**64 - 1, 2**64 - 2], np.uint64)

_Words = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True, slots=True)
class Distinct:
    """``rows`` values, of which ``repeated`` stand more than once; ``values`` are different."""

    rows: int
    repeated: int
    values: int


class DistinctValues:
    """Counts the values of one column, or of several together. Safe to use from several threads."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._rows = 0
        self._waiting: list[list[_Words]] = [[] for _ in range(_PARTS)]
        self._counts = [0] * _PARTS
        self._written: list[list[Piece]] = [[] for _ in range(_PARTS)]
        self._spill = Spill()

    def add(self, texts: pa.Array) -> None:
        """Count texts; none is null."""
        # Merged at once: a value that stands in most rows would fill its part alone.
        words = _merged(hmac_words(texts, self._key, 2) & _DIGEST)
        ends = np.searchsorted(words[:, 0] >> np.uint64(56), np.arange(1, _PARTS + 1)).tolist()
        with self._lock:
            self._rows += len(texts)
            for part, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if start < end:
                    self._put(part, words[start:end])

    def _put(self, part: int, words: _Words) -> None:
        self._waiting[part].append(words.copy())  # a view would keep the digests of a whole chunk
        self._counts[part] += len(words)
        if self._counts[part] >= _WAITING:
            data = np.concatenate(self._waiting[part]).tobytes()
            self._written[part].append(self._spill.write(data, part))
            self._waiting[part], self._counts[part] = [], 0

    def result(self) -> Distinct:
        """The counts over all that was added."""
        values = once = 0
        for part in range(_PARTS):
            words = _merged(self._read(part))
            values += len(words)
            once += int(np.count_nonzero(words[:, 1] & _REPEATED == 0))
        return Distinct(self._rows, self._rows - once, values)

    def _read(self, part: int) -> _Words:
        pieces = [np.frombuffer(self._spill.read(one, part), np.uint64).reshape(-1, 2) for one in self._written[part]]
        return np.concatenate([np.empty((0, 2), np.uint64), *self._waiting[part], *pieces])

    def close(self) -> None:
        """Give the disk back."""
        self._spill.close()


def _merged(words: _Words) -> _Words:
    """Each digest once, in order, marked where it stood there more than once or was marked before."""
    if not len(words):
        return words
    # The first half alone is sorted, which is several times as fast; it decides but for one pair in 2^64.
    ordered = words[np.argsort(words[:, 0])]
    new = _starts(ordered)
    if (new & (np.diff(ordered[:, 0], prepend=ordered[0, 0] + np.uint64(1)) == 0)).any():
        ordered = words[np.lexsort((words[:, 1], words[:, 0]))]
        new = _starts(ordered)
    starts = np.flatnonzero(new)
    merged = ordered[starts]
    merged[:, 1] |= np.bitwise_or.reduceat(ordered[:, 1] & _REPEATED, starts)
    merged[np.diff(starts, append=len(ordered)) > 1, 1] |= _REPEATED
    return merged


def _starts(ordered: _Words) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where another digest begins."""
    digests = ordered & _DIGEST
    new = np.ones(len(ordered), bool)
    new[1:] = (digests[1:, 0] != digests[:-1, 0]) | (digests[1:, 1] != digests[:-1, 1])
    return new
