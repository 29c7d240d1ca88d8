"""The contract of a treatment; it fits on one screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from veilflow.model import DerivedKey

ALL = frozenset({"text", "integer", "decimal", "float", "boolean", "date", "timestamp", "binary", "json"})
TEXT_ONLY = frozenset({"text"})
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a treatment may know beside the values; each array has the rows of the values.

    ``keys`` are those of the column's domain, by use. ``columns`` are the columns that the step's ``reads`` names, cast
    to their types and untreated. ``positions`` are the rows' places in the source, from 0. ``run_id`` and ``as_of``
    (the plan's date) stand for the randomness and the clock that a treatment does not have.
    """

    keys: Mapping[str, DerivedKey] = field(default_factory=dict)
    columns: Mapping[str, pa.Array] = field(default_factory=dict, repr=False)
    positions: Rows | None = field(default=None, repr=False)
    run_id: str = ""
    as_of: date | None = None

    def key(self, use: str) -> DerivedKey:
        """The derived key of a use. ValueError if the plan derived none."""
        if use not in self.keys:
            raise ValueError(f"a key for {use} is needed")
        return self.keys[use]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Rows (indices into the values) that a treatment does not take, why, and what the policy says to do with them."""

    rows: Rows
    reason: str
    then: Literal["refuse", "quarantine"] = "refuse"


@dataclass(frozen=True, slots=True)
class Traits:
    """What may be said of a treatment's output without seeing it.

    ``looks_like`` in words (a card number, a date …); ``reversible`` by who has the key; ``unique_safe``: different
    values stay different; ``linkable``: the same value gives the same output in other tables of the key domain.
    """

    looks_like: str
    reversible: bool = False
    unique_safe: bool = False
    linkable: bool = False


def _nothing(_parameters: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Treatment:
    """A treatment as the registry holds it.

    ``takes`` are the names of column types that it fits; ``output`` gives the type it makes of a type (TypeError where
    a parameter does not fit the type); ``apply`` keeps length and order, null stays null. ``uses`` names the uses of
    keys that a step needs, ``reads`` the other columns that it reads, ``unfit`` finds the rows that ``apply`` does not
    take: they are null when it is called. ``parameters`` raises ValueError, without the value of any data, for what is
    out of range.
    """

    name: str
    summary: str
    parameters: type
    takes: frozenset[str]
    output: Callable[[pa.DataType, Any], pa.DataType]
    apply: Callable[[pa.Array, Any, Context], pa.Array]
    traits: Traits
    uses: Callable[[Any], tuple[str, ...]] = _nothing
    reads: Callable[[Any], tuple[str, ...]] = _nothing
    unfit: Callable[[pa.Array, Any, Context], tuple[Unfit, ...]] | None = None


def always(*names: str) -> Callable[[Any], tuple[str, ...]]:
    """For ``uses`` and ``reads`` that do not depend on the parameters."""
    return lambda _parameters: names


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Of treatments that take none."""


def same_type(kind: pa.DataType, _parameters: object) -> pa.DataType:
    return kind


def text_type(_kind: pa.DataType, _parameters: object) -> pa.DataType:
    return pa.string()


def whole(name: str, value: object, least: int, most: int) -> None:
    """Raise ValueError unless ``value`` is an int from ``least`` to ``most``."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")


def text(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
