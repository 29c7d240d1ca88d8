"""Verdicts beside Great Expectations' on mutated suites and tables: `python -m benchmarks.verdicts --suites 10000`.

The suites, the data and the comparison are those of the tests (`tests/unit/checks`), which run a fixed sample of them;
here they are drawn anew, a table for each suite. Prints how many verdicts were compared and each one that
differed, with its invented cells.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_TESTS = Path(__file__).parents[1] / "tests/unit/checks"
#: Suites of a round, each round under a seed of its own.
_ROUND = 250


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(tests: ModuleType, count: int, size: int, start: int, compared: Counter[str], differ: Counter[str]) -> None:
    """Row expectations: the rows judged and the rows that fail. One that Great Expectations cannot judge is left out."""

    @seed(start)
    @_drawn(count)
    @given(tests.chunks(), st.lists(tests.checks(), min_size=size, max_size=size))
    def compare(chunk: Any, suite: Any) -> None:
        for check, ours, theirs in zip(
            suite, tests.told(suite, chunk), tests.by_great_expectations(suite, chunk), strict=True
        ):
            _count(check, theirs is None or ours == theirs, chunk.values, compared, differ)

    compare()


def tables(tests: ModuleType, count: int, size: int, start: int, compared: Counter[str], differ: Counter[str]) -> None:
    """Expectations about the whole table, in chunks of one, three and all rows."""

    @seed(start)
    @_drawn(count)
    @given(tests.rows(), st.lists(tests.checks(), min_size=size, max_size=size))
    def compare(table: Any, suite: Any) -> None:
        whole = tests.by_great_expectations(suite, table)
        for size in (1, 3, 100):
            for check, ours, theirs in zip(suite, tests.by_chunks(suite, table, size), whole, strict=True):
                _count(check, ours == theirs, table, compared, differ)

    compare()


def _drawn(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )  # fmt: skip


def _count(check: Any, same: bool, table: Any, compared: Counter[str], differ: Counter[str]) -> None:
    compared[check.type] += 1
    differ[check.type] += not same
    if not same:
        cells = {name: table.column(name).to_pylist() for name in check.columns}
        print(f"differs: {check.type} {dict(check.arguments)} where {check.condition} on {cells}", flush=True)


def main() -> None:
    """Compare and print; exit status 1 if any verdict differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts")
    parser.add_argument("--suites", type=int, default=10_000, help="half of row expectations, half about whole tables")
    parser.add_argument("--size", type=int, default=4, help="expectations of a suite")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each round takes the next one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no round after these")
    chosen = parser.parse_args()
    end, suites, round_seed = time.monotonic() + 60 * chosen.minutes, 0, chosen.seed
    compared: Counter[str] = Counter()
    differ: Counter[str] = Counter()
    kinds = ((rows, _load("test_compiled")), (tables, _load("test_table")))
    each = min(_ROUND, -(-chosen.suites // 2))
    while suites < chosen.suites and time.monotonic() < end:
        for compare, tests in kinds:
            compare(tests, each, chosen.size, round_seed, compared, differ)
            suites += each
        round_seed += 1
    print(
        f"{compared.total():,} verdicts of {len(compared)} expectations on {suites:,} suites and tables, "
        f"seeds {chosen.seed} to {round_seed - 1}: {differ.total():,} differ"
    )
    for kind, number in (+differ).items():
        print(f"  {kind}: {number} of {compared[kind]}")
    raise SystemExit(bool(differ.total()))


if __name__ == "__main__":
    main()
