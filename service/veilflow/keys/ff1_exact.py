"""FF1 of one numeral string by Python's integers: of any length, and the measure for the column's kernel."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROUNDS = 10


def half_bytes(radix: int, longer_half: int) -> int:
    """b of SP 800-38G, algorithm 7, step 3: bytes that hold any number of the longer half."""
    values: int = radix**longer_half
    return ((values - 1).bit_length() + 7) // 8


def header(radix: int, length: int, tweak_length: int) -> bytes:
    """P of algorithm 7, step 5."""
    return b"\1\2\1" + radix.to_bytes(3, "big") + bytes([ROUNDS, length // 2 % 256]) + length.to_bytes(4, "big") + tweak_length.to_bytes(4, "big")  # fmt: skip


def ff1_exact(key: bytes, radix: int, numerals: Sequence[int], tweak: bytes, *, inverse: bool) -> list[int]:
    """FF1.Encrypt or FF1.Decrypt (SP 800-38G, algorithms 7 and 8); the domain is the caller's to check."""
    # FF1 is built on single blocks of AES; nothing here is encrypted in ECB mode.
    encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # noqa: S305
    length = len(numerals)
    left = length // 2
    size = half_bytes(radix, length - left)
    wanted = 4 * ((size + 3) // 4) + 4
    prefix = header(radix, length, len(tweak)) + tweak + bytes((-len(tweak) - size - 1) % 16)
    a, b = _number(numerals[:left], radix), _number(numerals[left:], radix)
    for turn in reversed(range(ROUNDS)) if inverse else range(ROUNDS):
        modulus = radix ** (left if turn % 2 == 0 else length - left)
        source = a if inverse else b
        state = bytes(16)
        message = prefix + bytes([turn]) + source.to_bytes(size, "big")
        for start in range(0, len(message), 16):
            state = encrypt(_xor(state, message[start : start + 16]))
        stream = state
        while len(stream) < wanted:
            stream += encrypt(_xor(state, (len(stream) // 16).to_bytes(16, "big")))
        y = int.from_bytes(stream[:wanted], "big")
        a, b = ((b - y) % modulus, a) if inverse else (b, (a + y) % modulus)
    return _string(a, radix, left) + _string(b, radix, length - left)


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(16, "big")


def _number(numerals: Sequence[int], radix: int) -> int:
    total = 0
    for numeral in numerals:
        total = total * radix + int(numeral)
    return total


def _string(number: int, radix: int, width: int) -> list[int]:
    numerals = [0] * width
    for place in range(width - 1, -1, -1):
        number, numerals[place] = divmod(number, radix)
    return numerals
