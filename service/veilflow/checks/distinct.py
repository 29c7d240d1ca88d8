"""How many values of a stream stand once, exactly and in little memory: digests under a key that dies with the process.

A value becomes 128 bits of HMAC-SHA-256. Digests are sorted into 256 parts by their first bits, which lie in one
file; at the end one part at a time is looked at. What lies on disk says nothing without the key, which is never written,
and the file has no name, so that no crash leaves it.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.keys import hmac_words

_BUCKETS = 256
#: Digests of one bucket that wait in memory before they are written.
_WAITING = 1_024

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
        self._waiting: list[list[_Words]] = [[] for _ in range(_BUCKETS)]
        self._counts = [0] * _BUCKETS
        self._segments: list[list[tuple[int, int]]] = [[] for _ in range(_BUCKETS)]
        self._file, self._size = tempfile.TemporaryFile(), 0  # noqa: SIM115  # close() closes it

    def add(self, texts: pa.Array) -> None:
        """Count texts; none is null."""
        words = hmac_words(texts, self._key, 2)
        buckets = (words[:, 0] >> np.uint64(56)).astype(np.int64)
        order = np.argsort(buckets, kind="stable")
        edges = np.searchsorted(buckets[order], np.arange(_BUCKETS + 1))
        ordered = words[order]
        with self._lock:
            for bucket in range(_BUCKETS):
                if edges[bucket] < edges[bucket + 1]:
                    self._put(bucket, ordered[edges[bucket] : edges[bucket + 1]])

    def _put(self, bucket: int, words: _Words) -> None:
        self._waiting[bucket].append(words)
        self._counts[bucket] += len(words)
        if self._counts[bucket] >= _WAITING:
            data = np.concatenate(self._waiting[bucket]).tobytes()
            self._segments[bucket].append((self._size, len(data)))
            self._file.write(data)
            self._size += len(data)
            self._waiting[bucket], self._counts[bucket] = [], 0

    def result(self) -> Distinct:
        """The counts over all that was added."""
        rows = repeated = values = 0
        for bucket in range(_BUCKETS):
            words = self._read(bucket)
            if len(words):
                times = np.unique(words, return_counts=True)[1]
                rows += len(words)
                values += len(times)
                repeated += int(times[times > 1].sum())
        return Distinct(rows, repeated, values)

    def _read(self, bucket: int) -> np.ndarray[Any, Any]:
        self._file.flush()
        pairs = list(self._waiting[bucket])
        for start, size in self._segments[bucket]:
            pairs.append(np.frombuffer(os.pread(self._file.fileno(), size, start), np.uint64).reshape(-1, 2))
        if not pairs:
            return np.empty(0, "V16")
        return np.ascontiguousarray(np.concatenate(pairs)).view("V16").ravel()

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()
