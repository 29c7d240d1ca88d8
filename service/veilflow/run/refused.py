"""Rows that the target does not take: found by halves, held back whole, and the rest of their chunk is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import Chunk, QuarantinedRow
from veilflow.run.chunk import Treated, reason_key

#: Refused rows of one chunk. With more, types or constraints do not fit the data, and the search would take long.
MOST = 1_000

Attempt = Callable[[pa.Table], None]


def without_refused(treated: Treated, chunk: Chunk, attempt: Attempt) -> Treated:
    """The chunk without the rows that ``attempt`` refuses (VEIL319), which are held back with what was said of them.

    The same chunk and the same target give the same rows. VEIL319 if they are more than ``MOST``.
    """
    refused: dict[int, str] = {}
    _search(treated.rows, 0, attempt, refused)
    fits = np.ones(treated.rows.num_rows, dtype=bool)
    fits[list(refused)] = False
    held = [_row(int(treated.kept[row]), reason, chunk) for row, reason in refused.items()]
    receipt = treated.receipt
    return Treated(
        treated.rows.filter(pa.array(fits)),
        treated.kept[fits],
        (*treated.quarantined, *held),
        replace(
            receipt,
            loaded=receipt.loaded - len(held),
            quarantined=receipt.quarantined + len(held),
            failures=_counted(receipt.failures, refused),
        ),
    )


def _search(rows: pa.Table, first: int, attempt: Attempt, refused: dict[int, str]) -> None:
    """Note the refused ones of ``rows``, which begin at row ``first`` of the chunk. Both halves are always tried: rows
    that the target refuses only beside each other are none of these."""
    try:
        attempt(rows)
    except VeilError as error:
        if error.code != "VEIL319":
            raise
        if rows.num_rows == 1:
            _note(first, error, refused)
            return
        half = rows.num_rows // 2
        _search(rows.slice(0, half), first, attempt, refused)
        _search(rows.slice(half), first + half, attempt, refused)


def _note(row: int, error: VeilError, refused: dict[int, str]) -> None:
    if len(refused) == MOST:
        raise VeilError(
            "VEIL319", f"the target refuses more than {MOST:,} rows of one chunk; the first of them: "
            + next(iter(refused.values())),
            "these are not a few bad rows: compare the plan's types with the table's columns and constraints",
        )  # fmt: skip
    refused[row] = error.problem


def _row(row: int, reason: str, chunk: Chunk) -> QuarantinedRow:
    return QuarantinedRow(row, int(chunk.positions[row]), (f"target: {reason}",))


def _counted(failures: Mapping[str, int], refused: Mapping[int, str]) -> dict[str, int]:
    new = Counter(reason_key("target", None, reason) for reason in refused.values())
    return dict(Counter(failures) + new)
