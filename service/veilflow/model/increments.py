"""How far a source has been read: windows over one column, and the checkpoint that commits with the rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """The rows whose ``column`` lies between two values, as texts that read back exactly; None: no bound."""

    column: str
    low: str | None = None
    low_included: bool = True
    high: str | None = None
    high_included: bool = True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a pipeline has read: ``watermark`` is the largest value of its column that was read."""

    meaning: str
    watermark: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a target knows of a pipeline; nothing where its table is not there. ``published`` says that some run has
    published into the table."""

    checkpoint: Checkpoint | None = None
    published: bool = False


@dataclass(frozen=True, slots=True)
class Advance:
    """The checkpoint that publishing writes, in the place of the one that the run began with, or not at all."""

    pipeline: str
    before: Checkpoint | None
    after: Checkpoint


@dataclass(frozen=True, slots=True)
class Increment:
    """What an incremental run reads, fixed at its beginning. ``moves`` says whether publishing moves the checkpoint."""

    window: Window
    before: Checkpoint | None
    moves: bool
