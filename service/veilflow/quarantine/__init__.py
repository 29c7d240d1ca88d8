"""Rows that failed: kept whole and encrypted, one age file for each run and chunk, listed in the run's manifest.

The container is the age format (openable with ``age -d``), to the recipient of the pipeline or to an X25519 identity
derived from the key ring. Inside is an Arrow stream: the columns as they were read, and ``_veilflow_position``,
``_veilflow_file``, ``_veilflow_reasons``, ``_veilflow_raw``. ``Quarantine`` writes, ``Held`` reads again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import Chunk, QuarantinedRow, Wrapped
from veilflow.quarantine.files import FORMAT, encrypt_table, read_bytes, write_private
from veilflow.quarantine.held import FILE, POSITION, RAW, REASONS, Held, Match, parse_recipient
from veilflow.quarantine.manifest import Entry, Manifest

__all__ = [
    "FILE", "FORMAT", "POSITION", "RAW", "REASONS", "Entry", "Held", "Manifest", "Match", "Quarantine", "parse_recipient",
    "read_bytes", "write_private",
]  # fmt: skip


class Quarantine:
    """The files of one run under ``directory/<run id>``; ``keys`` bind the manifest (see ``Manifest``);
    ``wrapped`` is the recipient's private key as the manifest keeps it, for one that this run made."""

    def __init__(
        self, directory: Path, run_id: str, recipient: str, keys: Sequence[bytes], wrapped: Wrapped | None = None
    ) -> None:
        self._directory, self._run_id = directory / run_id, run_id
        self._recipient, self._wrapped = parse_recipient(recipient), wrapped
        self._manifest, self._lock = Manifest(self._directory, keys), threading.Lock()

    def write(self, chunk: Chunk, rows: Sequence[QuarantinedRow]) -> None:
        """Keep ``rows`` of ``chunk``; durable when this returns. The same chunk again replaces its file."""
        name = f"{chunk.number:06d}.arrow.age"
        encrypted = encrypt_table(_table(chunk, rows, self._run_id), self._recipient)
        digest = hashlib.sha256(encrypted).hexdigest()
        with self._lock:
            write_private(self._directory / name, encrypted)
            try:
                self._manifest.append(
                    Entry(name, chunk.number, len(rows), digest, self._recipient, wrapped=self._wrapped)
                )
            except OSError:
                raise VeilError(
                    "VEIL101", "the quarantine cannot be written",
                    "free some space in the project's .veil, or fix its permission",
                ) from None  # fmt: skip


def _table(chunk: Chunk, rows: Sequence[QuarantinedRow], run_id: str) -> pa.Table:
    indices = pa.array([row.row for row in rows], pa.int64())
    # take() gives a null row for a null index: a rejected row has no columns, only its bytes.
    table = pa.Table.from_batches([chunk.raw]).take(indices)
    table = table.append_column(POSITION, pa.array([row.position for row in rows], pa.int64()))
    table = table.append_column(FILE, pa.array([chunk.file] * len(rows), pa.string()))
    table = table.append_column(REASONS, pa.array([list(row.reasons) for row in rows], pa.list_(pa.string())))
    table = table.append_column(RAW, pa.array([row.raw for row in rows], pa.binary()))
    return table.replace_schema_metadata(
        {"format": FORMAT, "run": run_id, "chunk": str(chunk.number), "rows": str(len(rows))}
    )
