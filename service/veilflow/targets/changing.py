"""A writer whose login may change while it loads: it moves to a new connection between two chunks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Self

import pyarrow as pa

from veilflow.errors import PassingFault
from veilflow.model import Container, Receipt, Secret, Writer


class ChangingWriter:
    """Keeps one connection as long as ``login`` gives what it was opened with.

    A chunk and its receipt commit before the next one begins, so a change between two loses and repeats nothing.
    """

    def __init__(self, login: Callable[[], Secret], connect: Callable[[], AbstractContextManager[Writer]]) -> None:
        self._login, self._connect = login, connect
        self._open = ExitStack()
        self._opened_with: Secret | None = None
        self._writer: Writer | None = None

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        """Load by the connection of the current login; one that failed is not used again."""
        try:
            self._current().load(rows, receipt, held)
        except PassingFault:
            self._leave()
            raise

    def _leave(self) -> None:
        self._writer = None
        with suppress(Exception):  # it is broken, and says so when it is closed
            self._open.close()

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Try them by the connection of the current login."""
        self._current().attempt(rows)

    def _current(self) -> Writer:
        login = self._login()
        if self._writer is None or login != self._opened_with:
            self._open.close()
            self._writer = self._open.enter_context(self._connect())
            self._opened_with = login
        return self._writer

    def __enter__(self) -> Self:
        self._current()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
