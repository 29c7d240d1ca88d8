"""Places that a test has for itself: a file, or a database of a real server."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilflow.model import ColumnKey, Mode, Receipt, Secret, Target
from veilflow.targets import open_target

SCHEMA = pa.schema([("select", pa.string()), ('a "b"', pa.decimal128(18, 2)), ("day", pa.date32()), ("n", pa.int64())])
ROWS = pa.table(
    [["", None, "王\n,"], [Decimal("99999999999999.99"), None, Decimal("0.10")], [date(1908, 12, 9), None, date(2024, 2, 29)], [1, None, -(2**62)]],
    schema=SCHEMA,
)  # fmt: skip


def receipt(number: int, rows: int = 3) -> Receipt:
    return Receipt(number, rows, rows, 0, 0, "d", {}, {}, {})


@dataclass(frozen=True)
class Store:
    """A place of one kind that a test has for itself; ``sql`` runs a statement there as somebody else would."""

    kind: str
    path: Path | None = None
    url: str | None = None
    #: The dialect and driver by which the target goes there, instead of the kind's own.
    dialect: str | None = None

    @property
    def by_dialect(self) -> bool:
        return self.dialect is not None

    @property
    def address(self) -> str:
        """The URL by which a target goes there."""
        return f"{self.dialect or self.kind}://{(self.url or '').partition('://')[2]}"

    def target(self, table: str = "order", mode: Mode = "replace", schema: pa.Schema = SCHEMA, **more: Any) -> Target:
        url = None if self.url is None else (lambda: Secret(self.address))
        return open_target(
            kind="sqlalchemy" if self.by_dialect else self.kind,
            table=table,
            mode=mode,
            schema=schema,
            path=self.path,
            url=url,
            **more,
        )

    def run(
        self, run_id: str, rows: pa.Table = ROWS, versions: dict[str, ColumnKey] | None = None, **more: Any
    ) -> tuple[str, int]:
        """Load ``rows`` and publish them; how it was said to be done, and how many rows were published."""
        target = self.target(schema=rows.schema, **more)
        try:
            how = target.inspect()
            target.open(run_id)
            with target.writer() as writer:
                writer.load(rows, receipt(0, rows.num_rows))
            return how, target.publish(versions or {})
        finally:
            target.close()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, in which names stand in double quotes; decimals, dates and moments as text."""
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
            return [tuple(_plain(value) for value in row) for row in rows]

    def _connect(self) -> Any:
        if self.kind == "sqlite":
            return sqlite3.connect(self.path or "", isolation_level=None)
        if self.kind == "duckdb":
            import duckdb

            return duckdb.connect(str(self.path))
        if self.kind == "postgresql":
            import psycopg

            return psycopg.connect(self.url or "", autocommit=True)
        import pymysql
        from sqlalchemy.engine import make_url

        url = make_url(self.url or "")
        return pymysql.connect(
            host=url.host, port=url.port or 0, user=url.username, password=str(url.password), database=url.database,
            autocommit=True, init_command="set sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES', time_zone = '+00:00'",
        )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value).isoformat(
            timespec="microseconds"
        )
    if isinstance(value, bool):
        return int(value)
    return str(value) if isinstance(value, Decimal | date | uuid.UUID) else value


NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
  login: {store: files, path: login.json}
connections:
  warehouse: {url: "URL", credential: login}
keyring: keyring
"""


def name_warehouse(project: Any, store: Store) -> None:
    """Give a project the connection ``warehouse``: to the store, or to none where it is a file."""
    url = (store.address if store.url else "postgresql://none.example/x").replace(":loopback-only-secret", "")
    project.write("secrets/names.yaml", NAMES.replace("URL", url))
    project.write("login.json", json.dumps({"username": "veil", "password": "loopback-only-secret"})).chmod(0o600)


def place_of(store: Store, table: str) -> str:
    """How a pipeline names a table of the store."""
    where = "connection: warehouse" if store.url else f"path: {store.path}"
    return f"kind: {'sqlalchemy' if store.by_dialect else store.kind}, {where}, table: {table}"
