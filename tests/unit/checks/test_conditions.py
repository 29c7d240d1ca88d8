"""Row conditions: which rows a check judges, as pandas would choose them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.checks import open_checker, plan_check
from veilflow.checks.conditions import holds, parse_condition
from veilflow.errors import Place, VeilError
from veilflow.model import TEXT, Chunk, ColumnType, SourceColumn

PLACE = Place("suite.json", 1)
COLUMNS = [
    SourceColumn("state", TEXT), SourceColumn("age", ColumnType("integer", pa.int64())),
    SourceColumn("born", ColumnType("date", pa.date32())),
]  # fmt: skip
ROWS = pa.RecordBatch.from_pydict(
    {
        "state": ["nsw", "vic", None, "nsw"],
        "age": pa.array([10, None, 30, 40], pa.int64()),
        "born": pa.array([datetime(2001, 1, 1), None, datetime(1990, 5, 5), datetime(1980, 1, 1)]).cast(pa.date32()),
    }
)
CHUNK = Chunk(0, ROWS, ROWS, np.arange(4) + 100)
MINOR = {"type": "comparison", "column": {"name": "age"}, "operator": "<", "parameter": 18}


def check(condition: Any, kind: str = "expect_column_values_to_be_null", **meta: Any) -> Any:
    kwargs = {"column": "state", "row_condition": condition, "condition_parser": "great_expectations"}
    return plan_check({"type": kind, "kwargs": kwargs, "meta": {"veilflow": meta}}, PLACE)


@pytest.mark.parametrize(
    ("condition", "judged"),
    [
        (MINOR, [0]),
        ({"type": "comparison", "column": {"name": "state"}, "operator": "!=", "parameter": "nsw"}, [1, 2]),
        ({"type": "comparison", "column": {"name": "state"}, "operator": "IN", "parameter": ["nsw"]}, [0, 3]),
        ({"type": "comparison", "column": {"name": "state"}, "operator": "NOT_IN", "parameter": ["nsw"]}, [1, 2]),
        ({"type": "nullity", "column": {"name": "age"}, "is_null": True}, [1]),
        ({"type": "or", "conditions": [MINOR, {"type": "nullity", "column": {"name": "age"}, "is_null": True}]}, [0, 1]),
        ({"type": "comparison", "column": {"name": "born"}, "operator": ">=", "parameter": "1990-05-05"}, [0, 2]),
        ('col("state") == "nsw" and col("age") > 20', [3]),
        ('state == "nsw" & age > 20', None),
        ('(state == "nsw") & (age > 20)', [3]),
        ('col("age").notNull()', [0, 2, 3]),
    ],
)  # fmt: skip
def test_a_condition_chooses_the_rows_that_are_judged(condition: Any, judged: list[int] | None) -> None:
    """Nulls hold for != and NOT_IN alone; failing rows are numbered in the whole chunk, by either engine."""
    if judged is None:
        with pytest.raises(VeilError) as caught:
            check(condition)
        assert caught.value.code == "VEIL305"
        return
    for engine in ("compiled", "great_expectations"):
        (outcome,) = open_checker([check(condition, engine=engine)], COLUMNS).check(CHUNK)
        assert outcome.evaluated == len(judged)
        assert outcome.failed.tolist() == [row for row in judged if ROWS.column("state")[row].is_valid]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "IN", "NOT_IN"]),
    st.lists(st.none() | st.integers(-2, 2), min_size=1, max_size=6),
    st.integers(-2, 2),
)
def test_comparisons_hold_as_in_pandas(op: str, ages: list[int | None], value: int) -> None:
    """The text that Great Expectations makes of a condition, evaluated by pandas."""
    many = op in ("IN", "NOT_IN")
    raw = {"type": "comparison", "column": {"name": "age"}, "operator": op, "parameter": [value, 7] if many else value}
    rows = pa.RecordBatch.from_pydict({"age": pa.array(ages, pa.int64())})
    text = f"age {op.lower().replace('_', ' ') if many else op} {[value, 7] if many else value}"
    frame = pd.DataFrame({"age": rows.column("age").to_pandas()})
    expected = frame.query(text, engine="python").index.tolist()
    assert np.flatnonzero(holds(parse_condition(raw), Chunk(0, rows, rows, np.arange(len(ages))))).tolist() == expected


@pytest.mark.parametrize(
    "condition",
    ["age.sum() > 3", "__import__('os')", "age > other", {"type": "pass_through", "pass_through_filter": "age > 1"},
     {"type": "comparison", "column": {"name": "age"}, "operator": "~", "parameter": 1}, "age >", {}, ["age"], 7],
)  # fmt: skip
def test_refuses_conditions_that_are_more_than_comparisons(condition: Any) -> None:
    """VEIL305 with what a condition takes; nothing is ever evaluated."""
    with pytest.raises(VeilError) as caught:
        check(condition)
    assert (caught.value.code, caught.value.place) == ("VEIL305", PLACE)
    assert "comparison" in caught.value.hint


def test_refuses_a_value_of_another_type_than_its_column() -> None:
    """VEIL207 when the checker is opened, before a row is read."""
    with pytest.raises(VeilError) as caught:
        open_checker([check('col("age") > "18"')], COLUMNS)
    assert caught.value.code == "VEIL207"
