"""Which rule decides a column."""

from __future__ import annotations

from veilflow.policies import Unlisted, choose


def test_a_rule_decides_the_column_of_exactly_its_name() -> None:
    """Case and likeness do not count."""
    assert choose("email", {"email": 1}, "refuse", {}) == 1
    assert choose("Email", {"email": 1}, "refuse", {}) == Unlisted("refuse")
    assert choose("email2", {"email": 1}, "refuse", {}) == Unlisted("refuse")


def test_unlisted_columns_follow_the_policy_and_unknown_words_refuse() -> None:
    """Closed by default."""
    assert choose("a", {}, "drop", {}) == Unlisted("drop")
    assert choose("a", {}, "redact", {}) == Unlisted("redact")
    assert choose("a", {}, "keep", {}) == Unlisted("refuse")
    assert choose("a", {}, "unsafe_keep", {}) == Unlisted("refuse")


def test_only_a_column_named_with_its_reason_is_kept_unlisted() -> None:
    """Its neighbours stay refused."""
    assert choose("a", {}, "refuse", {"a": "why"}) == Unlisted("keep", "why")
    assert choose("b", {}, "refuse", {"a": "why"}) == Unlisted("refuse")
