"""Columns in blocks: the same values in the same order, whatever is made of them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from veilflow.keys.buffers import blocks_of, in_blocks


@pytest.mark.parametrize("count", [0, 1, 7, 8, 11, 12, 100])
def test_blocks_are_even_and_cover_everything(count: int) -> None:
    """No block is a remainder of a few rows."""
    blocks = blocks_of(count, 8)
    sizes = [block.stop - block.start for block in blocks]
    assert sum(sizes) == count and blocks[0].start == 0
    assert all(before.stop == after.start for before, after in zip(blocks, blocks[1:], strict=False))
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "values", [pa.array(["a", "", "王"] * 9), pa.array([1, 2, 3] * 9), pa.array([None, "x", "y"] * 9)]
)
def test_blocks_come_together_in_order(values: pa.Array) -> None:
    """Text, numbers and nulls, also of a slice."""
    own = values.slice(2)
    assert in_blocks(own, 4, lambda part, _rows: part).to_pylist() == own.to_pylist()
    doubled = in_blocks(own.cast(pa.string()), 4, lambda part, _rows: pc.binary_join_element_wise(part, part, ""))
    assert doubled.to_pylist() == [None if v is None else v * 2 for v in own.cast(pa.string()).to_pylist()]
    seen: list[slice] = []
    in_blocks(own, 4, lambda part, rows: seen.append(rows) or part)
    assert seen == blocks_of(len(own), 4)
