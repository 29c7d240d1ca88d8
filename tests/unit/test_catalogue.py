"""What the registry says of treatments, as plain data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from veilflow.config import load_policy
from veilflow.treatments import TREATMENTS
from veilflow.treatments.catalogue import EXAMPLES, describe, example_step


@pytest.mark.parametrize("name", TREATMENTS)
def test_each_treatment_is_described_in_plain_data_and_its_example_can_be_pasted(name: str, tmp_path: Path) -> None:
    """The example is a line of a policy."""
    found = describe(name)
    assert json.loads(json.dumps(found)) == found
    (tmp_path / "data").mkdir()
    (tmp_path / "data/groups.csv").write_text("value,group\nflu,infection\n", encoding="utf-8")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/p.yaml").write_text(f"version: 1\ncolumns:\n  {found['example']}\n", encoding="utf-8")
    rule = load_policy(tmp_path, "p").columns["column"]
    needed = {one["name"] for one in found["parameters"] if one["required"]}
    assert rule.treatments[0][0] == name and needed <= rule.treatments[0][1].keys()
    assert EXAMPLES.get(name, {}).keys() <= rule.treatments[0][1].keys()


def test_examples_are_of_treatments_that_exist_and_make_a_step() -> None:
    """A misspelt one would show nothing in silence."""
    assert EXAMPLES.keys() <= TREATMENTS.keys()
    assert all(example_step(name) for name in EXAMPLES)
