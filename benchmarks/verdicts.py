"""Verdicts beside Great Expectations' on mutated suites and tables: `python -m benchmarks.verdicts --checks 10000`.

The suites, the data and the comparison are those of the tests (`tests/unit/checks`), which run a fixed sample of them;
here they are drawn anew. Prints how many verdicts were compared and every kind of expectation that differed.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_TESTS = Path(__file__).parents[1] / "tests/unit/checks"
_PER_TABLE = 16


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(tables: int, start: int, compared: Counter[str], differ: Counter[str]) -> None:
    """Row expectations: the rows judged and the rows that fail. One that Great Expectations cannot judge is left out."""
    tests = _load("test_compiled")

    @seed(start)
    @_drawn(tables)
    @given(tests.chunks(), st.lists(tests.checks(), min_size=_PER_TABLE, max_size=_PER_TABLE))
    def compare(chunk: Any, suite: Any) -> None:
        for check, ours, theirs in zip(
            suite, tests.told(suite, chunk), tests.by_great_expectations(suite, chunk), strict=True
        ):
            _count(check.type, theirs is None or ours == theirs, compared, differ)

    compare()


def tables(count: int, start: int, compared: Counter[str], differ: Counter[str]) -> None:
    """Expectations about the whole table, in chunks of one, three and all rows."""
    tests = _load("test_table")

    @seed(start)
    @_drawn(count)
    @given(tests.rows(), st.lists(tests.checks(), min_size=_PER_TABLE, max_size=_PER_TABLE))
    def compare(table: Any, suite: Any) -> None:
        whole = tests.by_great_expectations(suite, table)
        for size in (1, 3, 100):
            for check, ours, theirs in zip(suite, tests.by_chunks(suite, table, size), whole, strict=True):
                _count(check.type, ours == theirs, compared, differ)

    compare()


def _drawn(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )  # fmt: skip


def _count(kind: str, same: bool, compared: Counter[str], differ: Counter[str]) -> None:
    compared[kind] += 1
    differ[kind] += not same


def main() -> None:
    """Compare and print; exit status 1 if any verdict differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts")
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    examples = max(chosen.checks // _PER_TABLE // 2, 1)
    compared: Counter[str] = Counter()
    differ: Counter[str] = Counter()
    rows(examples, chosen.seed, compared, differ)
    tables(examples, chosen.seed, compared, differ)
    print(
        f"{compared.total():,} verdicts of {len(compared)} expectations on {2 * examples:,} suites and tables, "
        f"seed {chosen.seed}: {differ.total():,} differ"
    )
    for kind, number in (+differ).items():
        print(f"  {kind}: {number} of {compared[kind]}")
    raise SystemExit(bool(differ.total()))


if __name__ == "__main__":
    main()
