"""Rows that failed: kept whole and encrypted, one age file for each run and chunk.

The container is the age format (openable with ``age -d``), to an X25519 identity derived from the key ring. Inside is
an Arrow stream: the columns as they were read, and ``_veilflow_position``, ``_veilflow_reasons``, ``_veilflow_raw``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyrage

from veilflow.errors import VeilError
from veilflow.model import Chunk, QuarantinedRow

__all__ = ["FORMAT", "Quarantine", "read_file"]

FORMAT = "veilflow/quarantine/1"


class Quarantine:
    """The files of one run under ``directory/<run id>``."""

    def __init__(self, directory: Path, run_id: str, recipient: str) -> None:
        self._directory, self._run_id = directory / run_id, run_id
        self._recipient = pyrage.x25519.Recipient.from_str(recipient)

    def write(self, chunk: Chunk, rows: Sequence[QuarantinedRow]) -> None:
        """Keep ``rows`` of ``chunk``; durable when this returns. The same chunk again replaces its file."""
        table = _table(chunk, rows, self._run_id)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        encrypted = pyrage.encrypt(sink.getvalue().to_pybytes(), [self._recipient])
        try:
            self._write(self._directory / f"{chunk.number:06d}.arrow.age", encrypted)
        except OSError:
            raise VeilError(
                "VEIL101", "the quarantine cannot be written", "free some space in the project's .veil, or fix its permission"
            ) from None  # fmt: skip

    def _write(self, path: Path, data: bytes) -> None:
        for directory in (self._directory.parent, self._directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory_descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory_descriptor)
        finally:
            os.close(directory_descriptor)


def _table(chunk: Chunk, rows: Sequence[QuarantinedRow], run_id: str) -> pa.Table:
    indices = pa.array([row.row for row in rows], pa.int64())
    # take() gives a null row for a null index: a rejected row has no columns, only its bytes.
    table = pa.Table.from_batches([chunk.raw]).take(indices)
    table = table.append_column("_veilflow_position", pa.array([row.position for row in rows], pa.int64()))
    table = table.append_column(
        "_veilflow_reasons", pa.array([list(row.reasons) for row in rows], pa.list_(pa.string()))
    )
    table = table.append_column("_veilflow_raw", pa.array([row.raw for row in rows], pa.binary()))
    return table.replace_schema_metadata(
        {"format": FORMAT, "run": run_id, "chunk": str(chunk.number), "rows": str(len(rows))}
    )


def read_file(path: Path, identity: str) -> pa.Table:
    """The rows of one file. VEIL503 if it was changed, belongs to another run or chunk, or to another key."""
    damaged = VeilError(
        "VEIL503", f"the quarantine file {path.parent.name}/{path.name} is damaged or not of this key",
        "restore it from a backup; a changed, renamed or swapped file is never read",
    )  # fmt: skip
    try:
        plain = pyrage.decrypt(path.read_bytes(), [pyrage.x25519.Identity.from_str(identity)])
        table = pa.ipc.open_stream(plain).read_all()
    except (pyrage.DecryptError, pyrage.IdentityError, pa.ArrowException, OSError):
        raise damaged from None
    facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    name = f"{int(facts.get('chunk', '-1')):06d}.arrow.age"
    expected = (FORMAT, path.parent.name, path.name, str(table.num_rows))
    if (facts.get("format"), facts.get("run"), name, facts.get("rows")) != expected:
        raise damaged
    return table
