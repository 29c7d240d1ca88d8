"""Shapes show how a value is written and nothing of what it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from veilflow.run.on_demand import shape


def test_letters_and_digits_are_told_by_kind() -> None:
    """The examples of the documentation."""
    assert shape("Anna.9@example.com") == "Aaaa.9@aaaaaaa.aaa"
    assert shape("") == '""' and shape(None) == "null" and shape(1908) == "9999"


@given(st.text())
def test_a_shape_holds_no_character_that_tells_something(value: str) -> None:
    """Only a, A, 9, a question mark, blanks and plain punctuation are left."""
    assert set(shape(value)) <= set("aA9? @.,;:-_/+()'\"#&")
