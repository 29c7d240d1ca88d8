"""Known answers, made with other tools than the product's own code."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyrage
import pytest

from veilflow.keys import age_identity, derive, digest, hmac_hex, token_bytes


def hkdf(root: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256 and an empty salt, by hand from the standard library."""
    extracted = hmac.new(bytes(32), root, hashlib.sha256).digest()
    output, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.new(extracted, block + info + bytes([counter]), hashlib.sha256).digest()
        output += block
    return output[:length]


@pytest.mark.parametrize("length", [32, 64])
def test_derivation_is_hkdf_with_the_contracts_info(length: int) -> None:
    """veilflow/1, use, key domain and decimal version, joined by NUL."""
    root = bytes(range(32))
    assert derive(root, "token", "person", 12, length) == hkdf(root, b"veilflow/1\0token\0person\x0012", length)


def test_hmac_agrees_with_the_standard_library() -> None:
    """With the key as hex text, over empty, long, Chinese, emoji and NUL values."""
    key = bytes(range(32))
    values = ["", "a", "x" * 500, "王小明", "🙂", "a\0b", None]
    expected = [None if v is None else hmac.new(key.hex().encode(), v.encode(), "sha256").hexdigest() for v in values]
    assert hmac_hex(pa.array(values), key).to_pylist() == expected


def test_rfc_4231_case_two_through_hex_keys() -> None:
    """HMAC-SHA-256 of the text key that the hex form spells."""
    key = bytes.fromhex("4a656665")
    expected = hmac.digest(b"4a656665", b"what do ya want for nothing?", "sha256").hex()
    assert hmac_hex(pa.array(["what do ya want for nothing?"]), key)[0].as_py() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([123, None]), ["123", None]),
        (pa.array([Decimal("1.50"), Decimal("100.00"), Decimal("-0.00"), Decimal("0.01")], pa.decimal128(9, 2)), ["1.5", "100", "0", "0.01"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([date(1999, 1, 2)]), ["1999-01-02"]),
        (pa.array([datetime(1999, 1, 2, 3, 4, 5, 6, tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin")), ["1999-01-02T03:04:05.000006Z"]),
        (pa.array(["a", ""]).dictionary_encode(), ["a", ""]),
    ],
)  # fmt: skip
def test_bytes_of_a_value(values: pa.Array, expected: list[str | None]) -> None:
    """The contract's text of each type, so that 123 and "123" agree."""
    assert token_bytes(values).to_pylist() == expected


def test_an_identity_is_what_age_makes_of_the_scalar() -> None:
    """pyrage parses it and computes the same recipient."""
    for seed in range(20):
        secret, recipient = age_identity(hashlib.sha256(bytes([seed])).digest())
        assert str(pyrage.x25519.Identity.from_str(secret).to_public()) == recipient


def test_a_digest_depends_on_rows_and_key_not_on_chunking() -> None:
    """Slices of the same rows agree; a changed row, order or key differs."""
    table = pa.table({"a": ["x", None, "y", ""], "b": [1, 2, None, 4]})
    whole = digest(b"k", table)
    assert digest(b"k", pa.concat_tables([table.slice(0, 1), table.slice(1)])) == whole
    assert digest(b"k", pa.concat_tables([table, table]).slice(4, 4)) == whole
    assert len({whole, digest(b"l", table), digest(b"k", table.take([1, 0, 2, 3])), digest(b"k", table.slice(1))}) == 4
