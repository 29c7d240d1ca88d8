"""FF1 over columns: every radix and length, the same as one value at a time; and what it refuses."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from veilflow.keys import FF1, Alphabet
from veilflow.keys.ff1 import shortest_length
from veilflow.keys.ff1_exact import ff1_exact
from veilflow.keys.words import Divisor

RADIXES = st.integers(2, 65536) | st.sampled_from([2, 10, 26, 36, 62, 255, 256, 257, 8192, 32768, 65535, 65536])


@st.composite
def columns(draw: st.DrawFn) -> tuple[int, list[list[int]], list[bytes]]:
    """A radix and values of several lengths with tweaks; every length is at least FF1's and may need an exact path."""
    radix = draw(RADIXES)
    least = shortest_length(radix)
    lengths = draw(st.lists(st.integers(least, least + 90) | st.integers(least, least + 9), min_size=1, max_size=5))
    numeral = st.sampled_from([0, radix - 1]) | st.integers(0, radix - 1)
    values = [draw(st.lists(numeral, min_size=length, max_size=length)) for length in lengths]
    return radix, values, [draw(st.binary(max_size=40)) for _ in lengths]


def as_column(values: list[list[int]], radix: int) -> pa.Array:
    return pa.array([np.array(value, "<u1" if radix <= 256 else "<u2").tobytes() for value in values], pa.binary())


@given(columns(), st.sampled_from([16, 24, 32]), st.integers(0, 2**32))
@settings(deadline=None, max_examples=150)
@example((8192, [[8191] * 17], [b""]), 32, 0)  # an odd half, whose longer part needs 65 bits
@example((65536, [[65535] * 14], [b"x" * 16]), 32, 0)
@example((256, [[255] * 16, [255] * 28], [b"", b"t" * 9]), 16, 0)
def test_a_column_is_encrypted_as_one_value_at_a_time(
    column: tuple[int, list[list[int]], list[bytes]], key_size: int, seed: int
) -> None:
    """Any radix from 2 to 65536, any mixture of lengths and tweaks, and back again."""
    radix, values, tweaks = column
    key = random.Random(seed).randbytes(key_size)
    cipher, own = FF1(key, radix), pa.array(tweaks, pa.binary())
    expected = [ff1_exact(key, radix, v, t, inverse=False) for v, t in zip(values, tweaks, strict=True)]
    plain = as_column(values, radix)
    assert cipher.column(plain, own).equals(as_column(expected, radix))
    assert cipher.column(cipher.column(plain, own), own, inverse=True).equals(plain)
    one = cipher.column(plain, tweaks[0])
    assert one[0].as_py() == as_column(expected, radix)[0].as_py()


@given(st.integers(2, 2**112 - 1), st.integers(0, 2**160 - 1), st.integers(0, 20))
@settings(deadline=None)
def test_division_over_words_is_exact(divisor: int, value: int, near: int) -> None:
    """Also just below and above a multiple of the divisor, where an estimate would be off."""
    bits = min(160, divisor.bit_length() + 63)
    for number in (value % (1 << bits), (value % (1 << bits)) // divisor * divisor + near, (1 << bits) - 1):
        number %= 1 << bits
        limbs = [np.array([number >> shift & (2**64 - 1)], np.uint64) for shift in (128, 64, 0)]
        limbs = limbs if bits > 128 else limbs[1:]
        quotient, high, low = Divisor(divisor, bits).wide_divide(*limbs)
        assert divmod(number, divisor) == (int(quotient[0]), int(high[0]) << 64 | int(low[0]))


@pytest.mark.parametrize(("radix", "shortest"), [(2, 20), (10, 6), (36, 4), (62, 4), (1000, 2), (65536, 2)])
def test_a_value_space_under_a_million_is_refused(radix: int, shortest: int) -> None:
    """SP 800-38G rev. 1 counts radix^length, so it depends on each value."""
    cipher = FF1(bytes(32), radix)
    assert cipher.shortest == shortest
    cipher.encrypt(np.zeros((1, shortest), np.uint16))
    with pytest.raises(ValueError, match="too small"):
        cipher.encrypt(np.zeros((1, shortest - 1), np.uint16))


@pytest.mark.parametrize("radix", [0, 1, 65537])
def test_other_radixes_are_refused(radix: int) -> None:
    """FF1 is defined from 2 to 2^16."""
    with pytest.raises(ValueError):
        FF1(bytes(32), radix)


def test_blocks_and_slices_do_not_change_the_answer() -> None:
    """More values than a block holds, and a column cut anywhere, whose tweaks are cut with it."""
    random_ = np.random.default_rng(7)
    rows = random_.integers(0, 10, (40_000, 16)).astype(np.uint8)
    tweaks = pa.array([b"t%d" % (row % 300) for row in range(len(rows))], pa.binary())
    cipher = FF1(bytes(range(32)), 10)
    whole = cipher.encrypt(rows, tweaks)
    parts = [
        cipher.encrypt(rows[a:b], tweaks.slice(a, b - a)) for a, b in ((0, 16_384), (16_384, 16_385), (16_385, 40_000))
    ]
    assert (np.concatenate(parts) == whole).all()
    assert len(np.unique(whole, axis=0)) == len(np.unique(rows, axis=0))


@given(st.lists(st.text(st.sampled_from("0189 -é王🙂"), max_size=8), max_size=6), st.integers(0, 3))
@settings(deadline=None)
@pytest.mark.parametrize("characters", ["0123456789", "王小明é🙂", "01王"])
def test_an_alphabet_takes_text_apart_and_puts_it_together(characters: str, values: list[str], cut: int) -> None:
    """By bytes or by code points, whatever else stands in the values, also in a slice."""
    alphabet = Alphabet(characters)
    column = pa.array(values, pa.string()).slice(cut)
    spelling = alphabet.split(column)
    expected = [bytes(characters.index(c) for c in value if c in characters) for value in values[cut:]]
    assert spelling.numerals.to_pylist() == expected
    assert alphabet.join(spelling, spelling.numerals).to_pylist() == values[cut:]
    foreign = [row for row, value in enumerate(values[cut:]) if set(value) - set(characters)]
    assert alphabet.foreign_rows(spelling).tolist() == foreign
