"""Keeping, dropping, and putting nothing or a constant in place."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import (
    ALL,
    Context,
    NoParameters,
    Traits,
    Treatment,
    one_of,
    same_type,
    text,
    text_type,
)


def _keep(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return values


def _null(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return pa.nulls(len(values), values.type)


@dataclass(frozen=True, slots=True)
class Redact:
    """``with``: the text that stands in place of every value; ``by: class`` puts the column's class there instead,
    for example ``[direct_identifier]``."""

    with_: str = "[redacted]"
    by: str | None = None

    def __post_init__(self) -> None:
        text("with", self.with_)
        if self.by is not None:
            one_of("by", self.by, "class")


def _redact(values: pa.Array, parameters: Redact, context: Context) -> pa.Array:
    by_class = parameters.by is not None and context.classification is not None
    return _everywhere(values, pa.scalar(f"[{context.classification}]" if by_class else parameters.with_, pa.string()))


def _everywhere(values: pa.Array, constant: pa.Scalar) -> pa.Array:
    return pc.if_else(pc.is_valid(values), constant, pa.scalar(None, constant.type))


@dataclass(frozen=True, slots=True)
class Constant:
    """``value``: what stands in place of every value: text, a number, true or false, or a date as ISO text, as the
    column's type asks."""

    value: str | int | float | bool

    def __post_init__(self) -> None:
        if not isinstance(self.value, str | int | float | bool):
            raise ValueError("value must be text, a number, true or false")


def _constant_of(kind: pa.DataType, parameters: Constant) -> pa.Scalar:
    """The constant in the column's type. TypeError if it does not fit."""
    value = parameters.value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    wants_text = pa.types.is_string(kind) or pa.types.is_temporal(kind)
    try:
        if isinstance(value, str) is not wants_text or pa.types.is_boolean(kind) is not isinstance(value, bool):
            raise TypeError
        # By way of text, so that 1.05 is the decimal that was written and not its nearest float.
        return pa.scalar(str(value) if is_number else value).cast(kind)
    except (pa.ArrowException, TypeError, ValueError):
        raise TypeError(f"the value is no {kind}") from None


def _constant_type(kind: pa.DataType, parameters: Constant) -> pa.DataType:
    return _constant_of(kind, parameters).type


def _constant(values: pa.Array, parameters: Constant, _context: Context) -> pa.Array:
    return _everywhere(values, _constant_of(values.type, parameters))


KEEP = Treatment(
    "keep",
    "Leaves the values as they are; needs the exact column and a reason.",
    NoParameters,
    ALL - {"json"},
    same_type,
    _keep,
    Traits("the value itself", reversible=True, unique_safe=True, linkable=True),
)
DROP = Treatment("drop", "The column is not loaded.", NoParameters, ALL, same_type, _keep, Traits("nothing"))
NULL = Treatment("null", "Every value becomes null.", NoParameters, ALL, same_type, _null, Traits("null"))
REDACT = Treatment(
    "redact", "Every value becomes one constant; null stays null.", Redact, ALL, text_type, _redact,
    Traits("one constant text"),
)  # fmt: skip
CONSTANT = Treatment(
    "constant",
    "Every value becomes one constant of the column's own type; null stays null.",
    Constant,
    ALL - {"binary", "json"},
    _constant_type,
    _constant,
    Traits("one constant"),
)
