"""The frozen values and the Protocols that all rooms share; no room here does any work."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from veilflow.errors import Place
from veilflow.redaction import remember

Classification = Literal["direct_identifier", "quasi_identifier", "sensitive", "free_text", "non_personal"]
CLASSIFICATIONS: tuple[str, ...] = (
    "direct_identifier", "quasi_identifier", "sensitive", "free_text", "non_personal"
)  # fmt: skip
BadRowRule = Literal["refuse", "quarantine"]
Mode = Literal["replace", "append", "merge"]
Publish = Literal["swap", "rewrite", "transaction", "rename"]


# --- columns -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column as the pipeline declares it or the source knows it.

    ``name`` is one of text, integer, decimal, float, boolean, date, timestamp, binary, json
    (nested data as JSON text). ``arrow`` is what its values are once cast. ``format`` is a strftime
    pattern for dates and timestamps that are read from text (None: ISO 8601).
    """

    name: str
    arrow: pa.DataType
    format: str | None = None


TEXT = ColumnType("text", pa.string())


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of a source: its name after NFC and trimming, and its type."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """What is known of a source before a row is read.

    ``closed`` says that there are no columns but these; a JSON source cannot know that before
    it is read, so it holds each row against the plan while reading.
    """

    columns: tuple[SourceColumn, ...]
    closed: bool = True


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A pipeline's ``source:``. ``path`` is absolute, ``shown`` is as written; ``types`` are the declared
    column types. ``null_values`` are the unquoted CSV fields that mean null. A database has a ``table`` or a ``query``,
    and a server a ``connection`` of ``secrets/names.yaml`` in the place of the path."""

    kind: str
    path: Path
    shown: str
    trim: bool = False
    null_values: tuple[str, ...] = ("",)
    on_bad_row: BadRowRule = "refuse"
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    #: For kinds without a header (JSON): the columns that policy and pipeline name.
    expected: tuple[str, ...] = ()
    place: Place | None = None
    table: str | None = None
    query: str | None = None
    order_by: tuple[str, ...] = ()
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A pipeline's ``target:``: a ``path`` (files, SQLite) or a ``connection`` of ``secrets/names.yaml``; ``key`` and
    ``delete`` are those of ``mode: merge``."""

    kind: str
    table: str
    mode: Mode
    path: Path | None
    shown: str
    connection: str | None = None
    place: Place | None = None
    key: tuple[str, ...] = ()
    delete: bool = False


# --- rows on their way -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file was when the run began; ``size`` in bytes, ``modified_ns`` since the epoch."""

    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that has no columns: ragged, undecodable, not JSON. ``raw`` is its bytes, as read."""

    position: int
    reason: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadCells:
    """Cells of one column that do not fit its type: ``rows`` are row indices in the chunk."""

    column: str
    reason: str
    rows: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of a deterministic slice of a source.

    ``raw`` holds the rows as they were read (text for CSV and JSON), ``values`` the same rows cast to the
    plan's types, with null where a cell did not fit (``bad_cells`` says which). Both have the same rows
    in the same order; ``positions`` holds each row's position in the source, from 0. Rejected rows
    count as read but stand in neither batch.
    """

    number: int
    raw: pa.RecordBatch = field(repr=False)
    values: pa.RecordBatch = field(repr=False)
    positions: np.ndarray[Any, np.dtype[np.int64]] = field(repr=False)
    bad_cells: tuple[BadCells, ...] = ()
    rejected: tuple[RejectedRow, ...] = field(default=(), repr=False)

    @property
    def rows_read(self) -> int:
        return int(self.raw.num_rows) + len(self.rejected)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a source goes on: the first slice that is wanted, the rows before it, and the bookmark of the slice before
    it, if that has one."""

    number: int = 0
    position: int = 0
    bookmark: int | None = None


BEGINNING = Start()


class Slice(Protocol):
    """A chunk that is not decoded yet, so that whoever loads it can decode it, beside others who do the same."""

    @property
    def number(self) -> int:
        """Its place in the source, from 0."""

    @property
    def bookmark(self) -> int | None:
        """Where the source goes on behind this slice, in its own terms; None if it finds that out otherwise."""

    def read(self) -> Chunk:
        """Decode and cast it. VEIL202 for a type that the source's values cannot become, VEIL210 where reading fails."""


