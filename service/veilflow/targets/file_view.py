"""Reading a written file back before it takes its name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from veilflow.errors import VeilError
from veilflow.targets.reading import FETCH_ROWS, no_table, typed_batch, unfit_value

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
            raise VeilError("VEIL101", f"{self.path.name} cannot be read back", "look at the disk, and run again") from None  # fmt: skip

    def plain(self, columns: Sequence[str], other: str | None = None) -> Iterator[pa.RecordBatch]:
        if other is not None:
            raise no_table(other)
        yield from self.rows(columns)

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
        file = self.path.open("rb")
        return BufferedReader(pa.CompressedInputStream(file, self.packing), _BLOCK_BYTES) if self.packing else file
