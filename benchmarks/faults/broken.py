"""Loaders that are broken on purpose, as many real ones are: a harness that does not catch them proves nothing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from veilflow.model import Container, Receipt
from veilflow.run.result import counts_of
from veilflow.targets.duckdb import DuckdbTarget
from veilflow.targets.files import FileTarget
from veilflow.targets.mariadb import MariadbTarget
from veilflow.targets.postgresql import PostgresqlTarget
from veilflow.targets.sqlite import SqliteTarget

_BETWEEN_COMMITS_SECONDS = 0.01
_NUMBERS = 2**31 - 1
ORDERS = {"before": ("receipt", "rows"), "after": ("rows", "receipt"), "none": ("rows",)}
#: What a file can be broken by: it has no receipts, and its one commit is the rename.
IN_PLACE = "in place"


def ways(database: str) -> tuple[str, ...]:
    """How the loader of a database can be broken."""
    return (IN_PLACE,) if database == "csv" else tuple(ORDERS)


def break_loader(how: str) -> None:
    """Commit rows and receipt apart (``before``, ``after``: the receipt comes first or last) or leave the receipt out
    (``none``), in this process; and take out the counting of staged rows, which would catch most of it by itself.
    ``in place`` writes the file where its readers look."""
    if how == IN_PLACE:
        _write_in_place()
        return
    for target in (SqliteTarget, DuckdbTarget, MariadbTarget, PostgresqlTarget):
        _commit_apart(target, ORDERS[how])


def _commit_apart(target: Any, order: tuple[str, ...]) -> None:
    stored, opened = target.receipts, target.writer

    def receipts(self: Any) -> dict[int, Receipt]:
        found = {**stored(self), **self.__dict__.get("loaded", {})}
        return {number: receipt for number, receipt in found.items() if number >= 0}

    @contextmanager
    def writer(self: Any) -> Iterator[_BrokenWriter]:
        with opened(self) as whole:
            yield _BrokenWriter(whole, self, order)

    target.receipts, target.writer = receipts, writer
    target.staged_rows = lambda self: counts_of(self.receipts().values()).loaded


class _BrokenWriter:
    """Two commits of a whole writer for each chunk: rows under a receipt that counts for nothing, and a receipt alone."""

    def __init__(self, whole: Any, target: Any, order: tuple[str, ...]) -> None:
        self._whole, self._target, self._order = whole, target, order

    def load(self, rows: pa.Table, receipt: Receipt, held: Container | None = None) -> None:
        for half in self._order:
            if half == "receipt":
                self._whole.load(rows.slice(0, 0), receipt)
            else:
                # A number of its own each time: the second load of a chunk must not be stopped by the first one's receipt.
                self._whole.load(rows, replace(receipt, chunk=-secrets.randbelow(_NUMBERS) - 1), held)
            # Between two commits anything may happen, and here it takes long enough to be struck.
            time.sleep(_BETWEEN_COMMITS_SECONDS)
        self._target.__dict__.setdefault("loaded", {})[receipt.chunk] = receipt


def _write_in_place() -> None:
    opened = FileTarget.open

    def open_in_place(self: Any, run_id: str) -> None:
        opened(self, run_id)
        self._temporary.replace(self._path)
        self._temporary = self._path

    FileTarget.open = open_in_place  # type: ignore[method-assign]
