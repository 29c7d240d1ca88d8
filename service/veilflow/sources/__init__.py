"""Where batches come from: one file per kind, each a ``model.Source``.

To add a kind: a file with a class that has ``schema``, ``files`` and ``chunks``, and a line in ``_KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import Secret, Source, SourceConfig
from veilflow.sources.description import describe, parse_description
from veilflow.sources.local_files import LOCAL
from veilflow.sources.storage import Storage

FILE_KINDS = ("csv", "jsonl", "json", "parquet")
KINDS = (*FILE_KINDS, "sqlite", "duckdb", "postgresql", "mariadb")
_ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip

__all__ = ["KINDS", "describe", "frame_source", "kind_of", "open_published", "open_source", "parse_description"]


def kind_of(path: Path) -> str:
    """The kind that a file's ending tells (``people.csv.gz`` is csv). VEIL202 if none does."""
    name = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    if name.suffix.lower() not in _ENDINGS:
        raise VeilError(
            "VEIL202", f"the ending of {path.name} tells no kind", "known endings: " + ", ".join(sorted(_ENDINGS))
        )
    return _ENDINGS[name.suffix.lower()]


def open_source(config: SourceConfig, url: Callable[[], Secret] | None = None) -> Source:
    """The source of a pipeline; opens nothing yet. ``url`` gives a server's address with its current login."""
    if config.kind in ("sqlite", "duckdb", "postgresql", "mariadb"):
        return _open_database(config, url)
    storage = storage_of(config, url)
    if config.listed or storage.is_pattern(config):
        from veilflow.sources.many_files import ManyFiles

        return ManyFiles(config, storage, _open_file)
    return _open_file(config, storage)


def storage_of(config: SourceConfig, url: Callable[[], Secret] | None) -> Storage:
    """Where the files of a source are: in the store of its connection, or on this machine."""
    if config.connection is None:
        return LOCAL
    from veilflow.sources.s3 import S3Files

    return S3Files(_known(url, config))


def _open_file(config: SourceConfig, storage: Storage) -> Source:
    if config.kind == "csv":
        from veilflow.sources.csv_file import CsvSource

        return CsvSource(config, storage)
    if config.kind in ("jsonl", "json"):
        from veilflow.sources.json_file import JsonSource

        return JsonSource(config, storage)
    if config.kind == "parquet":
        from veilflow.sources.parquet import ParquetSource

        return ParquetSource(config, storage)
    raise VeilError(
        "VEIL202", f'there is no source of kind "{config.kind}"', "there are: " + ", ".join(KINDS), config.place
    )


def _open_database(config: SourceConfig, url: Callable[[], Secret] | None) -> Source:
    if config.kind == "sqlite":
        from veilflow.sources.sqlite import SqliteSource

        return SqliteSource(config)
    if config.kind == "duckdb":
        from veilflow.sources.duckdb import DuckdbSource

        return DuckdbSource(config)
    if config.kind == "postgresql":
        from veilflow.sources.postgresql import PostgresqlSource

        return PostgresqlSource(config, _known(url, config))
    from veilflow.sources.mariadb import MariadbSource

    return MariadbSource(config, _known(url, config))


def _known(url: Callable[[], Secret] | None, config: SourceConfig) -> Callable[[], Secret]:
    if url is None:
        raise VeilError("VEIL214", f"{config.shown} has no address here", "name it by a pipeline", config.place)
    return url


def open_published(config: SourceConfig, url: Callable[[], Secret] | None = None) -> Source:
    """A database's table as a source for a run that writes into the same database meanwhile."""
    if config.kind == "sqlite":
        from veilflow.sources.sqlite import SqlitePages

        return SqlitePages(config)
    return open_source(config, url)


def frame_source(table: pa.Table) -> Source:
    """A table in memory as a source."""
    from veilflow.sources.frame import FrameSource

    return FrameSource(table)
