"""Coarser dates and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import Context, Traits, Treatment, same_type

_UNITS = ("year", "quarter", "month", "week", "day", "hour")


@dataclass(frozen=True, slots=True)
class Generalise:
    """``to`` for dates and timestamps: the first moment of the year, quarter, month, week (Monday), day or hour;
    ``width`` for numbers: the lower bound of the bin. Exactly one of them."""

    to: str | None = None
    width: int | float | None = None

    def __post_init__(self) -> None:
        if (self.to is None) == (self.width is None):
            raise ValueError("give either to (dates) or width (numbers)")
        if self.to is not None and self.to not in _UNITS:
            raise ValueError("to must be one of " + ", ".join(_UNITS))
        if self.width is not None and (
            isinstance(self.width, bool) or not isinstance(self.width, int | float) or self.width <= 0
        ):
            raise ValueError("width must be a number above 0")


def _output(kind: pa.DataType, parameters: Generalise) -> pa.DataType:
    """The same type; TypeError where the parameter is not for it, which the plan turns into VEIL303."""
    is_time = pa.types.is_temporal(kind)
    if is_time != (parameters.to is not None):
        raise TypeError("dates take `to`, numbers take `width`")
    if pa.types.is_integer(kind) and not isinstance(parameters.width, int):
        raise TypeError("integers take a whole width")
    if pa.types.is_date(kind) and parameters.to == "hour":
        raise TypeError("a date has no hour")
    if pa.types.is_decimal(kind):
        return pa.decimal128(38, kind.scale)  # -9.99 in bins of 10 is -10.00: a digit more
    return same_type(kind, parameters)


def _generalise(values: pa.Array, parameters: Generalise, _context: Context) -> pa.Array:
    if parameters.to is not None:
        return pc.floor_temporal(values, unit=parameters.to).cast(values.type)
    assert parameters.width is not None
    if pa.types.is_decimal(values.type):
        return _decimal_bins(values, Decimal(str(parameters.width)))
    width = pa.scalar(parameters.width, values.type)
    if pa.types.is_floating(values.type):
        return pc.multiply(pc.floor(pc.divide(values, width)), width)
    return _integer_bins(values, width)


def _integer_bins(values: pa.Array, width: pa.Scalar) -> pa.Array:
    quotient = pc.divide(values, width)  # truncates towards zero
    lower = pc.multiply(quotient, width)
    below = pc.greater(lower, values)
    return pc.if_else(below, pc.subtract_checked(lower, pc.if_else(below, width, pa.scalar(0, values.type))), lower)


def _decimal_bins(values: pa.Array, width: Decimal) -> pa.Array:
    # Arrow's decimal division rounds; Decimal is exact.
    return pa.array(
        [
            None if value is None else (value / width).to_integral_value("ROUND_FLOOR") * width
            for value in values.to_pylist()
        ],
        pa.decimal128(38, values.type.scale),
    )


GENERALISE = Treatment(
    "generalise",
    "Dates to the first day of their period, numbers to the lower bound of their bin.",
    Generalise,
    frozenset({"integer", "decimal", "float", "date", "timestamp"}),
    _output,
    _generalise,
    Traits("a date or number of the same type"),
)
