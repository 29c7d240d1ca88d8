"""Dates of birth to ages on the plan's date, the highest in one group."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import Context, Traits, Treatment, Unfit, one_of, text_type, whole

_BIRTHS = frozenset({"date", "timestamp"})
Ages = np.ndarray[Any, np.dtype[np.int64]]
OnFuture = Literal["refuse", "quarantine"]


def _check(top: object, future: object) -> None:
    whole("top", top, 1, 120)
    one_of("future", future, *get_args(OnFuture))


@dataclass(frozen=True, slots=True)
class Age:
    """Whole years on the plan's date. From ``top`` on all are ``top``: 90 stands for 90 and over, as HIPAA asks
    (45 CFR 164.514(b)(2)(i)(C)). Births after that date follow ``future``: refuse or quarantine."""

    top: int = 90
    future: OnFuture = "refuse"

    def __post_init__(self) -> None:
        _check(self.top, self.future)


@dataclass(frozen=True, slots=True)
class AgeBand:
    """Bands of ``width`` years, or from each of ``edges`` on; ``90+`` from ``top`` on. ``future`` as for ``age``."""

    width: int | None = None
    edges: tuple[int, ...] | None = None
    top: int = 90
    future: OnFuture = "refuse"

    def __post_init__(self) -> None:
        _check(self.top, self.future)
        if self.edges is None:
            whole("width", 10 if self.width is None else self.width, 1, 60)
            return
        if self.width is not None:
            raise ValueError("give either width or edges")
        if not isinstance(self.edges, list | tuple) or not self.edges:
            raise ValueError("edges must be a list of ages")
        for edge in self.edges:
            whole("edges", edge, 1, self.top - 1)
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must rise")
        object.__setattr__(self, "edges", tuple(self.edges))

    @property
    def labels(self) -> list[str]:
        """The label of each age from 0 to ``top``."""
        width = 10 if self.width is None else self.width
        edges = [edge for edge in self.edges or range(0, self.top, width) if edge < self.top]
        bounds = [*([] if edges[0] == 0 else [0]), *edges, self.top]
        bands = [f"{low}-{high - 1}" if high - low > 1 else str(low) for low, high in pairwise(bounds)]
        names = [band for band, (low, high) in zip(bands, pairwise(bounds), strict=True) for _ in range(low, high)]
        return [*names, f"{self.top}+"]


def _ages(values: pa.Array, as_of: date | None, top: int) -> Ages:
    """Completed years, at most ``top``; 0 for null, -1 for a birth after ``as_of``."""
    if as_of is None:
        raise ValueError("the plan has no date")
    if pa.types.is_timestamp(values.type):
        values = (pc.local_timestamp(values) if values.type.tz else values).cast(pa.date32(), safe=False)
    table = _age_of_days(as_of, top)
    days = values.fill_null(as_of).cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False)
    lived = (as_of - date(1970, 1, 1)).days - days
    return np.asarray(table[np.clip(lived, -1, len(table) - 2) + 1], np.int64)


@cache
def _age_of_days(as_of: date, top: int) -> Ages:
    """The age by days lived, from -1 on. A child of 29 February is a year older on 1 March of other years."""
    birthdays = np.array([(as_of - _years_before(as_of, age)).days for age in range(top + 1)])
    return np.searchsorted(birthdays, np.arange(-1, birthdays[-1] + 1), "right").astype(np.int64) - 1


def _years_before(as_of: date, years: int) -> date:
    try:
        return as_of.replace(year=as_of.year - years)
    except ValueError:
        return date(as_of.year - years, 2, 28)


def _unfit(values: pa.Array, parameters: Age | AgeBand, context: Context) -> tuple[Unfit, ...]:
    rows = np.flatnonzero(_ages(values, context.as_of, parameters.top) < 0)
    return (Unfit(rows, "lies after the date on which ages are counted", parameters.future),) if len(rows) else ()


def _age(values: pa.Array, parameters: Age, context: Context) -> pa.Array:
    ages = pa.array(_ages(values, context.as_of, parameters.top))
    return pc.if_else(pc.is_valid(values), ages, pa.scalar(None, pa.int64()))


def _age_band(values: pa.Array, parameters: AgeBand, context: Context) -> pa.Array:
    ages = np.maximum(_ages(values, context.as_of, parameters.top), 0)
    labels = pa.array(parameters.labels, pa.string()).take(pa.array(ages))
    return pc.if_else(pc.is_valid(values), labels, pa.scalar(None, pa.string()))


AGE = Treatment(
    "age",
    "A date of birth to the age in whole years on the plan's date; 90 and over in one group.",
    Age,
    _BIRTHS,
    lambda _kind, _parameters: pa.int64(),
    _age,
    Traits("an age in years"),
    unfit=_unfit,
    dated=True,
)
AGE_BAND = Treatment(
    "age_band",
    "A date of birth to a band of ages on the plan's date: 30-39, 90+.",
    AgeBand,
    _BIRTHS,
    text_type,
    _age_band,
    Traits("a band of ages"),
    unfit=_unfit,
    dated=True,
)
