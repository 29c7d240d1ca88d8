"""The order of strictness: what is certain to tell no more."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilflow.policies import Decided, Treated, compare
from veilflow.policies.strictness import _CONSTANTS, PARAMETERS, at_least
from veilflow.treatments import TREATMENTS, parameter_name


def one(name: str, key_domain: str | None = None, **parameters: Any) -> Decided:
    """One treatment with the registry's word on it, where it knows it."""
    traits: dict[str, Any] = {
        "token": {"uses": ("a use",), "linkable": True},
        "siv": {"uses": ("a use",), "linkable": True, "reversible": True},
        "ff1": {"uses": ("a use",), "linkable": True, "reversible": True},
        "siv_per_row": {"uses": ("a use",), "reversible": True},
    }
    return Decided((Treated(name, parameters, **traits.get(name, {})),), key_domain)


REFUSED = Decided(())
SAMPLES = [
    REFUSED, one("drop"), one("null"), one("redact"), one("keep"), one("token"), one("token", "person"), one("token", "other"),
    one("siv"), one("siv_per_row"), one("ff1"), one("mask", keep_first=1), one("mask", keep_first=2), one("generalise", to="year"),
    one("generalise", to="month"), one("generalise", to="week"), one("generalise", width=10), one("generalise", width=20),
    one("own_of_somebody"), Decided((*one("keep_prefix", length=4).steps, *one("token").steps)), one("keep_prefix", length=4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (one("keep"), one("token"), "stricter"),
        (one("token"), one("keep"), "weaker"),
        (one("keep"), one("own_of_somebody"), "stricter"),
        (one("own_of_somebody"), one("redact"), "stricter"),
        (one("redact"), one("null"), "stricter"),
        (one("null"), one("drop"), "stricter"),
        (one("drop"), REFUSED, "same"),
        (one("siv"), one("token"), "stricter"),
        (one("siv"), one("siv_per_row"), "stricter"),
        (one("ff1"), one("siv"), "stricter"),
        (one("ff1"), one("ff1"), "same"),
        (one("clip", at_most=90), one("clip", at_least=18, at_most=80), "stricter"),
        (one("clip", at_least=18), one("clip", at_most=80), "incomparable"),
        (one("redact_text", find=("email",)), one("redact_text", find=("email", "url")), "stricter"),
        (one("token", bits=64, form="hex"), one("token", bits=128, form="uuid"), "same"),
        (one("token"), one("token", "person"), "weaker"),
        (one("token", "person"), one("token", "other"), "incomparable"),
        (one("token"), one("mask", keep_first=1), "incomparable"),
        (one("mask", keep_first=2), one("mask", keep_first=1), "stricter"),
        (one("mask", keep_first=1, with_="*"), one("mask", keep_first=1, with_="*"), "same"),
        (one("generalise", to="month"), one("generalise", to="year"), "stricter"),
        (one("generalise", to="week"), one("generalise", to="month"), "incomparable"),
        (one("generalise", width=10), one("generalise", width=20), "stricter"),
        (one("generalise", width=10), one("generalise", width=15), "incomparable"),
        (one("own_of_somebody"), one("own_of_somebody", more=1), "incomparable"),
        (one("keep_prefix", length=4), Decided((*one("keep_prefix", length=4).steps, *one("token").steps)), "stricter"),
    ],
)
def test_what_is_stricter(old: Decided, new: Decided, expected: str) -> None:
    """The table of the how-to, line by line."""
    assert compare(old, new) == expected


@given(*[st.sampled_from(SAMPLES)] * 3)
def test_it_is_an_order(a: Decided, b: Decided, c: Decided) -> None:
    """Reflexive and transitive; turning the question round turns the answer round."""
    assert compare(a, a) == "same"
    assert not (at_least(a, b) and at_least(b, c)) or at_least(a, c)
    turned = {"stricter": "weaker", "weaker": "stricter"}
    assert compare(b, a) == turned.get(compare(a, b), compare(a, b))


def test_the_tables_name_treatments_and_parameters_that_exist() -> None:
    """A misspelt name would make everything incomparable in silence."""
    for name, parameters in PARAMETERS.items():
        known = {parameter_name(field.name) for field in fields(TREATMENTS[name].parameters)}
        assert parameters.keys() <= known, name
    assert {"null", "redact"} <= _CONSTANTS.keys() & TREATMENTS.keys()
