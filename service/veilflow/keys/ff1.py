"""FF1 of NIST SP 800-38G rev. 1 over whole columns of numeral strings.

All ten rounds run on arrays, with one AES call a round for a block of values. Halves below 2^62 take one word each,
below 2^112 two; longer strings go one by one through ``ff1_exact``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from veilflow.keys.buffers import by_length
from veilflow.keys.ff1_exact import ROUNDS, ff1_exact, half_bytes, header
from veilflow.keys.numerals import Numerals, numbers, numeral_type, strings
from veilflow.keys.words import Divisor, Words, combine

#: SP 800-38G rev. 1: radix^length of every value. Below it the mapping can be searched through.
MINIMUM_DOMAIN = 1_000_000
#: SP 800-38G as first published; nothing goes below.
_LEAST_DOMAIN = 100
#: Values a block: its arrays stay in the processor's cache.
_BLOCK = 16_384
_NARROW, _WIDE = 1 << 62, 1 << 112

Halves = tuple[Words, ...]  # the high limbs, if there are two, and the low ones


class FF1:
    """One key and radix. ``minimum_domain`` is below a million only where somebody answers for it."""

    def __init__(self, key: bytes, radix: int, minimum_domain: int = MINIMUM_DOMAIN) -> None:
        if not 2 <= radix <= 65536:
            raise ValueError("the radix is a number from 2 to 65536")
        if len(key) not in (16, 24, 32):
            raise ValueError("an AES key has 16, 24 or 32 bytes")
        if minimum_domain < _LEAST_DOMAIN:
            raise ValueError(f"FF1 is not defined on fewer than {_LEAST_DOMAIN} values")
        self._key, self.radix, self._minimum = key, radix, minimum_domain
        self.shortest = shortest_length(radix, minimum_domain)
        self._prepared: dict[tuple[int, bytes], tuple[_Rounds, Numerals]] = {}

    def encrypt(self, numerals: Numerals, tweak: bytes | pa.Array = b"") -> Numerals:
        """Rows of numerals, all of one length, to rows of the same shape. ``tweak`` for all, or a binary array with
        one a row. ValueError for a domain that is too small or a numeral outside the radix."""
        return self._apply(numerals, tweak, inverse=False)

    def decrypt(self, numerals: Numerals, tweak: bytes | pa.Array = b"") -> Numerals:
        """The inverse of ``encrypt``."""
        return self._apply(numerals, tweak, inverse=True)

    def column(self, values: pa.Array, tweak: bytes | pa.Array = b"", *, inverse: bool = False) -> pa.Array:
        """The same for a binary array without nulls whose values hold numerals of any lengths, 1 or 2 bytes each."""
        kind = numeral_type(self.radix)

        def group(rows: Numerals, indices: Numerals) -> Numerals:
            own = tweak if isinstance(tweak, bytes) else tweak.take(pa.array(indices))
            return self._apply(rows.view(kind), own, inverse=inverse).view(np.uint8)

        return by_length(values, group)

    def _apply(self, numerals: Numerals, tweak: bytes | pa.Array, *, inverse: bool) -> Numerals:
        rows, length = numerals.shape
        if length < self.shortest:
            raise ValueError("the value space is too small")
        if rows and not 0 <= int(numerals.min()) <= int(numerals.max()) < self.radix:
            raise ValueError("a numeral outside the radix")
        numerals = numerals.astype(numeral_type(self.radix), copy=False)
        if self.radix ** (length - length // 2) >= _WIDE:
            return self._one_by_one(numerals, tweak, inverse=inverse)
        rounds, states = self._prepare(length, tweak)
        found = np.empty(numerals.shape, numeral_type(self.radix))
        for start in range(0, rows, _BLOCK):
            block = slice(start, start + _BLOCK)
            own = states if len(states) == 1 else states[block]
            found[block] = rounds.run(numerals[block], own, inverse=inverse)
        return found

    def _prepare(self, length: int, tweak: bytes | pa.Array) -> tuple[_Rounds, Numerals]:
        """The rounds for one length, and where they start from; kept for a tweak that is the same for all."""
        size = half_bytes(self.radix, length - length // 2)
        if not isinstance(tweak, bytes):
            states = _tweak_states(self._key, self.radix, length, size, tweak)
            return _Rounds(self._key, self.radix, length, size), states
        if (length, tweak) not in self._prepared:
            states = _tweak_states(self._key, self.radix, length, size, pa.array([tweak], pa.binary()))
            self._prepared[length, tweak] = _Rounds(self._key, self.radix, length, size), states
        return self._prepared[length, tweak]

    def _one_by_one(self, numerals: Numerals, tweak: bytes | pa.Array, *, inverse: bool) -> Numerals:
        tweaks = [tweak] * len(numerals) if isinstance(tweak, bytes) else tweak.to_pylist()
        found = [
            ff1_exact(self._key, self.radix, row.tolist(), own, inverse=inverse)
            for row, own in zip(numerals, tweaks, strict=True)
        ]
        return np.array(found, numeral_type(self.radix)).reshape(numerals.shape)


def shortest_length(radix: int, minimum_domain: int = MINIMUM_DOMAIN) -> int:
    """Numerals that a value needs for a large enough value space; at least 2, as FF1 splits it."""
    length = 2
    while radix**length < minimum_domain:
        length += 1
    return length


class _Rounds:
    """The Feistel network over blocks of values of one length."""

    def __init__(self, key: bytes, radix: int, length: int, size: int) -> None:
        left = length // 2
        self._key, self._radix, self._widths, self._size = key, radix, (left, length - left), size
        self._bits = 8 * (4 * ((size + 3) // 4) + 4)  # of y, algorithm 7, step 6
        self._moduli = (radix**left, radix ** (length - left))
        wide = self._moduli[1] >= _NARROW
        self._mix = [(_wide_mix if wide else _narrow_mix)(modulus, self._bits) for modulus in self._moduli]
        self._read, self._write = (_wide_codec if wide else _narrow_codec)(radix)

    def run(self, numerals: Numerals, states: Numerals, *, inverse: bool) -> Numerals:
        """One block through all rounds; ``states`` holds AES's chained input before the last block, one or one a row."""
        encryptor = Cipher(algorithms.AES(self._key), modes.ECB()).encryptor()  # noqa: S305
        count, left = len(numerals), self._widths[0]
        message = np.empty((count, 2), ">u8")
        room = np.empty(16 * count + 15, np.uint8)
        answer = room[: 16 * count].view(">u8").reshape(count, 2)

        def aes() -> None:
            encryptor.update_into(message.data.cast("B"), room.data)

        a, b = self._read(numerals[:, :left]), self._read(numerals[:, left:])
        for turn in reversed(range(ROUNDS)) if inverse else range(ROUNDS):
            source = a if inverse else b
            self._fill(message, source, states, turn, first=turn == (ROUNDS - 1 if inverse else 0))
            aes()
            y = self._stream(message, answer, aes)
            if inverse:
                a, b = self._mix[turn % 2](b, y, True), a
            else:
                a, b = b, self._mix[turn % 2](a, y, False)
        return np.concatenate([self._write(a, self._widths[0]), self._write(b, self._widths[1])], axis=1)

    def _fill(self, message: Numerals, source: Halves, states: Numerals, turn: int, *, first: bool) -> None:
        """The last block of Q, steps 6.i and 6.ii: the round above the half's ``size`` bytes."""
        place = turn << 8 * self._size
        high, low = place >> 64, place & (2**64 - 1)
        message[:, 1] = source[-1] ^ (states[:, 1] ^ np.uint64(low))
        if len(source) == 2:
            message[:, 0] = source[0] ^ (states[:, 0] ^ np.uint64(high))
        elif high or first or self._size >= 8:
            message[:, 0] = states[:, 0] ^ np.uint64(high)

    def _stream(self, message: Numerals, answer: Numerals, aes: Callable[[], None]) -> Halves:
        """y of step 6.iii as limbs: the leading bits of R, and of AES(R xor 1) where R is too short."""
        high = answer[:, 0].astype(np.uint64)
        if self._bits == 64:
            return (high,)
        low = answer[:, 1].astype(np.uint64)
        if self._bits == 96:
            return high >> np.uint64(32), high << np.uint64(32) | low >> np.uint64(32)
        if self._bits == 128:
            return high, low
        message[:, 0], message[:, 1] = high, low ^ np.uint64(1)
        aes()
        tail = answer[:, 0].astype(np.uint64) >> np.uint64(32)
        half = np.uint64(32)
        return high >> half, high << half | low >> half, low << half | tail


