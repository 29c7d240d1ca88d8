"""Columns, sources and targets as they are configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from veilflow.errors import Place
from veilflow.model.increments import Window

Classification = Literal["direct_identifier", "quasi_identifier", "sensitive", "free_text", "non_personal"]
CLASSIFICATIONS: tuple[str, ...] = (
    "direct_identifier", "quasi_identifier", "sensitive", "free_text", "non_personal"
)  # fmt: skip
BadRowRule = Literal["refuse", "quarantine"]
#: Where rows that are held back lie: beside the run record, or in a table of the target.
HeldIn = Literal["files", "target"]
Mode = Literal["replace", "append", "merge"]
Publish = Literal["swap", "rewrite", "transaction", "rename"]
#: What happens to a column of the output that the target's table lacks: the run refuses, or it is added.
ColumnsRule = Literal["freeze", "evolve"]


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

_NAMES_OF_TYPES: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_string, "text"), (pa.types.is_integer, "integer"), (pa.types.is_decimal, "decimal"),
    (pa.types.is_floating, "float"), (pa.types.is_boolean, "boolean"), (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamp"), (pa.types.is_binary, "binary"),
)  # fmt: skip


def type_name(kind: pa.DataType, otherwise: str) -> str:
    """The name of the column type that has an Arrow type."""
    return next((found for test, found in _NAMES_OF_TYPES if test(kind)), otherwise)


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of a source: its name after NFC and trimming, and its type. ``file`` is the first that has it, where
    the source has several files and not all do."""

    name: str
    type: ColumnType
    file: str | None = None


@dataclass(frozen=True, slots=True)
class UnevenColumn:
    """A column in which a file of a source differs from the first one; ``difference`` says how, in words that name both."""

    name: str
    difference: str


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """What is known of a source before a row is read.

    ``closed`` says that there are no columns but these; a JSON source cannot know that before
    it is read, so it holds each row against the plan while reading. ``files`` is how many there are behind it, and
    ``uneven`` what differs between them.
    """

    columns: tuple[SourceColumn, ...]
    closed: bool = True
    files: int = 0
    uneven: tuple[UnevenColumn, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A pipeline's ``source:``. ``path`` is absolute, ``shown`` is as written; either may be a pattern, of which ``listed``
    are the files that a run began with, once it has begun. ``types`` are the declared column types. ``null_values`` are the unquoted CSV fields that mean null. A database has a ``table`` or a ``query``,
    and a server a ``connection`` of ``secrets/names.yaml`` in the place of the path. Files of an object store have both:
    ``shown`` is their address."""

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
    listed: tuple[str, ...] = ()
    #: What a run wants of a database.
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class UrlTerms:
    """What a pipeline lets the URL of a dialect of SQLAlchemy do beyond what is known of its driver: parameters by their
    names, and why a network may be crossed where nothing says that it is encrypted."""

    parameters: tuple[str, ...] = ()
    unsafe_transport: str | None = None


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A pipeline's ``target:``: a ``path`` (files, SQLite) or a ``connection`` of ``secrets/names.yaml``; ``key`` and
    ``delete`` are those of ``mode: merge``; ``again`` is that of a re-key. ``on_refused_row`` is about rows that the target
    does not take."""

    kind: str
    table: str
    mode: Mode
    path: Path | None
    shown: str
    connection: str | None = None
    place: Place | None = None
    key: tuple[str, ...] = ()
    delete: bool = False
    on_refused_row: BadRowRule = "refuse"
    again: bool = False
    columns: ColumnsRule = "freeze"
    terms: UrlTerms = UrlTerms()
