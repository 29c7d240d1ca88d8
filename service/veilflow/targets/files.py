"""CSV, JSON Lines and Parquet files: written under a temporary name, published by a rename."""

from __future__ import annotations

import fcntl
import glob
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from veilflow.errors import VeilError
from veilflow.model import Advance, ColumnKey, Container, Gate, Publication, Publish, Receipt, Standing, Writer
from veilflow.targets.file_view import FileView

_PART = ".part"
#: How the bytes of CSV and JSON Lines are packed, by the ending of the file's name. Parquet packs its columns itself.
_PACKED = {".gz": "gzip", ".zst": "zstd"}


class FileTarget:
    """One file. In CSV null is an empty field and the empty string is a quoted one."""

    parallel_writers = 1

    def __init__(self, kind: str, path: Path, schema: pa.Schema) -> None:
        self._kind, self._path, self._schema = kind, path, schema
        self._temporary = path
        self._receipts: dict[int, Receipt] = {}
        self._file: BinaryIO | None = None
        self._sink: Any = None
        self._packed: Any = None

    def inspect(self) -> Publish:
        if self._path.is_dir() or not self._path.absolute().parent.is_dir():
            raise VeilError("VEIL214", f"{self._path} cannot be written", "name a file in a directory that exists")
        return "rename"

    def added_columns(self) -> tuple[str, ...]:
        return ()

    def open(self, run_id: str) -> None:
        if self._file is not None:
            return
        self._temporary = self._path.with_name(f".{self._path.name}.{run_id}{_PART}")
        try:
            # What a process of this run left is begun anew: half a file cannot be gone on with.
            self._file = os.fdopen(os.open(self._temporary, os.O_RDWR | os.O_CREAT, 0o600), "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate()
        except OSError:
            raise self._full() from None
        self._sink = self._open_sink(self._file)

    def clean(self) -> tuple[str, ...]:
        removed = []
        for part in sorted(self._path.absolute().parent.glob(f".{glob.escape(self._path.name)}.*{_PART}")):
            if part != self._temporary.absolute() and _remove_unless_held(part):
                removed.append(part.name.removesuffix(_PART).rpartition(".")[2])
        return tuple(removed)

    def _open_sink(self, plain: BinaryIO) -> Any:
        file: Any = plain
        if self._packing:
            file = self._packed = pa.CompressedOutputStream(plain, self._packing)
        if self._kind == "csv":
            # Strings are quoted and null is not, so that a reader can tell null from the empty string.
            return pcsv.CSVWriter(file, self._schema, write_options=pcsv.WriteOptions(quoting_style="all_valid"))
        return pq.ParquetWriter(file, self._schema, compression="zstd") if self._kind == "parquet" else file

    @property
    def _packing(self) -> str | None:
        return packing_of(self._kind, self._path)

    def receipts(self) -> dict[int, Receipt]:
        return dict(self._receipts)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        yield self

    def load(self, rows: pa.RecordBatch | pa.Table, receipt: Receipt, _held: Container | None = None) -> None:
        try:
            if self._kind == "jsonl":
                self._sink.write(_lines(rows))
            elif rows.num_rows:
                self._sink.write_table(pa.table(rows))
        except OSError:
            raise self._full() from None
        self._receipts[receipt.chunk] = receipt

    def attempt(self, rows: pa.RecordBatch | pa.Table) -> None:
        """A file takes everything."""

    def staged_rows(self) -> int:
        return sum(receipt.loaded for receipt in self._receipts.values())

    def column_keys(self) -> Mapping[str, ColumnKey]:
        return {}

    def published_rows(self) -> int:
        return 0

    def publish(
        self, _column_keys: Mapping[str, ColumnKey], gate: Gate | None = None, _advance: Advance | None = None
    ) -> int:
        assert self._file is not None
        try:
            # Closing what packs the bytes closes the file: the copy of its descriptor keeps the lock and syncs the rest.
            kept = os.dup(self._file.fileno()) if not self._file.closed else None
            self._close_sinks()
            if kept is not None:
                os.fsync(kept)
            if gate is not None:
                gate(FileView(self._kind, self._temporary, self._schema, self._packing))
            self._temporary.replace(self._path)
            _sync_directory(self._path.absolute().parent)
            if kept is not None:
                os.close(kept)
        except OSError:
            raise self._full() from None
        return self.staged_rows()

    def publication(self, _run_id: str) -> Publication | None:
        return None

    def standing(self, _pipeline: str) -> Standing:
        return Standing()

    def discard(self) -> None:
        self.close()
        self._temporary.unlink(missing_ok=True) if self._temporary != self._path else None

    def close(self) -> None:
        if self._file is not None and not self._file.closed:
            with suppress(OSError, pa.ArrowException):
                self._close_sinks()

    def _close_sinks(self) -> None:
        assert self._file is not None
        if self._kind != "jsonl":
            self._sink.close()
        if self._packed is not None:
            self._packed.close()
        self._file.close()

    def _full(self) -> VeilError:
        return VeilError(
            "VEIL101", f"{self._path} cannot be written", "free some space, or name a place where you may write"
        )


def packing_of(kind: str, path: Path) -> str | None:
    """How the bytes of a file are packed, None if they are not."""
    return None if kind == "parquet" else _PACKED.get(path.suffix.lower())


def _remove_unless_held(part: Path) -> bool:
    """Remove the file of a run that is dead: a live one holds its lock."""
    try:
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    except OSError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(rows: pa.RecordBatch | pa.Table) -> bytes:
    return b"".join(
        json.dumps(row, ensure_ascii=False, default=_plain).encode("utf-8") + b"\n" for row in rows.to_pylist()
    )


def _plain(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else bytes(value).hex()  # type: ignore[call-overload]
