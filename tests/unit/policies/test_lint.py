"""The linter: each finding where it belongs, and not beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from veilflow.errors import Place
from veilflow.policies import Treated
from veilflow.policies.lint import FINDINGS, Acknowledgement, Finding, LintColumn, LintPolicy, lint

HERE = Place("policies/p.yaml", 3)
TODAY = date(2026, 1, 1)
TOKEN = Treated("token", {}, ("token",), linkable=True)
KEEP = Treated("keep", {}, reversible=True, linkable=True)
SHIFT = Treated("shift_date", {"subject": "id", "max_days": 30}, ("shift",))


def column(name: str, *steps: Treated, **facts: Any) -> LintColumn:
    """A direct identifier of text in its own key domain, unless said otherwise."""
    made = LintColumn(name, "text", "direct_identifier", steps, "p." + name, None, HERE)
    return replace(made, **facts)


def mask(**parameters: Any) -> Treated:
    return Treated("mask", {"keep_first": 0, "keep_last": 0, "at_most": 0.5, **parameters})


def codes(*columns: LintColumn, **facts: Any) -> list[str]:
    return [found.code for found in lint(LintPolicy(columns, TODAY, HERE, **facts))]


CASES: list[tuple[str, list[LintColumn], list[LintColumn]]] = [
    ("LINT101", [column("id", Treated("md5", {}, linkable=True))], [column("id", Treated("md5", {}, linkable=True), reason="why")]),
    ("LINT102",
     [column("pin", Treated("ff1", {"alphabet": "digits"}, ("ff1",)), typical_length=4)],
     [column("pin", Treated("ff1", {"alphabet": "digits", "too_small": "token"}, ("ff1",)), typical_length=4),
      column("pan", Treated("ff1", {"alphabet": "digits"}, ("ff1",)))]),
    ("LINT201", [column("id", mask(keep_last=2))],
     [column("id", mask(keep_last=2), reason="why"), column("id", TOKEN), column("id", Treated("redact", {})),
      column("id", mask(keep_last=2), classification="quasi_identifier"), column("id", mask(), TOKEN)]),
    ("LINT201", [column("id", Treated("when", {}, ("token",)), TOKEN, mask(keep_last=2))],
     [column("id", Treated("when", {}, ("token",)), TOKEN, Treated("redact", {}))]),
    ("LINT202", [column("id", Treated("siv", {}, ("siv",), reversible=True))],
     [column("id", Treated("siv", {}, ("siv",), reversible=True), reason="why"), column("id", TOKEN)]),
    ("LINT203",
     [column("id", Treated("keep_prefix", {"length": 6})), column("id", Treated("keep_prefix", {"length": 3}), typical_length=5),
      column("first_name", Treated("keep_prefix", {"length": 2})), column("id", mask(keep_first=6, at_most=0.9))],
     [column("id", Treated("keep_prefix", {"length": 5})), column("id", Treated("keep_prefix", {"length": 6}), typical_length=12),
      column("id", mask(keep_first=6)), column("first_name", Treated("keep_prefix", {"length": 1}))]),
    ("LINT204", [column("surname", mask(keep_first=1)), column("FirstName", mask(keep_first=1))],
     [column("surname", Treated("mask_name", {})), column("user_name", mask(keep_first=1)), column("id", mask(keep_first=1))]),
    ("LINT206", [column("note", KEEP, classification="free_text")], [column("note", Treated("drop", {}), classification="free_text")]),
    ("LINT207", [column("card_hash", TOKEN), column("card_last4", KEEP)], [column("card_hash", TOKEN), column("id", KEEP)]),
    ("LINT211", [column("id", TOKEN, labelled="sensitive")], [column("id", TOKEN, labelled="direct_identifier")]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "weak", "sound"), CASES, ids=[f"{case[0]}-{case[1][0].name}" for case in CASES])
def test_a_finding_is_where_it_belongs(code: str, weak: list[LintColumn], sound: list[LintColumn]) -> None:
    """Each weak column (or pair) has it, and none of the sound ones."""
    if code == "LINT207":
        assert code in codes(*weak)
    else:
        assert all(code in codes(one) for one in weak)
    assert code not in codes(*sound) and not any(code in codes(one) for one in sound)


def test_a_shifted_date_wants_its_partners_shifted_by_the_same_key() -> None:
    """A kept date beside it, or one that moves by another key, tells the shift."""
    born = column("born", SHIFT, type="date", key_domain="person")
    died = column("died", SHIFT, type="date", key_domain="person")
    assert "LINT205" not in codes(born, died)
    assert "LINT205" in codes(born, replace(died, key_domain="p.died"))
    assert "LINT205" in codes(born, replace(died, steps=(KEEP,)))
    other = Treated("shift_date", {"subject": "id", "max_days": 60}, ("shift",))
    assert "LINT205" in codes(born, replace(died, steps=(other,)))
    assert "LINT205" not in codes(born, replace(died, steps=(Treated("generalise", {}),)))


def test_one_key_domain_has_one_purpose() -> None:
    """The same purpose elsewhere is no finding."""
    shared = column("id", TOKEN, key_domain="person")
    assert "LINT103" in codes(shared, purpose="care", elsewhere={"person": (("ads", "marketing"),)})
    assert "LINT103" not in codes(shared, purpose="care", elsewhere={"person": (("ward", "care"),)})


def test_a_review_date_that_has_passed_and_a_rule_that_matches_nothing_are_told() -> None:
    """On the day itself it has not passed."""
    assert codes(review_date=date(2025, 12, 31)) == ["LINT208"]
    assert codes(review_date=TODAY) == []
    assert codes(idle=(("the pattern zz*", HERE),)) == ["LINT209"]


def agreed(code: str, name: str | None, expires: date = date(2026, 6, 1)) -> Acknowledgement:
    return Acknowledgement(code, name, "why", "DPO", expires, HERE)


def test_a_warning_is_acknowledged_until_its_day() -> None:
    """Then it is told again, and that the acknowledgement expired."""
    note = column("note", KEEP, classification="free_text")
    (found,) = lint(LintPolicy((note,), TODAY, HERE, acknowledged=(agreed("LINT206", "note"),)))
    assert found.acknowledged is not None and found.acknowledged.owner == "DPO"
    late = lint(LintPolicy((note,), TODAY, HERE, acknowledged=(agreed("LINT206", "note", date(2025, 12, 31)),)))
    assert [(one.code, one.acknowledged) for one in late] == [("LINT206", None), ("LINT210", None)]


@pytest.mark.parametrize(("code", "name"), [("LINT101", "id"), ("LINT206", "other"), ("LINT999", "id")])
def test_an_acknowledgement_of_an_error_or_of_nothing_is_told(code: str, name: str) -> None:
    """Errors stay errors."""
    weak = column("id", Treated("md5", {}, linkable=True))
    found = lint(LintPolicy((weak,), TODAY, HERE, acknowledged=(agreed(code, name),)))
    assert "LINT210" in [one.code for one in found]
    assert all(one.acknowledged is None for one in found if one.code == "LINT101")


def test_every_code_has_a_severity_by_its_first_digit() -> None:
    """1 is an error, 2 a warning; a script may rely on it."""
    for code in FINDINGS:
        assert Finding(code, "").severity == ("error" if code.startswith("LINT1") else "warning")
