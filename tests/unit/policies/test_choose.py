"""Which rule decides a column."""

from __future__ import annotations

import fnmatch
import re

from hypothesis import given
from hypothesis import strategies as st

from veilflow.policies import Rules, Unlisted, choose
from veilflow.policies.choose import glob_matches

NAMES = st.text(alphabet="ab_.[", max_size=6)
GLOBS = st.text(alphabet="ab_.[*?", max_size=6)


def test_the_most_specific_rule_decides() -> None:
    """Exact name, then the more literal pattern, then a tag, then the class's default; the others are told in order."""
    rules = Rules({"phone_home": 1}, {"phone*": 2, "phone_*": 3, "phone_????": 4}, {"contact": 5}, {"sensitive": 6})
    found = choose("phone_home", ["contact"], "sensitive", rules)
    assert [match.rule for match in found.matches] == [1, 4, 3, 2, 5, 6]
    assert found.winner is not None and found.winner.kind == "exact"
    assert [match.rule for match in found.losers] == [4, 3, 2, 5, 6]


def test_rules_with_equal_right_decide_nothing() -> None:
    """Two patterns of the same literal length, or two tags: both are named, none wins."""
    rules = Rules({}, {"*_phone": 1, "home_*": 2}, {"contact": 3, "household": 4})
    found = choose("home_phone", [], None, rules)
    assert found.winner is not None and found.winner.rule == 1  # six literal characters against five
    assert choose("x", ["contact", "household"], None, rules).winner is None
    assert {match.rule for match in choose("x", ["contact", "household"], None, rules).tied} == {3, 4}


def test_names_are_compared_as_they_are() -> None:
    """Case and likeness do not count; a name with a wildcard in it matches nobody else."""
    assert choose("Email", [], None, Rules({"email": 1})).winner is None
    assert choose("email2", [], None, Rules({"email": 1})).winner is None


@given(NAMES, GLOBS)
def test_a_glob_has_two_wildcards_and_every_other_character_stands_for_itself(name: str, pattern: str) -> None:
    """As the standard library's, without its sets in brackets: a column may be called `amount [EUR]`."""
    literal = pattern.replace("[", "[[]")
    assert glob_matches(pattern, name) == (re.fullmatch(fnmatch.translate(literal), name) is not None)


def test_unlisted_columns_follow_the_policy_and_unknown_words_refuse() -> None:
    """Closed by default."""
    for word, outcome in (("drop", "drop"), ("redact", "redact"), ("keep", "refuse"), ("unsafe_keep", "refuse")):
        assert choose("a", [], None, Rules({}, unlisted_columns=word)).unlisted == Unlisted(outcome)  # type: ignore[arg-type]


def test_only_a_column_named_with_its_reason_is_kept_unlisted() -> None:
    """Its neighbours stay refused."""
    rules: Rules[int] = Rules({}, unsafe_keep={"a": "why"})
    assert choose("a", [], None, rules).unlisted == Unlisted("keep", "why")
    assert choose("b", [], None, rules).unlisted == Unlisted("refuse")
