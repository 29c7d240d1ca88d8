"""Where rows go: targets, receipts, and rows that are held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import pyarrow as pa

from veilflow.model.columns import Mode, Publish
from veilflow.model.increments import Advance, Standing


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """Why one row of a chunk is held back; ``row`` is its index in the chunk, or None if it was rejected."""

    row: int | None
    position: int
    reasons: tuple[str, ...]
    raw: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Output:
    """The table that a run makes, and how its rows meet those that are there: ``merge`` updates the rows of the same
    ``key`` and inserts the others; with ``delete`` rows whose key is gone from the source go as well. ``again``: the rows
    are the table's own, so what is known of its pipelines stays. ``evolve``: columns that the table lacks are added to it.
    ``holds``: rows that are held back lie in the target."""

    table: str
    schema: pa.Schema
    mode: Mode = "replace"
    key: tuple[str, ...] = ()
    delete: bool = False
    again: bool = False
    evolve: bool = False
    holds: bool = False

    @property
    def addable(self) -> frozenset[str]:
        """The columns that may be missing in the table. Not those of the key, by which its rows would be met."""
        return frozenset(self.schema.names) - frozenset(self.key) if self.evolve else frozenset()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one chunk came to; commits in the transaction that loads its rows.

    ``digest`` is keyed (HMAC-SHA-256 with the run's fingerprint key, hex) over the treated rows, those that the target
    then refused among them: so it can be made again without the target.
    ``failures`` counts rows per reason key, ``evaluated`` rows judged per check index: so a resumed run can
    judge ``mostly`` over all chunks without reading the skipped ones again.
    """

    chunk: int
    read: int
    loaded: int
    quarantined: int
    filtered: int
    digest: str
    failures: Mapping[str, int]
    evaluated: Mapping[str, int]
    failed: Mapping[str, int]
    #: Per check that failed: the source positions of the chunk's first few rows.
    first: Mapping[str, Sequence[int]] = field(default_factory=dict)
    #: That of the chunk's slice.
    bookmark: int | None = None
    #: That of the chunk.
    file: str | None = None
    #: The largest value of the window's column among the rows read.
    newest: str | None = None


@dataclass(frozen=True, slots=True)
class TargetColumn:
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ColumnKey:
    """Under which key version the pseudonyms of a column were made. ``making`` is a hash of how: treatment, parameters
    and key domain; None where rows were made in several ways."""

    version: int
    making: str | None


@dataclass(frozen=True, slots=True)
class Publication:
    """What stands in the target's ``_veilflow`` about a published run."""

    run_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class Container:
    """A chunk's rows that are held back: encrypted, under the name that the run's manifest lists."""

    name: str
    data: bytes = field(repr=False)


class Containers(Protocol):
    """Where the containers of one run lie."""

    def place(self, name: str) -> str:
        """Where one of them is, for a message."""

    def names(self) -> set[str]: ...

    def read(self, name: str) -> bytes:
        """Empty if it is not there."""

    def write(self, container: Container) -> None:
        """In the place of the one of that name; durable when this returns."""

    def remove(self, name: str) -> None: ...


class Writer(Protocol):
    """One connection that loads chunks into the run's staging table."""

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        """Rows, receipt and the container of rows that are held back in one transaction; returns only after the commit was
        seen to hold. VEIL319 where the target does not take a row: nothing of the chunk is kept. Only a target that
        ``KeepsContainers`` is given one."""

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Give the target rows and take them back: raises what ``load`` would, and keeps nothing."""


class OutputView(Protocol):
    """The table as publishing makes it, seen in the transaction that publishes: with what is kept of the rows that were
    there. Nobody else changes it until that ends."""

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Its rows in the types of the output schema; of some column if ``columns`` is empty. VEIL307 for a value that is
        not of its type."""

    def plain(self, columns: Sequence[str], other: str | None = None) -> Iterator[pa.RecordBatch]:
        """Its rows, or those of another table of the target, as the target holds them. VEIL302 if that is not there."""

    def hold(self, other: str) -> bool:
        """Let nobody change another table of the target until publishing has ended; whether that could be had. VEIL302 if
        it is not there."""


#: Looks at the output and raises what forbids to publish it.
Gate = Callable[[OutputView], None]


class Target(Protocol):
    """Where a run's output goes. One file per kind under ``targets/``.

    Every method raises only VeilError (PassingFault where a retry may help) and passes no driver text on.
    """

    #: How many writers may load at the same time.
    parallel_writers: int

    def inspect(self) -> Publish:
        """How publishing would be done now. Changes nothing. VEIL307 if the table has another shape
        than the output schema, VEIL401/402 if the database is out of reach."""

    def added_columns(self) -> tuple[str, ...]:
        """The columns of the output that the table lacks and that publishing adds to it, null in the rows that are there;
        none if there is no table. Raises what ``inspect`` does."""

    def open(self, run_id: str) -> None:
        """Take the target's lock (VEIL308 if another run holds it), make the metadata and the run's staging
        table. Called again with the same run id, by this or a later process, it keeps what is staged, and waits
        until no writer of before can still commit."""

    def clean(self) -> tuple[str, ...]:
        """Drop the staging of every other run of this table, and return their ids. Whoever holds the target's lock
        (VEIL308 if another run does) knows that they are dead."""

    def receipts(self) -> dict[int, Receipt]:
        """The receipts of this run that are committed, by chunk number."""

    def writer(self) -> AbstractContextManager[Writer]:
        """A connection of its own."""

    def staged_rows(self) -> int:
        """Rows in the staging table, counted there."""

    def standing(self, pipeline: str) -> Standing:
        """What is known of the pipeline here; nothing where the table is not there."""

    def column_keys(self) -> Mapping[str, ColumnKey]:
        """The key of each column as the last publication left it; empty where there was none."""

    def published_rows(self) -> int:
        """Rows in the table itself, counted there; 0 if there is none."""

    def publish(
        self, column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, advance: Advance | None = None
    ) -> int:
        """Replace, append or merge in one transaction that also writes the publication, the key of
        each column and the checkpoint of ``advance`` into ``_veilflow`` and drops the staging; returns the rows
        published. A table that is made or replaced has no other checkpoint. A second call
        of the same run changes nothing and returns the same. Nothing is published if ``gate`` raises. VEIL313 on append or merge under another key version,
        VEIL318 where the merge key does not tell the staged rows apart, VEIL319 for rows that the table refuses,
        VEIL328 where the checkpoint is no longer the one that ``advance`` goes on from."""

    def publication(self, run_id: str) -> Publication | None:
        """Whether that run was published here; waits for a publishing transaction of it that is under way."""

    def discard(self) -> None:
        """Drop this run's staging and receipts; the published table stays as it is."""

    def close(self) -> None:
        """Give the lock and the connections back. May be called twice."""


@runtime_checkable
class KeepsContainers(Protocol):
    """A target that has a table for containers."""

    def containers(self, run_id: str) -> Containers:
        """Those of a run, published or not; connects to nothing yet."""
