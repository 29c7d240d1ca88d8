"""Treatments of other packages: a package is made on disk and put on the path, as an installer would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from veilflow.errors import Place, VeilError
from veilflow.plan.matching import plain_parameters
from veilflow.treatments import TREATMENTS, Context, make_step

PLACE = Place("policies/p.yaml", 4)
MODULE = """
import pyarrow as pa
import pyarrow.compute as pc
from veilflow.treatments.own import OwnTreatment, pandas_treatment

def upper(values): return pc.utf8_upper(values)
def suffix(series, text="!"): return series + text
def invents(values): return pa.array(["x"] * len(values))
def shortens(values): return values.slice(1)
def lengths(values): return pc.utf8_length(values)
def breaks(values): raise RuntimeError("MARKER " + str(values))
of_pandas = pandas_treatment(suffix)
numbers = OwnTreatment(lengths, gives=pa.int64())
nothing = 7
"""
ENTRIES = (
    "upper", "of_pandas", "invents", "shortens", "numbers", "breaks", "nothing", "missing"
)  # fmt: skip


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_masks.py").write_text(MODULE)
    info = tmp_path / "acme_masks-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-masks\nVersion: 1.2\n")
    lines = "\n".join(f"acme_{name} = acme_masks:{name}" for name in ENTRIES)
    (info / "entry_points.txt").write_text(f"[veilflow.treatments]\n{lines}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_masks", raising=False)


def treated(name: str, values: pa.Array, **parameters: Any) -> list[Any]:
    step = make_step("own", {"name": f"acme_{name}", "with": parameters}, PLACE)
    assert TREATMENTS["own"].output(values.type, step.parameters)
    return list(TREATMENTS["own"].apply(values, step.parameters, Context()).to_pylist())


def test_a_function_of_another_package_treats_a_column() -> None:
    """On Arrow and on pandas, with the policy's parameters; null stays null whatever it makes of it."""
    values = pa.array(["a", None, ""])
    assert treated("upper", values) == ["A", None, ""]
    assert treated("of_pandas", values, text="?") == ["a?", None, "?"]
    assert treated("invents", values) == ["x", None, "x"]
    assert treated("numbers", values) == [1, None, 0]


def test_rows_stay_rows() -> None:
    """A function that loses some fails the run."""
    with pytest.raises(ValueError, match="as many"):
        treated("shortens", pa.array(["a", "b"]))


def test_a_column_of_another_type_is_refused() -> None:
    """By the plan, as for every treatment."""
    with pytest.raises(TypeError, match="takes text"):
        treated("upper", pa.array([1]))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"name": "acme_uper"}, "did you mean acme_upper"), ({"name": "acme_missing"}, "cannot be loaded"), ({"name": "acme_nothing"}, "neither"),
        ({"name": 7}, "name must be"), ({"name": "acme_upper", "with": ["a"]}, "mapping"), ({}, "needs name"),
    ],
)  # fmt: skip
def test_refuses_what_no_package_offers(raw: dict[str, Any], words: str) -> None:
    """VEIL205 with the rule's place."""
    with pytest.raises(VeilError, match=words) as caught:
        make_step("own", raw, PLACE)
    assert caught.value.code == "VEIL205" and caught.value.place == PLACE


def test_parameters_say_that_it_is_outside_our_guarantees() -> None:
    """With the package and its version: so they stand in plan, report and evidence."""
    found = plain_parameters(make_step("own", {"name": "acme_upper"}, PLACE))
    assert found == {"name": "acme_upper", "with": {}, "package": "acme-masks 1.2", "outside_guarantees": True}
    assert not TREATMENTS["own"].guaranteed and all(one.guaranteed for name, one in TREATMENTS.items() if name != "own")


def test_what_it_raises_is_not_told(tmp_path: Path) -> None:
    """The kind of the error alone: its text may quote values."""
    import veilflow

    policy = tmp_path / "p.yaml"
    policy.write_text("version: 1\ncolumns:\n  a: {class: sensitive, treatment: {own: {name: acme_breaks}}}\n")
    with pytest.raises(VeilError) as caught:
        veilflow.anonymize(pa.table({"a": ["VALUE"]}), policy=policy)
    assert caught.value.code == "VEIL103" and "RuntimeError" in caught.value.problem
    assert "MARKER" not in str(caught.value) and "VALUE" not in str(caught.value)
