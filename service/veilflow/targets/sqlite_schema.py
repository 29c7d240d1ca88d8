"""SQLite's types: what a column of ours becomes, which other types take its values, and in which form they are stored."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress

import pyarrow as pa

from veilflow.targets.values import decimal_text, each_column, is_unsigned_64, refuse_nan, whole_microseconds

_TYPES = (
    (is_unsigned_64, "TEXT"), (pa.types.is_integer, "BIGINT"), (pa.types.is_floating, "DOUBLE"),
    (pa.types.is_boolean, "BOOLEAN"), (pa.types.is_date, "DATE"), (pa.types.is_timestamp, "DATETIME"),
    (pa.types.is_binary, "BLOB"),
)  # fmt: skip
#: What in a type's name decides how SQLite stores values of a column (https://sqlite.org/datatype3.html#affname).
_INTEGER, _TEXT, _REAL = ("INT",), ("CHAR", "CLOB", "TEXT"), ("REAL", "FLOA", "DOUB")
_TAKES = {
    "TEXT": _TEXT, "DATE": _TEXT, "DATETIME": _TEXT, "BIGINT": _INTEGER, "BOOLEAN": _INTEGER, "DOUBLE": _REAL
}  # fmt: skip
_STRICT = {"DATE": "TEXT", "DATETIME": "TEXT", "BIGINT": "INTEGER", "BOOLEAN": "INTEGER", "DOUBLE": "REAL"}
_WORDS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|\w+|.""", re.DOTALL)


def quote(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def wanted_types(schema: pa.Schema) -> dict[str, str]:
    """The type of each column that we would make."""
    return {
        field.name: next((name for test, name in _TYPES if test(field.type)), "TEXT") for field in schema
    }  # fmt: skip


def fits(there: str, wanted: str) -> bool:
    """Whether a column of the declared type ``there`` stores a value of ours as it is, or refuses it. SQLite knows no
    lengths."""
    integer = any(word in there for word in _INTEGER)
    if integer or _TAKES.get(wanted) == _INTEGER:
        return integer and _TAKES.get(wanted) == _INTEGER
    return any(word in there for word in _TAKES.get(wanted, ()))


def column_types(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The declared types of a table's columns; none if it is not there."""
    return {row[1]: str(row[2]).upper() for row in connection.execute(f"pragma table_info({quote(table)})")}


def addable_types(connection: sqlite3.Connection, table: str, schema: pa.Schema) -> dict[str, str]:
    """The type of each column that we would add to a table that is there: a STRICT one knows few names."""
    sql = "select max(strict) from pragma_table_list where name = ? collate nocase"
    is_strict = connection.execute(sql, (table,)).fetchone()[0]
    return {name: _STRICT.get(kind, kind) if is_strict else kind for name, kind in wanted_types(schema).items()}


def is_plain(connection: sqlite3.Connection, table: str, types: dict[str, str]) -> bool:
    """Whether the table is no more than columns of these types: no constraint, default, collation or option."""
    sql = connection.execute("select sql from sqlite_master where type = 'table' and name = ?", (table,)).fetchone()[0]
    words = [_unquoted(word[0]) for word in _words(sql)][3:]  # behind CREATE TABLE and the name
    ours = ["("]
    for name, kind in types.items():
        ours += [name, kind, ","]
    ours[-1] = ")"
    return words == ours


def definitions(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table with their types, NOT NULL and CHECK constraints, as the words of a statement that makes
    another one that refuses the same rows. A null in a primary key, for which SQLite invents a number, is refused too.
    """
    rows = connection.execute(f"pragma table_info({quote(table)})").fetchall()
    columns = [f"{quote(row[1])} {row[2]}{' not null' if row[3] or row[5] else ''}" for row in rows]
    sql = connection.execute("select sql from sqlite_master where type = 'table' and name = ?", (table,)).fetchone()[0]
    return columns + _checks(sql)


def _words(sql: str) -> list[re.Match[str]]:
    found = _WORDS.finditer(sql)
    return [word for word in found if not word[0].isspace() and not word[0].startswith(("--", "/*"))]


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] in '"`[':
        return word[1:-1].replace(word[0] * 2, word[0])
    return word.upper() if word.upper() in {name for _test, name in _TYPES} else word


def _checks(sql: str) -> list[str]:
    """Each CHECK with its name, if it has one, and its parentheses."""
    words, found = _words(sql), []
    for start in (number + 1 for number, word in enumerate(words[:-1]) if word[0].upper() == "CHECK"):
        depth, end = 1, start + 1
        while depth and end < len(words):
            depth += {"(": 1, ")": -1}.get(words[end][0], 0)
            end += 1
        named = start > 2 and words[start - 3][0].upper() == "CONSTRAINT"
        found.append(sql[words[start - 3 if named else start - 1].start() : words[end - 1].end()])
    return found


def storable(table: pa.Table) -> pa.Table:
    """Decimals, dates and timestamps as exact text: SQLite would make floats of the first."""
    return each_column(table, _storable_column)


def _storable_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    from veilflow.keys import token_bytes

    kind = column.type
    refuse_nan(name, column)
    if pa.types.is_decimal(kind):
        return decimal_text(column)
    if pa.types.is_date(kind) or is_unsigned_64(kind):
        return column.cast(pa.string())
    if pa.types.is_timestamp(kind):
        exact = whole_microseconds(column)
        if kind.tz is None:
            return exact.cast(pa.string())  # no Z: it is no moment of UTC
        return pa.chunked_array([token_bytes(chunk) for chunk in exact.chunks], pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.cast(pa.int64())
    return column


def broken_references(connection: sqlite3.Connection, table: str) -> int:
    """How many rows have a foreign key, of the table or to it, that leads nowhere: SQLite holds it against rows only where
    a program asks for that, and then lets deleted rows take others along."""
    found = connection.execute(
        "select distinct m.name from sqlite_master m, pragma_foreign_key_list(m.name) f"
        " where m.type = 'table' and (m.name = ?1 or f.\"table\" = ?1 collate nocase)", (table,),
    ).fetchall()  # fmt: skip
    number = 0
    for (name,) in found:
        with suppress(sqlite3.OperationalError):  # a key to columns that are not unique can never hold
            number += connection.execute("select count(*) from pragma_foreign_key_check(?)", (name,)).fetchone()[0]
    return number
