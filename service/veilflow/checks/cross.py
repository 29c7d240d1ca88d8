"""The output beside another table: its rows counted, its sums added up, its values looked up there; in little memory.

Values are compared by their text (``keys.token_bytes``: 123 and "123" agree), as digests under a key of the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.exact_sums import add_exactly
from veilflow.checks.statistics import share_holds
from veilflow.checks.texts import joined
from veilflow.checks.value_counts import ValueCounts
from veilflow.errors import VeilError
from veilflow.keys import token_bytes
from veilflow.model import CheckPlan, TableOutcome

#: Reads some columns of a table as it holds them, by portions; without a name it still has its rows.
Read = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


def judge_cross(number: int, check: CheckPlan, own: Read, other: Read) -> TableOutcome:
    """What a check across tables comes to. VEIL105 for values that cannot be compared."""
    try:
        return TableOutcome(number, *_JUDGES[check.type](check, own, other))
    except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError, OSError) as error:
        raise VeilError(
            "VEIL105", f"{check.type} could not be judged ({type(error).__name__})",
            "compare columns of one type, and free some space for temporary files", check.place,
        ) from None  # fmt: skip


def _other_columns(check: CheckPlan) -> tuple[str, ...]:
    """Which columns of the other table a check compares: of the same names unless it says otherwise."""
    given = check.arguments
    return tuple(
        given.get("other_column_list") or ([given["other_column"]] if "other_column" in given else check.columns)
    )


def _same_count(_check: CheckPlan, own: Read, other: Read) -> tuple[bool, int, int]:
    ours, theirs = (sum(batch.num_rows for batch in read(())) for read in (own, other))
    return ours == theirs, ours, 0


def _there(check: CheckPlan, own: Read, other: Read) -> tuple[bool, int, int]:
    """As a foreign key: rows in which something is missing are left out."""
    with closing(ValueCounts()) as ours, closing(ours.beside()) as theirs:
        count = 0
        for batch in own(check.columns):
            texts = _texts(batch)
            count += len(texts)
            ours.add(texts)
        for batch in other(_other_columns(check)):
            theirs.add(_texts(batch))
        failed = ours.missing_in(theirs)
    return share_holds(count, failed, check.mostly), count, failed


def _texts(batch: pa.RecordBatch) -> pa.Array:
    return joined([_text(column) for column in batch.columns], "any_value_is_missing")


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_null(values.type):
        return values.cast(pa.string())
    if pa.types.is_floating(values.type):
        return pc.add(values.cast(pa.float64()), 0.0).cast(pa.string())
    return token_bytes(values)


def _same_sum(check: CheckPlan, own: Read, other: Read) -> tuple[bool, int, int]:
    ours, rows = _sum(own(check.columns))
    theirs, _rows = _sum(other(_other_columns(check)))
    return ours == theirs, rows, 0


def _sum(batches: Iterator[pa.RecordBatch]) -> tuple[Fraction, int]:
    """An exact sum of whole and decimal numbers, and that of doubles correctly rounded, whatever the order."""
    exact, rows = Fraction(), 0
    doubles: list[float] = []
    for batch in batches:
        rows += batch.num_rows
        for value in batch.column(0).drop_null().to_pylist():
            if isinstance(value, float):
                add_exactly(doubles, value)
            else:
                exact += _fraction(value)
    return exact + Fraction(math.fsum(doubles)), rows


def _fraction(value: Any) -> Fraction:
    try:
        return Fraction(Decimal(value))
    except InvalidOperation:
        raise ValueError("not a number") from None


_JUDGES: Mapping[str, Callable[[CheckPlan, Read, Read], tuple[bool, int, int]]] = {
    "expect_table_row_count_to_equal_other_table": _same_count,
    "expect_column_values_to_be_in_other_table": _there,
    "expect_compound_columns_to_be_in_other_table": _there,
    "expect_column_sum_to_equal_other_table": _same_sum,
}
