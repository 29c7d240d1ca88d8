"""What the expectations about a column's numbers, order and commonest values keep of a stream; see ``table``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.numbers import Numbers, isclose
from veilflow.checks.value_counts import ValueCounts
from veilflow.model import CheckPlan

_Doubles = np.ndarray[Any, np.dtype[np.float64]]
_Passes = np.ndarray[Any, np.dtype[np.bool_]]


def within(observed: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether a number or a moment is between the bounds; NaN is not."""
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None and not (observed > low if arguments.get("strict_min") else observed >= low):
        return False
    return high is None or bool(observed < high if arguments.get("strict_max") else observed <= high)


class OfNumbers:
    """One figure of all numbers (``figure``), held against the bounds."""

    def __init__(self, figure: Callable[[Numbers], float], arguments: Mapping[str, Any]) -> None:
        self._figure, self._arguments, self._numbers = figure, arguments, Numbers()

    def add(self, columns: Sequence[pa.Array], _rows: int, _chunk: int) -> None:
        self._numbers.add(doubles(columns[0]))

    def outcome(self) -> tuple[bool, int, int]:
        found = self._figure(self._numbers)
        return found == found and within(found, self._arguments), self._numbers.count, 0

    def close(self) -> None:
        self._numbers.close()


class Quantiles:
    """Each quantile within its range, or a ten-thousandth beside it."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        ranges = arguments["quantile_ranges"]
        self._wanted = tuple(zip(ranges["quantiles"], ranges["value_ranges"], strict=True))
        self._how, self._numbers = str(arguments.get("allow_relative_error") or "nearest"), Numbers()

    def add(self, columns: Sequence[pa.Array], _rows: int, _chunk: int) -> None:
        self._numbers.add(doubles(columns[0]))

    def outcome(self) -> tuple[bool, int, int]:
        return all(self._holds(share, *bounds) for share, bounds in self._wanted), self._numbers.count, 0

    def _holds(self, share: float, low: float | None, high: float | None) -> bool:
        found = self._numbers.quantile(share, self._how)
        least, most = -np.inf if low is None else low, np.inf if high is None else high
        return isclose(found, (least, most)) or least <= found <= most

    def close(self) -> None:
        self._numbers.close()


class Apart:
    """How many numbers stand too far from the others; ``judge`` makes the test from all of them."""

    def __init__(self, judge: Callable[[Numbers], Callable[[_Doubles], _Passes] | None], mostly: float) -> None:
        self._judge, self._mostly, self._numbers = judge, mostly, Numbers()

    def add(self, columns: Sequence[pa.Array], _rows: int, _chunk: int) -> None:
        self._numbers.add(doubles(columns[0]))

    def outcome(self) -> tuple[bool, int, int]:
        test, count = self._judge(self._numbers), self._numbers.count
        failed = sum(int(np.count_nonzero(~test(block))) for block in self._numbers.blocks()) if test else 0
        return share_holds(count, failed, self._mostly), count, failed

    def close(self) -> None:
        self._numbers.close()


def share_holds(count: int, failed: int, mostly: float) -> bool:
    """Whether enough pass; of none all do."""
    return not count or (count - failed) / count >= mostly


def z_scores(arguments: Mapping[str, Any]) -> Callable[[Numbers], Callable[[_Doubles], _Passes] | None]:
    """Less than so many standard deviations from the mean; where there is no deviation, all are."""
    threshold, both = arguments["threshold"], arguments.get("double_sided", True)

    def judge(numbers: Numbers) -> Callable[[_Doubles], _Passes] | None:
        mean, deviation = numbers.mean(), numbers.standard_deviation()
        if not deviation or deviation != deviation:
            return None

        def test(values: _Doubles) -> _Passes:
            scores = (values - mean) / deviation
            near = np.abs(scores) < abs(threshold) if both else scores < threshold
            return np.asarray(near | np.isnan(scores))

        return test

    return judge


def not_outliers(arguments: Mapping[str, Any]) -> Callable[[Numbers], Callable[[_Doubles], _Passes] | None]:
    """Within Tukey's fences (``iqr``), or nearer to the mean than so many standard deviations (``std``)."""
    method, multiplier = arguments.get("method", "iqr"), arguments.get("multiplier", 1.5)

    def judge(numbers: Numbers) -> Callable[[_Doubles], _Passes] | None:
        if method == "iqr":
            low, high = numbers.quantile(0.25, "linear"), numbers.quantile(0.75, "linear")
            spread = high - low
        else:
            low = high = numbers.mean()
            spread = numbers.standard_deviation()
        if not np.isfinite([low, high, spread]).all():
            return None
        reach = multiplier * spread
        if method == "iqr":
            return lambda values: (values >= low - reach) & (values <= high + reach)
        if reach <= 0:
            return lambda values: values == low
        return lambda values: np.abs(values - low) < reach

    return judge


