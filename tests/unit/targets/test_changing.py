"""A writer whose login changes moves to a new connection between two chunks, and never within one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest

from veilflow.errors import PassingFault
from veilflow.model import Container, Receipt, Secret, Writer
from veilflow.targets.changing import ChangingWriter

ROWS = pa.table({"id": [1]})


def receipt(chunk: int) -> Receipt:
    return Receipt(chunk, 1, 1, 0, 0, "", {}, {}, {})


class Server:
    """Logins that change, and a record of what its connections saw."""

    def __init__(self) -> None:
        self.login, self.seen = "first-login", []  # type: tuple[str, list[str]]

    def current(self) -> Secret:
        return Secret(self.login)

    @contextmanager
    def connect(self) -> Iterator[Writer]:
        login = self.login
        self.seen.append(f"open {login}")

        class Connection:
            def load(_self, _rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
                self.seen.append(f"chunk {receipt.chunk} by {login}")

        try:
            yield Connection()
        finally:
            self.seen.append(f"close {login}")


def test_the_connection_stays_as_long_as_the_login_does() -> None:
    """One for all chunks."""
    server = Server()
    with ChangingWriter(server.current, server.connect) as writer:
        for chunk in range(3):
            writer.load(ROWS, receipt(chunk))
    assert server.seen == [
        "open first-login", "chunk 0 by first-login", "chunk 1 by first-login", "chunk 2 by first-login",
        "close first-login",
    ]  # fmt: skip


def test_a_new_login_is_used_from_the_next_chunk_on() -> None:
    """The old connection is closed first: nothing of it is open when its user is removed."""
    server = Server()
    with ChangingWriter(server.current, server.connect) as writer:
        writer.load(ROWS, receipt(0))
        server.login = "second-login"
        writer.load(ROWS, receipt(1))
    assert server.seen == [
        "open first-login", "chunk 0 by first-login", "close first-login",
        "open second-login", "chunk 1 by second-login", "close second-login",
    ]  # fmt: skip


def test_a_login_that_cannot_be_had_loads_nothing() -> None:
    """The error comes through, and the connection is closed."""
    server = Server()

    def lost() -> Secret:
        raise PassingFault("VEIL404", "sealed", "unseal it")

    with pytest.raises(PassingFault), ChangingWriter(server.current, server.connect) as writer:
        writer._login = lost
        writer.load(ROWS, receipt(0))
    assert server.seen == ["open first-login", "close first-login"]