class Source(Protocol):
    """Where batches come from. One file per kind under ``sources/``."""

    def schema(self) -> SourceSchema:
        """Columns and types, from the header or the file's metadata: reads no row."""

    def files(self) -> tuple[FileIdentity, ...]:
        """The files behind it, as they are now; empty where there are none."""

    def fingerprint(self, key: bytes) -> str:
        """A keyed digest (HMAC-SHA-256, hex) of what the files hold at their start, their end and places between; reads
        no more than a megabyte of each. Empty where there are no files. VEIL210 where reading fails."""

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        """The rows in slices of ``chunk_rows`` rows read (fewer where rows are very large), to be cast to the types of
        ``columns``. The same source gives the same slices, from ``start`` on; it may begin with some before.

        Raises VeilError: VEIL301 for a key that ``columns`` does not have, VEIL210 where reading fails.
        """


# --- the plan ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One treatment with its checked, frozen parameters, as the registry made them."""

    treatment: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file that a parameter names (``{file: PATH}``), read once. ``path`` is as written; only ``sha256`` is shown."""

    path: str
    sha256: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What happens to one column, and which rule says so."""

    name: str
    type: ColumnType
    output: pa.DataType
    classification: str | None
    steps: tuple[Step, ...]
    key_domain: str | None
    rule: Place | None
    reason: str | None
    outcome: Literal["load", "drop"]
    #: By what its rule matched, in words; None where ``unlisted_columns`` decides, or nothing does.
    matched_by: str | None = None
    #: Why it may be weaker than in the policy that this one extends.
    unsafe_weaken: str | None = None

    @property
    def treatment(self) -> str:
        """The name a person reads: ``token``, or ``generalise + mask`` for several in order."""
        return " + ".join(step.treatment for step in self.steps) or "undecided"


