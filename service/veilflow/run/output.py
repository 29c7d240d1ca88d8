"""The gate on what is published: the checks of the output, over the table as publishing makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing

import numpy as np

from veilflow.checks import TableChecker, open_checker
from veilflow.errors import raise_all
from veilflow.model import Chunk, OutputView, Plan, TableOutcome
from veilflow.run.verify import failed_wholes


def judge_output(plan: Plan, view: OutputView) -> tuple[TableOutcome, ...]:
    """What each check of the output comes to, over every row of the table; one reading for all of them."""
    checks = {number: check for number, check in enumerate(plan.checks) if check.stage == "output"}
    names = list(dict.fromkeys(name for check in checks.values() for name in check.reads))
    columns = [column for column in plan.output_columns if column.name in names]
    checker = open_checker(plan.checks, columns, "output")
    evaluated: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    with closing(TableChecker(plan.checks, columns, "output")) as tables:
        for number, batch in enumerate(view.rows([column.name for column in columns])):
            chunk = Chunk(number, batch, batch, np.arange(batch.num_rows))
            tables.add(chunk)
            for outcome in checker.check(chunk):
                evaluated[outcome.check] += outcome.evaluated
                failed[outcome.check] += len(outcome.failed)
        found = {outcome.check: outcome for outcome in tables.outcomes()}
    for number, check in checks.items():
        if check.kind == "row":
            passed = not evaluated[number] or 1 - failed[number] / evaluated[number] >= check.mostly
            found[number] = TableOutcome(number, passed, evaluated[number], failed[number])
    return tuple(found[number] for number in sorted(found))


class OutputGate:
    """A ``model.Gate``: tells the outcomes to ``judged``, raises VEIL306 where a check refuses, and calls ``then`` before
    the target may go on."""

    def __init__(
        self, plan: Plan, judged: Callable[[tuple[TableOutcome, ...]], None], then: Callable[[], None]
    ) -> None:
        self._plan, self._judged, self._then = plan, judged, then

    def __call__(self, view: OutputView) -> None:
        outcomes = judge_output(self._plan, view)
        self._judged(outcomes)
        raise_all(failed_wholes(self._plan, outcomes))
        self._then()


class Rehearsed(Exception):
    """The gate let the output pass, and nothing is to be published: a dry run."""


def stop_here() -> None:
    """What a dry run does behind the gate."""
    raise Rehearsed
