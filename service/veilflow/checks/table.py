"""Expectations about a whole table, judged over the stream: exact, in bounded memory, every row that was read.

Each chunk is counted once, by its number. What is counted stays in memory (or, for distinct values, as keyed digests on
disk) and never enters a receipt, because a minimum or a sum can be a person's value; so a run that goes on after an
interruption reads the chunks again that it did not count itself.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.catalogue import COLUMN_EXPECTATIONS
from veilflow.checks.cells import cells
from veilflow.checks.columns_there import holds
from veilflow.checks.comparison import comparable_arguments, fitting_condition
from veilflow.checks.compiled import build_test, value_set_of
from veilflow.checks.conditions import part_for
from veilflow.checks.exact_sums import add_exactly
from veilflow.checks.numbers import Numbers
from veilflow.checks.statistics import (
    Apart,
    InOrder,
    MostCommon,
    OfNumbers,
    Quantiles,
    Recent,
    not_outliers,
    within,
    z_scores,
)
from veilflow.checks.texts import texts_of
from veilflow.checks.value_counts import ValueCounts
from veilflow.errors import VeilError
from veilflow.model import TEXT, CheckPlan, Chunk, ColumnType, SourceColumn, TableOutcome


class _Counting(Protocol):
    """What one check keeps: ``add`` takes the cells of a chunk's columns and its number, ``outcome`` gives (passed, rows judged,
    rows that failed)."""

    def add(self, columns: Sequence[pa.Array], rows: int, chunk: int) -> None: ...

    def outcome(self) -> tuple[bool, int, int]: ...

    def close(self) -> None: ...


class TableChecker:
    """The table checks of one stage of a plan over one run. Safe to use from several threads."""

    def __init__(
        self,
        checks: Sequence[CheckPlan],
        columns: Sequence[SourceColumn],
        stage: Literal["source", "output"] = "source",
        as_of: date = date.max,
    ) -> None:
        """``columns`` are all that the table has; ``as_of`` is the date of the plan."""
        types = {column.name: column.type for column in columns}
        self._checks = {
            number: check for number, check in enumerate(checks) if check.kind == "table" and check.stage == stage
        }
        self._conditions = {number: fitting_condition(check, types) for number, check in self._checks.items()}
        self._counting = {number: _counting(check, types, columns, as_of) for number, check in self._checks.items()}
        self._lock = threading.Lock()
        self.counted: set[int] = set()

    def add(self, chunk: Chunk) -> None:
        """Count a chunk, unless it was counted before."""
        with self._lock:
            if not self._checks or chunk.number in self.counted:
                return
            self.counted.add(chunk.number)
            for number, check in self._checks.items():
                try:
                    part = part_for(self._conditions[number], chunk)
                    read = [cells(part, column, "values") for column in check.columns]
                    self._counting[number].add(read, part.raw.num_rows, chunk.number)
                except (pa.ArrowException, ValueError, TypeError, OverflowError, OSError) as error:
                    raise VeilError(
                        "VEIL105", f"{check.type} could not be judged ({type(error).__name__})",
                        "free some space for temporary files, or declare the column's type", check.place,
                    ) from None  # fmt: skip

    def outcomes(self) -> tuple[TableOutcome, ...]:
        """One outcome a check, over all chunks that were counted."""
        return tuple(TableOutcome(number, *counting.outcome()) for number, counting in self._counting.items())

    def close(self) -> None:
        """Give back what lies on disk."""
        for counting in self._counting.values():
            counting.close()


def _counting(
    check: CheckPlan, types: Mapping[str, ColumnType], columns: Sequence[SourceColumn], as_of: date
) -> _Counting:
    kinds = [types.get(column, TEXT) for column in check.columns]
    arguments = comparable_arguments(check, kinds)
    if check.type in COLUMN_EXPECTATIONS:
        return _Decided(holds(check.type, check.arguments, check.columns, columns))
    if check.type == "expect_column_max_to_be_recent":
        return Recent(arguments["within_days"], as_of)
    return _COUNTING[check.type](check, arguments, kinds)


@dataclass
class _Decided:
    """What the columns themselves decide."""

    passed: bool
    rows: int = 0

    def add(self, _columns: Sequence[pa.Array], rows: int, _chunk: int) -> None:
        self.rows += rows

    def outcome(self) -> tuple[bool, int, int]:
        return self.passed, self.rows, 0

    def close(self) -> None:
        """Nothing is open."""


# --- counts -------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """Rows and those that are not null; ``observed`` makes the number that the bounds are about."""

    arguments: Mapping[str, Any]
    observed: Callable[[int, int], float]
    rows: int = 0
    valid: int = 0

    def add(self, columns: Sequence[pa.Array], rows: int, _chunk: int) -> None:
        self.rows += rows
        self.valid += len(columns[0]) - columns[0].null_count if columns else 0

    def outcome(self) -> tuple[bool, int, int]:
        return within(self.observed(self.rows, self.valid), self.arguments), self.rows, 0

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class _Extreme:
    """A minimum or a maximum."""

    arguments: Mapping[str, Any]
    kernel: Callable[[pa.Array], pa.Scalar]
    pick: Callable[[Any, Any], Any]
    rows: int = 0
    found: Any = field(default=None, repr=False)

    def add(self, columns: Sequence[pa.Array], rows: int, _chunk: int) -> None:
        self.rows += rows
        values = columns[0]
        if pa.types.is_date(values.type):
            values = values.cast(pa.timestamp("us"))
        value = self.kernel(values).as_py()
        if value is not None:
            self.found = value if self.found is None else self.pick(self.found, value)

    def outcome(self) -> tuple[bool, int, int]:
        return self.found is not None and within(self.found, self.arguments), self.rows, 0

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class _Sum:
    """A sum, exact for integers and correctly rounded for doubles whatever the order, or their mean."""

    arguments: Mapping[str, Any]
    mean: bool
    whole: bool
    rows: int = 0
    valid: int = 0
    parts: list[float] = field(default_factory=list, repr=False)
    total: int = field(default=0, repr=False)

    def add(self, columns: Sequence[pa.Array], rows: int, _chunk: int) -> None:
        values = columns[0].drop_null()
        self.rows, self.valid = self.rows + rows, self.valid + len(values)
        if self.whole:
            self.total += sum(values.to_pylist())
        else:
            for value in values.to_numpy(zero_copy_only=False).astype(np.float64).tolist():
                add_exactly(self.parts, value)

    def outcome(self) -> tuple[bool, int, int]:
        total = self.total if self.whole else math.fsum(self.parts)
        if self.mean and not self.valid:
            return False, self.rows, 0
        return within(total / self.valid if self.mean else total, self.arguments), self.rows, 0

    def close(self) -> None:
        """Nothing is open."""


# --- distinct values --------------------------------------------------------------------------------


class _Unique:
    """Values that stand once; ``mostly`` is a share of the rows judged."""

    def __init__(self, check: CheckPlan) -> None:
        self._check, self._values, self._rows = check, ValueCounts(), 0

    def add(self, columns: Sequence[pa.Array], _rows: int, _chunk: int) -> None:
        texts = texts_of(columns, self._check.arguments.get("ignore_row_if", "all_values_are_missing"))
        self._values.add(texts)

    def outcome(self) -> tuple[bool, int, int]:
        found = self._values.distinct()
        share = 1.0 if not found.rows else (found.rows - found.repeated) / found.rows
        return share >= self._check.mostly, found.rows, found.repeated

    def close(self) -> None:
        self._values.close()


class _DistinctCount:
    """The number of different values, or its share of those that are not null."""

    def __init__(self, arguments: Mapping[str, Any], *, share: bool) -> None:
        self._arguments, self._share, self._values = arguments, share, ValueCounts()

    def add(self, columns: Sequence[pa.Array], _rows: int, _chunk: int) -> None:
        self._values.add(texts_of(columns, "any_value_is_missing"))

    def outcome(self) -> tuple[bool, int, int]:
        found = self._values.distinct()
        observed = (found.values / found.rows if found.rows else 0) if self._share else found.values
        return within(observed, self._arguments), found.rows, 0

    def close(self) -> None:
        self._values.close()


class _DistinctSet:
    """Whether values stay within a set, and whether every member of the set was seen."""

    def __init__(
        self, arguments: Mapping[str, Any], kinds: Sequence[ColumnType], *, within: bool, all_of: bool
    ) -> None:
        self._within, self._all_of, self._rows, self._outside = within, all_of, 0, 0
        members = list(dict.fromkeys(arguments["value_set"]))
        self._inside = _test(members, kinds)
        self._missing = [_test([member], kinds) for member in members] if all_of else []

    def add(self, columns: Sequence[pa.Array], rows: int, _chunk: int) -> None:
        self._rows += rows
        self._outside += self._inside(columns).false_count
        self._missing = [seen for seen in self._missing if not seen(columns).true_count]

    def outcome(self) -> tuple[bool, int, int]:
        return not (self._within and self._outside) and not self._missing, self._rows, 0

    def close(self) -> None:
        """Nothing is open."""


def _test(members: list[Any], kinds: Sequence[ColumnType]) -> Callable[[Sequence[pa.Array]], pa.Array]:
    test = build_test("expect_column_values_to_be_in_set", {"value_set": members}, kinds)
    assert test is not None  # the plan refuses sets that are not compiled
    return test


def _most_common(arguments: Mapping[str, Any], kinds: Sequence[ColumnType]) -> MostCommon:
    members = texts_of([value_set_of(arguments["value_set"], kinds[0])], "any_value_is_missing").unique()
    return MostCommon(members, arguments.get("ties_okay", False), lambda read: texts_of(read, "any_value_is_missing"))


def _row_count(arguments: Mapping[str, Any]) -> _Rows:
    exact = arguments.get("value")
    bounds = arguments if exact is None else {"min_value": exact, "max_value": exact}
    return _Rows(bounds, lambda rows, _valid: rows)


def _sum(arguments: Mapping[str, Any], kinds: Sequence[ColumnType], *, mean: bool) -> _Sum:
    return _Sum(arguments, mean, kinds[0].name == "integer")


_Builder = Callable[[CheckPlan, Mapping[str, Any], Sequence[ColumnType]], _Counting]
_COUNTING: Mapping[str, _Builder] = {
    "expect_table_row_count_to_be_between": lambda _check, given, _kinds: _row_count(given),
    "expect_table_row_count_to_equal": lambda _check, given, _kinds: _row_count(given),
    "expect_column_proportion_of_non_null_values_to_be_between": lambda _check, given, _kinds: _Rows(
        given, lambda rows, valid: valid / rows if rows else 0
    ),
    "expect_column_min_to_be_between": lambda _check, given, _kinds: _Extreme(given, pc.min, min),
    "expect_column_max_to_be_between": lambda _check, given, _kinds: _Extreme(given, pc.max, max),
    "expect_column_sum_to_be_between": lambda _check, given, kinds: _sum(given, kinds, mean=False),
    "expect_column_mean_to_be_between": lambda _check, given, kinds: _sum(given, kinds, mean=True),
    "expect_column_median_to_be_between": lambda _check, given, _kinds: OfNumbers(Numbers.median, given),
    "expect_column_stdev_to_be_between": lambda _check, given, _kinds: OfNumbers(Numbers.standard_deviation, given),
    "expect_column_quantile_values_to_be_between": lambda _check, given, _kinds: Quantiles(given),
    "expect_column_value_z_scores_to_be_less_than": lambda check, given, _kinds: Apart(z_scores(given), check.mostly),
    "expect_column_values_to_not_be_outliers": lambda check, given, _kinds: Apart(not_outliers(given), check.mostly),
    "expect_column_values_to_be_increasing": lambda check, _given, _kinds: InOrder(check, rising=True),
    "expect_column_values_to_be_decreasing": lambda check, _given, _kinds: InOrder(check, rising=False),
    "expect_column_most_common_value_to_be_in_set": lambda _check, given, kinds: _most_common(given, kinds),
    "expect_column_values_to_be_unique": lambda check, _given, _kinds: _Unique(check),
    "expect_compound_columns_to_be_unique": lambda check, _given, _kinds: _Unique(check),
    "expect_column_unique_value_count_to_be_between": lambda _check, given, _kinds: _DistinctCount(given, share=False),
    "expect_column_proportion_of_unique_values_to_be_between": lambda _check, given, _kinds: _DistinctCount(
        given, share=True
    ),
    "expect_column_distinct_values_to_be_in_set": lambda _check, given, kinds: _DistinctSet(
        given, kinds, within=True, all_of=False
    ),
    "expect_column_distinct_values_to_contain_set": lambda _check, given, kinds: _DistinctSet(
        given, kinds, within=False, all_of=True
    ),
    "expect_column_distinct_values_to_equal_set": lambda _check, given, kinds: _DistinctSet(
        given, kinds, within=True, all_of=True
    ),
}
