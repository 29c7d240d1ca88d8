"""The record of runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

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


def test_tells_which_run_has_replayed_another_and_which_has_published_since(tmp_path: Path) -> None:
    """Not those that were refused, rehearsed, replays or re-keys; and not those of another pipeline."""
    state = State(tmp_path)
    plain: dict[str, Any] = {"pipeline": "p", "status": "succeeded", "started": "", "ended": "2026", "parent_run": None}
    runs = {
        "01A": {}, "01B": {"parent_run": "01A", "status": "refused"}, "01C": {"parent_run": "01A"},
        "01D": {"parent_run": "01A", "dry_run": True}, "01E": {"left_key_versions": {"p.a": 1}}, "01F": {"dry_run": True},
        "01G": {"pipeline": "q"},
    }  # fmt: skip
    for run_id, facts in runs.items():
        state.save({**plain, "run_id": run_id, **facts}, "[]", None)
    assert state.replays() == {"01A": "01C"}
    assert state.next_published("p", "01A") is None
    state.save({**plain, "run_id": "01H", "dry_run": False, "left_key_versions": None}, "[]", None)
    assert state.next_published("p", "01A") == "01H"
    assert [one["run_id"] for one in state.runs_among(["01A", "01H", "nothing"])] == ["01H", "01A"]
    assert [one["run_id"] for one in state.published_since("q", "2025")] == ["01G"]


def test_runs_that_held_rows_back_are_known_by_their_record(tmp_path: Path) -> None:
    """Whatever lies in the quarantine's directories, besides those that are asked for."""
    state = State(tmp_path)
    for run_id, rows in (("01A", 2), ("01B", 0), ("01C", 0)):
        counts = {"quarantined": rows}
        state.save({"run_id": run_id, "pipeline": "p", "status": "failed", "started": "", "counts": counts}, "[]", None)
    assert [one["run_id"] for one in state.runs_holding(["01C", "nothing"])] == ["01C", "01A"]


@pytest.mark.parametrize("statement", ["update events set actor = 'nobody'", "delete from events"])
def test_who_did_what_with_rows_can_only_be_added_to(tmp_path: Path, statement: str) -> None:
    """By any program that opens the file."""
    State(tmp_path).record("quarantine show", "01A", {"rows": 1})
    with (
        closing(sqlite3.connect(tmp_path / ".veil/state.db")) as connection,
        pytest.raises(sqlite3.DatabaseError, match="append-only"),
    ):
        connection.execute(statement)
    assert len(State(tmp_path).events("01A")) == 1


def test_only_one_run_of_a_pipeline_holds_its_lock(tmp_path: Path) -> None:
    """Another pipeline's lock is free."""
    state = State(tmp_path)
    with state.lock("a"), state.lock("b"), pytest.raises(VeilError) as caught, state.lock("a"):
        pass
    assert caught.value.code == "VEIL308"
