"""A session asks a store once for each secret, but for what may have been exchanged meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from veilflow import secret_stores
from veilflow.model import Access, Reading, Secret, SecretRef
from veilflow.secret_stores.session import Session


class Counting:
    """A store that counts its readings; each gives another version."""

    def __init__(self) -> None:
        self.readings = 0

    def read(self, _ref: SecretRef, /) -> Reading:
        self.readings += 1
        return Reading(Secret(f"value-number-{self.readings}"), version=str(self.readings))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    store = Counting()
    monkeypatch.setitem(secret_stores._OPENERS, "counting", lambda _options, _project: store)  # type: ignore[index]
    return store


def test_a_secret_is_read_once_unless_it_is_asked_for_anew(counting: Counting, tmp_path: Path) -> None:
    """Who changes a key ring has to see what another process wrote."""
    with Session(tmp_path) as session:
        first = session.read("counting", {}, SecretRef("ring"))
        assert session.read("counting", {}, SecretRef("ring")) is first
        assert session.read("counting", {}, SecretRef("ring"), anew=True).version == "2"
        assert session.read("counting", {}, SecretRef("ring")).version == "2"
    assert counting.readings == 2


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    """A mounted password that is exchanged in a run is the new one for the next connection."""
    file = tmp_path / "password"
    for value in ("password-one", "password-two"):
        file.write_text(value)
        file.chmod(0o600)
        with Session(tmp_path) as session:
            assert session.read("file", {}, SecretRef("password")).secret.reveal() == value
            file.write_text("exchanged-now")
            assert session.read("file", {}, SecretRef("password")).secret.reveal() == "exchanged-now"


def test_each_state_of_a_secret_is_noted_once(tmp_path: Path) -> None:
    """So the record of accesses has a line for each lease and version, and not one for each connection."""
    session = Session(tmp_path)
    seen = [session.notes(access(number, name, version)) for number, (name, version) in enumerate(
            [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")])]  # fmt: skip
    assert seen == [True, False, True, True]


def access(number: int, name: str, version: str) -> Access:
    return Access(f"2026-01-01T00:00:{number:02d}Z", name, "files", "file", version, None)


def test_a_run_tells_what_it_used_also_if_an_earlier_one_opened_it(tmp_path: Path) -> None:
    """By the time of the opening, which was once."""
    session = Session(tmp_path)
    for number, name in enumerate(("ring", "login")):
        session.notes(access(number, name, "1"))
    session.begin_run()
    assert session.used() == ()
    session.notes(access(5, "ring", "1"))
    assert session.used() == (access(0, "ring", "1"),)
