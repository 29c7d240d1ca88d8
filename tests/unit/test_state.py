"""The record of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from veilflow.errors import VeilError
from veilflow.state import State, new_run_id


def test_run_ids_sort_by_time() -> None:
    """26 characters; a later millisecond sorts later."""
    ids = [new_run_id(moment) for moment in (1, 2, 1_000, 1_700_000_000_000)]
    assert ids == sorted(ids) and {len(one) for one in ids} == {26}


def test_a_run_is_found_by_id_by_its_beginning_and_as_last(tmp_path: Path) -> None:
    """And a beginning that fits two runs is an error."""
    state = State(tmp_path)
    for run_id in ("01AAA", "01AAB"):
        state.save({"run_id": run_id, "pipeline": "p", "status": "succeeded", "started": ""}, "[]", None)
    assert state.run("01AAA")[0]["run_id"] == "01AAA"
    assert state.run("last")[0]["run_id"] == "01AAB"
    with pytest.raises(VeilError) as caught:
        state.run("01AA")
    assert caught.value.code == "VEIL204"


def test_only_one_run_of_a_pipeline_holds_its_lock(tmp_path: Path) -> None:
    """Another pipeline's lock is free."""
    state = State(tmp_path)
    with state.lock("a"), state.lock("b"), pytest.raises(VeilError) as caught, state.lock("a"):
        pass
    assert caught.value.code == "VEIL308"
