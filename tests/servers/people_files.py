"""People in files of every kind, and the pipeline that reads them: shared by the tests of many files and of workers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from veilflow.model import Progress, RunResult
from veilflow.run import Interrupted, Request, execute, request_to_resume

CHUNK_ROWS = 20
COLUMNS = ("id", "name", "email", "age", "city")

POLICY = """\
version: 1
purpose: tests
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
  email: {class: direct_identifier, treatment: mask_email}
  age: {class: quasi_identifier, treatment: {noise: {distribution: laplace, scale: 3}}}
  city: {class: quasi_identifier, treatment: keep, reason: reports are per city}
"""


def table(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "id": pa.array([f"p{n}" for n in numbers], pa.string()),
            "name": pa.array([f"N{n}" for n in numbers], pa.string()),
            "email": pa.array([f"n{n}@example.com" for n in numbers], pa.string()),
            "age": pa.array([n % 90 for n in numbers], pa.int64()),
            "city": pa.array([f"City{n % 7}" for n in numbers], pa.string()),
        }
    )


def as_csv(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pcsv.write_csv(rows, sink)
    return sink.getvalue().to_pybytes()


def as_parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=15)
    return sink.getvalue().to_pybytes()


def as_json_lines(rows: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows.to_pylist()).encode() or b"\n"


def as_zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


WRITTEN: dict[str, tuple[str, Callable[[pa.Table], bytes]]] = {
    "csv": ("csv", as_csv),
    "csv.gz": ("csv", lambda rows: gzip.compress(as_csv(rows), mtime=0)),
    "csv.zst": ("csv", lambda rows: as_zstd(as_csv(rows))),
    "jsonl": ("jsonl", as_json_lines),
    "jsonl.gz": ("jsonl", lambda rows: gzip.compress(as_json_lines(rows), mtime=0)),
    "json": ("json", lambda rows: json.dumps(rows.to_pylist()).encode()),
    "parquet": ("parquet", as_parquet),
}


def write_files(project: Any, ending: str, sizes: Sequence[int], folder: str = "in") -> list[str]:
    """Files of consecutive rows, each of as many rows as ``sizes`` says."""
    names, first = [], 0
    for number, rows in enumerate(sizes):
        names.append(f"{folder}/{number:03d}.{ending}")
        project.write(names[-1], WRITTEN[ending][1](table(first, rows)))
        first += rows
    return names


def configure(project: Any, ending: str, pattern: str | None = None, more: str = "") -> None:
    kind = WRITTEN[ending][0]
    source = f"{{kind: {kind}, path: '{pattern or f'in/*.{ending}'}'}}"
    types = "" if kind == "parquet" else "columns:\n  age: {type: integer}\n"
    project.write("policies/people.yaml", POLICY)
    project.write(
        "pipelines/people.yaml",
        f"version: 1\nsource: {source}\n{types}policy: people\nchunk_rows: {CHUNK_ROWS}\n"
        "target: {kind: sqlite, path: out/people.db, table: people, mode: replace}\n" + more,
    )


def run(project: Any, on_progress: Any = None, **options: Any) -> RunResult:
    return execute(Request(project.directory, "dev", "people", **options), on_progress=on_progress)


def resume(project: Any, on_progress: Any = None) -> RunResult:
    return execute(request_to_resume(project.directory, "last"), on_progress=on_progress)


def stop_after(rows: int) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if progress.stage == "stage" and progress.durable >= rows:
            raise Interrupted(143)

    return on_progress
