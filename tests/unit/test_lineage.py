"""A run's checks as facets of OpenLineage."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from veilflow.report.lineage import input_facets

#: What every facet has (OpenLineage 2-0-2, InputDatasetFacet), and the two facets of version 1-0-2.
BASE = {
    "type": "object",
    "required": ["_producer", "_schemaURL"],
    "properties": {
        "_producer": {"type": "string", "pattern": "^[a-z]+:"},
        "_schemaURL": {"pattern": "^https://openlineage.io/spec/"},
    },
}
ASSERTION = {
    "type": "object",
    "required": ["assertion", "success"],
    "properties": {
        "assertion": {"type": "string"}, "success": {"type": "boolean"}, "column": {"type": "string"},
        "severity": {"enum": ["error", "warn"]},
    },
    "additionalProperties": False,
}  # fmt: skip
SHAPES = {
    "dataQualityAssertions": {
        "required": ["assertions"], "properties": {"assertions": {"type": "array", "items": ASSERTION}},
    },
    "dataQualityMetrics": {
        "required": ["columnMetrics"],
        "properties": {
            "rowCount": {"type": "integer"},
            "columnMetrics": {"type": "object", "additionalProperties": {"properties": {"nullCount": {"type": "integer"}}}},
        },
    },
}  # fmt: skip


def check(
    kind: str, column: str = "age", *, failed: int = 0, evaluated: int = 10, passed: bool = True, **more: Any
) -> Any:
    found = {"expectation": kind, "column": column, "evaluated": evaluated, "failed": failed, "passed": passed}
    return {**found, "on_fail": "quarantine", "first": [3], "title": "secret 17", **more}


def run(*checks: Any, read: int = 10, status: str = "succeeded") -> dict[str, Any]:
    return {
        "status": status,
        "counts": {"read": read, "loaded": read, "quarantined": 0, "filtered": 0},
        "checks": list(checks),
    }


def test_facets_have_the_published_shapes() -> None:
    """Each facet names its producer and its schema, and holds what that wants."""
    found = input_facets(
        run(
            check("expect_column_values_to_not_be_null", failed=2, passed=False),
            check("expect_column_values_to_be_between", on_fail="warn"),
            check("expect_compound_columns_to_be_unique", "first, last"),
        )
    )
    for name, shape in SHAPES.items():
        Draft202012Validator({"allOf": [BASE, shape]}).validate(found[name])
        assert found[name]["_schemaURL"].rpartition("/")[2] in (
            "DataQualityAssertionsDatasetFacet", "DataQualityMetricsInputDatasetFacet"
        )  # fmt: skip
    assertions = found["dataQualityAssertions"]["assertions"]
    assert [one.get("column") for one in assertions] == ["age", "age", None]
    assert [one["success"] for one in assertions] == [False, True, True]
    assert [one["severity"] for one in assertions] == ["error", "warn", "error"]
    assert found["dataQualityMetrics"]["columnMetrics"] == {"age": {"nullCount": 2}}
    assert "17" not in str(found)


@pytest.mark.parametrize(
    "found",
    [
        run(check("expect_column_values_to_be_unique", evaluated=0, passed=False), status="refused"),
        run(check("expect_column_values_to_be_in_set", evaluated=0), read=0, status="refused"),
        {"counts": {"read": 0}, "status": "failed"},
    ],
)
def test_what_was_not_judged_is_no_assertion(found: Any) -> None:
    """A run that was refused before its checks says nothing of them."""
    assert input_facets(found)["dataQualityAssertions"]["assertions"] == []


def test_an_empty_table_that_is_published_was_judged() -> None:
    """Nothing in it fails, and there is no largest value."""
    checks = [
        check("expect_column_values_to_not_be_null", evaluated=0),
        check("expect_column_max_to_be_between", evaluated=0, passed=False),
    ]
    found = input_facets(run(*checks, read=0))
    assert [one["success"] for one in found["dataQualityAssertions"]["assertions"]] == [True, False]


def test_nulls_are_told_only_of_a_check_that_judged_every_row() -> None:
    """One with a condition looks at some; and the output's checks are not about the source."""
    partly = check("expect_column_values_to_not_be_null", failed=1, evaluated=4)
    after = check("expect_column_values_to_not_be_null", failed=1, stage="output")
    found = input_facets(run(partly, after))
    assert found["dataQualityMetrics"]["columnMetrics"] == {}
    assert len(found["dataQualityAssertions"]["assertions"]) == 1
