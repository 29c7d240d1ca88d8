"""A run told to a person: one JSON document and one HTML page without outside assets. Touches nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veilflow.redaction import redact
from veilflow.report.lineage import input_facets, judged

__all__ = ["html", "report_document"]

_VERDICTS = {
    "succeeded": "Published. Every row that was read is accounted for.",
    "published_unreported": "Published; the process died before it could say so, and the record was closed from the target.",
    "refused": "Refused by a rule. Nothing was published.",
    "failed": "Failed. Nothing was published.",
    "interrupted": "Interrupted. Nothing was published.",
    "running": "Not ended.",
}


def report_document(run: Mapping[str, Any], plan: Mapping[str, Any] | None) -> dict[str, Any]:
    """The report's facts: the run's document, its plan's columns and checks, and whether the counts add up."""
    counts = run["counts"]
    return {
        "schema": "veilflow/report/1",
        "verdict": _VERDICTS[run["status"]],
        "balanced": counts["read"] == counts["loaded"] + counts["quarantined"] + counts["filtered"],
        "run": dict(run),
        "facts": dict((plan or {}).get("facts", {})),
        "findings": list((plan or {}).get("findings", [])),
        "columns": [
            {**column, "key_version": run["key_versions"].get(column["key_domain"])}
            for column in sorted((plan or {}).get("columns", []), key=_undecided_first)
        ],
        "checks": [_check(run, number, check) for number, check in enumerate((plan or {}).get("checks", []))],
        "open_lineage": {"inputFacets": input_facets(run)},
    }


def html(document: Mapping[str, Any]) -> str:
    """The report as one HTML page: inline style, no script, every value escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["count"] = lambda number: f"{number:,}"
    template = (Path(__file__).parent / "report.html.jinja").read_text(encoding="utf-8")
    return redact(environment.from_string(template).render(report=document, run=document["run"]))


def _undecided_first(column: Mapping[str, Any]) -> tuple[int, str]:
    order = {"undecided": 0, "keep": 1}
    return order.get(column["treatment"], 2), column["name"]


def _check(run: Mapping[str, Any], number: int, check: Mapping[str, Any]) -> dict[str, Any]:
    """A planned check with what it came to; a run that ended before its checks says so."""
    counts = run.get("checks", [])
    if number >= len(counts) or not judged(counts[number], run):
        return {
            **check,
            "rows": 0,
            "evaluated": 0,
            "share": None,
            "first": [],
            "first_files": [],
            "verdict": "not judged",
        }
    found = counts[number]
    verdict = "holds" if found["passed"] else "fails"
    if found.get("other_held") is False:
        verdict += "; the other table may have changed since"
    return {
        **check,
        "rows": found["failed"],
        "evaluated": found["evaluated"],
        "share": found["failed"] / found["evaluated"] if found["evaluated"] else None,
        "first": found["first"],
        "first_files": found.get("first_files", []),
        "verdict": verdict,
    }
