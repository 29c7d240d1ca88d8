"""One treatment or another, as another column of the row says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments import nested
from veilflow.treatments.interface import ALL, Context, Make, Rows, Traits, Treatment, Unfit
from veilflow.treatments.nested import Steps

_LISTS = ("in_", "not_in")
_VALUES = ("equals", "at_least", "below")


@dataclass(frozen=True, slots=True)
class When:
    """``then`` where the condition on ``column`` holds, ``otherwise`` elsewhere, and where the column is null.

    Exactly one condition: ``in`` or ``not_in`` a list, ``equals``, ``at_least`` or ``below`` a value, ``is_null``
    true or false.
    """

    column: str
    then: Steps
    otherwise: Steps
    in_: tuple[Any, ...] | None = None
    not_in: tuple[Any, ...] | None = None
    equals: Any = None
    at_least: Any = None
    below: Any = None
    is_null: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise ValueError("column must be a column's name")
        given = [name for name in (*_LISTS, *_VALUES, "is_null") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one condition: in, not_in, equals, at_least, below or is_null")
        if self.is_null is not None and not isinstance(self.is_null, bool):
            raise ValueError("is_null must be true or false")
        values = self.values
        if given[0] in _LISTS and not values:
            raise ValueError("in and not_in take a list of values")
        if any(value is None or isinstance(value, list | dict) for value in values):
            raise ValueError("a condition takes plain values")
        if any(step.treatment == "drop" for step in (*self.then, *self.otherwise)):
            raise ValueError("a column is dropped for all rows or for none: use null")

    @property
    def values(self) -> tuple[Any, ...]:
        """What the condition compares with."""
        many = self.in_ if self.in_ is not None else self.not_in
        if many is not None:
            return many
        return tuple(value for value in (self.equals, self.at_least, self.below) if value is not None)


def _parse(raw: Mapping[str, Any], make: Make) -> When:
    written = dict(raw)
    for name in ("then", "otherwise"):
        written[name] = nested.parse_steps(name, written[name], make)
    for name in _LISTS:
        if written.get(name) is not None:
            written[name] = tuple(written[name]) if isinstance(written[name], list) else ()
    return When(**written)


def _fits(parameters: When, types: Mapping[str, pa.DataType]) -> None:
    kind = types[parameters.column]
    ordered = parameters.at_least is not None or parameters.below is not None
    if ordered and not (pa.types.is_temporal(kind) or _is_number(kind)):
        raise TypeError("at_least and below compare numbers and dates")
    if any(isinstance(value, bool) != pa.types.is_boolean(kind) for value in parameters.values):
        raise TypeError(f"the condition's value is not of the type of {parameters.column}")
    try:
        _set_of(parameters.values, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        raise TypeError(f"the condition's value is not of the type of {parameters.column}") from None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _set_of(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """By way of text, so that 1.05 is the decimal that was written and not its nearest float."""
    if pa.types.is_boolean(kind):
        return pa.array(values, kind)
    return pa.array([str(value) for value in values], pa.string()).cast(kind)


def _holds(parameters: When, column: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if parameters.is_null is not None:
        found = pc.equal(pc.is_null(column), parameters.is_null)
    elif parameters.at_least is not None or parameters.below is not None:
        bound = _set_of(parameters.values, column.type)[0]
        found = pc.less(column, bound) if parameters.below is not None else pc.greater_equal(column, bound)
    else:
        found = pc.is_in(column, value_set=_set_of(parameters.values, column.type))
        found = pc.and_(pc.is_valid(column), pc.invert(found) if parameters.not_in is not None else found)
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=bool)


def _branches(parameters: When, context: Context) -> tuple[tuple[Steps, Rows], tuple[Steps, Rows]]:
    """Each branch with the indices of its rows."""
    holds = _holds(parameters, context.columns[parameters.column])
    return (parameters.then, np.flatnonzero(holds)), (parameters.otherwise, np.flatnonzero(~holds))


def _apply(values: pa.Array, parameters: When, context: Context) -> pa.Array:
    parts, orders = [], []
    for steps, rows in _branches(parameters, context):
        if len(rows) == len(values):
            return nested.apply(steps, values, context)
        parts.append(nested.apply(steps, values.take(pa.array(rows)), context.take(rows)))
        orders.append(rows)
    return pa.concat_arrays(parts).take(pa.array(np.argsort(np.concatenate(orders), kind="stable")))


def _unfit(values: pa.Array, parameters: When, context: Context) -> tuple[Unfit, ...]:
    return tuple(
        replace(found, rows=rows[found.rows])
        for steps, rows in _branches(parameters, context)
        for found in nested.unfit(steps, values.take(pa.array(rows)), context.take(rows))
    )


def _output(kind: pa.DataType, parameters: When) -> pa.DataType:
    then, otherwise = (nested.output(steps, kind) for steps in (parameters.then, parameters.otherwise))
    if then != otherwise:
        raise TypeError(f"then makes {then} and otherwise makes {otherwise}: both must make the same type")
    return then


WHEN = Treatment(
    "when",
    "One treatment where a condition on another column of the row holds, and another, which must be stated, where it does not.",
    When,
    ALL - {"json"},
    _output,
    _apply,
    Traits("what the treatment of its branch makes"),
    uses=lambda parameters: nested.uses((*parameters.then, *parameters.otherwise)),
    reads=lambda parameters: (parameters.column, *nested.reads((*parameters.then, *parameters.otherwise))),
    unfit=_unfit,
    parse=_parse,
    steps=lambda parameters: (*parameters.then, *parameters.otherwise),
    fits=_fits,
)