# --- halves in one word, halves in two ---------------------------------------------------------

_Mix = Callable[[Halves, Halves, bool], Halves]
_Codec = tuple[Callable[[Numerals], Halves], Callable[[Halves, int], Numerals]]


def _divisors(modulus: int, bits: int) -> list[Divisor]:
    """What reduces ``bits`` bits to a remainder by ``modulus``: a multiple of it first, where the quotient would not
    fit in a word."""
    spare = bits - modulus.bit_length() + 1 - 64
    if spare <= 0:
        return [Divisor(modulus, bits)]
    multiple = modulus << spare
    return [Divisor(multiple, bits), Divisor(modulus, multiple.bit_length())]


def _narrow_mix(modulus: int, bits: int) -> _Mix:
    """(half ± y) mod modulus for moduli below 2^62."""
    divisor = np.uint64(modulus)
    divisors = _divisors(modulus, bits) if bits > 64 else []

    def mix(half: Halves, y: Halves, inverse: bool) -> Halves:
        rest = y[-1]
        if divisors:
            rest = divisors[0].remainder(*y)
            for other in divisors[1:]:
                rest = other.remainder(np.zeros_like(rest), rest)
        else:
            rest -= rest // divisor * divisor
        if inverse:
            found = half[0] - rest  # wraps where negative, and adding the modulus comes back
            return (np.minimum(found, found + divisor),)
        found = half[0] + rest
        return (np.minimum(found, found - divisor),)

    return mix


