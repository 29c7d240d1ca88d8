"""Row expectations as Arrow kernels: built once a run, with exactly the verdicts of Great Expectations on pandas.

A builder takes a check and its columns' types and returns its test, or None where Great Expectations itself must
judge. A test takes the columns' cells and says of each row whether it passes; null counts as "not judged" for one
column and as a failure for several. To compile another expectation: a builder, a line in ``_BUILDERS``, and its
strategies in ``tests/unit/checks/test_compiled.py``, which holds every one against Great Expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.catalogue import KNOWN_EXPECTATIONS
from veilflow.checks.cells import NULL_CHECKS, cells, form_of, unjudged
from veilflow.checks.date_formats import date_format_test
from veilflow.checks.json_schemas import schema_test
from veilflow.checks.like_patterns import like_pattern
from veilflow.checks.own import own_test
from veilflow.checks.patterns import parse_pattern
from veilflow.errors import VeilError
from veilflow.model import TEXT, CheckOutcome, CheckPlan, Chunk, ColumnType, SourceColumn

Test = Callable[[Sequence[pa.Array]], pa.Array]
Arguments = Mapping[str, Any]
Builder = Callable[[Arguments, Sequence[ColumnType]], "Test | None"]
_EXACT_IN_DOUBLE = 2**53


def build_test(kind: str, arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    """The test of an expectation whose arguments are in their columns' form; None if it is not compiled.
    ValueError for a pattern that is not safe in any engine."""
    if kind not in KNOWN_EXPECTATIONS:
        return own_test(kind, arguments)
    builder = _BUILDERS.get(kind)
    return builder(arguments, types) if builder else None


@dataclass(frozen=True, slots=True)
class Compiled:
    """One compiled check and its number in the plan."""

    number: int
    check: CheckPlan
    forms: tuple[tuple[str, str], ...]
    test: Test


def compile_checks(
    checks: Mapping[int, tuple[CheckPlan, Arguments]], columns: Sequence[SourceColumn]
) -> tuple[Compiled, ...]:
    """The compiled checks of a plan, by number, with their arguments in their columns' form."""
    types = {column.name: column.type for column in columns}
    compiled = []
    for number, (check, arguments) in checks.items():
        kinds = [types.get(column, TEXT) for column in check.columns]
        test = build_test(check.type, arguments, kinds)
        assert test is not None  # the plan asked for it
        forms = tuple((column, form_of(check, kind)) for column, kind in zip(check.columns, kinds, strict=True))
        compiled.append(Compiled(number, check, forms, test))
    return tuple(compiled)


def judge(compiled: Sequence[Compiled], chunk: Chunk) -> list[CheckOutcome]:
    """Every compiled check on a chunk. VEIL105 where a kernel fails; Arrow's text may quote a cell and is dropped."""
    read: dict[tuple[str, str], pa.Array] = {}
    outcomes = []
    for one in compiled:
        try:
            for column, form in one.forms:
                if (column, form) not in read:
                    read[column, form] = cells(chunk, column, form)
            outcomes.append(_outcome(one, [read[key] for key in one.forms]))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise VeilError(
                "VEIL105", f"{one.check.type} on {one.check.column} could not be judged ({type(error).__name__})",
                "a cell is longer than a pattern with lookaround may be given, or does not fit the check's type",
                one.check.place,
            ) from None  # fmt: skip
    return outcomes


def _outcome(one: Compiled, columns: list[pa.Array]) -> CheckOutcome:
    passes, rows = one.test(columns), len(columns[0])
    if passes.null_count and len(columns) > 1:
        passes = passes.fill_null(False)
    if not passes.false_count and len(columns) == 1:
        judged = rows if one.check.type in NULL_CHECKS else rows - columns[0].null_count
        return CheckOutcome(one.number, judged, _NONE)
    left_out = unjudged(one.check, columns)
    if left_out is not None:
        passes = pc.if_else(left_out, pa.scalar(None, pa.bool_()), passes)
    failed = np.flatnonzero(pc.invert(passes).fill_null(False).to_numpy(zero_copy_only=False))
    return CheckOutcome(one.number, rows - (left_out.true_count if left_out is not None else 0), failed)


