"""DuckDB's types: what a column of ours becomes, and which other types take its values."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

_SQL_TYPES = (
    (pa.types.is_uint64, "UBIGINT"), (pa.types.is_integer, "BIGINT"), (pa.types.is_floating, "DOUBLE"),
    (pa.types.is_boolean, "BOOLEAN"), (pa.types.is_date, "DATE"), (pa.types.is_binary, "BLOB"),
)  # fmt: skip
_INTEGERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"
)  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def quote(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def sql_type(kind: pa.DataType) -> str:
    """The type of a column that we make, as DuckDB's catalogue spells it."""
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP"
    return next((name for test, name in _SQL_TYPES if test(kind)), "VARCHAR")


def fits(there: str, wanted: str) -> bool:
    """Whether a column of the type ``there`` takes a value of ours as it is, or refuses it. A decimal of a smaller scale
    would round."""
    if wanted in ("BIGINT", "UBIGINT"):
        return there in _INTEGERS
    ours, theirs = _DECIMAL.fullmatch(wanted), _DECIMAL.fullmatch(there)
    if ours and theirs:
        return int(theirs[2]) >= int(ours[2])
    return wanted == "VARCHAR" and (there in ("UUID", "JSON") or there.startswith("ENUM("))


def column_types(connection: Any, table: str) -> dict[str, str]:
    """The columns of a table; none if it is not there."""
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database()"
        " and schema_name = current_schema() and table_name = ?", [table],
    ).fetchall()  # fmt: skip
    return dict(rows)


def definitions(connection: Any, table: str) -> list[str]:
    """The columns of a table with their types, NOT NULL and CHECK constraints, as the words of a statement that makes
    another one that refuses the same rows."""
    columns = connection.execute(
        "select column_name, data_type, is_nullable from duckdb_columns() where database_name = current_database()"
        " and schema_name = current_schema() and table_name = ? order by column_index", [table],
    ).fetchall()  # fmt: skip
    checks = connection.execute(
        "select constraint_text from duckdb_constraints() where database_name = current_database()"
        " and schema_name = current_schema() and table_name = ? and constraint_type = 'CHECK'", [table],
    ).fetchall()  # fmt: skip
    found = [f"{quote(name)} {kind}{'' if nullable else ' not null'}" for name, kind, nullable in columns]
    return found + [text for (text,) in checks]
