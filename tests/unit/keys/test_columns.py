"""AES-SIV over columns beside the library, values treated once, and columns as bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.keys import KeyRing, derive, once_per_value, open_sealed, seal
from veilflow.keys.buffers import by_length, skip_nulls

KEY = bytes(range(64))


@given(st.lists(st.binary(max_size=70), max_size=6), st.lists(st.binary(max_size=20), max_size=3), st.integers(0, 2))
@settings(deadline=None)
def test_a_column_is_sealed_as_the_library_seals_each_value(
    values: list[bytes], associated: list[bytes], cut: int
) -> None:
    """Any lengths, any associated data, and in a slice; it opens again."""
    column = pa.array(values, pa.binary()).slice(cut)
    library = AESSIV(KEY)
    sealed = seal(column, KEY, associated)
    assert sealed.to_pylist() == [library.encrypt(value, associated) for value in values[cut:]]
    assert open_sealed(sealed, KEY, associated).equals(column)


def test_associated_data_of_a_row_follow_its_row() -> None:
    """Whatever the lengths are, by which values are grouped."""
    values = [b"a", b"long enough for two blocks", b"", b"a"]
    own = np.frombuffer(bytes(range(64)), np.uint8).reshape(4, 16)
    found = seal(pa.array(values, pa.binary()), KEY, [own]).to_pylist()
    assert found == [AESSIV(KEY).encrypt(value, [row.tobytes()]) for value, row in zip(values, own, strict=True)]
    assert found[0] != found[3]


@pytest.mark.parametrize("broken", [b"", b"short", bytes(16), bytes(40)])
def test_what_is_not_sealed_does_not_open(broken: bytes) -> None:
    """One forged value refuses the column, without a word of any value."""
    good = seal(pa.array([b"MARKER"], pa.binary()), KEY)[0].as_py()
    with pytest.raises(ValueError, match=r"^a value is not sealed under this key$"):
        open_sealed(pa.array([good, broken], pa.binary()), KEY)


def test_a_siv_key_has_64_bytes() -> None:
    """Two AES-256 keys (CONTRACT: "Keys and tokens"); every other use has 32."""
    ring = KeyRing.parse(KeyRing.generate("2026-01-01T00:00:00Z"))
    assert len(ring.derive("siv", "d").value) == 64 and len(ring.derive("ff1", "d").value) == 32
    assert derive(bytes(32), "siv", "d", 1) == derive(bytes(32), "siv", "d", 1, 64)


@pytest.mark.parametrize("different", [3, 100_000])
def test_repeated_values_are_treated_once(different: int) -> None:
    """A few values many times: each is seen once. All different: the column goes through as it is."""
    seen = []

    def upper(values: pa.Array) -> pa.Array:
        seen.append(len(values))
        return pc.utf8_upper(values)

    values = pa.array([None if row % 7 == 0 else f"v{row % different}" for row in range(10_000)])
    assert once_per_value(values, upper).equals(pc.utf8_upper(values))
    assert seen == [3 if different == 3 else 10_000]


@given(st.lists(st.none() | st.binary(max_size=5), max_size=9), st.integers(0, 3))
@settings(deadline=None)
def test_values_of_each_length_are_treated_together(values: list[bytes | None], cut: int) -> None:
    """And come back in their order, nulls in their places, with other lengths where the treatment changes them."""
    column = pa.array(values, pa.binary()).slice(cut)

    def twice(rows: np.ndarray, _indices: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, rows], axis=1)

    found = skip_nulls(column, lambda there: by_length(there, twice))
    assert found.to_pylist() == [None if value is None else value * 2 for value in values[cut:]]
