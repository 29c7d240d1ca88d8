"""Treatments at paths inside JSON."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from veilflow.errors import Place, VeilError
from veilflow.treatments import TREATMENTS, Context, make_step

PLACE = Place("policies/p.yaml", 4)
PATHS: dict[str, Any] = {
    "$.name": {"mask": {"keep_first": 1}},
    "$.tags[*]": "redact",
    "$.home.zip": "null",
    "$.home.rooms": {"generalise": {"width": 10}},
    "$['birth place']": "redact",
    "$.secret": "drop",
    "$.kept": "keep",
    "$.blob": "redact",
}
STRUCTURED = TREATMENTS["structured"]


def parameters(**raw: Any) -> Any:
    return make_step("structured", {"paths": PATHS} | raw, PLACE).parameters


def treated(*documents: str | None, **raw: Any) -> list[Any]:
    values, steps = pa.array(documents, pa.string()), parameters(**raw)
    assert STRUCTURED.unfit is not None and not STRUCTURED.unfit(values, steps, Context())
    return list(STRUCTURED.apply(values, steps, Context()).to_pylist())


def reasons(document: str, **raw: Any) -> list[tuple[str, str]]:
    assert STRUCTURED.unfit is not None
    found = STRUCTURED.unfit(pa.array([None, document]), parameters(**raw), Context())
    assert all(one.rows.tolist() == [1] for one in found)
    return [(one.reason, one.then) for one in found]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"name": "Zoe"}', '{"name":"Z**"}'), ('{"tags": ["a", "b", null]}', '{"tags":["[redacted]","[redacted]",null]}'),
        ('{"home": {"zip": "1", "rooms": 37}}', '{"home":{"zip":null,"rooms":30}}'), ('{"birth place": 5}', '{"birth place":"[redacted]"}'),
        ('{"secret": {"a": 1}, "name": null}', '{"name":null}'), ('{"blob": {"any": ["thing"]}}', '{"blob":"[redacted]"}'),
        ('{"kept": 12345678901234567}', '{"kept":12345678901234567}'), ('{"kept": 0.1}', '{"kept":0.1}'),
        ('{"kept": "é\\u0000🙂"}', '{"kept":"é\\u0000🙂"}'), ("{}", "{}"), ("null", "null"), (None, None),
    ],
)  # fmt: skip
def test_a_value_is_treated_at_its_path(before: str | None, after: str | None) -> None:
    """In objects, arrays and whole subtrees; what is kept is kept exactly."""
    assert treated(before) == [after]


@pytest.mark.parametrize(
    "document",
    ['{"nam": "Zoe"}', '{"home": {"street": "x"}}', '{"home": "x"}', '{"tags": "a"}', '{"home": [1]}', "[1]", '"x"',
     '{"nam": null}', '{"nam": {}}'],
)  # fmt: skip
def test_what_no_rule_covers_is_never_let_through(document: str) -> None:
    """A new name, another shape; and no name from the data stands in the reason."""
    ((reason, then),) = reasons(document)
    assert "no rule covers" in reason and then == "refuse"
    assert "nam" not in reason and "street" not in reason
    assert [then for _, then in reasons(document, unlisted="quarantine")] == ["quarantine"]


def test_unlisted_paths_may_be_dropped() -> None:
    """They leave the document."""
    found = treated('{"nam": 1, "name": "Zoe", "home": {"street": "x", "zip": "1"}}', '{"home": 7}', unlisted="drop")
    assert found == ['{"name":"Z**","home":{"zip":null}}', "{}"]


@pytest.mark.parametrize(
    "document",
    ["", "{", "{}{}", "{'a': 1}", '{"kept": NaN}', '{"kept": 1e999}', '{"name": "a", "name": "b"}', '{"kept": "\\ud800"}',
     '{"kept": 0.10000000000000000001}', '{"kept": 123456789012345678901234567890}', "[" * 100_000],
)  # fmt: skip
def test_what_cannot_be_read_without_loss_does_not_fit(document: str) -> None:
    """Not JSON, a repeated key, a number that would change, half a character, too deep."""
    assert reasons(document) == [("is not JSON that can be read without loss", "refuse")]
    assert [then for _, then in reasons(document, broken="quarantine")] == ["quarantine"]


def test_a_value_of_another_kind_than_its_treatment_takes_does_not_fit() -> None:
    """A number under a mask is not let through as it is."""
    assert reasons('{"name": 1}') == [("holds integer at $.name, which its treatments do not take", "refuse")]


@pytest.mark.parametrize(
    "paths",
    [{}, [], {"name": "redact"}, {"$.a[0]": "redact"}, {"$..a": "redact"}, {"$.a.*": "redact"}, {"$.a": "redact", "$.a.b": "redact"},
     {"$.a.b": "redact", "$.a": "redact"}, {"$.a": "redact", "$['a']": "null"}, {"$.a": ["keep", "redact"]}, {"$.a": "rdact"}],
)  # fmt: skip
def test_refuses_paths_that_are_none_or_tie(paths: Any) -> None:
    """VEIL205 with the rule's place."""
    with pytest.raises(VeilError) as caught:
        make_step("structured", {"paths": paths}, PLACE)
    assert caught.value.code == "VEIL205" and caught.value.place == PLACE


def test_refuses_a_treatment_that_takes_nothing_of_json() -> None:
    """Dates do not stand in JSON."""
    step = make_step("structured", {"paths": {"$.a": {"generalise": {"to": "year"}}}}, PLACE)
    with pytest.raises(TypeError, match=r"\$\.a"):
        STRUCTURED.output(pa.string(), step.parameters)
