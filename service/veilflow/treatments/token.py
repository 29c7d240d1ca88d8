"""One-way pseudonyms by a keyed hash."""

from __future__ import annotations

import binascii
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from veilflow.keys import binary_array, contents, hmac_hex, once_per_value, skip_nulls, token_bytes
from veilflow.model import DerivedKey
from veilflow.treatments.interface import Context, Traits, Treatment, always, one_of, text_type

#: Types whose values have a text of their own (CONTRACT: "Bytes of a value").
TOKENISED = frozenset({"text", "integer", "decimal", "boolean", "date", "timestamp"})
_UUID_DASHES = (8, 13, 18, 23)
_HASH = 64  # hexadecimal characters of SHA-256
#: What a token without parameters looks like.
DEFAULT_FORM = r"^v[0-9]+\.[0-9a-f]{32}$"


@dataclass(frozen=True, slots=True)
class Token:
    """``form``: ``hex`` (``v``, key version, a dot, hexadecimal) or ``uuid`` (RFC 9562, version 8: 122 bits of the
    hash; it carries no key version, which the target's metadata keeps). ``bits`` of the hash that hexadecimal shows,
    from 64 to 256 in fours.

    Among n different values two share a token with a chance of at most n² / 2^(bits + 1): with 128 bits and 10^12 values
    10^-15, with 64 bits and 10^8 values one in 3,700. Under 128 bits a token is no key to merge rows by.
    """

    form: str = "hex"
    bits: int = 128

    def __post_init__(self) -> None:
        one_of("form", self.form, "hex", "uuid")
        if type(self.bits) is not int or not 64 <= self.bits <= 256 or self.bits % 4:
            raise ValueError("bits must be a multiple of 4 from 64 to 256")
        if self.form == "uuid" and self.bits != 128:
            raise ValueError("a uuid has its own number of bits")


def _token(values: pa.Array, parameters: Token, context: Context) -> pa.Array:
    return tokens(values, context.key("token"), parameters)


def tokens(values: pa.Array, key: DerivedKey, parameters: Token | None = None) -> pa.Array:
    """The tokens of a column under a derived key: for this treatment, and for others that fall back to it."""
    chosen = parameters or Token()
    make = _uuids if chosen.form == "uuid" else _hexadecimal
    return once_per_value(values, lambda own: make(hmac_hex(token_bytes(own), key.value), key.version, chosen.bits))


def _hexadecimal(hashed: pa.Array, version: int, bits: int) -> pa.Array:
    return skip_nulls(hashed, lambda there: _cut(there, f"v{version}.".encode(), bits // 4))


def _cut(hashed: pa.Array, start: bytes, digits: int) -> pa.Array:
    """``start`` and the first digits of each hash. On the bytes, three times as fast as Arrow's slice and join; no nulls."""
    text, _starts = contents(hashed)
    width = len(start) + digits
    made = np.empty((len(hashed), width), np.uint8)
    made[:, : len(start)] = np.frombuffer(start, np.uint8)
    made[:, len(start) :] = text.reshape(-1, _HASH)[:, :digits]
    return binary_array(made, np.arange(len(hashed) + 1) * width).view(pa.string())


def _uuids(hashed: pa.Array, _version: int, _bits: int) -> pa.Array:
    return skip_nulls(hashed, uuid_form)


def hexadecimal_of(values: pa.Array) -> pa.Array:
    """Bytes as lower-case hexadecimal text; no nulls."""
    data, starts = contents(values)
    return binary_array(binascii.hexlify(data.tobytes()), starts.astype(np.int64) * 2).view(pa.string())


def uuid_form(hexadecimal: pa.Array, version: int = 8) -> pa.Array:
    """UUIDs (RFC 9562) from texts of one length, at least 32 hexadecimal characters: four bits say the version, two
    the variant. No nulls."""
    text, starts = contents(hexadecimal)
    width = int(starts[1]) if len(hexadecimal) else _HASH
    digits = text.reshape(-1, width)[:, :32].copy()
    digits[:, 12] = ord(str(version))
    nibbles = digits[:, 16]
    value = np.where(nibbles > ord("9"), nibbles - ord("a") + 10, nibbles - ord("0")) & 0x3 | 0x8
    digits[:, 16] = np.frombuffer(b"0123456789abcdef", np.uint8)[value]
    made = np.full((len(hexadecimal), 36), ord("-"), np.uint8)
    made[:, [place for place in range(36) if place not in _UUID_DASHES]] = digits
    return binary_array(made, np.arange(len(hexadecimal) + 1) * 36).view(pa.string())


TOKEN = Treatment(
    "token",
    "HMAC-SHA-256 of the value under the key of its domain: the same value gives the same token, and nobody without the key can go back.",
    Token,
    TOKENISED,
    text_type,
    _token,
    Traits("v, the key version, a dot and hexadecimal characters, or a UUID", unique_safe=True, linkable=True),
    uses=always("token"),
    keeps_apart=lambda parameters: parameters.bits >= 128,
)
