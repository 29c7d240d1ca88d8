"""Expectations of other packages: a package is made on disk and put on the path, as an installer would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from veilflow.checks import fit_check, open_checker, own, plan_check
from veilflow.errors import Place, VeilError
from veilflow.model import Chunk, ColumnType, SourceColumn
from veilflow.testing import ExpectationContract

PLACE = Place("suite.yaml", 3)
MODULE = """
import pyarrow as pa
import pyarrow.compute as pc
from veilflow.checks import OwnExpectation

def even(values, of=2): return pc.equal(pc.multiply(pc.divide(values, of), of), values)
def breaks(values): raise RuntimeError("MARKER " + str(values))
expect_even = OwnExpectation(even, "{column} is a multiple of {of}", arguments=("of",))
expect_ordered = OwnExpectation(lambda a, b: pc.less_equal(a, b), "{column_A} is at most {column_B}", ("column_A", "column_B"))
expect_breaking = OwnExpectation(breaks, "it breaks")
expect_short = OwnExpectation(lambda values: values.is_valid().slice(1), "a row too few")
expect_numbers = OwnExpectation(lambda values: values, "no booleans")
expect_other_columns = OwnExpectation(even, "wrong", columns=("columns",))
expect_nothing = 7
"""
THEIRS = """
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics import ColumnMapMetricProvider, column_condition_partial

class ColumnValuesOdd(ColumnMapMetricProvider):
    condition_metric_name = "column_values.acme_odd"
    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column, **kwargs):
        return column % 2 == 1

class ExpectAcmeOdd(ColumnMapExpectation):
    map_metric = "column_values.acme_odd"
    success_keys = ("mostly",)
"""
ENTRIES = {
    **{name: f"acme_checks:{name}" for name in (
        "expect_even", "expect_ordered", "expect_breaking", "expect_short", "expect_numbers", "expect_other_columns",
        "expect_nothing", "expect_missing")},
    "expect_acme_odd": "acme_theirs:ExpectAcmeOdd", "expect_acme_misnamed": "acme_theirs:ExpectAcmeOdd",
}  # fmt: skip
WHOLE = ColumnType("integer", pa.int64())
COLUMNS = [SourceColumn("a", WHOLE), SourceColumn("b", WHOLE)]
ROWS = pa.table({"a": [2, 4, 3, None], "b": [2, 3, 9, 1]})


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "acme_checks.py").write_text(MODULE)
    (tmp_path / "acme_theirs.py").write_text(THEIRS)
    info = tmp_path / "acme_checks-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-checks\nVersion: 1.2\n")
    lines = "".join(f"{name} = {value}\n" for name, value in ENTRIES.items())
    (info / "entry_points.txt").write_text("[veilflow.expectations]\n" + lines)
    monkeypatch.syspath_prepend(str(tmp_path))
    own.own.cache_clear()
    yield
    own.own.cache_clear()
    sys.modules.pop("acme_checks", None)


def plan(kind: str, **kwargs: Any) -> Any:
    check = plan_check({"type": kind, "kwargs": kwargs}, PLACE)
    return fit_check(check, {column.name: column.type for column in COLUMNS})


def failed(kind: str, **kwargs: Any) -> list[int]:
    (batch,) = ROWS.to_batches()
    (outcome,) = open_checker([plan(kind, **kwargs)], COLUMNS).check(Chunk(0, batch, batch, np.arange(4)))
    return [int(row) for row in outcome.failed]


class TestEven(ExpectationContract):
    """A function on one column, with an argument."""

    type: ClassVar[str] = "expect_even"
    kwargs: ClassVar[Any] = {"column": "a", "of": 2}
    rows: ClassVar[pa.Table] = ROWS
    failing: ClassVar[tuple[int, ...]] = (2,)


class TestOrdered(ExpectationContract):
    """A function on two columns; a null that is compared fails."""

    type: ClassVar[str] = "expect_ordered"
    kwargs: ClassVar[Any] = {"column_A": "a", "column_B": "b"}
    rows: ClassVar[pa.Table] = ROWS
    failing: ClassVar[tuple[int, ...]] = (1, 3)


class TestOdd(ExpectationContract):
    """A subclass of Great Expectations' own."""

    type: ClassVar[str] = "expect_acme_odd"
    kwargs: ClassVar[Any] = {"column": "a"}
    rows: ClassVar[pa.Table] = ROWS
    failing: ClassVar[tuple[int, ...]] = (0, 1)


def test_the_plan_tells_who_judges() -> None:
    """`own`, or Great Expectations; the title is the package's."""
    assert (plan("expect_even", column="a", of=3).engine, plan("expect_even", column="a", of=3).title) == (
        "own",
        "a is a multiple of 3",
    )
    assert plan("expect_acme_odd", column="a").engine == "great_expectations"
    assert failed("expect_even", column="a", of=3) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "kwargs", "word"),
    [
        ("expect_evenn", {"column": "a"}, "did you mean expect_even?"),
        ("expect_even", {"column": "a", "off": 3}, "did you mean of?"),
        ("expect_even", {"columns": "a"}, "column"),
        ("expect_missing", {"column": "a"}, "AttributeError"),
        ("expect_nothing", {"column": "a"}, "neither"),
        ("expect_other_columns", {"column": "a"}, "names columns"),
        ("expect_acme_misnamed", {"column": "a"}, "another name"),
        ("expect_acme_odd", {"column": "a", "mostly": 3}, "0 to 1"),
    ],
)
def test_refuses_what_no_package_offers_or_does_not_fit(kind: str, kwargs: Any, word: str) -> None:
    """VEIL207 with the nearest name, or what is wrong with the package."""
    with pytest.raises(VeilError) as caught:
        plan(kind, **kwargs)
    assert caught.value.code == "VEIL207" and word in caught.value.problem + caught.value.hint


@pytest.mark.parametrize("kind", ["expect_breaking", "expect_short", "expect_numbers"])
def test_what_a_function_does_wrong_ends_the_run_without_its_text(kind: str) -> None:
    """VEIL105 at the suite's place."""
    with pytest.raises(VeilError) as caught:
        failed(kind, column="a")
    assert (caught.value.code, caught.value.place) == ("VEIL105", PLACE)
    assert "MARKER" not in str(caught.value) and caught.value.__suppress_context__
