"""The table ``_veilflow`` of a database: the staging of runs, receipts, publications and key versions.

One code for all databases: a target hands in how a statement with ``?`` for its values runs on its connection, so what
is written here commits with the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import Advance, Checkpoint, ColumnKey, Mode, Publication, Receipt, Standing

#: So long a run waits for the lock of a table: a server may notice late that a process has died, and that a connection
#: was cut, and gives the lock back then.
LOCK_SECONDS = 5

TABLE = "_veilflow"

#: Runs a statement with ``?`` for its values and returns its rows, if it has any.
Run = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]


def create_statement(short: str = "text", number: str = "bigint", long: str = "text") -> str:
    """The table; the types are those of a name, a number and a document in the database's own words."""
    return (
        f"create table if not exists {TABLE} (kind {short} not null, run_id {short} not null, target {short} not null,"
        f" number {number} not null, detail {long} not null, primary key (kind, run_id, target, number))"
    )


def receipt_values(run_id: str, target: str, receipt: Receipt) -> tuple[str, str, str, int, str]:
    """A receipt as a row of the table."""
    return ("receipt", run_id, target, receipt.chunk, json.dumps(asdict(receipt), sort_keys=True))


@dataclass(frozen=True, slots=True)
class Metadata:
    """What one run reads and writes there, in the transaction of the connection behind ``run``."""

    run: Run
    target: str
    run_id: str
    #: The rows are the table's own.
    again: bool = False

    def dead_runs(self) -> list[str]:
        """Other runs of this table that have a staging. Whoever holds the table's lock knows that they are dead."""
        rows = self.run(
            f"select run_id from {TABLE} where kind = 'staging' and target = ? and run_id <> ?",
            (self.target, self.run_id),
        )
        return [run_id for (run_id,) in rows]

    def forget(self, run_id: str) -> None:
        """Remove a run's receipts and the note of its staging."""
        self.run(f"delete from {TABLE} where kind in ('receipt', 'staging') and run_id = ?", (run_id,))

    def begin(self) -> None:
        """Note that this run has a staging; a second call changes nothing."""
        where = (self.run_id, self.target)
        if not self.run(f"select 1 from {TABLE} where kind = 'staging' and run_id = ? and target = ?", where):
            self.run(f"insert into {TABLE} values ('staging', ?, ?, 0, '{{}}')", where)

    def receipts(self) -> dict[int, Receipt]:
        """The run's receipts by chunk number."""
        rows = self.run(f"select detail from {TABLE} where kind = 'receipt' and run_id = ?", (self.run_id,))
        found = [Receipt(**json.loads(detail)) for (detail,) in rows]
        return {receipt.chunk: receipt for receipt in found}

    def has_receipt(self, number: int) -> bool:
        sql = f"select 1 from {TABLE} where kind = 'receipt' and run_id = ? and number = ?"
        return bool(self.run(sql, (self.run_id, number)))

    def publication(self, run_id: str) -> Publication | None:
        """Whether that run was published into this table."""
        rows = self.run(
            f"select detail from {TABLE} where kind = 'published' and run_id = ? and target = ?",
            (run_id, self.target),
        )
        return Publication(run_id, json.loads(rows[0][0])["rows"]) if rows else None

    def column_keys(self) -> dict[str, ColumnKey]:
        """The key of each column as the last publication left it."""
        rows = self.run(f"select detail from {TABLE} where kind = 'keys' and target = ?", (self.target,))
        return parse_keys(json.loads(rows[0][0])) if rows else {}

    def check_versions(self, mode: Mode, keys: Mapping[str, ColumnKey]) -> None:
        """VEIL313 where rows of another key version would stand beside those that are there."""
        if mode != "replace":
            refuse_other_versions(keys, self.column_keys())

    def standing(self, pipeline: str) -> Standing:
        """What is known of a pipeline of this table, which is there."""
        where = f"from {TABLE} where kind = 'published' and target = ?"
        published = self.run(f"select count(*) {where}", (self.target,))[0][0] > 0
        return Standing(self._checkpoint(pipeline), published)

    def _checkpoint(self, pipeline: str) -> Checkpoint | None:
        where = f"select detail from {TABLE} where kind = 'checkpoint' and run_id = ? and target = ?"
        rows = self.run(where, (pipeline, self.target))
        return Checkpoint(**json.loads(rows[0][0])) if rows else None

    def check_advance(self, advance: Advance | None, anew: bool) -> None:
        """VEIL328 where another run has moved the checkpoint, or somebody took it away. A table that is made ``anew``
        has none."""
        if advance is None:
            return
        there = None if anew else self._checkpoint(advance.pipeline)
        if (there and there.revision) != (advance.before and advance.before.revision):
            raise VeilError(
                "VEIL328", "the pipeline's checkpoint in the target is another one than when the run began",
                "another run has published meanwhile: run again, it goes on from there",
            )  # fmt: skip

    def _advance(self, advance: Advance | None, anew: bool) -> None:
        """Under the pipeline's name in the place of a run id: each pipeline of a table has its own."""
        if anew:
            self.run(f"delete from {TABLE} where kind = 'checkpoint' and target = ?", (self.target,))
        if advance is not None:
            where = (advance.pipeline, self.target)
            there = self._checkpoint(advance.pipeline)
            files = {**(there.files if there else {}), **advance.after.files}
            self.run(f"delete from {TABLE} where kind = 'checkpoint' and run_id = ? and target = ?", where)
            detail = json.dumps(asdict(replace(advance.after, files=files, revision=self.run_id)), sort_keys=True)
            self.run(f"insert into {TABLE} values ('checkpoint', ?, ?, 0, ?)", (*where, detail))

    def record(
        self,
        rows: int,
        keys: Mapping[str, ColumnKey],
        advance: Advance | None,
        anew: bool,
        added: Collection[str] = (),
    ) -> None:
        """Write the publication, the key of each column and the checkpoint; the run's receipts go. In a table
        that was made or emptied ``anew`` no pipeline has loaded anything before: every checkpoint goes. Columns that
        were ``added`` hold nothing but what this run made."""
        self.forget(self.run_id)
        self._advance(advance, anew and not self.again)
        published = (self.run_id, self.target, json.dumps({"rows": rows}))
        self.run(f"insert into {TABLE} values ('published', ?, ?, 0, ?)", published)
        now = keys if anew else beside(keys, self.column_keys()) | {n: key for n, key in keys.items() if n in added}
        self.run(f"delete from {TABLE} where kind = 'keys' and target = ?", (self.target,))
        self.run(f"insert into {TABLE} values ('keys', '', ?, 0, ?)", (self.target, keys_text(now)))


