"""What a run's checks came to, as facets of OpenLineage, for whoever feeds a catalogue: names and counts, no value.

Shapes: DataQualityAssertionsDatasetFacet and DataQualityMetricsInputDatasetFacet, each in version 1-0-2. No server is
asked; the report's JSON holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SPEC = "https://openlineage.io/spec/facets/1-0-2"
_NOT_NULL = "expect_column_values_to_not_be_null"


def input_facets(run: Mapping[str, Any]) -> dict[str, Any]:
    """The facets of the run's source, from its document. A check that was not judged is no assertion."""
    about_source = [check for check in run.get("checks", []) if check.get("stage", "source") == "source"]
    found = [check for check in about_source if judged(check, run)]
    return {
        "dataQualityAssertions": {
            **_facet("DataQualityAssertionsDatasetFacet"), "assertions": [_assertion(check) for check in found],
        },
        "dataQualityMetrics": {
            **_facet("DataQualityMetricsInputDatasetFacet"), "rowCount": run["counts"]["read"],
            "columnMetrics": {check["column"]: {"nullCount": check["failed"]} for check in found if _counts_nulls(check, run)},
        },
    }  # fmt: skip


def _facet(name: str) -> dict[str, str]:
    return {"_producer": "urn:veilflow:report", "_schemaURL": f"{_SPEC}/{name}.json#/$defs/{name}"}


def judged(check: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether a check was not only planned: a run that ended before judges nothing as passed."""
    return bool(check["evaluated"] or (check["passed"] and run["counts"]["read"]) or run["status"] == "succeeded")


def _assertion(check: Mapping[str, Any]) -> dict[str, Any]:
    """Several columns are none to OpenLineage: then it is about the whole dataset."""
    column = {"column": check["column"]} if check["column"] and ", " not in check["column"] else {}
    severity = "warn" if check["on_fail"] == "warn" else "error"
    return {"assertion": check["expectation"], "success": check["passed"], **column, "severity": severity}


def _counts_nulls(check: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """A check that every row is there tells how many are not, if it judged every row."""
    return bool(check["expectation"] == _NOT_NULL and check["evaluated"] == run["counts"]["read"])
