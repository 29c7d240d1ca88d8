"""Policies on disk: rules of every kind, what they inherit, and every mistake with its place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from veilflow.config import PolicyConfig, load_policy
from veilflow.errors import VeilError

BASE = """\
version: 1
owner: privacy office
classes: {direct_identifier: {treatment: token}}
columns:
  email: {class: direct_identifier}
  "*_name": {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
tags:
  contact: {class: direct_identifier, treatment: redact}
"""


def load(directory: Path, **files: str) -> PolicyConfig:
    """The policy `child`, or `base` where there is none."""
    for name, content in files.items():
        path = directory / "policies" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return load_policy(directory, "child" if "child" in files else "base")


def refused(directory: Path, **files: str) -> VeilError:
    with pytest.raises(VeilError) as caught:
        load(directory, **files)
    return caught.value


def test_rules_are_exact_names_globs_tags_and_class_defaults(tmp_path: Path) -> None:
    """Each with its line; a rule without a treatment takes its class's, and says from where."""
    policy = load(tmp_path, base=BASE)
    assert list(policy.columns) == ["email"] and list(policy.globs) == ["*_name"] and list(policy.tags) == ["contact"]
    email = policy.columns["email"]
    assert email.treatments == (("token", {}),) and email.default is not None
    assert (email.place.line, email.default.line) == (5, 3)


def test_a_name_with_a_wildcard_in_it_can_be_meant_exactly(tmp_path: Path) -> None:
    """`match: exact` takes the characters as they are."""
    rule = '  "ok?": {class: sensitive, treatment: drop, match: exact}\n'
    policy = load(tmp_path, base=BASE.replace("tags:\n", rule + "tags:\n"))
    assert "ok?" in policy.columns and "ok?" not in policy.globs


def test_a_rule_without_a_treatment_needs_a_default(tmp_path: Path) -> None:
    """Nothing is guessed."""
    error = refused(tmp_path, base=BASE.replace("classes: {direct_identifier: {treatment: token}}\n", ""))
    assert (error.code, error.place.line if error.place else 0) == ("VEIL201", 4)


def test_a_child_inherits_and_overrides(tmp_path: Path) -> None:
    """Rules by their name, facts by their key, and a changed default holds for inherited rules."""
    child = "version: 1\nextends: base\npurpose: reports\nclasses: {direct_identifier: {treatment: redact}}\n"
    policy = load(tmp_path, base=BASE, child=child + "tags: {contact: {class: sensitive, treatment: drop}}\n")
    assert policy.facts == {"owner": "privacy office", "purpose": "reports"}
    assert policy.columns["email"].treatments == (("redact", {}),) and policy.columns["email"].inherited
    assert policy.columns["email"].place.file == "policies/base.yaml"
    assert policy.tags["contact"].classification == "sensitive" and not policy.tags["contact"].inherited
    assert policy.parent is not None and policy.parent.columns["email"].treatments == (("token", {}),)


def test_a_changed_default_brings_its_key_domain_and_leaves_one_that_a_rule_names(tmp_path: Path) -> None:
    """Tokens of the wrong domain would join what must stay apart."""
    base = BASE.replace("{treatment: token}", "{treatment: token, key_domain: base}").replace(
        "columns:\n", "columns:\n  own: {class: direct_identifier, key_domain: own}\n"
    )
    child = "version: 1\nextends: base\nclasses: {direct_identifier: {treatment: token, key_domain: child}}\n"
    policy = load(tmp_path, base=base, child=child)
    assert policy.parent is not None and policy.parent.columns["email"].key_domain == "base"
    assert (policy.columns["email"].key_domain, policy.columns["own"].key_domain) == ("child", "own")


def test_extends_that_comes_back_is_refused_with_its_way(tmp_path: Path) -> None:
    """And does not loop."""
    error = refused(tmp_path, base=BASE + "extends: child\n", child="version: 1\nextends: base\n")
    assert error.code == "VEIL202" and "child -> base -> child" in error.problem
    error = refused(tmp_path, child="version: 1\nextends: child\n")
    assert "child -> child" in error.problem


def test_extends_of_a_policy_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    """With the line that says so."""
    error = refused(tmp_path, base=BASE, child="version: 1\nextends: bose\n")
    assert error.code == "VEIL204" and "base" in error.hint and error.place is not None and error.place.line == 2


def test_an_acknowledgement_needs_reason_owner_and_expiry(tmp_path: Path) -> None:
    """All of them, and a date that is one."""
    line = "acknowledge: [{finding: LINT201, column: email, reason: why, owner: DPO, expires: 2027-01-31}]\n"
    (found,) = load(tmp_path, base=BASE + line).acknowledged
    assert (found.finding, found.column, found.expires) == ("LINT201", "email", date(2027, 1, 31))
    for missing in ("reason: why, ", "owner: DPO, ", ", expires: 2027-01-31", "finding: LINT201, "):
        assert refused(tmp_path, base=BASE + line.replace(missing, "")).code == "VEIL201"
    assert refused(tmp_path, base=BASE + line.replace("2027-01-31", "soon")).code == "VEIL202"


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("direct_identifier: {treatment", "directidentifier: {treatment", "VEIL202"),
        ("owner: privacy office", "review_date: next year", "VEIL202"),
        ("owner: privacy office", "show_values: yes", "VEIL202"),
        ("class: direct_identifier}", "class: direct_identifier, unsafe_weaken: ''}", "VEIL202"),
        ("class: direct_identifier}", "class: direct_identifier, match: fuzzy}", "VEIL202"),
        ("  contact: {class: direct_identifier", "  contact: {klass: direct_identifier", "VEIL201"),
    ],
)
def test_a_mistake_has_its_code(tmp_path: Path, before: str, after: str, code: str) -> None:
    """Unknown keys, wrong words, reasons that say nothing."""
    assert before in BASE
    assert code in [part.code for part in refused(tmp_path, base=BASE.replace(before, after, 1)).parts]


def test_values_may_be_shown_unless_the_policy_or_one_that_it_extends_refuses(tmp_path: Path) -> None:
    """A child cannot open it again."""
    assert load(tmp_path, base=BASE).show_values
    child = "version: 1\nextends: base\nshow_values: record\n"
    assert not load(tmp_path, base=BASE + "show_values: refuse\n", child=child).show_values