@dataclass(frozen=True, slots=True)
class RowCondition:
    """Which rows a check judges: ``column op value``, or ``parts`` joined by the op ``and`` or ``or``."""

    op: str
    column: str = ""
    value: Any = None
    parts: tuple[RowCondition, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, each once."""
        found = [name for part in self.parts for name in part.columns] if self.parts else [self.column]
        return tuple(dict.fromkeys(found))


OnFail = Literal["refuse", "quarantine", "warn"]


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """One row expectation: Great Expectations' type name and its arguments without ``mostly``.

    A row that fails is held back, except under ``on_fail: warn``; fewer passing than ``mostly`` refuses the run,
    except under ``warn``.
    """

    type: str
    columns: tuple[str, ...]
    arguments: Mapping[str, Any]
    mostly: float
    title: str
    place: Place
    #: Who judges it: ``compiled`` (Arrow kernels) or ``great_expectations``.
    engine: str = "compiled"
    on_fail: OnFail = "quarantine"
    condition: RowCondition | None = None
    #: ``row``: judged chunk by chunk; ``table``: over the whole source, and never holds a row back.
    kind: Literal["row", "table"] = "row"

    @property
    def column(self) -> str:
        return ", ".join(self.columns)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it judges, and those of its condition."""
        return tuple(dict.fromkeys([*self.columns, *(self.condition.columns if self.condition else ())]))


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """A declared filter: rows for which ``column op value`` does not hold are left out, and counted."""

    name: str
    column: str
    op: str
    value: Any
    place: Place


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """Where the output goes. ``location`` is a path or a connection's name, never a URL with a password."""

    kind: str
    location: str
    table: str
    mode: Mode
    publish: Publish
    key: tuple[str, ...] = ()
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run does, decided before a row is read. Pure data; holds no key and no secret."""

    pipeline: str
    environment: str
    as_of: date
    purpose: str | None
    policy: str
    policy_hash: str
    columns: tuple[ColumnPlan, ...]
    checks: tuple[CheckPlan, ...]
    filters: tuple[FilterPlan, ...]
    target: TargetPlan
    secrets: tuple[str, ...]
    keyring: str | None
    on_bad_row: BadRowRule
    max_quarantined: Limit | None
    timeout_seconds: float | None
    chunk_rows: int
    allow_empty: bool
    unlisted_columns: str
    plan_hash: str
    #: What a record of processing asks for, by the policy's keys: purpose, legal_basis, recipients …
    facts: Mapping[str, str] = field(default_factory=dict)
    #: Hashes of what the plan hash covers, by its parts: policy, suite, schema, target …
    parts: Mapping[str, str] = field(default_factory=dict)
    #: Whether the policy lets a preview show originals to whoever asks, on record.
    show_values: bool = True

    @property
    def output_schema(self) -> pa.Schema:
        """The loaded columns, in the source's order."""
        return pa.schema([pa.field(column.name, column.output) for column in self.columns if column.outcome == "load"])

    @property
    def source_columns(self) -> tuple[SourceColumn, ...]:
        return tuple(SourceColumn(column.name, column.type) for column in self.columns)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on rows: a share of the rows read (0 to 1), or a count."""

    share: float | None = None
    rows: int | None = None

    def allows(self, rows: int, of: int) -> bool:
        if self.rows is not None and rows > self.rows:
            return False
        return self.share is None or rows <= self.share * of

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.rows is not None else f"{(self.share or 0) * 100:g} %"


# --- checks ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one check said of one chunk. ``evaluated`` counts the rows it judged (nulls are not
    judged, except by the null checks); ``failed`` are row indices in the chunk."""

    check: int
    evaluated: int
    failed: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What a check about the whole table came to. ``failed`` is 0 where no single row is at fault."""

    check: int
    passed: bool
    evaluated: int
    failed: int


class Checker(Protocol):
    """Judges chunks; made once per run and thread-safe."""

    def check(self, chunk: Chunk) -> tuple[CheckOutcome, ...]:
        """One outcome per check of the plan, in its order."""


# --- keys and secrets --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DerivedKey:
    """A key for one use, key domain and version."""

    value: bytes = field(repr=False)
    version: int


class Secret:
    """An opened secret. Prints as dots; ``reveal()`` is the one visible call that gives the value.

    Making one makes ``redaction`` look for its value. It cannot be pickled, serialised as JSON or hashed, so that no
    cache keeps it; a copy is the same object; ``len`` tells its length in characters; ``==`` takes the same time
    wherever two values differ.
    """

    __slots__ = ("__reveal",)
    __reveal: Callable[[], str]

    def __init__(self, value: str) -> None:
        remember(value)
        # In a closure: what lists an object's attributes finds a function.
        object.__setattr__(self, "_Secret__reveal", lambda: value)

    def reveal(self) -> str:
        return self.__reveal()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an opened secret does not change")

    def __repr__(self) -> str:
        return "Secret(••••)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __len__(self) -> int:
        return len(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (one.reveal().encode("utf-8", "surrogatepass") for one in (self, other))
        return hmac.compare_digest(mine, theirs)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: object) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("an opened secret is never pickled")


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret lies in its store: a place, never a value. Which parts a store takes is its kind's own."""

    path: str
    field: str | None = None
    engine: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A secret that a store gave, and what is known of it.

    ``version`` is the store's name for this state of the value, ``seconds_to_live`` what is left of a lease, ``lease``
    the SHA-256 of the lease's id (the id itself could revoke it, and stays in the store's object).
    """

    secret: Secret
    version: str | None = None
    seconds_to_live: float | None = None
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """What a store tells of a secret without opening it; ``changed`` is when its value was last written."""

    changed: datetime | None = None
    version: str | None = None


class SecretStore(Protocol):
    """A place that holds secrets. One file per kind under ``secret_stores/``; others join by an entry point.

    Every method raises only VeilError (PassingFault where a retry may help) and passes no library's text on:
    VEIL220 for a part of ``ref`` that the kind does not take, VEIL404 if the store is out of reach.
    """

    def read(self, ref: SecretRef, /) -> Reading:
        """The value exactly as stored. VEIL221 if there is none, VEIL222 if it is empty or not text."""

    def facts(self, ref: SecretRef, /) -> SecretFacts | None:
        """What is known without opening it; None if there is nothing, or nothing that is kept (a dynamic secret)."""

    def write(self, ref: SecretRef, value: Secret, /) -> None:
        """Create it; VEIL220 if it is there, VEIL224 if it cannot be written from here."""

    def replace(self, ref: SecretRef, old: Reading, value: Secret, /) -> None:
        """Put ``value`` in the place of ``old``, whole or not at all; VEIL405 (a PassingFault) and no change if what
        is stored is no longer ``old``, VEIL224 if it cannot be written from here."""


#: Seals fresh surrogates, each bound to its name: names and surrogates in, as many sealed ones out.
Seal = Callable[[Sequence[bytes], Sequence[bytes]], list[bytes]]


class Surrogates(Protocol):
    """A mapping of random surrogates by key domain. It sees keyed hashes for names, and surrogates only sealed."""

    def draw(self, key_domain: str, names: Sequence[bytes], seal: Seal, /) -> list[bytes]:
        """The sealed surrogate of each name: what is there, else 16 random bytes through ``seal``. They are durable
        when this returns, and the same for whoever asks at the same time."""


# --- quarantine --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """Why one row of a chunk is held back; ``row`` is its index in the chunk, or None if it was rejected."""

    row: int | None
    position: int
    reasons: tuple[str, ...]
    raw: bytes | None = field(default=None, repr=False)


# --- targets -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """The table that a run makes, and how its rows meet those that are there: ``merge`` updates the rows of the same
    ``key`` and inserts the others; with ``delete`` rows whose key is gone from the source go as well."""

    table: str
    schema: pa.Schema
    mode: Mode = "replace"
    key: tuple[str, ...] = ()
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one chunk came to; commits in the transaction that loads its rows.

    ``digest`` is keyed (HMAC-SHA-256 with the run's fingerprint key, hex) over the treated rows.
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


@dataclass(frozen=True, slots=True)
class TargetColumn:
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What stands in the target's ``_veilflow`` about a published run."""

    run_id: str
    rows: int


