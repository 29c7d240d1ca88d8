"""The tables that a target of a dialect of SQLAlchemy finds and makes, and the statements of its metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import NoSuchTableError

from veilflow.databases.sqlalchemy import MYSQL
from veilflow.errors import VeilError
from veilflow.model import Output
from veilflow.targets.metadata import TABLE

#: Schemas of the servers themselves.
_SYSTEM = ("information_schema", "pg_catalog", "mysql", "performance_schema", "sys")
_NAMES = re.compile(rf"\b({TABLE}|kind|run_id|target|number|detail)\b")


def parameter(index: int) -> str:
    """The name of a column's parameter: those of the columns may be no names to a driver."""
    return f"v{index}"


def metadata_table(dialect: Dialect) -> sa.Table:
    name = sa.String(190)
    keys = [sa.Column(n, name, primary_key=True) for n in ("kind", "run_id", "target")]
    number = sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False)
    detail = sa.Column("detail", sa.Text().with_variant(mysql.LONGTEXT(), *MYSQL), nullable=False)
    return sa.Table(TABLE, sa.MetaData(), *keys, number, detail, **table_options(dialect))


def is_there(connection: sa.Connection, name: str) -> bool:
    return sa.inspect(connection).has_table(name)


def refuse_referenced(connection: sa.Connection, table: str) -> None:
    """VEIL214 where rows of another table could go, or stand alone, when those of this one are deleted."""
    looked = sa.inspect(connection)
    own = looked.default_schema_name
    for schema in (None, *(name for name in looked.get_schema_names() if name != own and name not in _SYSTEM)):
        for (_schema, referring), keys in looked.get_multi_foreign_keys(schema=schema).items():
            if any(key["referred_table"] == table and key["referred_schema"] in (None, own) for key in keys):
                raise VeilError(
                    "VEIL214", f'a foreign key of "{referring}" refers to the table, whose rows would be deleted and inserted anew',
                    "`mode: merge` without `delete` updates them in place; or load with the database's own kind of target",
                )  # fmt: skip


def quoter(connection: sa.Connection) -> Callable[[str], str]:
    return connection.dialect.identifier_preparer.quote


def run(connection: sa.Connection, sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
    """A statement of the metadata, with ``?`` for its values; its names are quoted where the dialect reserves them."""
    quote = quoter(connection)
    pieces = _NAMES.sub(lambda name: quote(name[1]), sql).replace(":", "\\:").split("?")
    text = "".join(f"{piece}:{parameter(n)}" for n, piece in enumerate(pieces[:-1])) + pieces[-1]
    result = connection.execute(sa.text(text), {parameter(n): value for n, value in enumerate(values)})
    return [tuple(row) for row in result] if result.returns_rows else []


def table_options(dialect: Dialect) -> dict[str, Any]:
    """Texts are compared byte by byte, blanks at the end included."""
    if dialect.name not in MYSQL:
        return {}
    collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": collation}
    return {f"{dialect.name}_{name}": value for name, value in options.items()}


def refuse_longer_names(dialect: Dialect, output: Output) -> None:
    """VEIL214 for a name that the database would cut off."""
    for name in (output.table, *output.schema.names):
        if len(name.encode()) > dialect.max_identifier_length:
            raise unfit(f'the name "{name}" is longer than {dialect.name} takes')


def reflected(connection: sa.Connection, name: str) -> sa.Table | None:
    """A table as it is there; None if it is not."""
    mended = [("column_reflect", _mend)]
    try:
        return sa.Table(name, sa.MetaData(), autoload_with=connection, resolve_fks=False, listeners=mended)
    except NoSuchTableError:
        return None


def _mend(inspector: sa.Inspector, _table: sa.Table, column: dict[str, Any]) -> None:
    """SQLAlchemy leaves backticks in names doubled, as MySQL writes them, and rounds its floats to decimals."""
    if inspector.dialect.name in MYSQL:
        column["name"] = column["name"].replace("``", "`")
    if isinstance(column["type"], sa.Float):
        column["type"].asdecimal = False


def unfit(problem: str) -> VeilError:
    """VEIL214: the database cannot be loaded exactly."""
    return VeilError("VEIL214", f"the database cannot be loaded exactly: {problem}", "choose a kind of target of its own, or another database")  # fmt: skip
