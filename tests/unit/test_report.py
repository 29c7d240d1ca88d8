"""What a report says of a run's checks."""

from __future__ import annotations

from typing import Any

import pytest

from veilflow.report import html, report_document

PLAN = {
    "checks": [
        {"type": "expect_column_values_to_be_in_set", "column": "state", "kind": "row", "stage": "source",
         "engine": "compiled", "on_fail": "quarantine", "mostly": 0.5, "title": "state is one of 8 values"},
    ],
}  # fmt: skip
COUNTED = {
    "expectation": "expect_column_values_to_be_in_set", "column": "state", "evaluated": 1000, "failed": 11,
    "passed": True, "first": [54, 126], "on_fail": "quarantine", "stage": "source",
}  # fmt: skip
WAIVED = {
    "expectation": "expect_column_values_to_be_in_set", "column": None, "stage": "both", "by": "Ada",
    "reason": "<b>a new office</b>",
}  # fmt: skip


def run(status: str = "succeeded", read: int = 1000, **more: Any) -> dict[str, Any]:
    return {
        "run_id": "01R", "parent_run": None, "pipeline": "people", "environment": "dev", "orchestrator": "direct",
        "status": status, "mode": "replace", "plan_hash": None, "key_versions": {}, "quarantine": [], "errors": [],
        "counts": {"read": read, "loaded": read, "quarantined": 0, "filtered": 0}, "checks": [COUNTED],
        "target": {"kind": "sqlite", "table": "t", "location": "t.db"}, "started": "", "ended": "", **more,
    }  # fmt: skip


def test_a_check_says_how_many_rows_failed_what_share_and_where_the_first_are() -> None:
    """As positions: people count rows from 1, documents from 0."""
    document = report_document(run(), PLAN)
    (check,) = document["checks"]
    assert (check["rows"], check["share"], check["first"]) == (11, 0.011, [54, 126])
    assert "11 (1.1 %)<br>first: 55, 127" in html(document) and "source, row" in html(document)


def test_a_position_in_one_of_several_files_names_the_file() -> None:
    """Positions count from each file's first row."""
    found = {**COUNTED, "first_files": ["a.csv", "<b>.csv"]}
    assert "first: 55 of a.csv, 127 of &lt;b&gt;.csv" in html(report_document(run(checks=[found]), PLAN))


@pytest.mark.parametrize("status", ["refused", "failed", "interrupted"])
@pytest.mark.parametrize("passed", [True, False])
def test_a_check_of_a_run_that_ended_before_it_was_not_judged(status: str, passed: bool) -> None:
    """It neither holds nor fails."""
    planned = {**COUNTED, "evaluated": 0, "failed": 0, "passed": passed, "first": []}
    document = report_document(run(status, read=0, checks=[planned]), PLAN)
    assert document["checks"][0]["verdict"] == "not judged" and "not judged" in html(document)


def test_a_release_names_the_run_of_its_rows_and_what_was_waived_by_whom_and_why() -> None:
    """The reason is a person's text and stands as text in the page."""
    page = html(report_document(run(parent_run="01P", waived=WAIVED), PLAN))
    assert "held back by run <code>01P</code>" in page
    assert "expect_column_values_to_be_in_set, stage both, by Ada: &lt;b&gt;a new office&lt;/b&gt;" in page


def test_a_record_of_an_older_version_has_no_word_of_a_waiver() -> None:
    """And is reported all the same."""
    assert "Waived" not in html(report_document(run(), PLAN))
