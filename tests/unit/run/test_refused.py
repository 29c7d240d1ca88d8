"""Rows that the target does not take: exactly these are held back, whatever stands beside them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Chunk, QuarantinedRow, Receipt
from veilflow.run import refused
from veilflow.run.chunk import Treated, reason_key
from veilflow.run.refused import without_refused


def chunk_of(rows: int, kept: list[int]) -> tuple[Chunk, Treated]:
    """A chunk at position 1000 of its source, of which ``kept`` rows are to be loaded and the last one is held already."""
    raw = pa.record_batch({"n": pa.array(range(rows), pa.int64())})
    held = QuarantinedRow(rows - 1, 1000 + rows - 1, ("a check",))
    receipt = Receipt(3, rows, len(kept), 1, rows - len(kept) - 1, "d", {"check": 1}, {}, {})
    chunk = Chunk(3, raw, raw, np.arange(rows, dtype=np.int64) + 1000)
    treated = pa.table({"n": pa.array(kept, pa.int64())})
    return chunk, Treated(treated, np.array(kept, dtype=np.int64), (held,), receipt)


def refuses(bad: set[int]) -> refused.Attempt:
    def attempt(rows: pa.Table) -> None:
        if found := sorted(bad & set(rows["n"].to_pylist())):
            raise VEIL319(f"rule {found[0] % 2}")

    return attempt


def VEIL319(problem: str) -> VeilError:  # noqa: N802
    return VeilError("VEIL319", problem, "look")


@given(st.sets(st.integers(0, 199)), st.sets(st.integers(0, 198), min_size=1))
def test_exactly_the_refused_rows_are_held_back(bad: set[int], kept: set[int]) -> None:
    """With the row of the chunk that each one was, its position in the source and what the target said; the books
    balance."""
    chunk, treated = chunk_of(200, sorted(kept))
    left = without_refused(treated, chunk, refuses(bad))
    wanted = sorted(bad & kept)
    assert left.rows["n"].to_pylist() == left.kept.tolist() == sorted(kept - bad)
    held = left.quarantined[1:]
    assert left.quarantined[:1] == treated.quarantined
    assert [(row.row, row.position, row.reasons) for row in held] == [
        (row, 1000 + row, (f"target: rule {row % 2}",)) for row in wanted
    ]
    receipt = left.receipt
    assert receipt.read == receipt.loaded + receipt.quarantined + receipt.filtered
    assert receipt.loaded == left.rows.num_rows and receipt.digest == treated.receipt.digest
    counted = {reason_key("target", None, f"rule {n}"): sum(row % 2 == n for row in wanted) for n in (0, 1)}
    assert receipt.failures == {"check": 1} | {key: count for key, count in counted.items() if count}


def test_rows_refused_only_beside_each_other_are_not_guessed_at() -> None:
    """Two rows of one unique key: neither is the bad one."""
    chunk, treated = chunk_of(10, [1, 5, 7])

    def attempt(rows: pa.Table) -> None:
        if rows.num_rows > 2:
            raise VEIL319("twice")

    assert without_refused(treated, chunk, attempt).rows.num_rows == 3


def test_another_fault_than_a_refusal_is_none_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection comes through; and so does a table that takes next to nothing."""
    chunk, treated = chunk_of(10, [1, 5, 7])

    def lost(_rows: pa.Table) -> None:
        raise PassingFault("VEIL401", "lost", "again")

    with pytest.raises(PassingFault):
        without_refused(treated, chunk, lost)
    monkeypatch.setattr(refused, "MOST", 2)
    with pytest.raises(VeilError, match="more than 2 rows of one chunk"):
        without_refused(treated, chunk, refuses({1, 5, 7}))
