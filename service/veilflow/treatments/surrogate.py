"""Random pseudonyms, which a mapping remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from veilflow.keys import hmac_words, once_per_value, open_sealed, seal, skip_nulls, token_bytes
from veilflow.keys.buffers import Bytes
from veilflow.treatments.interface import Context, Traits, Treatment, always, one_of, text_type
from veilflow.treatments.token import TOKENISED, hexadecimal_of, uuid_form

_NAME = 32


@dataclass(frozen=True, slots=True)
class Surrogate:
    """``form``: ``uuid`` (RFC 9562, version 4) or ``hex`` (32 hexadecimal characters): 122 or 128 random bits.

    Not derived from the value (HIPAA 164.514(c)); the mapping lies in ``.veil/surrogates``, one file a key domain, apart
    from the target (GDPR Art. 4(5)). It holds neither a value nor a surrogate in clear: an HMAC of the value, and the
    surrogate sealed under the key. Whoever loses it gives everybody a new surrogate; whoever deletes it has cut the
    link. A new key version starts a new mapping.
    """

    form: str = "uuid"

    def __post_init__(self) -> None:
        one_of("form", self.form, "uuid", "hex")


def _surrogate(values: pa.Array, parameters: Surrogate, context: Context) -> pa.Array:
    return once_per_value(values, lambda own: skip_nulls(own, lambda there: _drawn(there, parameters, context)))


def _drawn(values: pa.Array, parameters: Surrogate, context: Context) -> pa.Array:
    if context.surrogates is None:
        raise ValueError("a mapping of surrogates is needed")
    key = context.key("siv").value

    def sealed(names: Sequence[bytes], fresh: Sequence[bytes]) -> list[bytes]:
        return list(seal(pa.array(fresh, pa.binary()), key, [_rows(names)]).to_pylist())

    names = _names(values, context.key("fingerprint").value)
    kept = pa.array(context.surrogates(names, sealed), pa.binary())
    drawn = hexadecimal_of(open_sealed(kept, key, [_rows(names)]))
    return uuid_form(drawn, version=4) if parameters.form == "uuid" else drawn


def _names(values: pa.Array, key: bytes) -> list[bytes]:
    """What the mapping knows each value by: its HMAC, whole."""
    words = hmac_words(token_bytes(values), key).astype(">u8").tobytes()
    return [words[start : start + _NAME] for start in range(0, len(words), _NAME)]


def _rows(names: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(names), np.uint8).reshape(-1, _NAME)


SURROGATE = Treatment(
    "surrogate",
    "A random pseudonym that an encrypted mapping of the key domain remembers: for those who may not derive codes from data.",
    Surrogate,
    TOKENISED,
    text_type,
    _surrogate,
    Traits("a random UUID, or 32 hexadecimal characters", unique_safe=True, linkable=True),
    uses=always("fingerprint", "siv"),
)
