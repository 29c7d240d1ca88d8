"""The plan: everything that a run does, decided before a row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from veilflow.errors import Place
from veilflow.model.columns import BadRowRule, ColumnsRule, ColumnType, HeldIn, Mode, Publish, SourceColumn, type_name


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
    def output_type(self) -> ColumnType:
        """The type under which checks of the output know it."""
        return ColumnType(type_name(self.output, self.type.name), self.output)

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
    #: ``row``: judged chunk by chunk; ``table``: over the whole of it; ``cross``: with another table. Only a row of the
    #: source can be held back.
    kind: Literal["row", "table", "cross"] = "row"
    #: ``source``: every row that is read; ``output``: the table as publishing makes it, in the transaction that does.
    stage: Literal["source", "output"] = "source"

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
class SourcePlan:
    """Where the rows come from: ``location`` as written, how many ``files`` that is (0 for a database), and the
    ``workers`` that read and treat them, where the pipeline names a number. None of it changes what is loaded."""

    kind: str
    location: str
    files: int = 0
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """Where the output goes. ``location`` is a path or a connection's name, never a URL with a password; ``publish`` is
    None where nobody has looked at it."""

    kind: str
    location: str
    table: str
    mode: Mode
    publish: Publish | None
    key: tuple[str, ...] = ()
    delete: bool = False
    on_refused_row: BadRowRule = "refuse"
    columns: ColumnsRule = "freeze"
    #: The columns that publishing would add to the table that is there.
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IncrementalPlan:
    """By which column a pipeline reads what is new; without one, by files. ``lag`` is in the column's own unit, in days
    for dates and in seconds for timestamps. ``meaning`` is a hash of what is read and how it is treated: rows of another
    do not stand beside. ``changed_files`` says whether a file that changed after it was read is read again."""

    column: str | None
    type: ColumnType
    lag: Decimal
    shown_lag: str
    meaning: str
    changed_files: Literal["refuse", "load"] = "refuse"


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
    source: SourcePlan = SourcePlan("memory", "")
    incremental: IncrementalPlan | None = None
    held_in: HeldIn = "files"

    @property
    def output_schema(self) -> pa.Schema:
        """The loaded columns, in the source's order."""
        return pa.schema([pa.field(column.name, column.output) for column in self.columns if column.outcome == "load"])

    @property
    def source_columns(self) -> tuple[SourceColumn, ...]:
        return tuple(SourceColumn(column.name, column.type) for column in self.columns)

    @property
    def output_columns(self) -> tuple[SourceColumn, ...]:
        return tuple(SourceColumn(one.name, one.output_type) for one in self.columns if one.outcome == "load")

    def has_checks(self, stage: Literal["source", "output"], *kinds: str) -> bool:
        """Whether checks of these kinds (any, if none is named) stand at the stage."""
        return any(check.stage == stage and (not kinds or check.kind in kinds) for check in self.checks)


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
        return f"{self.rows} row{'s' * (self.rows != 1)}" if self.rows is not None else f"{(self.share or 0) * 100:g} %"
