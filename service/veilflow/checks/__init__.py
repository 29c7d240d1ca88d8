"""Whether rows are as expected: row expectations of Great Expectations, judged chunk by chunk.

``plan_check`` reads an expectation, ``fit_check`` holds it against its columns' types and names its engine,
``open_checker`` gives what judges chunks. To add an expectation: a line in ``catalogue.py`` (and a kind of argument in
``arguments.py`` if it needs one); to compile it to Arrow kernels, see ``compiled.py``. Great Expectations takes
seconds to import, so only ``great_expectations_engine.py`` does, and only where a check is not compiled.
"""

from __future__ import annotations

from veilflow.checks.catalogue import (
    COLUMN_EXPECTATIONS,
    CROSS_EXPECTATIONS,
    KNOWN_EXPECTATIONS,
    REFUSED_EXPECTATIONS,
    ROW_EXPECTATIONS,
    TABLE_EXPECTATIONS,
)
from veilflow.checks.checker import open_checker
from veilflow.checks.columns_there import holds
from veilflow.checks.comparison import fit_check
from veilflow.checks.compiled import COMPILED_EXPECTATIONS
from veilflow.checks.cross import Read, judge_cross
from veilflow.checks.own import OwnExpectation
from veilflow.checks.planning import plan_check
from veilflow.checks.table import TableChecker

__all__ = [
    "COLUMN_EXPECTATIONS",
    "COMPILED_EXPECTATIONS",
    "CROSS_EXPECTATIONS",
    "KNOWN_EXPECTATIONS",
    "OwnExpectation",
    "REFUSED_EXPECTATIONS",
    "Read",
    "ROW_EXPECTATIONS",
    "TABLE_EXPECTATIONS",
    "TableChecker",
    "fit_check",
    "holds",
    "judge_cross",
    "open_checker",
    "plan_check",
]
