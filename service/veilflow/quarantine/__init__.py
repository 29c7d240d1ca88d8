"""Rows that failed: kept whole and encrypted, one age container for each run and chunk, listed in the run's manifest.

The container is the age format (openable with ``age -d``), to the recipient of the pipeline or to an X25519 identity
derived from the key ring. Inside is an Arrow stream: the columns as they were read, and ``_veilflow_position``,
``_veilflow_file``, ``_veilflow_reasons``, ``_veilflow_raw``. ``Quarantine`` writes, ``Held`` reads again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import Chunk, ColumnType, Container, Containers, QuarantinedRow, Wrapped
from veilflow.quarantine import column_types
from veilflow.quarantine.column_types import recorded_types
from veilflow.quarantine.files import (
    FORMAT,
    FileContainers,
    container_name,
    encrypt_table,
    make_private,
    read_table,
    write_private,
)
from veilflow.quarantine.held import FILE, POSITION, RAW, REASONS, Held, Match, parse_recipient
from veilflow.quarantine.manifest import Entry, Manifest

__all__ = [
    "FILE", "FORMAT", "POSITION", "RAW", "REASONS", "Entry", "FileContainers", "Held", "Manifest", "Match", "Quarantine",
    "make_private", "parse_recipient", "read_table", "recorded_types", "write_private",
]  # fmt: skip


class Quarantine:
    """What one run holds back, with its manifest under ``directory/<run id>``; ``keys`` bind that (see ``Manifest``);
    ``wrapped`` is the recipient's private key as the manifest keeps it, for one that this run made. ``in_target`` is where
    the containers go with their chunks; without it they are files beside the manifest. ``types`` are those of the columns,
    for a replay."""

    def __init__(
        self,
        directory: Path,
        run_id: str,
        recipient: str,
        keys: Sequence[bytes],
        wrapped: Wrapped | None = None,
        in_target: Containers | None = None,
        types: Mapping[str, ColumnType] | None = None,
    ) -> None:
        self._directory, self._run_id, self._in_target = directory / run_id, run_id, in_target
        self._containers: Containers = in_target or FileContainers(self._directory)
        self._recipient, self._wrapped = parse_recipient(recipient), wrapped
        self._types = column_types.as_text(types or {})
        self._manifest, self._lock = Manifest(self._directory, keys), threading.Lock()

    def write(self, chunk: Chunk, rows: Sequence[QuarantinedRow]) -> Container | None:
        """Keep ``rows`` of ``chunk``; durable when this returns, but for a container that the target is to keep with the
        chunk: that is returned. The same chunk again replaces its container."""
        encrypted = encrypt_table(_table(chunk, rows, self._run_id, self._types), self._recipient)
        container = Container(container_name(chunk.number), encrypted)
        digest = hashlib.sha256(encrypted).hexdigest()
        store = None if self._in_target is None else "target"
        entry = Entry(
            container.name, chunk.number, len(rows), digest, self._recipient, wrapped=self._wrapped, store=store
        )
        with self._lock:
            if store is None:
                self._containers.write(container)
            else:
                make_private(self._directory)
            self._list(entry)
        return None if store is None else container

    def forget_all_but(self, staged: Collection[int]) -> None:
        """Forget what was held back from chunks that are not staged: they are read again, and of a database they may be
        other rows."""
        entries = [entry for entry in self._manifest.entries() if entry.chunk not in staged and not entry.purged]
        for entry in entries:
            # The line first: a crash between the two is completed by whoever looks next.
            self._list(replace(entry, rows=0, erased=0, purged=True))
        for name in self._containers.names() & {entry.file for entry in entries} if entries else ():
            self._containers.remove(name)

    def _list(self, entry: Entry) -> None:
        try:
            self._manifest.append(entry)
        except OSError:
            raise VeilError(
                "VEIL101", "the quarantine cannot be written",
                "free some space in the project's .veil, or fix its permission",
            ) from None  # fmt: skip


def _table(chunk: Chunk, rows: Sequence[QuarantinedRow], run_id: str, types: str) -> pa.Table:
    indices = pa.array([row.row for row in rows], pa.int64())
    # take() gives a null row for a null index: a rejected row has no columns, only its bytes.
    table = pa.Table.from_batches([chunk.raw]).take(indices)
    table = table.append_column(POSITION, pa.array([row.position for row in rows], pa.int64()))
    table = table.append_column(FILE, pa.array([chunk.file] * len(rows), pa.string()))
    table = table.append_column(REASONS, pa.array([list(row.reasons) for row in rows], pa.list_(pa.string())))
    table = table.append_column(RAW, pa.array([row.raw for row in rows], pa.binary()))
    return table.replace_schema_metadata(
        {"format": FORMAT, "run": run_id, "chunk": str(chunk.number), "rows": str(len(rows)), column_types.KEY: types}
    )
