"""The arguments of a check in the form of its column: known from the schema, so the plan refuses what does not fit.

Dates and timestamps become datetimes (``date`` and text never equal a datetime), decimals become doubles on both
sides (a Decimal and the double of the same digits differ), so a comparison holds on 15 significant digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from veilflow.checks.ambiguity import Explodes, longest_for_re
from veilflow.checks.catalogue import KNOWN_EXPECTATIONS
from veilflow.checks.compiled import build_test
from veilflow.checks.conditions import fit_condition
from veilflow.checks.patterns import parse_pattern
from veilflow.errors import VeilError
from veilflow.model import TEXT, CheckPlan, ColumnType, RowCondition

#: The names of the engines, as plan and results tell them; ``own`` is another package's function.
COMPILED, GREAT_EXPECTATIONS, OWN = "compiled", "great_expectations", "own"

#: Expectations whose bounds are of the column's own type, and those about its numbers.
_OF_VALUES = (
    "expect_column_values_to_be_between", "expect_column_min_to_be_between", "expect_column_max_to_be_between"
)  # fmt: skip
_OF_NUMBERS = (
    "expect_column_sum_to_be_between", "expect_column_mean_to_be_between", "expect_column_median_to_be_between",
    "expect_column_stdev_to_be_between", "expect_column_quantile_values_to_be_between",
    "expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers",
    "expect_column_sum_to_equal_other_table",
)  # fmt: skip
#: What else needs a column of certain types.
_TAKES = {
    "expect_column_values_to_be_increasing": ("integer", "decimal", "float", "date", "timestamp"),
    "expect_column_values_to_be_decreasing": ("integer", "decimal", "float", "date", "timestamp"),
    "expect_column_max_to_be_recent": ("date", "timestamp"),
    # Great Expectations never finds a date among the members of a set here.
    "expect_column_most_common_value_to_be_in_set": ("text", "json", "integer", "decimal", "float", "boolean"),
} | dict.fromkeys(_OF_NUMBERS, ("integer", "decimal", "float"))

_WANTED = {"integer": "numbers", "decimal": "numbers", "float": "numbers", "boolean": "booleans"} | {
    "date": "ISO 8601 dates",
    "timestamp": "ISO 8601 timestamps",
}


def fit_check(check: CheckPlan, columns: Mapping[str, ColumnType]) -> CheckPlan:
    """The check with the engine that judges it: compiled wherever that gives the same verdicts, unless the suite
    forces Great Expectations. VEIL207 where it does not fit its columns' types; the text says what is wanted."""
    types = [columns.get(name, TEXT) for name in check.columns]
    try:
        arguments = _arguments(check, tuple(types))
        _refuse_strangers(check, types)
        fitting_condition(check, columns)
        if check.kind != "row":
            return _fit_whole(check, arguments, types)
        if check.engine == GREAT_EXPECTATIONS and check.type in KNOWN_EXPECTATIONS:
            if "_like_pattern" in check.type:
                raise ValueError("Great Expectations judges it in databases alone: leave `engine` out")
            _try_patterns(check.arguments)
            return check
        compiled = build_test(check.type, arguments, types) is not None
    except ValueError as error:
        raise VeilError("VEIL207", f"{check.type} does not fit {check.column}: {error}", _way_out(check, error), check.place) from None  # fmt: skip
    ours = COMPILED if check.type in KNOWN_EXPECTATIONS else OWN
    return replace(check, engine=ours if compiled else GREAT_EXPECTATIONS)


def _way_out(check: CheckPlan, error: ValueError) -> str:
    if not isinstance(error, Explodes):
        return "change the expectation, or declare the column's type under `columns:` in the pipeline"
    if check.engine == GREAT_EXPECTATIONS:
        return "leave `engine: great_expectations` out: compiled, a pattern takes linear time"
    return "write it without lookaround and back-references, or so that no text fits a repetition in two ways"


def _refuse_strangers(check: CheckPlan, types: Sequence[ColumnType]) -> None:
    """ValueError for columns between which there is no order, or no sum."""
    names = " and ".join(kind.name for kind in types)
    if check.type == "expect_column_pair_values_a_to_be_greater_than_b" and len(set(map(_family, types))) > 1:
        raise ValueError(f"{names} cannot be compared")
    if check.type == "expect_multicolumn_sum_to_equal" and set(map(_family, types)) != {"numbers"}:
        raise ValueError(f"{names} cannot be added up")


