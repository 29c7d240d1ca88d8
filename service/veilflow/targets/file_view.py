"""Reading a written file back before it takes its name."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from veilflow.errors import VeilError
from veilflow.targets.reading import FETCH_ROWS, no_table, plain_batch, typed_batch, unfit_value

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileView:
    """See ``model.OutputView``; ``packing`` is how the file's bytes are packed."""

    kind: str
    path: Path
    schema: pa.Schema
    packing: str | None

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([self.schema.field(name) for name in columns or self.schema.names[:1]])
        read = {"csv": self._csv, "jsonl": self._jsonl, "parquet": self._parquet}[self.kind]
        try:
            yield from read(schema)
        except pa.ArrowException:
            raise unfit_value(self.path.name, ", ".join(schema.names)) from None
        except OSError:
            raise self._unreadable() from None

    def _unreadable(self) -> VeilError:
        return VeilError("VEIL101", f"{self.path.name} cannot be read back", "look at the disk, and run again")

    def plain(self, columns: Sequence[str], other: str | None = None) -> Iterator[pa.RecordBatch]:
        """A file has no other table beside it: ``read_file`` reads others."""
        if other is not None:
            raise no_table(other)
        yield from self.rows(columns)

    def hold(self, other: str) -> bool:
        raise no_table(other)

    def _parquet(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(FETCH_ROWS, columns=schema.names):
                yield from pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()

    def _csv(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        if not self.path.stat().st_size:
            return
        convert = pcsv.ConvertOptions(
            column_types={field.name: field.type for field in self.schema}, include_columns=schema.names,
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False,
        )  # fmt: skip
        read, parse = pcsv.ReadOptions(block_size=_BLOCK_BYTES), pcsv.ParseOptions(newlines_in_values=True)
        with self._opened() as file, pcsv.open_csv(file, read, parse, convert) as reader:
            yield from reader

    def _jsonl(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._opened() as file:
            while portion := list(islice(file, FETCH_ROWS)):
                rows = [json.loads(line) for line in portion]
                yield typed_batch([[row[name] for name in schema.names] for row in rows], schema, self.path.name)

    def _opened(self) -> Any:
        return _opened(self.path, self.packing)


def _opened(path: Path, packing: str | None) -> Any:
    file = path.open("rb")
    return BufferedReader(pa.CompressedInputStream(file, packing), _BLOCK_BYTES) if packing else file


def read_file(kind: str, path: Path, columns: Sequence[str], packing: str | None) -> Iterator[pa.RecordBatch]:
    """Some columns of a published file, as it holds them: text in CSV; of some column if none is named. VEIL302 if it is
    not there, or has them not."""
    read = {"csv": _csv_texts, "jsonl": _json_values, "parquet": _parquet_values}[kind]
    try:
        yield from read(path, columns, packing)
    except (pa.ArrowException, OSError, ValueError, LookupError, AttributeError):
        raise no_table(path.name) from None


def _csv_texts(path: Path, columns: Sequence[str], packing: str | None) -> Iterator[pa.RecordBatch]:
    with _opened(path, packing) as file:
        names = next(csv.reader(TextIOWrapper(file, "utf-8", newline="")))
    schema = pa.schema([(name, pa.string()) for name in names])
    yield from FileView("csv", path, schema, packing).rows(columns)


def _json_values(path: Path, columns: Sequence[str], packing: str | None) -> Iterator[pa.RecordBatch]:
    with _opened(path, packing) as file:
        while portion := list(islice(file, FETCH_ROWS)):
            rows = [json.loads(line) for line in portion]
            yield plain_batch([[row[name] for name in columns] or [1] for row in rows], columns)


def _parquet_values(path: Path, columns: Sequence[str], _packing: str | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        names = list(columns) or file.schema_arrow.names[:1]
        for batch in file.iter_batches(FETCH_ROWS, columns=names):
            yield batch.select(names)
