"""HMAC-SHA-256 over a whole column."""

from __future__ import annotations

import binascii
import hmac
from functools import cache

import numpy as np
import pyarrow as pa

from veilflow.keys.buffers import contents
from veilflow.keys.words import Words

_PROBES = ("", "a", "4111 1111 1111 1111", "Zoë", "王小明", "\0", "x" * 200, "🙂" * 40)

#: Rows whose hashes are held as text at a time.
_BLOCK = 4_096


def hmac_hex(values: pa.Array, key: bytes) -> pa.Array:
    """64 lower-case hex characters a value, null for null. ``values`` is a string array.

    The HMAC key is ``key`` written as hex text (CONTRACT: "Token"), so that kernels and SQL that take text keys
    agree. Runs in polars-hash, 4 million values a second a core.
    """
    _agrees_with_the_standard_library()
    return text_hmac_hex(values, key.hex())


def hmac_words(values: pa.Array, key: bytes, count: int = 4) -> Words:
    """The first ``count`` numbers of 64 bits of the same HMAC, a row each: uniform, and told by key and value alone.
    No nulls."""
    found = np.empty((len(values), count), np.uint64)
    for start in range(0, len(values), _BLOCK):
        text, _starts = contents(hmac_hex(values.slice(start, _BLOCK), key))
        words = np.frombuffer(binascii.unhexlify(text.tobytes()), ">u8").reshape(-1, 4)
        found[start : start + _BLOCK] = words[:, :count]
    return found


def text_hmac_hex(values: pa.Array, text_key: str) -> pa.Array:
    """HMAC-SHA-256 of UTF-8 text under a text key, as hexadecimal."""
    import polars as pl
    import polars_hash as plh

    # Evaluated at once and on its own: the key would stand in a lazy plan's text.
    frame = pl.DataFrame({"v": pl.from_arrow(pa.chunked_array([values.cast(pa.string())]))})
    hashed = frame.select(plh.col("v").chash.hmac_sha256(key=text_key))["v"].to_arrow()
    return hashed.cast(pa.string())


@cache
def _agrees_with_the_standard_library() -> None:
    """Compare with ``hmac`` once a process; a kernel that disagreed would make tokens that match nothing."""
    key = "5a" * 32
    expected = [hmac.new(key.encode(), probe.encode(), "sha256").hexdigest() for probe in _PROBES]
    if text_hmac_hex(pa.array([*_PROBES, None]), key).to_pylist() != [*expected, None]:
        raise RuntimeError("the HMAC kernel disagrees with the standard library")
