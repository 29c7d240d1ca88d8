"""Where batches go to: one file per kind, each a ``model.Target``.

Write, audit, publish: chunks land in a staging of the run, each with its receipt in one transaction; one publishing
transaction makes them visible. To add a kind: a file with a class that fulfils the Protocol, a line in ``open_target``,
and its name in the contract test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import Mode, Output, Secret, Target, UrlTerms

KINDS = ("sqlite", "duckdb", "postgresql", "mariadb", "sqlalchemy", "csv", "jsonl", "parquet", "memory")

__all__ = ["KINDS", "open_target"]


def open_target(
    *,
    kind: str,
    table: str,
    mode: Mode,
    schema: pa.Schema,
    path: Path | None = None,
    url: Callable[[], Secret] | None = None,
    key: tuple[str, ...] = (),
    delete: bool = False,
    again: bool = False,
    evolve: bool = False,
    holds: bool = False,
    lock_directory: Path | None = None,
    terms: UrlTerms | None = None,
) -> Target:
    """The target of a run; connects to nothing yet. VEIL214 if it cannot be used as configured.

    ``url`` gives the address with the login that is current: asked for each connection, it may change while a run lives.
    """
    output = Output(table, schema, mode, key, delete, again, evolve, holds)
    if kind == "sqlite" and path is not None:
        from veilflow.targets.sqlite import SqliteTarget

        return SqliteTarget(path, output, lock_directory or path.parent)
    if kind == "duckdb" and path is not None:
        from veilflow.targets.duckdb import DuckdbTarget

        return DuckdbTarget(path, output, lock_directory or path.parent)
    if kind == "mariadb" and url is not None:
        from veilflow.targets.mariadb import MariadbTarget

        return MariadbTarget(url, output)
    if kind == "postgresql" and url is not None:
        from veilflow.targets.postgresql import PostgresqlTarget

        return PostgresqlTarget(url, output)
    if kind == "sqlalchemy" and url is not None:
        from veilflow.targets.sqlalchemy import SqlalchemyTarget

        return SqlalchemyTarget(url, output, terms or UrlTerms())
    if kind == "memory":
        from veilflow.targets.memory import MemoryTarget

        return MemoryTarget(schema)
    if kind in ("csv", "jsonl", "parquet") and path is not None:
        from veilflow.targets.files import FileTarget

        if mode != "replace":
            raise VeilError("VEIL214", "a file can only be replaced", "say `mode: replace`, or load into a database")
        return FileTarget(kind, path, schema)
    raise VeilError("VEIL214", f'no target of kind "{kind}" with what is configured', "kinds: " + ", ".join(KINDS))
