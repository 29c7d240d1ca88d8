"""What judges a run's chunks: compiled checks here, the others by Great Expectations, each check by one engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from veilflow.checks.comparison import GREAT_EXPECTATIONS, comparable_arguments, fit_check, fitting_condition
from veilflow.checks.compiled import Compiled, compile_checks, judge
from veilflow.checks.conditions import holds, part
from veilflow.model import TEXT, Checker, CheckOutcome, CheckPlan, Chunk, RowCondition, SourceColumn


def open_checker(
    checks: Sequence[CheckPlan], columns: Sequence[SourceColumn], stage: Literal["source", "output"] = "source"
) -> Checker:
    """What judges chunks by the row checks of a stage, for one run; may be used from several threads.

    A column is held against the plan before, so none is missing here. VEIL207 for a check that does not fit.
    """
    return _Checker(
        {number: check for number, check in enumerate(checks) if check.kind == "row" and check.stage == stage}, columns
    )


@dataclass(frozen=True)
class _Group:
    """The checks that judge the same rows: all of them, or those for which a condition holds."""

    condition: RowCondition | None
    compiled: tuple[Compiled, ...]
    great_expectations: Any


class _Checker:
    """The checks of one plan, each with its engine. Great Expectations is imported only if one needs it."""

    def __init__(self, checks: Mapping[int, CheckPlan], columns: Sequence[SourceColumn]) -> None:
        kinds = {column.name: column.type for column in columns}
        fitted = {number: fit_check(check, kinds) for number, check in checks.items()}
        self._rows = tuple(fitted)
        conditions = {number: fitting_condition(check, kinds) for number, check in fitted.items()}
        self._groups = []
        for condition in dict.fromkeys(conditions.values()):
            numbers = [number for number in fitted if conditions[number] == condition]
            self._groups.append(_group(condition, {number: fitted[number] for number in numbers}, columns))

    def check(self, chunk: Chunk) -> tuple[CheckOutcome, ...]:
        """See ``model.Checker``."""
        found = {number: CheckOutcome(number, 0, _NONE) for number in self._rows}
        for group in self._groups:
            found |= {outcome.check: outcome for outcome in _judge(group, chunk)}
        return tuple(found[number] for number in self._rows)


def _group(condition: RowCondition | None, checks: Mapping[int, CheckPlan], columns: Sequence[SourceColumn]) -> _Group:
    kinds = {column.name: column.type for column in columns}
    prepared = {
        number: (check, comparable_arguments(check, [kinds.get(column, TEXT) for column in check.columns]))
        for number, check in checks.items()
    }
    compiled = {number: one for number, one in prepared.items() if one[0].engine != GREAT_EXPECTATIONS}
    others = {number: one for number, one in prepared.items() if number not in compiled}
    judging = None
    if others:
        from veilflow.checks.great_expectations_engine import GreatExpectationsChecker

        judging = GreatExpectationsChecker(others, columns)
    return _Group(condition, compile_checks(compiled, columns), judging)


def _judge(group: _Group, chunk: Chunk) -> list[CheckOutcome]:
    """Outcomes of a group, in the rows of the whole chunk."""
    if group.condition is None:
        return _judge_all(group, chunk)
    rows = np.flatnonzero(holds(group.condition, chunk))
    outcomes = _judge_all(group, part(chunk, rows))
    return [CheckOutcome(one.check, one.evaluated, rows[one.failed]) for one in outcomes]


def _judge_all(group: _Group, chunk: Chunk) -> list[CheckOutcome]:
    if chunk.raw.num_rows == 0:
        return []
    outcomes = judge(group.compiled, chunk)
    return outcomes if group.great_expectations is None else outcomes + group.great_expectations.judge(chunk)


_NONE: np.ndarray[Any, np.dtype[np.int64]] = np.array([], dtype=np.int64)
