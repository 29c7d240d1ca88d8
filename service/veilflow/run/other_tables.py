"""The tables that checks of the output compare it with: beside it in the target, or the output of another pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from veilflow.checks import Read
from veilflow.config import PipelineConfig, SuiteConfig, load_pipeline
from veilflow.errors import VeilError, raise_all
from veilflow.model import CheckPlan, OutputView, SourceConfig, TargetConfig
from veilflow.sources import open_source
from veilflow.targets.file_view import read_file
from veilflow.targets.files import packing_of
from veilflow.targets.reading import no_table

#: The targets of the pipelines that a suite names, by their names.
Others = Mapping[str, TargetConfig]
_FILES = ("csv", "jsonl", "parquet")


def others_of(project: Path, environment: str, pipeline: PipelineConfig, suite: SuiteConfig) -> dict[str, TargetConfig]:
    """The targets of the pipelines whose output the suite compares with. VEIL207 for one that cannot be read from here:
    on another server, for which the run has no login."""
    found: dict[str, TargetConfig] = {}
    problems: list[VeilError] = []
    for expectation in suite.expectations:
        given = expectation.raw.get("kwargs")
        name = given.get("other_pipeline") if isinstance(given, Mapping) else None
        if not isinstance(name, str) or name in found:
            continue
        try:
            other = load_pipeline(project, name, environment).target
            if other.path is None and not _beside(other, pipeline.target):
                raise VeilError(
                    "VEIL207", f"the output of {name} is on another server",
                    "compare with a file, or with a table of the same connection", expectation.place,
                )  # fmt: skip
            found[name] = other
        except VeilError as error:
            problems.append(error)
    raise_all(problems)
    return found


def reader_of(check: CheckPlan, view: OutputView, own: TargetConfig, others: Others) -> tuple[Read, bool]:
    """What reads the other table of a check, in the publishing transaction where it stands in the target; and whether
    nobody can change it until that ends."""
    other = others.get(check.arguments.get("other_pipeline", ""))
    if other is None or _beside(other, own):
        name = check.arguments["other_table_name"] if other is None else other.table
        return (lambda columns: view.plain(columns, name)), view.hold(name)
    return _reader_of_file(other), False


def _reader_of_file(other: TargetConfig) -> Read:
    assert other.path is not None  # others_of refuses servers
    if other.kind in _FILES:
        path, packing = other.path, packing_of(other.kind, other.path)
        return lambda columns: read_file(other.kind, path, columns, packing)
    return partial(_table_of_file, other)


def _beside(other: TargetConfig, own: TargetConfig) -> bool:
    """Whether both stand in one database."""
    if other.kind != own.kind or own.kind in _FILES:
        return False
    return other.connection == own.connection and other.path == own.path


def _table_of_file(other: TargetConfig, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """A table of another SQLite or DuckDB file."""
    assert other.path is not None
    if not other.path.exists():
        raise no_table(other.shown)
    source = open_source(SourceConfig(other.kind, other.path, other.shown, table=other.table))
    found = source.schema().columns
    names = list(columns) or [found[0].name]
    if set(names) - {column.name for column in found}:
        raise no_table(other.table)
    for part in source.slices(found, 50_000):
        yield part.read().raw.select(names)


__all__ = ["Others", "others_of", "reader_of"]
