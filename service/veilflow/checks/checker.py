"""What judges a run's chunks: compiled checks here, the others by Great Expectations, each check by one engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veilflow.checks.comparison import COMPILED, comparable_arguments, fit_check
from veilflow.checks.compiled import compile_checks, judge
from veilflow.model import TEXT, Checker, CheckOutcome, CheckPlan, Chunk, SourceColumn


def open_checker(checks: Sequence[CheckPlan], columns: Sequence[SourceColumn]) -> Checker:
    """What judges chunks, for one run; may be used from several threads.

    A column is held against the plan before, so none is missing here. VEIL207 for a check that does not fit.
    """
    return _Checker(checks, columns)


class _Checker:
    """The checks of one plan, each with its engine. Great Expectations is imported only if one needs it."""

    def __init__(self, checks: Sequence[CheckPlan], columns: Sequence[SourceColumn]) -> None:
        kinds = {column.name: column.type for column in columns}
        prepared = {}
        for number, check in enumerate(checks):
            types = [kinds.get(column, TEXT) for column in check.columns]
            prepared[number] = (fit_check(check, types), comparable_arguments(check, types))
        compiled = {number: one for number, one in prepared.items() if one[0].engine == COMPILED}
        others = {number: one for number, one in prepared.items() if number not in compiled}
        self._compiled, self._rows = compile_checks(compiled, columns), len(prepared)
        self._great_expectations = None
        if others:
            from veilflow.checks.great_expectations_engine import GreatExpectationsChecker

            self._great_expectations = GreatExpectationsChecker(others, columns)

    def check(self, chunk: Chunk) -> tuple[CheckOutcome, ...]:
        """See ``model.Checker``."""
        if chunk.raw.num_rows == 0:
            return tuple(CheckOutcome(number, 0, np.array([], dtype=np.int64)) for number in range(self._rows))
        outcomes = judge(self._compiled, chunk)
        if self._great_expectations is not None:
            outcomes += self._great_expectations.judge(chunk)
        return tuple(sorted(outcomes, key=lambda outcome: outcome.check))