class Writer(Protocol):
    """One connection that loads chunks into the run's staging table."""

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt) -> None:
        """Rows and receipt in one transaction; returns only after the commit was seen to hold."""


class Target(Protocol):
    """Where a run's output goes. One file per kind under ``targets/``.

    Every method raises only VeilError (PassingFault where a retry may help) and passes no driver text on.
    """

    #: How many writers may load at the same time.
    parallel_writers: int

    def inspect(self) -> Publish:
        """How publishing would be done now. Changes nothing. VEIL307 if the table has another shape
        than the output schema, VEIL401/402 if the database is out of reach."""

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

    def publish(self, key_versions: Mapping[str, int]) -> int:
        """Replace, append or merge in one transaction that also writes the publication and the key version of
        each column into ``_veilflow`` and drops the staging; returns the rows published. A second call
        of the same run changes nothing and returns the same. VEIL313 on append or merge under another key version,
        VEIL318 where the merge key does not tell the staged rows apart, VEIL319 for rows that the table refuses."""

    def publication(self, run_id: str) -> Publication | None:
        """Whether that run was published here; waits for a publishing transaction of it that is under way."""

    def discard(self) -> None:
        """Drop this run's staging and receipts; the published table stays as it is."""

    def close(self) -> None:
        """Give the lock and the connections back. May be called twice."""


# --- results -----------------------------------------------------------------------------

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
    """What one check came to over the whole run: no value, only counts and positions in the source (from 0)."""

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


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as it goes into results and JSON."""

    code: str
    problem: str
    hint: str
    place: Place | None


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
    #: Everything up to publishing was done, and nothing was published.
    dry_run: bool = False
    #: Whether what is staged was kept, so that the run can be gone on with.
    resumable: bool = False
    #: How many chunks were staged already when it was gone on with; None if it never was.
    resumed_chunks: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is now; numbers that are not known are None."""

    stage: str
    read: int = 0
    quarantined: int = 0
    durable: int = 0
    bytes_total: int | None = None
