"""A file's bytes come as valid UTF-8, wherever its blocks end."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from veilflow.model import SourceConfig
from veilflow.sources.decoding import as_read, decoder_of, marked

#: Characters of each length, cut ones, and bytes that UTF-8 never has or has not there.
PIECES = [
    b"a",
    "ä".encode(),
    "王".encode(),
    "𝄞".encode(),
    b"\xe7\x8e",
    b"\xf0\x9d",
    b"\x8e",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\n",
]


def decoded(blocks: list[bytes], encoding: str = "utf-8") -> bytes:
    decoder = decoder_of(SourceConfig("csv", Path("x.csv"), "x.csv", encoding=encoding))
    done = []
    for block in blocks:
        done.append(decoder.decode(block))
        assert len(decoder.held) < 4
    return b"".join([*done, decoder.decode(b"", final=True)])


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join) | st.binary(max_size=40), st.lists(st.integers(0, 40))
)
@example("王".encode(), [1, 2])
@example(b"\xf0\x9d\x84", [3])
@example(b"\xed\xa0\x80", [2])
def test_blocks_come_to_what_the_whole_comes_to(data: bytes, cuts: list[int]) -> None:
    """Any bytes, cut anywhere; the bytes themselves can be had again."""
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    blocks = [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    whole = marked(data)
    assert decoded(blocks).decode("utf-8") == whole
    assert as_read(whole) == data


@given(st.text(max_size=20), st.integers(1, 5))
def test_text_of_any_encoding_comes_as_utf_8(text: str, size: int) -> None:
    """Also where a block ends within a character."""
    for encoding in ("utf-8", "utf-16", "gb18030"):
        data = text.encode(encoding, "replace")
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        assert decoded(blocks, encoding).decode() == data.decode(encoding)