def doubles(values: pa.Array) -> _Doubles:
    """The numbers that are there."""
    return np.asarray(values.drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


@dataclass
class InOrder:
    """Whether values go up (or down) row by row, those left out that are not there. Chunks come in any order, so each
    one's first and last value are kept until the end."""

    check: CheckPlan
    rising: bool
    ends: dict[int, tuple[Any, Any]] = field(default_factory=dict, repr=False)
    count: int = 0
    failed: int = 0

    def add(self, columns: Sequence[pa.Array], _rows: int, chunk: int) -> None:
        values = columns[0].drop_null()
        self.count += len(values)
        if len(values):
            self.failed += self._passes(values.slice(0, len(values) - 1), values.slice(1)).false_count
            # Taken, not sliced: a slice would keep the whole chunk.
            self.ends[chunk] = values.take(pa.array([0])), values.take(pa.array([len(values) - 1]))

    def _passes(self, before: pa.Array, after: pa.Array) -> pa.Array:
        low, high = (before, after) if self.rising else (after, before)
        return pc.less(low, high) if self.check.arguments.get("strictly") else pc.less_equal(low, high)

    def outcome(self) -> tuple[bool, int, int]:
        ends = [self.ends[chunk] for chunk in sorted(self.ends)]
        between = zip(ends, ends[1:], strict=False)
        failed = self.failed + sum(self._passes(last, first).false_count for (_, last), (first, _) in between)
        return share_holds(self.count, failed, self.check.mostly), self.count, failed

    def close(self) -> None:
        """Nothing is open."""


class MostCommon:
    """Whether the value that stands most often is one of the members; ``members`` are their texts."""

    def __init__(self, members: pa.Array, ties_okay: bool, texts: Callable[[Sequence[pa.Array]], pa.Array]) -> None:
        self._members, self._ties_okay, self._texts = members, ties_okay, texts
        self._counts, self._rows = ValueCounts(), 0

    def add(self, columns: Sequence[pa.Array], _rows: int, _chunk: int) -> None:
        texts = self._texts(columns)
        self._rows += len(texts)
        self._counts.add(texts)

    def outcome(self) -> tuple[bool, int, int]:
        modes, among = self._counts.most_common(self._members)
        return (among > 0 if self._ties_okay else modes == among == 1), self._rows, 0

    def close(self) -> None:
        self._counts.close()


@dataclass
class Recent:
    """Whether the latest date is at most so many days before the date of the plan."""

    days: int
    as_of: date
    rows: int = 0
    latest: Any = field(default=None, repr=False)

    def add(self, columns: Sequence[pa.Array], rows: int, _chunk: int) -> None:
        self.rows += rows
        found = pc.max(columns[0]).as_py()
        found = found.date() if isinstance(found, datetime) else found
        if found is not None and (self.latest is None or found > self.latest):
            self.latest = found

    def outcome(self) -> tuple[bool, int, int]:
        held = self.latest is not None and self.latest >= self.as_of - timedelta(days=self.days)
        return held, self.rows, 0

    def close(self) -> None:
        """Nothing is open."""
