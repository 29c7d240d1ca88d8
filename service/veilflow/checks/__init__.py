"""Whether rows are as expected: row expectations of Great Expectations, judged chunk by chunk.

``plan_check`` reads an expectation, ``comparable_arguments`` holds it against its columns' types, ``open_checker`` gives what judges chunks. To add an expectation: a line in
``catalogue.py`` (and a kind of argument in ``arguments.py`` if it needs one). Great Expectations takes seconds to
import, so only ``great_expectations_engine.py`` does, on use.
"""

from __future__ import annotations

from collections.abc import Sequence

from veilflow.checks.catalogue import KNOWN_EXPECTATIONS, ROW_EXPECTATIONS
from veilflow.checks.comparison import comparable_arguments
from veilflow.checks.planning import plan_check
from veilflow.model import Checker, CheckPlan, SourceColumn

__all__ = ["KNOWN_EXPECTATIONS", "ROW_EXPECTATIONS", "comparable_arguments", "open_checker", "plan_check"]


def open_checker(checks: Sequence[CheckPlan], columns: Sequence[SourceColumn]) -> Checker:
    """What judges chunks, for one run; may be used from several threads.

    A column is held against the plan before, so none is missing here.
    """
    from veilflow.checks.great_expectations_engine import GreatExpectationsChecker

    return GreatExpectationsChecker(checks, columns)