def _wide_mix(modulus: int, bits: int) -> _Mix:
    """(half ± y) mod modulus for moduli below 2^112."""
    divisors = _divisors(modulus, bits)

    def mix(half: Halves, y: Halves, inverse: bool) -> Halves:
        _quotient, high, low = divisors[0].wide_divide(*y)
        for other in divisors[1:]:
            _quotient, high, low = other.wide_divide(high, low)
        change = divisors[-1].subtract if inverse else divisors[-1].add
        return change(half[0], half[1], high, low)

    return mix


def _narrow_codec(radix: int) -> _Codec:
    return lambda numerals: (numbers(numerals, radix),), lambda half, width: strings(half[0], radix, width)


def _wide_codec(radix: int) -> _Codec:
    """Through two numbers below 2^64: a half below 2^112 has at most 112 / 2 + 8 bits in its longer part."""

    def read(numerals: Numerals) -> Halves:
        lower = (numerals.shape[1] + 1) // 2
        split = numerals.shape[1] - lower
        return combine(numbers(numerals[:, :split], radix), numbers(numerals[:, split:], radix), radix**lower)

    def write(half: Halves, width: int) -> Numerals:
        lower = (width + 1) // 2
        quotient, _high, low = Divisor(radix**lower, (radix**width).bit_length()).wide_divide(*half)
        return np.concatenate([strings(quotient, radix, width - lower), strings(low, radix, lower)], axis=1)

    return read, write


# --- tweaks ------------------------------------------------------------------------------------


def _tweak_states(key: bytes, radix: int, length: int, size: int, tweaks: pa.Array) -> Numerals:
    """What the last block of Q is added to: PRF's chaining value over P and the tweak's whole blocks, with the tweak's
    rest. Two words a row."""

    def group(rows: Numerals, _indices: Numerals) -> Numerals:
        count, long = rows.shape
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
        padded = np.zeros((count, -(-(long + size + 1) // 16) * 16), np.uint8)
        padded[:, :long] = rows
        state = np.tile(np.frombuffer(encryptor.update(header(radix, length, long)), np.uint8), (count, 1))
        for start in range(0, padded.shape[1] - 16, 16):
            chained = encryptor.update((state ^ padded[:, start : start + 16]).tobytes())
            state = np.frombuffer(chained, np.uint8).reshape(count, 16)
        return state ^ padded[:, -16:]

    states = by_length(tweaks, group)
    whole = np.frombuffer(states.buffers()[2], np.uint8)[: 16 * len(tweaks)]
    return whole.view(">u8").astype(np.uint64).reshape(-1, 2)
