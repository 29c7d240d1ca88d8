"""The life of a key: added, promoted, retired, destroyed. Each step gives a new ring; none is skipped.

add -> ready -> promote -> active -> (promote of another) -> ready -> retire -> retired -> destroy -> destroyed
"""

from __future__ import annotations

from dataclasses import replace

from veilflow.errors import VeilError
from veilflow.keys.ring import KeyRing, KeyState, RootKey


def add(ring: KeyRing, root: bytes, now: str) -> KeyRing:
    """With ``root`` as a new version, ready and not yet used; its number is one more than any before it."""
    return replace(ring, keys={**ring.keys, max(ring.keys) + 1: RootKey("ready", now, root)})


def promote(ring: KeyRing, version: int, now: str) -> KeyRing:
    """With ``version`` active from the next run on; the one that was active is ready, so a run can still pin it."""
    _expect(ring, version, "ready", "promoted", "only a version that is ready can be: `veil keys add` makes one")
    before = _in_state(ring, ring.active, "ready", now)
    return replace(_in_state(before, version, "active", now), active=version)


def rotate(ring: KeyRing, root: bytes, now: str) -> KeyRing:
    """``add`` and ``promote`` in one step."""
    added = add(ring, root, now)
    return promote(added, max(added.keys), now)


def retire(ring: KeyRing, version: int, now: str) -> KeyRing:
    """With ``version`` only for opening what is there."""
    _expect(ring, version, "ready", "retired", "promote another version first, if this one is active")
    return _in_state(ring, version, "retired", now)


def destroy(ring: KeyRing, version: int, now: str) -> KeyRing:
    """Without the key of ``version``: what it encrypted can never be opened again. Its number stays taken."""
    _expect(ring, version, "retired", "destroyed", f"retire it first: `veil keys retire {version}`")
    gone = replace(ring.keys[version], state="destroyed", root=None, changed=now)
    return replace(ring, keys={**ring.keys, version: gone})


def _in_state(ring: KeyRing, version: int, state: KeyState, now: str) -> KeyRing:
    return replace(ring, keys={**ring.keys, version: replace(ring.keys[version], state=state, changed=now)})


def _expect(ring: KeyRing, version: int, state: KeyState, verb: str, hint: str) -> None:
    """VEIL315 unless ``version`` is in the one state from which the step may be taken."""
    if version not in ring.keys:
        there = ", ".join(str(number) for number in ring.keys)
        raise VeilError("VEIL315", f"the key ring has no version {version}", f"it has: {there}")
    found = ring.keys[version].state
    if found != state:
        raise VeilError("VEIL315", f"version {version} is {found} and cannot be {verb}", hint)