def keys_text(keys: Mapping[str, ColumnKey]) -> str:
    """The keys of columns as JSON; ``parse_keys`` is its inverse."""
    return json.dumps({name: asdict(key) for name, key in keys.items()}, sort_keys=True)


def parse_keys(document: Mapping[str, Any]) -> dict[str, ColumnKey]:
    return {name: ColumnKey(**key) for name, key in document.items()}


def beside(keys: Mapping[str, ColumnKey], there: Mapping[str, ColumnKey]) -> dict[str, ColumnKey]:
    """The keys of a table whose rows were made in part before; where they were made otherwise, nobody can say how."""
    both = {**there, **keys}
    return {
        name: key if keys.get(name) == there.get(name) else ColumnKey(key.version, None) for name, key in both.items()
    }


def refuse_other_versions(keys: Mapping[str, ColumnKey], there: Mapping[str, ColumnKey], other_way: str = "") -> None:
    """VEIL313 if a column of the target holds pseudonyms of another key version than this run makes. ``other_way`` is
    one out of it, for the hint."""
    other = {name: there[name].version for name, key in keys.items() if there.get(name, key).version != key.version}
    if not other:
        return
    listed = ", ".join(f"{name} (version {version})" for name, version in sorted(other.items()))
    versions = sorted(set(other.values()))
    pin = f"`--key-version {versions[0]}` goes on with that version; " if len(versions) == 1 else ""
    raise VeilError(
        "VEIL313", f"columns of the target hold pseudonyms of another key version: {listed}",
        f"{pin}{other_way}`mode: replace` loads the table anew under the active one",
    )  # fmt: skip


def same_shape(
    table: str,
    existing: Mapping[str, str],
    wanted: Mapping[str, str],
    fits: Callable[[str, str], bool],
    addable: Collection[str],
) -> tuple[str, ...]:
    """VEIL307 where the table that is there has other columns than the run's output, or a type that is another one and
    not one that ``fits`` (the type that is there, the type of the output): that takes a value as it is or refuses it.
    Returns the columns that it lacks, all of them ``addable``.
    """
    lacking = tuple(name for name in wanted if name not in existing)
    told = [f'"{name}" is missing' for name in lacking if name not in addable]
    told += [f'"{name}" is not in the plan' for name in existing if name not in wanted]
    told += [
        f'"{name}" is {kind}, the plan has {wanted[name]}'
        for name, kind in existing.items()
        if name in wanted and wanted[name] != kind and not fits(kind, wanted[name])
    ]
    refuse_differences(table, told)
    return lacking


def refuse_differences(table: str, told: Sequence[str]) -> None:
    """VEIL307 with every difference of a table that is there, if there is any."""
    if told:
        raise VeilError(
            "VEIL307", f'the table "{table}" exists with another shape: {"; ".join(told)}',
            "name another table, or change the existing one to the plan's columns and types, or drop it; `columns: evolve` in "
            "the target adds those that it lacks, but for a merge's key",
        )  # fmt: skip


def same_number(loaded: int, staged: int) -> int:
    """``loaded``, if it is what was staged. VEIL502 otherwise."""
    if loaded != staged:
        raise VeilError(
            "VEIL502", "the target took another number of rows than were staged",
            "look for triggers and rules on the table",
        )  # fmt: skip
    return loaded


def locked_out(table: str) -> VeilError:
    """VEIL308: another run holds the table."""
    return VeilError("VEIL308", f'another run is loading the table "{table}"', "wait until it has ended")
