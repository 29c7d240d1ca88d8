"""What the contracts of sources and targets share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stores import Store

#: Dialects of SQLAlchemy, each with the server behind it.
DIALECTS = {"postgresql+psycopg": "postgresql", "mysql+pymysql": "mariadb"}


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Makes a store of a kind; a server's is a database of its own, dropped at the end. ``mariadb by statements`` is one that
    takes no LOAD DATA LOCAL."""
    made: list[tuple[Store, str]] = []
    forbidding: list[Store] = []

    def make(asked: str) -> Store:
        kind, _, by_statements = asked.partition(" by ")
        if kind == "memory":
            return Store(kind)
        if kind in DIALECTS:
            return replace(make(DIALECTS[kind]), dialect=kind)
        if kind not in ("postgresql", "mariadb"):
            return Store(kind, tmp_path / f"out.{kind}")
        server: Any = request.getfixturevalue(kind)
        name = f"test_{uuid.uuid4().hex}"
        first = Store(kind, url=server.full_url)
        first.sql(f"create database {name}" + (" character set utf8mb4" if kind == "mariadb" else ""))
        made.append((first, name))
        if by_statements:
            first.sql("set global local_infile = 0")
            forbidding.append(first)
        return Store(kind, url=server.full_url.replace(f"/{server.database}", f"/{name}"))

    yield make
    for first in forbidding:
        first.sql("set global local_infile = 1")
    for first, name in made:
        # A session that was closed may take a moment to end, and a test that failed may have left one in a transaction.
        if first.kind == "mariadb":
            for (session,) in first.sql(f"select id from information_schema.processlist where db = '{name}'"):
                with suppress(Exception):
                    first.sql(f"kill {session}")
        first.sql(f"drop database {name}" + (" with (force)" if first.kind == "postgresql" else ""))
        if first.kind == "mariadb":  # its staging is one for the whole server
            first.sql("drop database if exists veilflow_staging")
