"""Quotes that do not match are refused, exactly where Python's own csv module in its strict mode refuses them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilflow.errors import VeilError
from veilflow.model import SourceConfig
from veilflow.sources.csv_rows import RowEnds

CONFIG = SourceConfig("csv", Path("people.csv"), "people.csv")


def line_of_mismatch(data: bytes, pieces: list[int]) -> str | None:
    """What ``RowEnds`` says of data that comes in pieces of these sizes; None if it is content."""
    check, at = RowEnds(CONFIG), 0
    try:
        for size in pieces:
            check.feed(data[at : at + size], final=False)
            at += size
        check.feed(data[at:], final=True)
    except VeilError as error:
        assert error.code == "VEIL210"
        return error.problem.rpartition(" ")[2]
    return None


def strict(text: str) -> bool:
    """Whether Python's csv module in strict mode reads it."""
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return False
    return True


@given(st.text(alphabet='ab,"\n', max_size=40), st.lists(st.integers(0, 7), max_size=8))
def test_agrees_with_the_csv_module_however_the_file_is_cut(text: str, pieces: list[int]) -> None:
    """A block may end between two quotes, or between a quote and the byte behind it."""
    assert (line_of_mismatch(text.encode(), pieces) is None) == strict(text)


@given(st.lists(st.sampled_from(['"a"', '"b,\n"', "a", '"', '""', ",", "\n", "x" * 61, '"' + "y" * 127]), max_size=24))
def test_agrees_with_the_csv_module_where_a_file_is_longer_than_a_word(parts: list[str]) -> None:
    """Quotes are followed 64 bytes at a time; what is open crosses from one such word to the next."""
    text = "".join(parts)
    assert (line_of_mismatch(text.encode(), [64, 64, 1]) is None) == strict(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n1,"x\n2,y\n3,z\n', "2"),
        ('a,b\n1,x\n2,"y\n3,"z"\n', "4"),
        ('a,b\n1,"x" y\n', "2"),
        ('a,b\n1,"x\ny"\n2,5" pipe\n3,"z', "5"),
        ('"a', "1"),
    ],
    ids=["open to the end", "closed by the next field", "text behind", "after a quote that is text", "in the header"],
)
def test_names_the_line(text: str, line: str) -> None:
    """Where a person looks: the line in which the quote opened, or was followed by text."""
    assert line_of_mismatch(text.encode(), []) == line
    assert line_of_mismatch(text.encode(), [1] * len(text)) == line


@given(st.lists(st.lists(st.text(alphabet='ab,"\n\r', max_size=4), min_size=2, max_size=3), max_size=9), st.lists(st.integers(0, 7), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))  # fmt: skip
def test_finds_where_each_row_ends(rows: list[list[str]], pieces: list[int], line_end: str) -> None:
    """Whatever stands in quoted fields, and however the file is cut; blank lines are no rows."""
    texts = []
    for row in rows:
        text = io.StringIO(newline="")
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=line_end).writerow(row)
        texts.append(text.getvalue())
    data = (line_end + line_end.join(texts)).encode()
    follow, at, found, size = RowEnds(CONFIG), 0, [], 0
    for count in [*pieces, len(data)]:
        part, ends = follow.feed(data[at : at + count], final=count == len(data))
        found += [size + int(end) for end in ends]
        at, size = at + count, size + len(part)
    want, end = [], len(line_end)
    for text in texts:
        end += len(text)
        want.append(end)
        end += len(line_end)
    assert (found, size) == (want, len(data))
