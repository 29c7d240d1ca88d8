"""Values that a treatment does not take: refused with their row, or held back, as the step says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from veilflow.errors import Place, VeilError
from veilflow.model import TEXT, ColumnPlan, Plan, Step, TargetPlan
from veilflow.run.treat import treat
from veilflow.treatments import TREATMENTS, Context, Traits, Treatment, Unfit


@dataclass(frozen=True)
class _Digits:
    then: Literal["refuse", "quarantine"] = "refuse"


def _unfit(values: pa.Array, parameters: _Digits, _context: Context) -> tuple[Unfit, ...]:
    bad = pc.invert(pc.fill_null(pc.utf8_is_digit(values), True)).to_numpy(zero_copy_only=False)
    return (Unfit(np.flatnonzero(bad), "is not made of digits", parameters.then),)


def _upper(values: pa.Array, _parameters: _Digits, context: Context) -> pa.Array:
    assert pc.all(pc.fill_null(pc.utf8_is_digit(values), True)).as_py()
    return pc.binary_join_element_wise(values, context.columns["other"], "-")


@pytest.fixture(autouse=True)
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = Treatment(
        "digits", "For the test.", _Digits, frozenset({"text"}), lambda kind, _parameters: kind, _upper,
        Traits("digits"), reads=lambda _parameters: ("other",), unfit=_unfit,
    )  # fmt: skip
    monkeypatch.setitem(TREATMENTS, "digits", treatment)


def plan(then: Literal["refuse", "quarantine"]) -> Plan:
    def column(name: str, step: Step) -> ColumnPlan:
        return ColumnPlan(name, TEXT, pa.string(), "direct_identifier", (step,), None, Place("p.yaml", 3), None, "load")

    facts: dict[str, Any] = dict.fromkeys(
        ("purpose", "keyring", "max_quarantined", "timeout_seconds"), None
    )  # fmt: skip
    return Plan(
        pipeline="people", environment="dev", as_of=date(2026, 1, 1), policy="people", policy_hash="", checks=(),
        columns=(column("id", Step("digits", _Digits(then))), column("other", Step("keep", None))), filters=(),
        target=TargetPlan("memory", "", "t", "replace", "rename"), secrets=(), on_bad_row="refuse", chunk_rows=10,
        allow_empty=False, unlisted_columns="refuse", plan_hash="", **facts,
    )  # fmt: skip


ROWS = pa.RecordBatch.from_pydict({"id": ["12", "MARKER", None, "34"], "other": ["a", "b", "c", "d"]})
POSITIONS = np.array([10, 11, 12, 13], dtype=np.int64)


def test_a_value_that_does_not_fit_is_told_by_its_row_and_never_shown() -> None:
    """VEIL314 with column, position and reason."""
    with pytest.raises(VeilError) as caught:
        treat(ROWS, plan("refuse"), {}, POSITIONS, run_id="r", source="people.csv")
    assert caught.value.code == "VEIL314"
    assert "row 12 of people.csv" in str(caught.value) and "is not made of digits" in str(caught.value)
    assert "MARKER" not in str(caught.value)


def test_rows_that_do_not_fit_are_named_and_the_treatment_never_sees_them() -> None:
    """The others are treated as if these were null; the row count stays, and the caller takes the rows out."""
    done = treat(ROWS, plan("quarantine"), {}, POSITIONS, run_id="r", source="people.csv")
    assert done.table.column("id").to_pylist() == ["12-a", None, None, "34-d"]
    assert [(cells.column, cells.rows.tolist()) for cells in done.unfit] == [("id", [1])]
