"""In which form a check reads the cells of a column; the same for every engine, so that verdicts cannot differ."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.own import expectation_of
from veilflow.model import TEXT, CheckPlan, Chunk, ColumnType

NULL_CHECKS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
_IGNORE_ALL = ("both_values_are_missing", "all_values_are_missing")
_IGNORE_ANY = ("either_value_is_missing", "any_value_is_missing")


def form_of(check: CheckPlan, kind: ColumnType) -> str:
    """``text``: as it was read; ``raw``: for null checks, to which a cell that does not fit its type is not missing;
    ``values``: typed. A text column has one form."""
    if kind.name == TEXT.name:
        return "values"
    if check.type in NULL_CHECKS:
        return "raw"
    return "text" if expectation_of(check.type).reads_text else "values"


def cells(chunk: Chunk, column: str, form: str) -> pa.Array:
    """A chunk's column in a form. NaN is missing, as it is to pandas; decimals are doubles, since the bounds and sets
    they are held against are."""
    values = (chunk.values if form == "values" else chunk.raw).column(column)
    if pa.types.is_floating(values.type):
        values = _without_nan(values)
    elif form == "values" and pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    return values.cast(pa.string()) if form == "text" and not pa.types.is_string(values.type) else values


def _without_nan(values: pa.Array) -> pa.Array:
    nan = pc.is_nan(values)
    return pc.if_else(nan, pa.scalar(None, values.type), values) if nan.true_count else values


def unjudged(check: CheckPlan, columns: list[pa.Array]) -> pa.Array | None:
    """The rows that a check leaves out, None for none: nulls, except for the null checks themselves; of several
    columns those that ``ignore_row_if`` says (Great Expectations' default: all are missing)."""
    if check.type in NULL_CHECKS or not any(values.null_count for values in columns):
        return None
    missing = [values.is_null() for values in columns]
    rule = check.arguments.get("ignore_row_if", _IGNORE_ALL[0])
    if len(missing) > 1 and rule not in _IGNORE_ALL + _IGNORE_ANY:
        return None
    combine = pc.or_ if rule in _IGNORE_ANY else pc.and_
    out = missing[0]
    for other in missing[1:]:
        out = combine(out, other)
    return out
