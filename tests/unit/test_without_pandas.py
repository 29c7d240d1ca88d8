"""Processes that use no data frame do not import pandas, and those that do find Arrow as they know it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def answer(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_arrow_makes_values_without_pandas() -> None:
    """Lists, arrays of NumPy and scalars."""
    made = "import numpy, pyarrow; pyarrow.array(['a', None]); pyarrow.array(numpy.arange(3)); pyarrow.scalar(1)"
    assert answer(f"import sys, veilflow.model\n{made}\nprint('pandas' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "first", ["import veilflow.model; import pandas as pd", "import pandas as pd; import veilflow.model"]
)
def test_arrow_knows_what_is_missing_to_pandas(first: str) -> None:
    """NaN, NaT and a None of pandas are null to Arrow, whoever was imported first."""
    made = "[pa.array(pd.Series(v)).null_count for v in ([1.0, None], ['x', None], [pd.NaT, pd.Timestamp('2020')])]"
    assert answer(f"{first}\nimport pyarrow as pa\nprint({made})") == "[1, 1, 1]"


def test_threads_may_import_pandas_at_once() -> None:
    """Each has it whole."""
    program = (
        "import veilflow.model\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def use(_):\n import pandas\n return pandas.DataFrame({'a': [1]}).shape\n"
        "with ThreadPoolExecutor(8) as pool: print(set(pool.map(use, range(8))))"
    )
    assert answer(program) == "{(1, 1)}"
