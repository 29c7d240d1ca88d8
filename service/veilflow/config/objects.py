"""The frozen objects that configuration files become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from veilflow.errors import Place
from veilflow.model import FilterPlan, HeldIn, Limit, SecretRef, SourceConfig, TargetConfig

#: Rows of a chunk where the pipeline names no number. Measured with a million rows of ten columns: 50,000 take 60 to
#: 90 MB more and no less time, 12,500 a fifth more time where a suite checks them.
CHUNK_ROWS = 25_000


#: Kinds of targets that keep rows in quarantine in a table of their own.
HOLDING_TARGETS = ("sqlite", "duckdb", "postgresql", "mariadb")
#: Days that rows in quarantine are kept where the pipeline names no number.
QUARANTINE_DAYS = 30


@dataclass(frozen=True, slots=True)
class ColumnLabels:
    """What a pipeline's ``columns:`` say of a column to a policy's rules: its tags, and the class that it has unless a
    rule names another."""

    tags: tuple[str, ...]
    classification: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Lag:
    """How far before the watermark rows are read once more: a number, or seconds where a ``unit`` of time was written."""

    value: Decimal
    shown: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class IncrementalConfig:
    """A pipeline's ``incremental:``: a column, or new files."""

    column: str | None
    lag: Lag | None
    place: Place
    changed_files: Literal["refuse", "load"] = "refuse"


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """``pipelines/<name>.yaml``."""

    name: str
    source: SourceConfig
    policy: str
    target: TargetConfig
    place: Place
    filters: tuple[FilterPlan, ...] = ()
    expectations: str | None = None
    max_quarantined: Limit | None = None
    timeout_seconds: float | None = None
    chunk_rows: int = CHUNK_ROWS
    allow_empty: bool = False
    on_overlap: Literal["refuse", "wait"] = "refuse"
    #: How many threads read, and how many treat and load; None: one that reads, and what the target takes.
    workers: int | None = None
    #: The date of the run where it is not today's: ages are counted on it.
    as_of: date | None = None
    labels: Mapping[str, ColumnLabels] = field(default_factory=dict)
    #: An age public key that rows held back are encrypted to; None: to one derived from the key ring.
    quarantine_recipient: str | None = None
    #: The store and the path of the key that wraps each run's own key in the recipient's place.
    quarantine_wrapped_by: tuple[str, str] | None = None
    quarantine_days: int = QUARANTINE_DAYS
    quarantine_store: HeldIn = "files"
    incremental: IncrementalConfig | None = None


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """One rule: treatments by name with their raw parameters, in order.

    ``column`` is what the rule stands under: a column's name, a glob, a tag or a class. ``default`` is the place of the
    class default that the treatments come from, where the rule names none itself. ``inherited`` rules come from a
    policy that this one extends. ``unsafe_weaken`` is the reason why the rule may be weaker than there.
    """

    column: str
    classification: str | None
    treatments: tuple[tuple[str, Mapping[str, Any]], ...]
    key_domain: str | None
    reason: str | None
    place: Place
    unsafe_weaken: str | None = None
    default: Place | None = None
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class AcknowledgementConfig:
    """A finding of the linter that somebody answers for until a day; ``column`` is None for those of the whole policy."""

    finding: str
    column: str | None
    reason: str
    owner: str
    expires: date
    place: Place


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """``policies/<name>.yaml``, with what it inherits from the policy that it extends (``parent``, as a whole of its own).

    ``columns`` are the rules of exact names; ``globs``, ``tags`` and ``classes`` (defaults) match more widely.
    ``unsafe_keep`` names each unlisted column that is kept, with its reason.
    """

    name: str
    columns: Mapping[str, RuleConfig]
    unlisted_columns: str
    facts: Mapping[str, str]
    place: Place
    unsafe_keep: Mapping[str, str] = field(default_factory=dict)
    globs: Mapping[str, RuleConfig] = field(default_factory=dict)
    tags: Mapping[str, RuleConfig] = field(default_factory=dict)
    classes: Mapping[str, RuleConfig] = field(default_factory=dict)
    parent: PolicyConfig | None = None
    acknowledged: tuple[AcknowledgementConfig, ...] = ()
    show_values: bool = True

    @property
    def wide_rules(self) -> tuple[RuleConfig, ...]:
        """The rules that match by anything but the exact name."""
        return (*self.globs.values(), *self.tags.values(), *self.classes.values())


@dataclass(frozen=True, slots=True)
class ExpectationConfig:
    """One expectation as the suite writes it."""

    raw: Mapping[str, Any]
    place: Place


@dataclass(frozen=True, slots=True)
class SuiteConfig:
    """A Great Expectations 1.x suite."""

    name: str
    expectations: tuple[ExpectationConfig, ...]
    place: Place
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """A place that holds secrets. Which options there are is the kind's own."""

    kind: str
    options: Mapping[str, Any]
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class SecretConfig:
    """Where one secret lies, and who answers for it. ``unsafe_short`` is the reason why it may be shorter than 8
    characters."""

    store: str
    ref: SecretRef
    owner: str | None = None
    rotate_after: timedelta | None = None
    unsafe_short: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """A database's address and the secret that opens it. The limits are in seconds, 0 is none, and None the default."""

    url: str
    credential: str | None
    lock_timeout_seconds: float | None = None
    statement_timeout_seconds: float | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class NamesConfig:
    """``secrets/names.yaml``: places of secrets, never values."""

    stores: Mapping[str, StoreConfig]
    secrets: Mapping[str, SecretConfig]
    connections: Mapping[str, ConnectionConfig]
    keyring: str | None
