"""A treatment that depends on another column of the row."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from veilflow.errors import Place, VeilError
from veilflow.treatments import TREATMENTS, Context, every_step, make_step

PLACE = Place("policies/p.yaml", 4)
MASKED: dict[str, Any] = {"then": {"mask": {"keep_first": 1}}, "otherwise": "redact"}


def treated(raw: dict[str, Any], column: pa.Array, values: pa.Array) -> list[Any]:
    step = make_step("when", {"column": "c"} | raw, PLACE)
    return list(TREATMENTS["when"].apply(values, step.parameters, Context(columns={"c": column})).to_pylist())


@pytest.mark.parametrize(
    ("condition", "column", "holds"),
    [
        ({"in": ["DE", "FR"]}, pa.array(["DE", "US", None]), [True, False, False]),
        ({"not_in": ["DE"]}, pa.array(["DE", "US", None]), [False, True, False]),
        ({"equals": 7}, pa.array([7, 8, None]), [True, False, False]),
        ({"equals": True}, pa.array([True, False, None]), [True, False, False]),
        ({"at_least": 18}, pa.array([18, 17, None]), [True, False, False]),
        ({"below": "2000-01-01"}, pa.array([date(1999, 12, 31), date(2000, 1, 1), None]), [True, False, False]),
        ({"equals": 1.05}, pa.array([Decimal("1.05"), Decimal("1.06"), None]), [True, False, False]),
        ({"is_null": True}, pa.array(["DE", "US", None]), [False, False, True]),
        ({"is_null": False}, pa.array(["DE", "US", None]), [True, True, False]),
    ],
)
def test_a_condition_decides_each_row(condition: dict[str, Any], column: pa.Array, holds: list[bool]) -> None:
    """A null satisfies no condition but is_null, so such rows take the `otherwise`."""
    found = treated(MASKED | condition, column, pa.array(["abc", "abc", "abc"]))
    assert found == ["a**" if yes else "[redacted]" for yes in holds]


@pytest.mark.parametrize(
    "raw",
    [
        {"in": ["DE"], "then": "redact"}, MASKED, MASKED | {"in": ["DE"], "equals": 1}, MASKED | {"in": []},
        MASKED | {"in": "DE"}, MASKED | {"in": [None]}, MASKED | {"is_null": "yes"},
        {"in": ["DE"], "then": "drop", "otherwise": "redact"}, {"in": ["DE"], "then": {}, "otherwise": "redact"},
        {"in": ["DE"], "then": "rdact", "otherwise": "redact"}, {"in": ["DE"], "then": [], "otherwise": "redact"},
        {"in": ["DE"], "then": {"mask": {"keep_frist": 1}}, "otherwise": "redact"},
    ],
)  # fmt: skip
def test_refuses_a_condition_that_is_not_whole(raw: dict[str, Any]) -> None:
    """No `otherwise`, none or two conditions, an empty list, an unknown treatment inside: VEIL205."""
    with pytest.raises(VeilError) as caught:
        make_step("when", {"column": "c"} | raw, PLACE)
    assert caught.value.code == "VEIL205" and caught.value.place == PLACE


@pytest.mark.parametrize(
    ("condition", "kind"),
    [({"in": ["x"]}, pa.int64()), ({"equals": True}, pa.string()), ({"at_least": "M"}, pa.string()), ({"equals": 1}, pa.bool_()),
     ({"below": "soon"}, pa.date32())],
)  # fmt: skip
def test_refuses_a_condition_of_another_type(condition: dict[str, Any], kind: pa.DataType) -> None:
    """The plan asks before a row is read."""
    fits = TREATMENTS["when"].fits
    step = make_step("when", {"column": "c"} | MASKED | condition, PLACE)
    with pytest.raises(TypeError):
        assert fits is not None
        fits(step.parameters, {"c": kind})


def test_both_branches_make_the_same_type() -> None:
    """A column has one type."""
    step = make_step(
        "when", {"column": "c", "in": [1], "then": {"generalise": {"width": 5}}, "otherwise": "redact"}, PLACE
    )
    with pytest.raises(TypeError, match="same type"):
        TREATMENTS["when"].output(pa.int64(), step.parameters)


def test_steps_inside_are_steps_of_the_column() -> None:
    """Their keys and columns are derived and read as if they stood outside."""
    inner = {"column": "d", "is_null": True, "then": "token", "otherwise": "null"}
    step = make_step("when", {"column": "c", "in": [1], "then": {"when": inner}, "otherwise": "keep"}, PLACE)
    treatment = TREATMENTS["when"]
    assert treatment.reads(step.parameters) == ("c", "d")
    assert treatment.uses(step.parameters) == ("token",)
    assert [one.treatment for one in every_step([step])] == ["when", "when", "token", "null", "keep"]
