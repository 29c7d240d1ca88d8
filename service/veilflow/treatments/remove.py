"""Keeping, dropping, and putting nothing or a constant in place."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import ALL, Context, NoParameters, Traits, Treatment, same_type, text, text_type


def _keep(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return values


def _null(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return pa.nulls(len(values), values.type)


@dataclass(frozen=True, slots=True)
class Redact:
    """``with``: the constant that stands in place of every value."""

    with_: str = "[redacted]"

    def __post_init__(self) -> None:
        text("with", self.with_)


def _redact(values: pa.Array, parameters: Redact, _context: Context) -> pa.Array:
    constant = pa.repeat(pa.scalar(parameters.with_, pa.string()), len(values))
    return pc.if_else(pc.is_valid(values), constant, pa.scalar(None, pa.string()))


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
