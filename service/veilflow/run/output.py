"""The gate on what is published: the checks of the output, over the table as publishing makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import numpy as np

from veilflow.checks import Read, TableChecker, judge_cross, open_checker
from veilflow.errors import raise_all
from veilflow.model import CheckPlan, Chunk, OutputView, Plan, TableOutcome
from veilflow.run.verify import failed_wholes

#: What gives the reader of a check's other table, and whether nobody can change that until publishing has ended.
OtherTable = Callable[[CheckPlan, OutputView], tuple[Read, bool]]


def judge_output(plan: Plan, view: OutputView, other: OtherTable) -> tuple[TableOutcome, ...]:
    """What each check of the output comes to, over every row of the table."""
    found = _judge_rows(plan, view) if plan.has_checks("output", "row", "table") else {}
    for number, check in enumerate(plan.checks):
        if check.kind == "cross":
            read, held = other(check, view)
            found[number] = replace(judge_cross(number, check, view.plain, read), other_held=held)
    return tuple(found[number] for number in sorted(found))


def _judge_rows(plan: Plan, view: OutputView) -> dict[int, TableOutcome]:
    """What needs no other table; one reading for all of it."""
    checks = {
        number: check for number, check in enumerate(plan.checks) if check.stage == "output" and check.kind != "cross"
    }
    names = list(dict.fromkeys(name for check in checks.values() for name in check.reads))
    columns = plan.output_columns
    checker = open_checker(plan.checks, columns, "output")
    evaluated: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    with closing(TableChecker(plan.checks, columns, "output", plan.as_of)) as tables:
        for number, batch in enumerate(view.rows(names)):
            chunk = Chunk(number, batch, batch, np.arange(batch.num_rows))
            tables.add(chunk)
            for outcome in checker.check(chunk):
                evaluated[outcome.check] += outcome.evaluated
                failed[outcome.check] += len(outcome.failed)
        found = {outcome.check: outcome for outcome in tables.outcomes()}
    for number, check in checks.items():
        if check.kind == "row":
            passed = not evaluated[number] or (evaluated[number] - failed[number]) / evaluated[number] >= check.mostly
            found[number] = TableOutcome(number, passed, evaluated[number], failed[number])
    return found


class OutputGate:
    """A ``model.Gate``: tells the outcomes to ``judged``, raises VEIL306 where a check refuses, and calls ``then`` before
    the target may go on."""

    def __init__(
        self,
        plan: Plan,
        other: OtherTable,
        judged: Callable[[tuple[TableOutcome, ...]], None],
        then: Callable[[], None],
    ) -> None:
        self._plan, self._other, self._judged, self._then = plan, other, judged, then

    def __call__(self, view: OutputView) -> None:
        outcomes = judge_output(self._plan, view, self._other)
        self._judged(outcomes)
        raise_all(failed_wholes(self._plan, outcomes))
        self._then()


class Rehearsed(Exception):
    """The gate let the output pass, and nothing is to be published: a dry run."""


def stop_here() -> None:
    """What a dry run does behind the gate."""
    raise Rehearsed
