"""Bringing staged rows into a table that is there, in SQL that the databases share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from veilflow.errors import VeilError
from veilflow.model import Output


@dataclass(frozen=True, slots=True)
class Tables:
    """The target and the staging, quoted, on one connection: ``count`` returns a query's one number, ``change`` runs a
    statement and returns how many rows it met. ``casts`` make the table's value of the expression that reads a
    staged column, where that alone is none; ``overriding`` lets the values of the run stand where the table would make its
    own."""

    target: str
    staging: str
    quote: Callable[[str], str]
    count: Callable[[str], int]
    change: Callable[[str], int]
    casts: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    overriding: str = ""

    def staged(self, name: str, alias: str = "") -> str:
        """The expression that reads a staged column."""
        cell = alias + self.quote(name)
        return self.casts[name](cell) if name in self.casts else cell


def insert_all(tables: Tables, output: Output) -> int:
    """Insert every staged row; returns how many the database took."""
    names = ", ".join(map(tables.quote, output.schema.names))
    cells = ", ".join(map(tables.staged, output.schema.names))
    return tables.change(
        f"insert into {tables.target} ({names}) {tables.overriding} select {cells} from {tables.staging}"
    )


def add_columns(tables: Tables, types: Mapping[str, str]) -> None:
    """Add columns of these types to the target; they are null in the rows that are there."""
    for name, kind in types.items():
        tables.change(f"alter table {tables.target} add column {tables.quote(name)} {kind}")


def rewrite(tables: Tables, output: Output) -> int:
    """Replace, append or merge row by row, so that whatever depends on the table stays; returns the rows that came in."""
    if output.mode == "merge":
        return merge(tables, output)
    if output.mode == "replace":
        tables.change(f"delete from {tables.target}")
    return insert_all(tables, output)


def check_key(tables: Tables, output: Output, staged_only: bool = False) -> None:
    """VEIL318 where a key is null or stands twice, among the staged rows or in the table."""
    key = [tables.quote(name) for name in output.key]
    for table, where in ((tables.staging, "what the run loads"), (tables.target, f'the table "{output.table}"')):
        if staged_only and table == tables.target:
            continue
        if tables.count(f"select count(*) from {table} where " + " or ".join(f"{name} is null" for name in key)):
            raise _unusable(output, f"is null in {where}")
        groups = f"select {', '.join(key)} from {table} group by {', '.join(key)} having count(*) > 1"
        if tables.count(f"select count(*) from ({groups}) repeated"):
            raise _unusable(output, f"stands more than once in {where}")


def merge(tables: Tables, output: Output) -> int:
    """Update the rows of the same key and insert the others; with ``delete`` the rows go whose key was not loaded.
    Returns the rows updated and inserted. VEIL318 where the key cannot be used."""
    check_key(tables, output)
    target, staging, quote = tables.target, tables.staging, tables.quote
    same = same_key(tables, output.key)
    if output.delete:
        tables.change(
            f"delete from {target} where not exists (select 1 from {staging} as s where {same_key(tables, output.key, target)})"
        )
    met = tables.count(f"select count(*) from {staging} as s join {target} as t on {same}")
    others = [name for name in output.schema.names if name not in output.key]
    if others:
        tables.change(_update(tables, others, same))
    names, cells = map(quote, output.schema.names), (tables.staged(name, "s.") for name in output.schema.names)
    new = (
        f"insert into {target} ({', '.join(names)}) {tables.overriding} select {', '.join(cells)}"
        f" from {staging} as s left join {target} as t on {same} where t.{quote(output.key[0])} is null"
    )
    return met + tables.change(new)


def _update(tables: Tables, columns: Sequence[str], same: str) -> str:
    sets = ", ".join(f"{tables.quote(name)} = {tables.staged(name, 's.')}" for name in columns)
    return f"update {tables.target} as t set {sets} from {tables.staging} as s where {same}"


def merge_apart(tables: Tables, output: Output) -> int:
    """The same by subqueries alone, which every database has; the key was checked before."""
    target, staging, quote = tables.target, tables.staging, tables.quote
    partner = f"from {staging} s where {same_key(tables, output.key, target)}"
    if output.delete:
        tables.change(f"delete from {target} where not exists (select 1 {partner})")
    others = [name for name in output.schema.names if name not in output.key]
    if others:
        sets = ", ".join(f"{quote(name)} = (select {tables.staged(name, 's.')} {partner})" for name in others)
        met = tables.change(f"update {target} set {sets} where exists (select 1 {partner})")
    else:
        met = tables.count(f"select count(*) from {target} where exists (select 1 {partner})")
    names, cells = map(quote, output.schema.names), (tables.staged(name, "s.") for name in output.schema.names)
    new = f"not exists (select 1 from {target} t where {same_key(tables, output.key)})"
    return met + tables.change(
        f"insert into {target} ({', '.join(names)}) select {', '.join(cells)} from {staging} s where {new}"
    )


def same_key(tables: Tables, key: Sequence[str], target: str = "t") -> str:
    """The condition that a row of ``target`` and one of the staging ``s`` have the same key."""
    return " and ".join(f"{target}.{tables.quote(name)} = {tables.staged(name, 's.')}" for name in key)


def _unusable(output: Output, problem: str) -> VeilError:
    return VeilError(
        "VEIL318", f"the merge key ({', '.join(output.key)}) {problem}",
        "name columns under `key:` that tell every row apart, or hold the rows back with a check that the key is there",
    )  # fmt: skip
