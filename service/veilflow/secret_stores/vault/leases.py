"""What dies by itself is kept alive while the run lives, and for no longer.

A lease is asked to live ``LEASE_SECONDS`` from now, again and again, whatever its role would allow: so it is dead that
soon after the process was killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from veilflow.errors import VeilError

#: After `kill -9` nothing outlives this by more than Vault takes to notice.
LEASE_SECONDS = 45.0
_SHORTEST_PAUSE = 1.0
_LONGEST_MARGIN = 15.0
#: A granted life that ends no later than the one before by this much was not extended: the maximum is reached.
_EXTENDED_BY = 1.0


class Lease:
    """One thing that dies at ``expires`` (``time.monotonic()``) unless it is renewed.

    ``renew`` takes the seconds to ask for and returns what was granted. ``final``: its maximum is reached, renewing
    changes nothing any more. ``lost`` is why it is dead before its time.
    """

    def __init__(
        self, seconds: float, renew: Callable[[float], float], *, each: float = LEASE_SECONDS, final: bool = False
    ) -> None:
        now = time.monotonic()
        self.issued, self.expires, self.next = now, now + seconds, now + seconds / 3
        self.final = final
        self.lost: VeilError | None = None
        self._renew, self._each = renew, each

    @property
    def near_its_end(self) -> bool:
        """Whether it is over soon for good: time to change to another one."""
        return self.final and self.remaining() < min(_LONGEST_MARGIN, (self.expires - self.issued) / 3)

    def shorten(self) -> None:
        """Take away what its role gave beyond ``LEASE_SECONDS``."""
        if self.remaining() > LEASE_SECONDS + _SHORTEST_PAUSE and not self.final:
            self.ask(LEASE_SECONDS)

    def remaining(self) -> float:
        return 0.0 if self.lost else max(0.0, self.expires - time.monotonic())

    def ask(self, seconds: float) -> float:
        """Ask to live ``seconds`` from now; returns what was granted."""
        asked_at = time.monotonic()
        granted = self._renew(seconds)
        expires = asked_at + granted
        self.final = granted < seconds - _EXTENDED_BY and expires - self.expires < _EXTENDED_BY
        self.expires = expires
        self.next = asked_at + granted / 3
        return granted

    def extend(self) -> None:
        """Renew. Only Vault's own no (VEIL406) ends a lease before its time; every other fault is tried again."""
        now = time.monotonic()
        if self.final:
            self.next = self.expires
        if now >= self.expires:
            self.lost = VeilError("VEIL406", "a lease of Vault expired", "run again")
            return
        if self.final:
            return
        try:
            self.ask(self._each)
        except VeilError as error:
            if error.code == "VEIL406":
                self.lost = error
            self.next = now + max(_SHORTEST_PAUSE, (self.expires - now) / 4)


class Renewer:
    """The leases of one process and the thread that keeps them."""

    def __init__(self) -> None:
        self._leases: list[Lease] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def keep(self, lease: Lease) -> None:
        with self._changed:
            self._leases.append(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vault-renewer", daemon=True)
                self._thread.start()
            self._changed.notify()

    def let_go(self, lease: Lease) -> None:
        with self._changed:
            if lease in self._leases:
                self._leases.remove(lease)

    def stop(self) -> None:
        """Nothing is renewed after this; what is on its way gets a moment to end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(2)

    def _run(self) -> None:
        while (lease := self._due()) is not None:
            lease.extend()
            if lease.lost:
                self.let_go(lease)

    def _due(self) -> Lease | None:
        """The next lease to renew, when its time has come; None at the end."""
        with self._changed:
            while not self._stopped:
                first = min(self._leases, key=lambda lease: lease.next, default=None)
                pause = None if first is None else first.next - time.monotonic()
                if first is not None and pause is not None and pause <= 0:
                    return first
                self._changed.wait(pause)
            return None