_NONE: np.ndarray[Any, np.dtype[np.int64]] = np.array([], dtype=np.int64)


# --- one column ---------------------------------------------------------------------------------


def _one(test: Callable[[pa.Array], pa.Array]) -> Test:
    return lambda columns: test(columns[0])


def _null(_arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    return _one(lambda values: values.is_null())


def _not_null(_arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    return _one(lambda values: values.is_valid())


def _in_set(arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    prepared = _set_for(arguments["value_set"], types[0])
    if prepared is None:
        return None
    values_set, convert = prepared

    def test(values: pa.Array) -> pa.Array:
        found = pc.is_in(convert(values), value_set=values_set)
        return pc.if_else(values.is_valid(), found, pa.scalar(None, pa.bool_())) if values.null_count else found

    return _one(test)


def _not_in_set(arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    inside = _in_set(arguments, types)
    return None if inside is None else lambda columns: pc.invert(inside(columns))


def _same(values: pa.Array) -> pa.Array:
    return values


def _doubles(values: pa.Array) -> pa.Array:
    # + 0.0 makes one zero of both, which Arrow's hashes tell apart.
    return pc.add(values.cast(pa.float64()), 0.0)


def _set_for(wanted: list[Any], kind: ColumnType) -> tuple[pa.Array, Callable[[pa.Array], pa.Array]] | None:
    """The set in the column's Arrow type, without members that no cell can equal; None where only pandas'
    own rules for mixed numbers say what is equal."""
    if kind.name in ("text", "json", "boolean"):
        return pa.array(wanted, kind.arrow), _same
    if kind.name in ("float", "decimal"):
        return _doubles(pa.array([float(one) for one in wanted], pa.float64())), _doubles
    if kind.name == "integer" and all(isinstance(one, int) for one in wanted):
        return pa.array([one for one in wanted if _in_range(one, kind.arrow)], kind.arrow), _same
    if kind.name == "date":
        days = [one.date() for one in wanted if one == datetime.combine(one, datetime.min.time())]
        return pa.array(days, pa.date32()), _same
    scalars = [_moment(one, kind.arrow) for one in wanted] if kind.name == "timestamp" else [None]
    if any(one is None for one in scalars):
        return None
    return pa.array([one.as_py() for one in scalars if one is not None], kind.arrow), _same


def value_set_of(wanted: list[Any], kind: ColumnType) -> pa.Array:
    """The members in the column's Arrow type. ValueError where they mix kinds of numbers."""
    prepared = _set_for(wanted, kind)
    if prepared is None:
        raise ValueError("its set mixes kinds of numbers")
    return prepared[0]


def _in_range(number: int, kind: pa.DataType) -> bool:
    try:
        pa.scalar(number, kind)
    except (pa.ArrowInvalid, OverflowError):
        return False
    return True


def _moment(value: datetime, kind: pa.DataType) -> pa.Scalar | None:
    """A moment in a timestamp type, None where that would lose something of it."""
    try:
        found = pa.scalar(value, kind)
        return (
            found if found.cast(pa.timestamp("us", kind.tz)) == pa.scalar(value, pa.timestamp("us", kind.tz)) else None
        )
    except (pa.ArrowException, OverflowError, ValueError):
        return None


def _between(arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    kind = types[0]
    low, high = arguments.get("min_value"), arguments.get("max_value")
    strict = bool(arguments.get("strict_min")), bool(arguments.get("strict_max"))
    if kind.name == "integer":
        return _integer_range(low, high, strict, kind.arrow)
    if kind.name in ("float", "decimal"):
        bounds = [None if one is None else pa.scalar(float(one), pa.float64()) for one in (low, high)]
        return _range(bounds[0], bounds[1], strict, lambda values: values.cast(pa.float64()))
    if kind.name == "date":
        bounds = [None if one is None else pa.scalar(one, pa.timestamp("us")) for one in (low, high)]
        return _range(bounds[0], bounds[1], strict, lambda values: values.cast(pa.timestamp("us")))
    if kind.name == "timestamp":
        bounds = [None if one is None else _moment(one, kind.arrow) for one in (low, high)]
        if (bounds[0] is None) == (low is None) and (bounds[1] is None) == (high is None):
            return _range(bounds[0], bounds[1], strict, _same)
    return None


def _integer_range(low: Any, high: Any, strict: tuple[bool, bool], kind: pa.DataType) -> Test | None:
    """Whole bounds that say the same. Great Expectations makes doubles of bounds, so from 2**53 on it decides itself."""
    if any(one is not None and abs(one) >= _EXACT_IN_DOUBLE for one in (low, high)):
        return None
    first = None if low is None else (int(np.floor(low)) + 1 if strict[0] or low != int(low) else int(low))
    last = None if high is None else (int(np.ceil(high)) - 1 if strict[1] or high != int(high) else int(high))
    smallest, largest = _limits(kind)
    if (first is not None and first > largest) or (last is not None and last < smallest):
        return _one(lambda values: pc.if_else(values.is_valid(), pa.scalar(False), pa.scalar(None, pa.bool_())))
    bottom = None if first is None or first <= smallest else pa.scalar(first, kind)
    top = None if last is None or last >= largest else pa.scalar(last, kind)
    return _range(bottom, top, (False, False), _same)


def _limits(kind: pa.DataType) -> tuple[int, int]:
    info = np.iinfo(kind.to_pandas_dtype())
    return int(info.min), int(info.max)


def _range(
    low: pa.Scalar | None, high: pa.Scalar | None, strict: tuple[bool, bool], convert: Callable[[pa.Array], pa.Array]
) -> Test:
    above, below = (pc.greater if strict[0] else pc.greater_equal), (pc.less if strict[1] else pc.less_equal)

    def test(values: pa.Array) -> pa.Array:
        numbers = convert(values)
        if low is not None and high is not None:
            return pc.and_(above(numbers, low), below(numbers, high))
        if low is None and high is None:
            return pc.equal(numbers, numbers)
        return above(numbers, low) if low is not None else below(numbers, high)

    return _one(test)


def _length_between(arguments: Arguments, _types: Sequence[ColumnType]) -> Test | None:
    strict = bool(arguments.get("strict_min")), bool(arguments.get("strict_max"))
    within = _integer_range(arguments.get("min_value"), arguments.get("max_value"), strict, pa.int32())
    return None if within is None else lambda columns: within([pc.utf8_length(columns[0])])


def _length_equals(arguments: Arguments, _types: Sequence[ColumnType]) -> Test | None:
    bounds = {"min_value": arguments["value"], "max_value": arguments["value"]}
    return _length_between(bounds, _types)


def _regex(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    return _one(parse_pattern(arguments["regex"]).matches)


def _not_regex(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    pattern = parse_pattern(arguments["regex"])
    return _one(lambda values: pc.invert(pattern.matches(values)))


def _regexes(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    patterns = [parse_pattern(source) for source in arguments["regex_list"]]
    combine = pc.and_ if arguments.get("match_on") == "all" else pc.or_
    return _one(lambda values: reduce(combine, (pattern.matches(values) for pattern in patterns)))


def _no_regexes(arguments: Arguments, types: Sequence[ColumnType]) -> Test:
    some = _regexes({"regex_list": arguments["regex_list"]}, types)
    return lambda columns: pc.invert(some(columns))


def _date_format(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    return _one(date_format_test(arguments["strftime_format"]))


def _like(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    return _one(like_pattern(arguments["like_pattern"], arguments.get("escape")))


def _not_like(arguments: Arguments, types: Sequence[ColumnType]) -> Test:
    like = _like(arguments, types)
    return lambda columns: pc.invert(like(columns))


def _likes(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    tests = [like_pattern(one, arguments.get("escape")) for one in arguments["like_pattern_list"]]
    combine = pc.and_ if arguments.get("match_on") == "all" else pc.or_
    return _one(lambda values: reduce(combine, (test(values) for test in tests)))


def _no_likes(arguments: Arguments, types: Sequence[ColumnType]) -> Test:
    some = _likes({**arguments, "match_on": "any"}, types)
    return lambda columns: pc.invert(some(columns))


def _json_schema(arguments: Arguments, _types: Sequence[ColumnType]) -> Test:
    return _one(schema_test(arguments["json_schema"]))


# --- several columns ------------------------------------------------------------------------------


def _comparable(types: Sequence[ColumnType]) -> Callable[[pa.Array], pa.Array] | None:
    """How columns become one type in which they compare as pandas does; None where they do not."""
    names = {kind.name for kind in types}
    arrows = {kind.arrow for kind in types}
    if names <= {"text", "json"} or names == {"date"}:
        return _same
    if names == {"integer"} and not any(kind.arrow == pa.uint64() for kind in types):
        return lambda values: values.cast(pa.int64())
    if names <= {"float", "decimal"}:
        return lambda values: values.cast(pa.float64())
    if names in ({"timestamp"}, {"boolean"}) and len(arrows) == 1:
        return _same
    return None


def _greater(arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    convert = _comparable(types)
    if convert is None or types[0].name == "boolean":
        return None
    compare = pc.greater_equal if arguments.get("or_equal") else pc.greater
    return lambda columns: compare(convert(columns[0]), convert(columns[1]))


def _equal(_arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    convert = _comparable(types)
    return None if convert is None else lambda columns: pc.equal(convert(columns[0]), convert(columns[1]))


def _all_equal(_arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    convert = _comparable(types)
    if convert is None:
        return None
    return lambda columns: reduce(
        pc.and_, (_equal_or_null(convert(columns[0]), convert(other)) for other in columns[1:])
    )


def _all_differ(_arguments: Arguments, types: Sequence[ColumnType]) -> Test | None:
    convert = _comparable(types)
    if convert is None:
        return None

    def test(columns: Sequence[pa.Array]) -> pa.Array:
        pairs = combinations([convert(values) for values in columns], 2)
        return pc.invert(reduce(pc.or_, (_equal_or_null(first, second) for first, second in pairs)))

    return test


def _equal_or_null(first: pa.Array, second: pa.Array) -> pa.Array:
    if not first.null_count and not second.null_count:
        return pc.equal(first, second)
    return pc.or_(pc.equal(first, second).fill_null(False), pc.and_(first.is_null(), second.is_null()))


_BUILDERS: Mapping[str, Builder] = {
    "expect_column_values_to_be_null": _null,
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_match_regex": _regex,
    "expect_column_values_to_not_match_regex": _not_regex,
    "expect_column_values_to_match_regex_list": _regexes,
    "expect_column_values_to_not_match_regex_list": _no_regexes,
    "expect_column_value_lengths_to_be_between": _length_between,
    "expect_column_value_lengths_to_equal": _length_equals,
    "expect_column_values_to_match_strftime_format": _date_format,
    "expect_column_values_to_match_like_pattern": _like,
    "expect_column_values_to_not_match_like_pattern": _not_like,
    "expect_column_values_to_match_like_pattern_list": _likes,
    "expect_column_values_to_not_match_like_pattern_list": _no_likes,
    "expect_column_values_to_match_json_schema": _json_schema,
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": _equal,
    "expect_multicolumn_values_to_be_equal": _all_equal,
    "expect_select_column_values_to_be_unique_within_record": _all_differ,
}

#: The expectations that are compiled where their columns' types allow it.
COMPILED_EXPECTATIONS = frozenset(_BUILDERS)
