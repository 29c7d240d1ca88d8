"""A suite proposed from a sample of a source: of a pipeline, with what its policy says of the columns, or of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from veilflow.checks.profile import BEHIND, ProfiledColumn, ProposedColumn, propose
from veilflow.config import load_names, load_pipeline, load_policy
from veilflow.errors import VeilError
from veilflow.model import Chunk, Source, SourceColumn, SourceConfig
from veilflow.run.prepare import Loaded, decide_loaded, source_of
from veilflow.run.secrets import check_kinds
from veilflow.secret_stores.session import Session
from veilflow.sources import kind_of, open_source
from veilflow.treatments.pools import known_names

_CHUNK_ROWS = 50_000
#: Kinds of files whose columns are texts until a pipeline says more.
_WITHOUT_TYPES = ("csv", "jsonl", "json")


@dataclass(frozen=True, slots=True)
class Profile:
    """The proposal, by column, and how many rows of how many it was made from."""

    source: str
    sampled: int
    rows: int
    columns: tuple[ProposedColumn, ...]


def profile_pipeline(project: Path, environment: str, name: str, most_rows: int) -> Profile:
    """A proposal for a pipeline's source; its suite is not read, so it need not exist."""
    pipeline, names = load_pipeline(project, name, environment), check_kinds(load_names(project, environment))
    policy = load_policy(project, pipeline.policy)
    with Session(project) as session:
        source = source_of(pipeline, policy, names, session)
        schema = source.schema()
        decision = decide_loaded(Loaded(project, environment, pipeline, policy, None, names, source), schema)
        classes = {column.name: column.classification for column in decision.plan.columns}
        return _profile(source, pipeline.source, schema.columns, classes, most_rows)


def profile_file(path: Path, most_rows: int) -> Profile:
    """A proposal for a file of the kind that its ending tells, with every column of a text file as text."""
    config = SourceConfig(kind=kind_of(path), path=path.resolve(), shown=str(path))
    source = open_source(config)
    return _profile(source, config, source.schema().columns, {}, most_rows)


def _profile(
    source: Source,
    config: SourceConfig,
    columns: tuple[SourceColumn, ...],
    classes: Mapping[str, str | None],
    most_rows: int,
) -> Profile:
    sample = Sample(most_rows)
    for piece in source.slices(columns, _CHUNK_ROWS):
        sample.add(piece.read())
    if not sample.kept:
        raise VeilError("VEIL211", f"{config.shown} has no row to look at", "profile a source that has rows")
    raw, values = sample.tables()
    whole = raw.num_rows == sample.rows
    found = tuple(
        propose(
            ProfiledColumn(
                column.name,
                column.type,
                raw.column(column.name),
                values.column(column.name),
                classes.get(column.name),
                has_type=config.kind not in _WITHOUT_TYPES or column.name in config.types,
            ),  # fmt: skip
            whole=whole,
            is_name=lambda text: text.casefold() in known_names(),
        )
        for column in columns
    )
    if not any(column.expectations for column in found):
        raise VeilError(
            "VEIL208", f"{raw.num_rows:,} rows of {config.shown} suggest nothing",
            f"at least {BEHIND} rows stand behind each proposal, so that none tells of a person; give it more",
        )  # fmt: skip
    return Profile(config.shown, raw.num_rows, sample.rows, found)


class Sample:
    """Every n-th row of a stream, with n doubled whenever more than ``most_rows`` are kept: the same rows each time,
    from the whole stream, in bounded memory. Rows that could not be read are counted only."""

    def __init__(self, most_rows: int) -> None:
        self._most, self._step, self.rows = most_rows, 1, 0
        self.kept: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Look at a chunk."""
        self.rows += chunk.rows_read
        self.kept.append(self._thinned(chunk))
        while sum(one.raw.num_rows for one in self.kept) > self._most:
            self._step *= 2
            self.kept = list(map(self._thinned, self.kept))

    def _thinned(self, chunk: Chunk) -> Chunk:
        mask = chunk.positions % self._step == 0
        keep = pa.array(mask)
        return Chunk(chunk.number, chunk.raw.filter(keep), chunk.values.filter(keep), chunk.positions[mask])

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The rows as read, and typed."""
        return pa.Table.from_batches([one.raw for one in self.kept]), pa.Table.from_batches(
            [one.values for one in self.kept]
        )


__all__ = ["Profile", "Sample", "profile_file", "profile_pipeline"]