def _family(kind: ColumnType) -> str:
    """The types that can be compared with each other."""
    if kind.name in ("integer", "decimal", "float", "boolean"):
        return "numbers"
    if kind.name in ("date", "timestamp"):
        return "moments with a zone" if kind.name == "timestamp" and kind.arrow.tz is not None else "moments"
    return "binary" if kind.name == "binary" else "texts"


def _fit_whole(check: CheckPlan, arguments: Mapping[str, Any], types: Sequence[ColumnType]) -> CheckPlan:
    """Counted over the stream: on chunks Great Expectations could not, and on the whole it would need them all."""
    if "value_set" in arguments and build_test("expect_column_values_to_be_in_set", arguments, types) is None:
        raise ValueError("its set mixes kinds of numbers")
    return check


def comparable_arguments(check: CheckPlan, types: Sequence[ColumnType]) -> dict[str, Any]:
    """The arguments of a check that fits, with every set, pair and bound in the form of its column; ``types`` in the
    order of its columns."""
    return _arguments(check, tuple(types))


def fitting_condition(check: CheckPlan, columns: Mapping[str, ColumnType]) -> RowCondition | None:
    """The check's condition with its values in the form of their columns. ValueError where one does not fit."""
    return None if check.condition is None else fit_condition(check.condition, columns, _as)


def _arguments(check: CheckPlan, types: tuple[ColumnType, ...]) -> dict[str, Any]:
    if check.type in _OF_VALUES:
        return _bounds(check.arguments, types[0])
    takes = _TAKES.get(check.type)
    if takes is not None and types[0].name not in takes:
        raise ValueError(f"it needs a column of {', '.join(takes)}, and this one is {types[0].name}")
    for name in ("min_value", "max_value"):
        if isinstance(check.arguments.get(name), str | date):
            raise ValueError(f"{name} is held against a number")
    return _sets(check.arguments, types)


def _sets(arguments: Mapping[str, Any], types: tuple[ColumnType, ...]) -> dict[str, Any]:
    found = dict(arguments)
    if "value_set" in found:
        found["value_set"] = [_as(one, types[0]) for one in found["value_set"]]
    if "value_pairs_set" in found:
        found["value_pairs_set"] = [
            tuple(None if one is None else _as(one, kind) for one, kind in zip(pair, types, strict=True))
            for pair in found["value_pairs_set"]
        ]
    return found


def _try_patterns(arguments: Mapping[str, Any]) -> None:
    """ValueError for a pattern that ``re`` compiles and pandas' own engine (RE2, through Arrow) does not:
    possessive and atomic groups, comments, repetitions above 1,000. Else it would fail on the first chunk. Each must be
    safe in ``re``, which pandas takes for some cells."""
    patterns = (*arguments.get("regex_list", ()), *([arguments["regex"]] if "regex" in arguments else ()))
    if not patterns:
        return
    import pandas as pd  # only who has patterns waits for it

    for pattern in patterns:
        parse_pattern(pattern)
        longest_for_re(pattern)
        try:
            pd.Series(["a"], dtype="str").str.contains(pattern)
        except Exception:  # noqa: BLE001  # whatever the engine raises, it does not take the pattern
            raise ValueError("its pattern uses what the engine for columns (RE2) does not know") from None


def _bounds(arguments: Mapping[str, Any], kind: ColumnType) -> dict[str, Any]:
    """The arguments of a range, in order."""
    if kind.name not in _WANTED or kind.name == "boolean":
        raise ValueError(f"a range needs a column of numbers, dates or timestamps, and this one is {kind.name}")
    found = dict(arguments)
    for name in ("min_value", "max_value"):
        if name in found:
            found[name] = _as(found[name], kind)
    low, high = found.get("min_value"), found.get("max_value")
    if low is not None and high is not None and low > high:
        raise ValueError("min_value is above max_value")
    return found


def _as(value: Any, kind: ColumnType) -> Any:
    if kind.name in ("date", "timestamp"):
        return _moment(value, kind)
    if kind.name == "boolean":
        fits = isinstance(value, bool)
    elif kind.name in _WANTED:
        fits = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise ValueError(f"the column is {kind.name}, so it is compared with {_WANTED.get(kind.name, 'texts')}")
    return float(value) if isinstance(value, Decimal) else value


def _moment(value: Any, kind: ColumnType) -> datetime:
    wanted = f"the column is {kind.name}, so it is compared with {_WANTED[kind.name]}"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(wanted) from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError(wanted)
    zoned = pa.types.is_timestamp(kind.arrow) and kind.arrow.tz is not None
    if zoned and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value.astimezone(UTC).replace(tzinfo=None) if not zoned and value.tzinfo else value
