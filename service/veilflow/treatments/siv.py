"""Tokens that the key can open: AES-SIV (RFC 5297)."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from veilflow.keys import binary_array, contents, once_per_value, open_sealed, seal, skip_nulls, token_bytes
from veilflow.keys.buffers import Bytes, in_blocks, split_first
from veilflow.model import DerivedKey
from veilflow.treatments.interface import Context, NoParameters, Rows, Traits, Treatment, always, text_type
from veilflow.treatments.token import TOKENISED, hexadecimal_of

_NONCE = 16
#: Values at a time, so that what lies between takes little memory.
_ROWS = 3_072


def _siv(values: pa.Array, _parameters: NoParameters, context: Context) -> pa.Array:
    key = context.key("siv")

    def block(own: pa.Array, _rows: slice) -> pa.Array:
        return _encoded(seal(_plain(own), key.value), key)

    return once_per_value(values, lambda own: skip_nulls(own, lambda there: in_blocks(there, _ROWS, block)))


def _open_siv(sealed: pa.Array, _parameters: NoParameters, context: Context) -> pa.Array:
    key = context.key("siv")

    def block(own: pa.Array, _rows: slice) -> pa.Array:
        return _text(open_sealed(_decoded(own, key), key.value))

    return skip_nulls(sealed, lambda there: in_blocks(there, _ROWS, block))


def _siv_per_row(values: pa.Array, _parameters: NoParameters, context: Context) -> pa.Array:
    key = context.key("siv")
    if context.positions is None:
        raise ValueError("rows without positions")
    positions = context.positions[values.is_valid().to_numpy(zero_copy_only=False)]

    def block(own: pa.Array, rows: slice) -> pa.Array:
        nonces = _nonces(key.value, context.run_id, positions[rows])
        return _encoded(_beside(nonces, seal(_plain(own), key.value, [nonces])), key)

    return skip_nulls(values, lambda there: in_blocks(there, _ROWS, block))


def _open_siv_per_row(sealed: pa.Array, _parameters: NoParameters, context: Context) -> pa.Array:
    key = context.key("siv")

    def block(own: pa.Array, _rows: slice) -> pa.Array:
        nonces, rest = split_first(_decoded(own, key), _NONCE)
        return _text(open_sealed(rest, key.value, [nonces]))

    return skip_nulls(sealed, lambda there: in_blocks(there, _ROWS, block))


def _nonces(key: bytes, run_id: str, positions: Rows) -> Bytes:
    """16 bytes a row that tell neither its run nor its position: AES-256 of the position, under
    HMAC-SHA-256(HMAC-SHA-256(SIV key, "veilflow/1 nonce"), run id). The same for a retry, unlike within a run."""
    nonce_key = hmac.digest(key, b"veilflow/1 nonce", hashlib.sha256)
    run_key = hmac.digest(nonce_key, run_id.encode(), hashlib.sha256)
    blocks = np.zeros((len(positions), 2), ">u8")
    blocks[:, 1] = positions
    # One block for each row, all of them different: a permutation, not a mode of encryption.
    encryptor = Cipher(algorithms.AES(run_key), modes.ECB()).encryptor()  # noqa: S305
    return np.frombuffer(encryptor.update(blocks.tobytes()), np.uint8).reshape(-1, _NONCE)


def _beside(nonces: Bytes, sealed: pa.Array) -> pa.Array:
    """Each nonce before its sealed value."""
    own = binary_array(nonces, np.arange(len(nonces) + 1) * _NONCE)
    return pc.binary_join_element_wise(own, sealed, pa.scalar(b"", pa.binary()))


def _plain(values: pa.Array) -> pa.Array:
    return token_bytes(values).cast(pa.binary())


def _encoded(sealed: pa.Array, key: DerivedKey) -> pa.Array:
    """``v``, the key version, a dot, and hexadecimal: case and collation of a database do no harm to it."""
    return pc.binary_join_element_wise(f"v{key.version}.", hexadecimal_of(sealed), "")


def _decoded(values: pa.Array, key: DerivedKey) -> pa.Array:
    prefix = f"v{key.version}."
    if not pc.all(pc.starts_with(values, prefix), min_count=0).as_py():
        raise ValueError("a value is not sealed under this key version")
    _prefixes, own = split_first(values.cast(pa.binary()), len(prefix))
    data, starts = contents(own)
    try:
        return binary_array(binascii.unhexlify(data.tobytes()), starts // 2)
    except binascii.Error:
        raise ValueError("a value is not sealed under this key") from None


def _text(opened: pa.Array) -> pa.Array:
    return opened.cast(pa.string())


def _looks_like(parts: Sequence[str]) -> str:
    return "v, the key version, a dot and hexadecimal characters: " + ", ".join(parts)


SIV = Treatment(
    "siv",
    "AES-SIV of the value: the same value gives the same token, and the key opens it. Shows the value's length.",
    NoParameters,
    TOKENISED,
    text_type,
    _siv,
    Traits(
        _looks_like(["a synthetic IV of 16 bytes", "the ciphertext"]), reversible=True, unique_safe=True, linkable=True
    ),
    uses=always("siv"),
    inverse=_open_siv,
)

SIV_PER_ROW = Treatment(
    "siv_per_row",
    "AES-SIV bound to the run and the row: equal values look unlike, a retry repeats them, and the key opens them. Shows the value's length.",
    NoParameters,
    TOKENISED,
    text_type,
    _siv_per_row,
    Traits(
        _looks_like(["16 bytes of the row", "a synthetic IV of 16 bytes", "the ciphertext"]),
        reversible=True,
        unique_safe=True,
    ),
    uses=always("siv"),
    inverse=_open_siv_per_row,
)
