"""The table of a database for the containers of rows that are held back, beside the staging of its runs.

One code for all databases, as with the metadata: a target hands in how a statement with ``?`` for its values runs, so a
container that is kept here commits with the chunk that it was held back from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from veilflow.model import Container
from veilflow.targets.metadata import Run

TABLE = "_veilflow_quarantine"
#: A container is split, so that no statement is larger than a server takes: MariaDB's may be set to a megabyte, and its
#: driver writes a byte as two.
_PART_BYTES = 1 << 18


def create_statement(table: str, short: str = "text", number: str = "bigint", content: str = "blob") -> str:
    """The table; the types are those of a name, a number and bytes in the database's own words."""
    return (
        f"create table if not exists {table} (run_id {short} not null, file {short} not null, part {number} not null,"
        f" content {content} not null, primary key (run_id, file, part))"
    )


def keep(run: Run, table: str, run_id: str, container: Container) -> None:
    """Write a container in the place of the one of its name."""
    where = "where run_id = ? and file = ?"
    # Only what is there is deleted: MariaDB locks the gap where nothing is, and two writers would wait for each other.
    if run(f"select 1 from {table} {where}", (run_id, container.name)):
        run(f"delete from {table} {where}", (run_id, container.name))
    for part, start in enumerate(range(0, len(container.data), _PART_BYTES)):
        content = container.data[start : start + _PART_BYTES]
        run(f"insert into {table} values (?, ?, ?, ?)", (run_id, container.name, part, content))


@dataclass(frozen=True, slots=True)
class TableContainers:
    """See ``model.Containers``. ``transaction`` runs statements that commit together at its end; it gives None where the
    table is not there."""

    transaction: Callable[[], AbstractContextManager[Run | None]]
    table: str
    run_id: str

    def place(self, name: str) -> str:
        return f"{self.table} of the target, run {self.run_id}, {name}"

    def names(self) -> set[str]:
        with self.transaction() as run:
            found = run(f"select distinct file from {self.table} where run_id = ?", (self.run_id,)) if run else ()
            return {name for (name,) in found}

    def read(self, name: str) -> bytes:
        with self.transaction() as run:
            sql = f"select content from {self.table} where run_id = ? and file = ? order by part"
            return b"".join(bytes(content) for (content,) in (run(sql, (self.run_id, name)) if run else ()))

    def write(self, container: Container) -> None:
        with self.transaction() as run:
            if run:
                keep(run, self.table, self.run_id, container)

    def remove(self, name: str) -> None:
        with self.transaction() as run:
            if run:
                run(f"delete from {self.table} where run_id = ? and file = ?", (self.run_id, name))
