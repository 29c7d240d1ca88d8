"""LIKE as a database has it, and JSON as its schema wants it."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.checks import fit_check, open_checker, plan_check
from veilflow.checks.json_schemas import schema_test
from veilflow.checks.like_patterns import like_pattern
from veilflow.errors import Place, VeilError
from veilflow.model import TEXT, Chunk, SourceColumn

ODD = "aA%_\\.*[^$\n\té王"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "t": {"pattern": "^a+$"}}, "required": ["n"]}


@settings(max_examples=200, deadline=None)
@given(st.text(ODD, max_size=5).filter(lambda one: not one.endswith("\\")), st.lists(st.none() | st.text(ODD, max_size=5), min_size=1, max_size=6))  # fmt: skip
def test_like_finds_what_a_database_finds(pattern: str, texts: list[str | None]) -> None:
    """DuckDB's LIKE with the backslash before what means itself."""
    escaped = "".join(("\\" + one) if one == "\\" and following not in "%_\\" else one for one, following in zip(pattern, pattern[1:] + "x", strict=False))  # fmt: skip
    values = pa.array(texts, pa.string())
    found = duckdb.sql("select t like $p escape '\\' from (select unnest($t) as t)", params={"p": escaped, "t": texts})
    assert like_pattern(escaped, None)(values).to_pylist() == [row[0] for row in found.fetchall()]


def judged(kind: str, texts: list[str | None], **kwargs: Any) -> list[int]:
    check = plan_check({"type": kind, "kwargs": {"column": "t", **kwargs}}, Place("suite.json", 1))
    rows = pa.RecordBatch.from_pydict({"t": pa.array(texts, pa.string())})
    (outcome,) = open_checker([check], [SourceColumn("t", TEXT)]).check(Chunk(0, rows, rows, np.arange(len(texts))))
    return [int(row) for row in outcome.failed]


@pytest.mark.parametrize(
    ("kind", "kwargs", "failed"),
    [
        ("match_like_pattern", {"like_pattern": "a%"}, [1, 2]),
        ("not_match_like_pattern", {"like_pattern": "a%"}, [0]),
        ("match_like_pattern", {"like_pattern": "1!%", "escape": "!"}, [0, 1]),
        ("match_like_pattern_list", {"like_pattern_list": ["a%", "%B"]}, [2]),
        ("match_like_pattern_list", {"like_pattern_list": ["a%", "%b"], "match_on": "all"}, [1, 2]),
        ("not_match_like_pattern_list", {"like_pattern_list": ["a%", "%B"]}, [0, 1]),
    ],
)
def test_like_expectations(kind: str, kwargs: Any, failed: list[int]) -> None:
    """Case-sensitive; a null is not judged."""
    assert judged(f"expect_column_values_to_{kind}", ["ab", "AB", "1%", None], **kwargs) == failed


def test_json_of_a_schema() -> None:
    """What is no JSON is none of the schema either; a null is not judged."""
    texts = ['{"n": 1}', '{"n": "1"}', "{", '{"n": 1, "t": "b"}', None, "[" * 3_000]
    assert judged("expect_column_values_to_match_json_schema", texts, json_schema=SCHEMA) == [1, 2, 3, 5]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("nt"), st.integers(0, 2) | st.sampled_from(["aa", "b"])))
def test_json_as_the_library_judges_it(value: dict[str, Any]) -> None:
    """That of Great Expectations."""
    import jsonschema

    try:
        jsonschema.validate(value, SCHEMA)
        fits = True
    except jsonschema.ValidationError:
        fits = False
    assert schema_test(SCHEMA)(pa.array([json.dumps(value)])).to_pylist() == [fits]


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "nothing"}, "not a JSON schema"),
        ({"$ref": "https://example.com/other.json"}, "another document"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "forever"),
        ({"patternProperties": {"(a+)+$": {}}}, "forever"),
        ({"pattern": "("}, "schema"),
    ],
)
def test_refuses_schemas_that_are_none_reach_out_or_could_explode(schema: Any, word: str) -> None:
    """In the plan: VEIL207."""
    raw = {"type": "expect_column_values_to_match_json_schema", "kwargs": {"column": "t", "json_schema": schema}}
    with pytest.raises(VeilError, match=word) as caught:
        fit_check(plan_check(raw, Place("suite.json", 1)), {"t": TEXT})
    assert caught.value.code == "VEIL207"


def test_refuses_a_like_pattern_that_ends_with_its_escape() -> None:
    """It would escape nothing."""
    raw = {"type": "expect_column_values_to_match_like_pattern", "kwargs": {"column": "t", "like_pattern": "a\\"}}
    with pytest.raises(VeilError, match="escape"):
        fit_check(plan_check(raw, Place("suite.json", 1)), {"t": TEXT})


def test_like_cannot_be_handed_to_great_expectations() -> None:
    """It judges it in databases alone; the plan refuses before the first chunk would fail."""
    raw = {"type": "expect_column_values_to_match_like_pattern", "kwargs": {"column": "t", "like_pattern": "a%"}}
    check = plan_check(raw | {"meta": {"veilflow": {"engine": "great_expectations"}}}, Place("suite.json", 1))
    with pytest.raises(VeilError, match="databases alone"):
        fit_check(check, {"t": TEXT})
