"""What checks say of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from veilflow.model.rows import Chunk


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one check said of one chunk. ``evaluated`` counts the rows it judged (nulls are not
    judged, except by the null checks); ``failed`` are row indices in the chunk."""

    check: int
    evaluated: int
    failed: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What a check about the whole table came to. ``failed`` is 0 where no single row is at fault. ``other_held``:
    nobody could change the other table between the comparison and publishing; None without another table."""

    check: int
    passed: bool
    evaluated: int
    failed: int
    other_held: bool | None = None


class Checker(Protocol):
    """Judges chunks; made once per run and thread-safe."""

    def check(self, chunk: Chunk) -> tuple[CheckOutcome, ...]:
        """One outcome per check of the plan, in its order."""
