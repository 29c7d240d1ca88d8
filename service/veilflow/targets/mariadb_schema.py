"""What MariaDB's catalogue says of a table, and the types and names of ours."""

from __future__ import annotations

import pyarrow as pa
from pymysql.connections import Connection

from veilflow.databases.mariadb import quote
from veilflow.errors import VeilError
from veilflow.model import Output

_LONGEST_NAME = 64
_MOST_COLUMNS = 1017  # of InnoDB

_TYPES = (
    (pa.types.is_uint64, "bigint(20) unsigned"), (pa.types.is_integer, "bigint(20)"), (pa.types.is_floating, "double"),
    (pa.types.is_boolean, "tinyint(1)"), (pa.types.is_date, "date"), (pa.types.is_timestamp, "datetime(6)"),
    (pa.types.is_binary, "longblob"),
)  # fmt: skip

_DEPENDED_ON = """
select exists (select 1 from information_schema.statistics where table_schema = database() and table_name = %(table)s)
 or exists (select 1 from information_schema.triggers where event_object_schema = database() and event_object_table = %(table)s)
 or exists (select 1 from information_schema.key_column_usage where referenced_table_schema = database() and referenced_table_name = %(table)s)
 or exists (select 1 from information_schema.table_constraints where table_schema = database() and table_name = %(table)s)
 or exists (select 1 from information_schema.partitions where table_schema = database() and table_name = %(table)s and partition_name is not null)
 or exists (select 1 from information_schema.tables where table_schema = database() and table_name = %(table)s and table_comment <> '')
 or exists (select 1 from information_schema.columns where table_schema = database() and table_name = %(table)s
            and (is_nullable = 'NO' or coalesce(column_default, 'NULL') <> 'NULL' or extra <> '' or column_comment <> ''))
"""


#: The columns that a foreign key refers to.
_REFERENCED = """
select k.referenced_column_name from information_schema.key_column_usage k
join (select constraint_schema, constraint_name, table_name from information_schema.key_column_usage
      where referenced_table_schema = database() and referenced_table_name = %(table)s
      order by 1, 2, 3 limit 1) as first using (constraint_schema, constraint_name, table_name)
order by k.ordinal_position
"""
_COLUMNS = """
select column_name, column_type, is_nullable, character_set_name, collation_name from information_schema.columns
where table_schema = database() and table_name = %s order by ordinal_position
"""
_CHECKS = """
select level, constraint_name, check_clause from information_schema.check_constraints
where constraint_schema = database() and table_name = %s
"""


def sql_type(kind: pa.DataType) -> str:
    """The type as MariaDB's catalogue spells it. Moments with a zone stand in UTC: MariaDB's own end in 2038."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return next((name for test, name in _TYPES if test(kind)), "longtext")


def fits(there: str, wanted: str) -> bool:
    """Whether a column of the type ``there`` takes a value of ours as it is, or refuses it: not those that cut off, pad or
    round in silence."""
    kind = there.partition("(")[0]
    if wanted == "longtext":
        return kind in ("varchar", "tinytext", "text", "mediumtext")
    if wanted.startswith("bigint"):
        return kind in ("tinyint", "smallint", "mediumint", "int", "bigint")
    if wanted == "longblob":
        return kind in ("varbinary", "tinyblob", "blob", "mediumblob")
    return wanted.startswith("decimal") and kind == "decimal"


def definitions(connection: Connection, table: str) -> list[str]:
    """The columns of a table with their types, NOT NULL, character sets and CHECK constraints, as the words of a
    statement that makes another one that refuses the same rows."""
    with connection.cursor() as cursor:
        cursor.execute(_CHECKS, (table,))
        checks = cursor.fetchall()
        within = {name: f" check ({clause})" for level, name, clause in checks if level == "Column"}
        cursor.execute(_COLUMNS, (table,))
        columns = [
            f"{quote(name)} {kind}" + (f" character set {characters} collate {collation}" if characters else "")
            + (" not null" if nullable == "NO" else "") + within.get(name, "")
            for name, kind, nullable, characters, collation in cursor.fetchall()
        ]  # fmt: skip
    return columns + [
        f"constraint {quote(name)} check ({clause})" for level, name, clause in checks if level == "Table"
    ]


def column_types(connection: Connection, table: str) -> dict[str, str]:
    """The columns of a table of the connection's database; none if it is not there. VEIL214 for a table without
    transactions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select engine, table_type from information_schema.tables where table_schema = database() and table_name = %s",
            (table,),
        )  # fmt: skip
        found = cursor.fetchone()
        if found and (found[0] or "").lower() != "innodb":
            raise VeilError(
                "VEIL214",
                f'"{table}" is a view, or its engine has no transactions',
                "name a table of the engine InnoDB",
            )
        cursor.execute(
            "select column_name, column_type from information_schema.columns"
            " where table_schema = database() and table_name = %s",
            (table,),
        )
        return {str(name): str(kind) for name, kind in cursor.fetchall()}


def depended_on(connection: Connection, table: str) -> bool:
    """Whether a new table in the place of this one would lose something: indexes, keys, constraints, triggers, defaults,
    comments, partitions. Views and grants go by the name and stay."""
    with connection.cursor() as cursor:
        cursor.execute(_DEPENDED_ON, {"table": table})
        row = cursor.fetchone()
    return bool(row and row[0])


def referenced_key(connection: Connection, table: str) -> tuple[str, ...]:
    """The columns that a foreign key, of another table or its own, refers to; none if there is no such key."""
    with connection.cursor() as cursor:
        cursor.execute(_REFERENCED, {"table": table})
        return tuple(name for (name,) in cursor.fetchall())


def check_names(output: Output) -> None:
    """VEIL214 for names and numbers of columns that MariaDB does not take, or would change, and for another database."""
    if "." in output.table:
        raise VeilError(
            "VEIL214", f'"{output.table}" names another database, and a target is a table of its connection\'s',
            "name the database in the connection's URL, and the table alone here",
        )  # fmt: skip
    for name in (output.table, *output.schema.names):
        if len(name) > _LONGEST_NAME or name != name.rstrip() or any(not 0 < ord(c) <= 0xFFFF for c in name):
            raise VeilError(
                "VEIL214", f'MariaDB does not take the name "{name}"',
                "at most 64 characters of the basic plane, without a blank at the end",
            )  # fmt: skip
    if len(output.schema) > _MOST_COLUMNS:
        raise VeilError(
            "VEIL214", f"the output has {len(output.schema)} columns, MariaDB's tables have at most {_MOST_COLUMNS}",
            "drop columns in the policy, or load into another kind of database",
        )  # fmt: skip
