"""Trying again within a run: how often, after what, and never what was done already."""

from __future__ import annotations

import pytest

from veilflow.errors import PassingFault, VeilError
from veilflow.run.again import answered, persistently


class Server:
    """Fails so many times; ``keeps`` says that it did what it was asked before it failed."""

    def __init__(self, failures: int, keeps: bool = False, away: int = 0, code: str = "VEIL401") -> None:
        self.failures, self.keeps, self.away, self.code = failures, keeps, away, code
        self.rows, self.waits = 0, 0

    def load(self) -> None:
        if self.failures:
            self.failures -= 1
            self.rows += self.keeps
            raise PassingFault(self.code, "gone", "wait")
        self.rows += 1

    def has_it(self) -> bool:
        if self.away:
            self.away -= 1
            raise PassingFault("VEIL401", "gone", "wait")
        return self.rows > 0

    def wait(self, seconds: float) -> None:
        assert 0 < seconds <= 10
        self.waits += 1


@pytest.mark.parametrize(
    ("server", "waits"),
    [
        (Server(0), 0), (Server(1), 1), (Server(7), 7), (Server(1, keeps=True), 1), (Server(1, keeps=True, away=3), 4),
        (Server(1, away=6), 7),
    ],
)  # fmt: skip
def test_it_is_done_once_whatever_was_lost(server: Server, waits: int) -> None:
    """The request, its answer, or the server for a while: nothing is asked for again before the server has told."""
    persistently(server.load, server.has_it, server.wait)
    assert (server.rows, server.waits) == (1, waits)


@pytest.mark.parametrize("server", [Server(8), Server(1, away=7), Server(1, code="VEIL409")])
def test_it_is_given_up_in_the_end(server: Server) -> None:
    """After half a minute, and at once where a statement took too long."""
    with pytest.raises(PassingFault):
        persistently(server.load, server.has_it, server.wait)
    assert server.rows == 0


def test_attempts_that_wait_for_a_lock_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that took half a minute itself is followed by one more, not by seven."""
    clock, begun = [0.0], []
    monkeypatch.setattr("veilflow.run.again.time.monotonic", lambda: clock[0])

    def load() -> None:
        begun.append(clock[0])
        clock[0] += 30.5
        raise PassingFault("VEIL408", "busy", "wait")

    with pytest.raises(PassingFault):
        persistently(load, lambda: False, lambda _seconds: False)
    assert begun == [0, 30.5]


def test_a_run_that_stops_and_a_refusal_are_not_waited_for() -> None:
    """A signal ends the waiting; what the database refuses it would refuse again."""
    with pytest.raises(PassingFault):
        persistently(Server(1).load, lambda: False, lambda _seconds: True)

    def refuses() -> None:
        raise VeilError("VEIL319", "refused", "look")

    with pytest.raises(VeilError, match="VEIL319"):
        persistently(refuses, lambda: False, lambda _seconds: pytest.fail("waited"))


def test_a_question_is_asked_again_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes nothing, so nothing is asked about it first."""
    monkeypatch.setattr("veilflow.run.again.time.sleep", lambda _seconds: None)
    server = Server(0, away=3)
    server.rows = 1
    assert answered(server.has_it)
    with pytest.raises(PassingFault):
        answered(Server(0, away=99).has_it)
