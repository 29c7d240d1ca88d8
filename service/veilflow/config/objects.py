"""The frozen objects that configuration files become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from veilflow.errors import Place
from veilflow.model import FilterPlan, Limit, SecretRef, SourceConfig, TargetConfig

#: Rows of a chunk where the pipeline names no number. Measured with a million rows of ten columns: 50,000 take 60 to
#: 90 MB more and no less time, 12,500 a fifth more time where a suite checks them.
CHUNK_ROWS = 25_000


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
    #: The date of the run where it is not today's: ages are counted on it.
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """One column's rule: treatments by name with their raw parameters, in order."""

    column: str
    classification: str | None
    treatments: tuple[tuple[str, Mapping[str, Any]], ...]
    key_domain: str | None
    reason: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """``policies/<name>.yaml``. ``unsafe_keep`` names each unlisted column that is kept, with its reason."""

    name: str
    columns: Mapping[str, RuleConfig]
    unlisted_columns: str
    facts: Mapping[str, str]
    place: Place
    unsafe_keep: Mapping[str, str] = field(default_factory=dict)


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
    url: str
    credential: str | None


@dataclass(frozen=True, slots=True)
class NamesConfig:
    """``secrets/names.yaml``: places of secrets, never values."""

    stores: Mapping[str, StoreConfig]
    secrets: Mapping[str, SecretConfig]
    connections: Mapping[str, ConnectionConfig]
    keyring: str | None
