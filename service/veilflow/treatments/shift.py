"""Dates moved by a number of days that belongs to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.keys import hmac_words, once_per_value, token_bytes
from veilflow.model import type_name
from veilflow.treatments.interface import (
    Context,
    Traits,
    Treatment,
    Unfit,
    always,
    one_of,
    same_type,
    whole,
)
from veilflow.treatments.token import TOKENISED

_Days = np.ndarray[Any, np.dtype[np.int64]]
_FIRST, _LAST = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


@dataclass(frozen=True, slots=True)
class ShiftDate:
    """By up to ``max_days`` days, earlier or later, the same number for all dates of a ``subject`` (a column), so that
    the intervals between them stay; all numbers are as likely. 0 only with ``allow_zero``. Columns that are to stay in
    step name one key domain.

    ``outside``: what happens to a date without a subject, or one so near to the year 1 or 9999 that it could leave the
    calendar: ``refuse`` or ``quarantine``.
    """

    subject: str
    max_days: int
    allow_zero: bool = False
    outside: str = "refuse"

    def __post_init__(self) -> None:
        if not isinstance(self.subject, str) or not self.subject:
            raise ValueError("subject must be a column's name")
        whole("max_days", self.max_days, 1, 36_525)
        if not isinstance(self.allow_zero, bool):
            raise ValueError("allow_zero must be true or false")
        one_of("outside", self.outside, "refuse", "quarantine")


def days_of(subjects: pa.Array, key: bytes, parameters: ShiftDate) -> _Days:
    """The days of each subject: the first 64 bits of HMAC-SHA-256(key, subject) modulo the number of possible shifts,
    whose uneven part is below 2^-47."""
    draws = hmac_words(subjects, key, 1)[:, 0]
    most = parameters.max_days
    if parameters.allow_zero:
        return (draws % np.uint64(2 * most + 1)).astype(np.int64) - most
    drawn = (draws % np.uint64(2 * most)).astype(np.int64) - most
    return drawn + (drawn >= 0)


def _shift(values: pa.Array, parameters: ShiftDate, context: Context) -> pa.Array:
    key = context.key("shift").value
    # A row without a subject is null already, so any number does for it.
    subjects = pc.fill_null(token_bytes(context.columns[parameters.subject]), "")
    days = once_per_value(subjects, lambda own: pa.array(days_of(own, key, parameters), pa.int32()))
    if pa.types.is_timestamp(values.type):
        moved = pc.multiply(days.cast(pa.int64()), _PER_DAY[values.type.unit])
        return pc.add_checked(values.cast(pa.int64()), moved).cast(values.type)
    return pc.add_checked(values.cast(pa.date32()).cast(pa.int32()), days).cast(pa.date32()).cast(values.type)


def _unfit(values: pa.Array, parameters: ShiftDate, context: Context) -> tuple[Unfit, ...]:
    then = cast(Literal["refuse", "quarantine"], parameters.outside)
    subjects = context.columns[parameters.subject]
    alone = pc.and_(values.is_valid(), pc.is_null(subjects))
    days = _day_numbers(values)
    near = pc.or_(pc.less(days, _FIRST + parameters.max_days), pc.greater(days, _LAST - parameters.max_days))
    found = []
    for bad, reason in ((alone, "has no subject"), (near, "lies too near to the end of the calendar")):
        rows = np.flatnonzero(pc.fill_null(bad, False).to_numpy(zero_copy_only=False))
        if len(rows):
            found.append(Unfit(rows, reason, then))
    return tuple(found)


def _day_numbers(values: pa.Array) -> pa.Array:
    """Days since 1970, of a timestamp the day that it lies in or the next one before 1970."""
    if pa.types.is_timestamp(values.type):
        return pc.divide(values.cast(pa.int64()), _PER_DAY[values.type.unit])
    return values.cast(pa.date32()).cast(pa.int32())


def _fits(parameters: ShiftDate, types: Mapping[str, pa.DataType]) -> None:
    if type_name(types[parameters.subject], "json") not in TOKENISED:
        raise TypeError(f"the column {parameters.subject} has a type that names no subject")


SHIFT_DATE = Treatment(
    "shift_date",
    "Moves dates by days drawn from the key of their subject: one person's intervals stay, and nobody without the key knows the number.",
    ShiftDate,
    frozenset({"date", "timestamp"}),
    same_type,
    _shift,
    Traits("a date or timestamp of the same type"),
    uses=always("shift"),
    reads=lambda parameters: (parameters.subject,),
    unfit=_unfit,
    fits=_fits,
)
