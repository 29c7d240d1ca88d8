"""Importing Great Expectations costs no more than it must, and leaves other importers what they ask for."""

from __future__ import annotations

import os
import subprocess
import sys

_CODE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from veilflow.checks.great_expectations_import import import_great_expectations
with ThreadPoolExecutor(4) as pool:
    assert len(set(map(id, pool.map(lambda _: import_great_expectations(), range(8))))) == 1
print([name for name in ("scipy.stats", "altair") if name in sys.modules])
import altair, scipy.stats
print(altair.Chart.__name__, round(float(scipy.stats.norm.cdf(0)), 1))
from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as user
print(user.alt.Chart is altair.Chart, user.stats.norm is scipy.stats.norm)
"""


def test_what_no_check_uses_is_not_loaded_and_is_there_for_who_asks() -> None:
    """Two of four seconds of every run with a suite went into plots and distributions."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    environment = {**os.environ, "PYTHONPATH": os.path.join(root, "service")}
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.splitlines() == ["[]", "Chart 0.5", "True True"], done.stderr[-1000:]
