"""A merge where the keys are texts of any length, which MariaDB can neither index whole nor join by hashing.

The staging gets a digest of the key with an index, so every row of the table finds its partner there at once.
"""

from __future__ import annotations

from veilflow.model import Output
from veilflow.targets.merging import Tables, same_key

_DIGEST, _MET = "_veilflow_key", "_veilflow_met"


def prepare(tables: Tables, output: Output) -> None:
    """Give the staging its index; DDL, so it comes before the transaction. A second call changes nothing."""
    tables.change(
        f"alter table {tables.staging} add column if not exists {_DIGEST} binary(32),"
        f" add column if not exists {_MET} tinyint not null default 0, add index if not exists {_DIGEST} ({_DIGEST})"
    )
    tables.change(f"update {tables.staging} as s set {_DIGEST} = {_digest(tables, output, 's')}, {_MET} = 0")


def merge(tables: Tables, output: Output) -> int:
    """As ``merging.merge``; the key was checked before."""
    target, staging, quote = tables.target, tables.staging, tables.quote
    if output.delete:
        tables.change(f"delete from {target} where not exists (select 1 from {staging} as s where {_same(tables, output, target)})")  # fmt: skip
    same = _same(tables, output, "t")
    sets = [f"s.{_MET} = 1"]
    sets += [f"t.{quote(name)} = s.{quote(name)}" for name in output.schema.names if name not in output.key]
    tables.change(f"update {target} as t straight_join {staging} as s on {same} set {', '.join(sets)}")
    met = tables.count(f"select count(*) from {staging} where {_MET} = 1")
    names = ", ".join(map(quote, output.schema.names))
    return met + tables.change(f"insert into {target} ({names}) select {names} from {staging} where {_MET} = 0")


def _same(tables: Tables, output: Output, target: str) -> str:
    return f"s.{_DIGEST} = {_digest(tables, output, target)} and {same_key(tables, output.key, target)}"


def _digest(tables: Tables, output: Output, table: str) -> str:
    key = ", ".join(f"hex({table}.{tables.quote(name)})" for name in output.key)
    return f"unhex(sha2(concat_ws(',', {key}), 256))"
