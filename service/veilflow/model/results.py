"""How a run ended, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from veilflow.errors import Place
from veilflow.model.credentials import Access
from veilflow.model.increments import Increment

Status = Literal["running", "succeeded", "refused", "failed", "interrupted", "published_unreported"]


@dataclass(frozen=True, slots=True)
class Counts:
    read: int = 0
    loaded: int = 0
    quarantined: int = 0
    filtered: int = 0

    @property
    def balance(self) -> bool:
        return self.read == self.loaded + self.quarantined + self.filtered

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.read + other.read, self.loaded + other.loaded, self.quarantined + other.quarantined,
            self.filtered + other.filtered,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """Rows held back for one reason; ``expectation`` is None for rows that could not be read."""

    expectation: str | None
    column: str | None
    reason: str
    rows: int
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class CheckCount:
    """What one check came to over the whole run: no value, only counts, and positions in the source (from 0), or in
    ``first_files`` where that has several."""

    expectation: str
    column: str
    title: str
    kind: str
    engine: str
    on_fail: str
    evaluated: int
    failed: int
    passed: bool
    first: tuple[int, ...] = ()
    place: Place | None = None
    stage: str = "source"
    first_files: tuple[str, ...] = ()
    #: See ``TableOutcome``.
    other_held: bool | None = None


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as it goes into results and JSON."""

    code: str
    problem: str
    hint: str
    place: Place | None


@dataclass(frozen=True, slots=True)
class Waived:
    """A check that a release of rows in quarantine lets pass, why, and who says so; ``column`` only where several checks
    have the expectation. Without ``stage`` it is the check of the source, which held the rows back; the gate of the output
    is waived only by its name."""

    expectation: str
    column: str | None
    reason: str
    stage: Literal["source", "output", "both"] | None
    by: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended; the same facts as the ``veilflow/run/1`` document."""

    run_id: str
    parent_run: str | None
    pipeline: str
    environment: str
    orchestrator: Literal["prefect", "direct"]
    status: Status
    exit_status: int
    mode: str
    counts: Counts
    quarantine: tuple[QuarantineCount, ...]
    plan_hash: str | None
    key_versions: Mapping[str, int]
    target_kind: str | None
    target_table: str | None
    target_location: str | None
    chunks: int
    seconds: Mapping[str, float]
    peak_memory_bytes: int
    errors: tuple[ErrorRecord, ...]
    started: str
    ended: str | None
    checks: tuple[CheckCount, ...] = ()
    #: The version that a person chose in the place of the active one.
    pinned_key_version: int | None = None
    #: The versions that a re-key left, by key domain; ``key_versions`` are those that it took. None of other runs.
    left_key_versions: Mapping[str, int] | None = None
    #: The secrets that it opened.
    accesses: tuple[Access, ...] = ()
    #: Everything up to publishing was done, and nothing was published.
    dry_run: bool = False
    #: Whether what is staged was kept, so that the run can be gone on with.
    resumable: bool = False
    #: How many chunks were staged already when it was gone on with; None if it never was.
    resumed_chunks: int | None = None
    #: What an incremental run read, and where the watermark stands behind it.
    increment: Increment | None = None
    watermark: str | None = None
    #: The check that the release which this run is lets pass.
    waived: Waived | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is now; numbers that are not known are None."""

    stage: str
    read: int = 0
    quarantined: int = 0
    durable: int = 0
    bytes_total: int | None = None
