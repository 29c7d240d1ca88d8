"""Two ways to mask an address give one answer."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from veilflow.treatments.contact import any_addresses, ascii_addresses


@given(st.lists(st.none() | st.text("ab1@.-\n ", max_size=14), max_size=9), st.integers(0, 3))
@example(["a@b.cd", "ab@bc.cde", "@b.cd", "a@.cd", "a@b.c", "a@b." + "c" * 24, "a@b." + "c" * 25, "a@b@c.de", ""], 0)
def test_the_bytes_say_what_the_pattern_says(values: list[str | None], cut: int) -> None:
    """For every ASCII text, whatever stands around it."""
    array = pa.array(values, pa.string())[cut:]
    assert ascii_addresses(array).to_pylist() == any_addresses(array).to_pylist()
