"""A key's life: no version is lost, no number is used twice, and what is retired makes no new pseudonym."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from veilflow.errors import VeilError
from veilflow.keys import KeyRing, lifecycle

NOW = "2026-01-01T00:00:00.000Z"


def ring() -> KeyRing:
    return KeyRing.parse(KeyRing.generate(NOW))


def states(of: KeyRing) -> dict[int, str]:
    return {version: key.state for version, key in of.keys.items()}


def test_the_steps_of_a_keys_life() -> None:
    """Added, promoted, retired, destroyed; each step is one state further."""
    added = lifecycle.add(ring(), bytes(32), NOW)
    assert states(added) == {1: "active", 2: "ready"}
    promoted = lifecycle.promote(added, 2, NOW)
    assert (states(promoted), promoted.active) == ({1: "ready", 2: "active"}, 2)
    retired = lifecycle.retire(promoted, 1, NOW)
    assert states(retired) == {1: "retired", 2: "active"}
    destroyed = lifecycle.destroy(retired, 1, NOW)
    assert states(destroyed) == {1: "destroyed", 2: "active"}
    assert destroyed.keys[1].root is None
    assert states(lifecycle.rotate(ring(), bytes(32), NOW)) == {1: "ready", 2: "active"}


@pytest.mark.parametrize(
    ("step", "version"),
    [
        (lifecycle.promote, 1), (lifecycle.promote, 9), (lifecycle.retire, 1), (lifecycle.retire, 9),
        (lifecycle.destroy, 1), (lifecycle.destroy, 2), (lifecycle.destroy, 9),
    ],
)  # fmt: skip
def test_a_step_that_would_be_skipped_is_refused(step: Any, version: int) -> None:
    """The active key is not retired, and nothing is destroyed that is not retired."""
    with pytest.raises(VeilError) as caught:
        step(lifecycle.add(ring(), bytes(32), NOW), version, NOW)
    assert caught.value.code == "VEIL315"


def test_a_retired_key_opens_and_a_destroyed_one_does_nothing() -> None:
    """What was encrypted under it can be read until it is destroyed."""
    before = lifecycle.rotate(ring(), bytes(range(32)), NOW)
    first = before.derive("token", "person", 1)
    retired = lifecycle.retire(before, 1, NOW)
    assert retired.derive("token", "person", 1, opening=True) == first
    with pytest.raises(VeilError, match=r"VEIL315.*retired") as caught:
        retired.derive("token", "person", 1)
    assert "2" in caught.value.hint
    destroyed = lifecycle.destroy(retired, 1, NOW)
    for opening in (False, True):
        with pytest.raises(VeilError, match=r"VEIL315.*destroyed"):
            destroyed.derive("token", "person", 1, opening=opening)
    with pytest.raises(VeilError, match="VEIL315.*no version 7"):
        destroyed.derive("token", "person", 7)


def test_a_rotation_changes_pseudonyms_and_a_pinned_version_keeps_them() -> None:
    """The default is the active version."""
    before = ring()
    after = lifecycle.rotate(before, bytes(range(32)), NOW)
    assert before.derive("token", "person").value != after.derive("token", "person").value
    assert before.derive("token", "person") == after.derive("token", "person", 1)


GOOD = json.loads(KeyRing.generate(NOW))
ENTRY = GOOD["keys"]["1"]


@pytest.mark.parametrize(
    "document",
    [
        {}, [], {**GOOD, "veilflow_keyring": 2}, {**GOOD, "active": 2}, {**GOOD, "active": "1"}, {**GOOD, "keys": {}},
        {**GOOD, "keys": {"1": {**ENTRY, "state": "ready"}}}, {**GOOD, "keys": {"0": ENTRY}, "active": 0},
        {**GOOD, "keys": {"1": ENTRY, "2": ENTRY}}, {**GOOD, "keys": {"1": ENTRY, "01": {**ENTRY, "state": "ready"}}},
        {**GOOD, "keys": {"1": {**ENTRY, "key": "AAAA"}}}, {**GOOD, "keys": {"1": {**ENTRY, "state": "lost"}}},
        {**GOOD, "keys": {"1": {**ENTRY, "note": "x"}}}, {**GOOD, "keys": {"1": {"key": ENTRY["key"]}}},
        {**GOOD, "keys": {"1": ENTRY, "2": {**ENTRY, "state": "destroyed"}}},
    ],
)  # fmt: skip
def test_what_is_not_a_ring_is_refused_without_a_word_of_it(document: Any) -> None:
    """Two active keys, none, a short one, a state or an entry that a rewrite would lose."""
    with pytest.raises(VeilError) as caught:
        KeyRing.parse(json.dumps(document))
    assert caught.value.code == "VEIL222"
    assert ENTRY["key"] not in str(caught.value)


def test_a_ring_prints_no_key() -> None:
    """Not as text and not by its parts."""
    made = ring()
    root = made.keys[1].root
    assert root is not None
    assert repr(root) not in repr(made) + repr(made.keys[1]) and root.hex() not in repr(made)


@given(st.binary(min_size=32, max_size=32))
def test_a_ring_is_read_back_as_it_was_written(root: bytes) -> None:
    """Every state included."""
    made = lifecycle.rotate(lifecycle.add(ring(), root, NOW), root[::-1], NOW)
    made = lifecycle.destroy(lifecycle.retire(lifecycle.retire(made, 1, NOW), 2, NOW), 1, NOW)
    assert KeyRing.parse(made.to_json()) == made


class AnyOrder(RuleBasedStateMachine):
    """Whatever is tried in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.ring, self.count = ring(), 1

    @rule(step=st.sampled_from([lifecycle.promote, lifecycle.retire, lifecycle.destroy]), version=st.integers(1, 6))
    def one(self, step: Any, version: int) -> None:
        try:
            self.ring = step(self.ring, version, NOW)
        except VeilError as error:
            assert error.code == "VEIL315"

    @rule(step=st.sampled_from([lifecycle.add, lifecycle.rotate]))
    def more(self, step: Any) -> None:
        self.ring, self.count = step(self.ring, bytes(32), NOW), self.count + 1

    @invariant()
    def holds(self) -> None:
        """One version is active, and none has disappeared or got another's number."""
        assert list(states(self.ring).values()).count("active") == 1
        assert list(self.ring.keys) == list(range(1, self.count + 1))
        assert KeyRing.parse(self.ring.to_json()) == self.ring


TestAnyOrder = AnyOrder.TestCase
