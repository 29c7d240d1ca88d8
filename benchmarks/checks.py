"""What do ten checks on ten columns cost? By themselves, compiled beside Great Expectations on one core, and as a share of
the whole pipeline.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from string import ascii_lowercase

import numpy as np
import pyarrow as pa

from benchmarks.load import PSQL
from benchmarks.measure import Case, alternating, told
from benchmarks.project import by_psql, run, write_suites
from benchmarks.project import people as loaded
from veilflow.checks import TableChecker, open_checker, plan_check
from veilflow.errors import Place
from veilflow.model import TEXT, CheckPlan, Chunk, ColumnType, SourceColumn

_CHUNK = 100_000
_VALUES = "expect_column_values_to_"
_TYPES = {"age": ColumnType("integer", pa.int64()), "amount": ColumnType("float", pa.float64()), "born": ColumnType("date", pa.date32())}  # fmt: skip


def people(rows: int) -> pa.RecordBatch:
    """Ten columns of made-up people, the same each time."""
    chance = random.Random(1)

    def word(size: int) -> str:
        return "".join(chance.choices(ascii_lowercase, k=size))

    columns = {
        "id": [str(number) for number in range(rows)], "name": [word(8) for _ in range(rows)],
        "email": [f"{word(8)}@example.com" for _ in range(rows)],
        "phone": [f"+61{chance.randrange(10**9):09}" for _ in range(rows)],
        "zip": [f"{chance.randrange(10**4):04}" for _ in range(rows)],
        "state": [chance.choice(["nsw", "vic", "qld", "wa"]) for _ in range(rows)], "city": [word(12) for _ in range(rows)],
    }  # fmt: skip
    return pa.RecordBatch.from_pydict(
        {
            **columns,
            "age": pa.array([chance.randrange(100) for _ in range(rows)]),
            "amount": pa.array([chance.random() * 1000 for _ in range(rows)]),
            "born": pa.array([chance.randrange(20_000) for _ in range(rows)], pa.int32()).cast(pa.date32()),
        }
    )


def ten() -> list[CheckPlan]:
    """Three not-null, three patterns, a set, a length and two ranges."""
    suite = [
        *((_VALUES + "not_be_null", {"column": name}) for name in ("id", "name", "born")),
        (_VALUES + "match_regex", {"column": "email", "regex": r"^[^@\s]+@[^@\s]+$"}),
        (_VALUES + "match_regex", {"column": "phone", "regex": r"^\+?[0-9]{6,15}$"}),
        (_VALUES + "match_regex", {"column": "zip", "regex": r"^\d{4}$"}),
        (_VALUES + "be_in_set", {"column": "state", "value_set": ["nsw", "vic", "qld", "wa", "sa", "tas", "act", "nt"]}),
        ("expect_column_value_lengths_to_be_between", {"column": "city", "min_value": 1, "max_value": 40}),
        (_VALUES + "be_between", {"column": "age", "min_value": 0, "max_value": 98}),
        (_VALUES + "be_between", {"column": "amount", "min_value": 0, "max_value": 1000.5}),
    ]  # fmt: skip
    return [plan_check({"type": kind, "kwargs": kwargs}, Place("ten")) for kind, kwargs in suite]


def rate(rows: int, runs: int, work: Callable[[], object]) -> float:
    """The median of rows a CPU second."""
    work()
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(rows / (time.process_time() - began))
    return statistics.median(found)


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    return [*_alone(runs), *_in_the_pipeline(rows, runs)]


def _alone(runs: int) -> list[str]:
    """Medians of CPU time on chunks as the asked rate is about; both engines judge the same one and must agree."""
    pa.set_cpu_count(1)
    batch = people(_CHUNK)
    chunk = Chunk(0, batch, batch, np.arange(_CHUNK))
    columns = [SourceColumn(name, _TYPES.get(name, TEXT)) for name in batch.schema.names]
    ours = open_checker(ten(), columns)
    theirs = open_checker([replace(check, engine="great_expectations") for check in ten()], columns)
    if [one.failed.tolist() for one in ours.check(chunk)] != [one.failed.tolist() for one in theirs.check(chunk)]:
        raise SystemExit("the engines disagree")
    compiled = rate(_CHUNK, 2 * runs, lambda: ours.check(chunk))
    great = rate(_CHUNK, max(runs // 3, 1), lambda: theirs.check(chunk))
    unique = [plan_check({"type": _VALUES + "be_unique", "kwargs": {"column": "id"}}, Place("ten"))]
    counted = rate(_CHUNK, runs, lambda: TableChecker(unique, columns).add(chunk))
    return [
        f"  compiled              {compiled / 1e6:6.2f} million rows a CPU second, chunks of {_CHUNK:,}",
        f"  Great Expectations    {great / 1e6:6.2f} million: {compiled / great:.0f} times slower",
        f"  unique, one column    {counted / 1e6:6.2f} million",
    ]


def _in_the_pipeline(rows: int, runs: int) -> list[str]:
    """CSV to PostgreSQL with the suite and without it, in turn."""
    without, ten_checks = "without checks", "ten checks"
    with loaded(rows) as (directory, server):
        write_suites(directory)
        figures = alternating(
            {
                PSQL: Case(lambda: by_psql(directory, server)),
                without: Case(lambda: run(directory, "people")),
                ten_checks: Case(lambda: run(directory, "checked")),
            },
            rows, runs,
        )  # fmt: skip
    longer = figures[without]["work_rows_per_second"] / figures[ten_checks]["work_rows_per_second"] - 1
    dearer = figures[ten_checks]["cpu_seconds"] / figures[without]["cpu_seconds"] - 1
    return [*told(figures, (PSQL,)), f"  the checks' share of the pipeline: {longer:+.1%} time, {dearer:+.1%} CPU"]
