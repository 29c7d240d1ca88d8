"""An age identity (age-encryption.org, X25519) from 32 derived bytes."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def age_identity(secret: bytes) -> tuple[str, str]:
    """``AGE-SECRET-KEY-1…`` and ``age1…`` for a secret scalar of 32 bytes, in Bech32 (BIP 173) as age writes them."""
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return _bech32("age-secret-key-", secret).upper(), _bech32("age", public)


def _bech32(prefix: str, data: bytes) -> str:
    words = _to_five_bits(data)
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    checksum = _polymod([*expanded, *words, 0, 0, 0, 0, 0, 0]) ^ 1
    tail = [(checksum >> 5 * (5 - index)) & 31 for index in range(6)]
    return prefix + "1" + "".join(_CHARSET[word] for word in [*words, *tail])


def _to_five_bits(data: bytes) -> list[int]:
    bits = int.from_bytes(data, "big")
    padding = -len(data) * 8 % 5
    bits, count = bits << padding, (len(data) * 8 + padding) // 5
    return [(bits >> 5 * (count - 1 - index)) & 31 for index in range(count)]


def _polymod(words: list[int]) -> int:
    checksum = 1
    for word in words:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ word
        for index, generator in enumerate(_GENERATOR):
            checksum ^= generator if (top >> index) & 1 else 0
    return checksum
