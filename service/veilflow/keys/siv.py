"""AES-SIV (RFC 5297) over whole columns: deterministic encryption that opens only under its key.

The construction is the RFC's, S2V over AES-CMAC and AES-CTR, with one AES call for a step of all values of one length;
``cryptography``'s AESSIV does one value at a time and is what this is held against before its first use.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from veilflow.keys.buffers import Bytes, Offsets, by_length

#: Bytes that a sealed value is longer than the value: the synthetic IV, which proves it as well.
OVERHEAD = 16
_BLOCK = 16

#: One string for all values, or 16 bytes for each of them.
Associated = bytes | Bytes


def seal(values: pa.Array, key: bytes, associated: Sequence[Associated] = ()) -> pa.Array:
    """The synthetic IV and the ciphertext of each value of a binary array without nulls. Equal values under equal
    associated data come out equal; the length shows."""
    _agrees_with_the_library()
    return _seal(values, key, associated)


def open_sealed(sealed: pa.Array, key: bytes, associated: Sequence[Associated] = ()) -> pa.Array:
    """The values that ``seal`` made these of. ValueError if a single one is not from this key and associated data."""
    _agrees_with_the_library()
    return _open(sealed, key, associated)


def _seal(values: pa.Array, key: bytes, associated: Sequence[Associated]) -> pa.Array:
    mac, cipher = _halves(key)

    def group(rows: Bytes, indices: Offsets) -> Bytes:
        iv = _s2v(mac, rows, _chosen(associated, indices))
        return np.concatenate([iv, rows ^ _key_stream(cipher, iv, rows.shape[1])], axis=1)

    return by_length(values, group)


def _open(sealed: pa.Array, key: bytes, associated: Sequence[Associated]) -> pa.Array:
    mac, cipher = _halves(key)

    def group(rows: Bytes, indices: Offsets) -> Bytes:
        if rows.shape[1] < OVERHEAD:
            raise ValueError("a value is not sealed under this key")
        iv = np.ascontiguousarray(rows[:, :OVERHEAD])
        plain: Bytes = rows[:, OVERHEAD:] ^ _key_stream(cipher, iv, rows.shape[1] - OVERHEAD)
        if not hmac.compare_digest(_s2v(mac, plain, _chosen(associated, indices)).tobytes(), iv.tobytes()):
            raise ValueError("a value is not sealed under this key")
        return plain

    return by_length(sealed, group)


# --- the parts of RFC 5297 -------------------------------------------------------------------

_Aes = Callable[[Bytes], Bytes]


def _aes(key: bytes) -> _Aes:
    """AES on each 16 bytes; the modes are built from it."""

    def encrypt(blocks: Bytes) -> Bytes:
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
        found = np.frombuffer(encryptor.update(np.ascontiguousarray(blocks).data), np.uint8)
        return found.reshape(blocks.shape)

    return encrypt


def _halves(key: bytes) -> tuple[_Aes, _Aes]:
    if len(key) not in (32, 48, 64):
        raise ValueError("an AES-SIV key has 32, 48 or 64 bytes")
    return _aes(key[: len(key) // 2]), _aes(key[len(key) // 2 :])


def _chosen(associated: Sequence[Associated], indices: Offsets) -> list[Associated]:
    return [one if isinstance(one, bytes) else one[indices] for one in associated]


def _s2v(mac: _Aes, rows: Bytes, associated: Sequence[Associated]) -> Bytes:
    """The synthetic IVs (section 2.4), 16 bytes a row."""
    state = _cmac(mac, np.zeros((1, _BLOCK), np.uint8))
    for one in associated:
        data = np.frombuffer(one, np.uint8).reshape(1, -1) if isinstance(one, bytes) else one
        state = _doubled(state) ^ _cmac(mac, data)
    count, length = rows.shape
    if length >= _BLOCK:
        message = rows.copy()
        message[:, -_BLOCK:] ^= state
    else:
        message = np.tile(_doubled(state), (count if len(state) == 1 else 1, 1))
        message[:, :length] ^= rows
        message[:, length] ^= 0x80
    return _cmac(mac, message)


def _cmac(mac: _Aes, rows: Bytes) -> Bytes:
    """AES-CMAC (RFC 4493) of each row."""
    count, length = rows.shape
    blocks = max(1, -(-length // _BLOCK))
    subkey = _doubled(mac(np.zeros((1, _BLOCK), np.uint8)))
    last = np.zeros((count, _BLOCK), np.uint8)
    tail = rows[:, (blocks - 1) * _BLOCK :]
    last[:, : tail.shape[1]] = tail
    if tail.shape[1] < _BLOCK:
        last[:, tail.shape[1]] = 0x80
        subkey = _doubled(subkey)
    last ^= subkey
    if blocks == 1:
        return mac(last)
    state = mac(rows[:, :_BLOCK])
    for block in range(1, blocks - 1):
        state = mac(state ^ rows[:, block * _BLOCK : (block + 1) * _BLOCK])
    return mac(state ^ last)


def _doubled(blocks: Bytes) -> Bytes:
    """dbl() of section 2.3 on each row: times x in GF(2^128)."""
    words = blocks.view(">u8").astype(np.uint64)
    high, low = words[:, 0], words[:, 1]
    one = np.uint64(1)
    found = np.empty_like(words)
    found[:, 0] = high << one | low >> np.uint64(63)
    found[:, 1] = low << one ^ (high >> np.uint64(63)) * np.uint64(0x87)
    return found.astype(">u8").view(np.uint8)


def _key_stream(cipher: _Aes, iv: Bytes, length: int) -> Bytes:
    """AES-CTR from the IV without its bits 31 and 63 (section 2.5), so that the count never carries."""
    blocks = -(-length // _BLOCK)
    counters = np.empty((len(iv), blocks, 2), np.uint64)
    start = iv.view(">u8").astype(np.uint64)
    counters[:, :, 0] = start[:, :1]
    counters[:, :, 1] = (start[:, 1:] & np.uint64(0x7FFFFFFF7FFFFFFF)) + np.arange(blocks, dtype=np.uint64)
    stream = cipher(counters.byteswap(inplace=True).view(np.uint8).reshape(len(iv), blocks * _BLOCK))
    return stream[:, :length]


# --- the first use ---------------------------------------------------------------------------

_PROBES = (b"", b"a", b"x" * 15, b"x" * 16, b"y" * 17, b"z" * 100, "王小明".encode())


@cache
def _agrees_with_the_library() -> None:
    """Compare with ``cryptography`` once a process: what no other tool can open would be lost."""
    key, associated = bytes(range(64)), np.frombuffer(bytes(range(16 * len(_PROBES))), np.uint8).reshape(-1, 16)
    library = AESSIV(key)
    sealed = _seal(pa.array(_PROBES, pa.binary()), key, [b"all", associated])
    for probe, row, found in zip(_PROBES, associated, sealed.to_pylist(), strict=True):
        if library.encrypt(probe, [b"all", row.tobytes()]) != found:
            raise RuntimeError("the AES-SIV kernel disagrees with cryptography")
    if _open(sealed, key, [b"all", associated]).to_pylist() != list(_PROBES):
        raise RuntimeError("the AES-SIV kernel does not open what it seals")
