"""The contract of a treatment; it fits on one screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from veilflow.model import DerivedKey, Seal, Step

ALL = frozenset({"text", "integer", "decimal", "float", "boolean", "date", "timestamp", "binary", "json"})
TEXT_ONLY = frozenset({"text"})
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a treatment may know beside the values; each array has the rows of the values.

    ``keys`` are those of the column's domain, by use. ``columns`` are the columns that the step's ``reads`` names, cast
    to their types and untreated. ``positions`` are the rows' places in the source, from 0. ``run_id`` and ``as_of``
    (the plan's date) stand for the randomness and the clock that a treatment does not have. ``classification`` is the
    column's class. ``surrogates`` draws from the mapping of the column's key domain.
    """

    keys: Mapping[str, DerivedKey] = field(default_factory=dict)
    columns: Mapping[str, pa.Array] = field(default_factory=dict, repr=False)
    positions: Rows | None = field(default=None, repr=False)
    run_id: str = ""
    as_of: date | None = None
    classification: str | None = None
    surrogates: Callable[[Sequence[bytes], Seal], list[bytes]] | None = field(default=None, repr=False)

    def key(self, use: str) -> DerivedKey:
        """The derived key of a use. ValueError if the plan derived none."""
        if use not in self.keys:
            raise ValueError(f"a key for {use} is needed")
        return self.keys[use]

    def take(self, rows: Rows) -> Context:
        """The context of some of the rows, by their indices; one may come several times."""
        return replace(
            self,
            columns={name: column.take(pa.array(rows)) for name, column in self.columns.items()},
            positions=None if self.positions is None else self.positions[rows],
        )


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


def _nothing(_parameters: Any) -> tuple[Any, ...]:
    return ()


#: Makes a step of a treatment's name and its raw parameters; raises VeilError.
Make = Callable[[str, Mapping[str, Any]], Step]


@dataclass(frozen=True, slots=True)
class Treatment:
    """A treatment as the registry holds it.

    ``takes`` are the names of column types that it fits; ``output`` gives the type it makes of a type (TypeError where
    a parameter does not fit the type); ``apply`` keeps length and order, null stays null. ``uses`` names the uses of
    keys that a step needs, ``reads`` the other columns that it reads, ``unfit`` finds the rows that ``apply`` does not
    take: they are null when it is called. ``parameters`` raises ValueError, without the value of any data, for what is
    out of range; its fields that have no ``repr`` stand in no plan, report or message.

    ``parse`` makes the parameters of what a policy says where a field is more than a plain value, steps inside a step
    for one, which ``steps`` then names. ``fits`` raises TypeError where a column that is read has a type that does not
    fit. ``dated`` says that the output depends on the plan's date. ``inverse`` is
    there where the key opens what ``apply`` made: the values or their text, ValueError for what it did not make.
    ``keeps_apart`` tells where it depends on the parameters whether the output is ``unique_safe``. Where
    ``guaranteed`` is false the function is not ours, and plans and reports say so.
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
    parse: Callable[[Mapping[str, Any], Make], Any] | None = None
    steps: Callable[[Any], tuple[Step, ...]] = _nothing
    fits: Callable[[Any, Mapping[str, pa.DataType]], None] | None = None
    dated: bool = False
    inverse: Callable[[pa.Array, Any, Context], pa.Array] | None = None
    keeps_apart: Callable[[Any], bool] | None = None
    guaranteed: bool = True


def makes_a_key(treatment: Treatment, parameters: Any) -> bool:
    """Whether rows can be found again by the output: different values stay apart, and the same one comes out the same."""
    apart = treatment.traits.unique_safe if treatment.keeps_apart is None else treatment.keeps_apart(parameters)
    return apart and (treatment.traits.linkable or not treatment.uses(parameters))


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


def one_of(name: str, value: object, *options: str) -> None:
    """Raise ValueError unless ``value`` is one of the options."""
    if value not in options:
        raise ValueError(f"{name} must be one of " + ", ".join(options))


def text(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
