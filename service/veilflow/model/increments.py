"""How far a source has been read: windows over one column, and the checkpoint that commits with the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    """How far a pipeline has read: ``watermark`` is the largest value of its column that was read, or ``files`` are those
    that were read, each under a keyed digest of its name with one of its state; ``key`` tells under which key.
    ``revision`` is the run that wrote it."""

    meaning: str
    watermark: str | None = None
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a target knows of a pipeline; nothing where its table is not there. ``published`` says that some run has
    published into the table."""

    checkpoint: Checkpoint | None = None
    published: bool = False


@dataclass(frozen=True, slots=True)
class Advance:
    """The checkpoint that publishing writes, in the place of the one that the run began with, or not at all. Files of
    before that are not among those ``after`` stay as they are."""

    pipeline: str
    before: Checkpoint | None
    after: Checkpoint


@dataclass(frozen=True, slots=True)
class Increment:
    """What an incremental run reads, fixed at its beginning: a ``window``, or the ``chosen`` files, which ``files`` holds
    in the form of a checkpoint; a
    record of the run has only their number, ``files_read``, and that of the others.
    ``before`` is what it began with, without the files; ``moves`` says whether publishing moves the checkpoint."""

    window: Window | None
    before: Checkpoint | None
    moves: bool
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str | None = None
    chosen: tuple[str, ...] | None = None
    files_read: int | None = None
    files_skipped: int = 0
