"""Treatments of other packages, and functions on pandas Series: outside our guarantees, and marked so.

A package offers one under the entry-point group ``veilflow.treatments``: an ``OwnTreatment``, or a plain function on an
Arrow text array. What it does to a value nobody here knows, so plans and reports carry ``outside_guarantees``; that rows,
order, nulls and the declared type hold is checked all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.model import type_name
from veilflow.treatments.interface import ALL, TEXT_ONLY, Context, Traits, Treatment

ENTRY_POINTS = "veilflow.treatments"


@dataclass(frozen=True, slots=True)
class OwnTreatment:
    """A function from values and the policy's parameters to as many values, in the same order.

    ``takes`` names the column types that it fits, ``gives`` the Arrow type that it makes (None: that of the column).
    With ``pandas`` it gets and gives a Series of Arrow-backed values. It must be pure: no clock, no chance, no other row.
    """

    function: Callable[..., Any]
    takes: frozenset[str] = TEXT_ONLY
    gives: pa.DataType | None = None
    pandas: bool = False


def pandas_treatment(
    function: Callable[..., Any], takes: frozenset[str] = TEXT_ONLY, gives: pa.DataType | None = None
) -> OwnTreatment:
    """A function on a pandas Series as a treatment."""
    return OwnTreatment(function, takes, gives, pandas=True)


@dataclass(frozen=True, slots=True)
class Own:
    """``name``: the entry point's; ``with``: the parameters that its function gets."""

    name: str
    with_: Mapping[str, Any] = field(default_factory=dict)
    package: str = field(init=False)
    outside_guarantees: bool = field(default=True, init=False)
    treatment: OwnTreatment = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError("name must be an entry point's name")
        if not isinstance(self.with_, Mapping) or not all(
            isinstance(key, str) and key.isidentifier() for key in self.with_
        ):
            raise ValueError("with must be a mapping of parameters")
        entry = _entry(self.name)
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
        object.__setattr__(self, "package", package)
        object.__setattr__(self, "treatment", _load(entry))


def _entry(name: str) -> EntryPoint:
    found = tuple(entry_points(group=ENTRY_POINTS, name=name))
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"several packages offer {name}: uninstall one of them")
    there = sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})
    near = get_close_matches(name, there, n=1)
    raise ValueError(
        f"no installed package offers a treatment of that name{f', did you mean {near[0]}?' if near else ''} "
        f"(group {ENTRY_POINTS}; there are: {', '.join(there) or 'none'})"
    )


def _load(entry: EntryPoint) -> OwnTreatment:
    try:
        found = entry.load()
    except Exception as error:
        # Its text may be anything.
        raise ValueError(f"{entry.value} cannot be loaded ({type(error).__name__})") from None
    own = OwnTreatment(found) if callable(found) and not isinstance(found, OwnTreatment) else found
    if not isinstance(own, OwnTreatment) or not callable(own.function) or not own.takes <= ALL:
        raise ValueError(f"{entry.value} is neither a function nor an OwnTreatment")
    return own


def _output(kind: pa.DataType, parameters: Own) -> pa.DataType:
    own = parameters.treatment
    name = type_name(kind, str(kind))
    if name not in own.takes:
        raise TypeError(f"{parameters.name} takes {', '.join(sorted(own.takes))}")
    return kind if own.gives is None else own.gives


def _apply(values: pa.Array, parameters: Own, _context: Context) -> pa.Array:
    own = parameters.treatment
    kind = values.type if own.gives is None else own.gives
    if own.pandas:
        import pandas as pd

        series = own.function(values.to_pandas(types_mapper=pd.ArrowDtype), **parameters.with_)
        made = pa.Array.from_pandas(series, type=kind)
    else:
        made = own.function(values, **parameters.with_)
    made = made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made
    if not isinstance(made, pa.Array) or len(made) != len(values):
        raise ValueError("not as many values as came in")
    return pc.if_else(pc.is_valid(values), made.cast(kind), pa.scalar(None, kind))


OWN = Treatment(
    "own",
    "A function of another package (entry-point group `veilflow.treatments`), on Arrow or pandas; outside our guarantees.",
    Own,
    ALL - {"json"},
    _output,
    _apply,
    Traits("whatever the function makes"),
    guaranteed=False,
)
