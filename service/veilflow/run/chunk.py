"""What is done to one chunk: checks, bad cells, filters, treatments. Pure but for the checker it is handed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import VeilError
from veilflow.model import Checker, Chunk, FilterPlan, Plan, QuarantinedRow, Receipt, Surrogates, Window, row_number
from veilflow.run.treat import Keys, Rows, TreatedRows, treat
from veilflow.sources.windows import narrowed

#: Positions of failing rows that a receipt keeps per check, and a result tells.
FIRST = 5
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Work:
    """A plan with what it needs at hand: the derived keys, the checker, the digest's key, the run's id."""

    plan: Plan
    keys: Keys
    checker: Checker | None
    digest: Callable[[pa.Table], str]
    source: str
    run_id: str
    surrogates: Surrogates | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Treated:
    """A chunk after its treatment: rows to load, rows to hold back, and the receipt that goes with both.

    ``kept`` says for each row to load which row of the chunk it was.
    """

    rows: pa.Table
    kept: Rows
    quarantined: tuple[QuarantinedRow, ...]
    receipt: Receipt


def reason_key(kind: str, column: str | None, reason: str) -> str:
    """The text under which a receipt counts rows held back for one reason."""
    return json.dumps([kind, column, reason])


def process(chunk: Chunk, work: Work) -> Treated:
    """Check every row, hold back what fails, filter the rest, treat what is left.

    Raises VeilError: VEIL213 where the plan refuses bad rows, VEIL103 where a treatment fails, VEIL310 where the
    chunk has other columns than the plan decided.
    """
    plan, source = work.plan, chunk.file or work.source
    _same_columns(chunk, plan, source)
    chunk = narrowed(chunk, work.window)
    reasons: dict[int, list[str]] = {}
    failures: Counter[str] = Counter()
    evaluated: dict[str, int] = {}
    failed: dict[str, int] = {}
    first: dict[str, list[int]] = {}
    held = np.zeros(chunk.raw.num_rows, dtype=bool)
    for outcome in work.checker.check(chunk) if work.checker else ():
        check = plan.checks[outcome.check]
        evaluated[str(outcome.check)] = outcome.evaluated
        failed[str(outcome.check)] = len(outcome.failed)
        if len(outcome.failed):
            first[str(outcome.check)] = [int(position) for position in chunk.positions[outcome.failed[:FIRST]]]
        if check.on_fail != "warn":
            _hold(outcome.failed, f"{check.type} ({check.column})", held, reasons)
    passed_checks = ~held
    for bad in chunk.bad_cells:
        rows = bad.rows[passed_checks[bad.rows]]
        if len(rows):
            if plan.on_bad_row == "refuse":
                raise _bad_row(source, int(chunk.positions[rows[0]]), f'column "{bad.column}" {bad.reason}')
            failures[reason_key("cell", bad.column, bad.reason)] += len(rows)
            _hold(rows, f"{bad.column}: {bad.reason}", held, reasons)
    if chunk.rejected and plan.on_bad_row == "refuse":
        raise _bad_row(source, chunk.rejected[0].position, chunk.rejected[0].reason)
    failures.update(reason_key("row", None, row.reason) for row in chunk.rejected)
    keep = ~held & _filters(chunk.values, plan.filters)
    rows, kept = _treat(chunk, keep, work, held, reasons, failures)
    quarantined = tuple(
        QuarantinedRow(row, int(chunk.positions[row]), tuple(why)) for row, why in sorted(reasons.items())
    ) + tuple(QuarantinedRow(None, row.position, (row.reason,), row.raw) for row in chunk.rejected)
    receipt = Receipt(
        chunk=chunk.number,
        read=chunk.rows_read,
        loaded=rows.num_rows,
        quarantined=len(quarantined),
        filtered=chunk.rows_read - rows.num_rows - len(quarantined),
        digest=work.digest(rows),
        failures=dict(failures),
        evaluated=evaluated,
        failed=failed,
        first=first,
        file=chunk.file,
        newest=chunk.newest,
    )
    return Treated(rows, kept, quarantined, receipt)


def _treat(
    chunk: Chunk, keep: Mask, work: Work, held: Mask, reasons: dict[int, list[str]], failures: Counter[str]
) -> tuple[pa.Table, Rows]:
    """The kept rows after treatment, without those that a treatment does not take: they are held back. And which rows
    of the chunk they were."""
    kept = np.flatnonzero(keep)
    values = chunk.values if keep.all() else chunk.values.filter(pa.array(keep))
    done: TreatedRows = treat(
        values,
        work.plan,
        work.keys,
        chunk.positions[kept],
        run_id=work.run_id,
        source=chunk.file or work.source,
        surrogates=work.surrogates,
    )
    if not done.unfit:
        return done.table, kept
    fits = np.ones(len(kept), dtype=bool)
    for cells in done.unfit:
        new = cells.rows[fits[cells.rows]]
        failures[reason_key("treatment", cells.column, cells.reason)] += len(new)
        _hold(kept[cells.rows], f"{cells.column}: {cells.reason}", held, reasons)
        fits[cells.rows] = False
    return done.table.filter(pa.array(fits)), kept[fits]


def _same_columns(chunk: Chunk, plan: Plan, source: str) -> None:
    """A file that was replaced after the plan was made may hold a column that no rule covers."""
    found, planned = set(chunk.raw.schema.names), {column.name for column in plan.columns}
    if found != planned:
        raise VeilError(
            "VEIL310", f"{source} has other columns than when it was planned: "
            + ", ".join(f'"{name}"' for name in sorted(found ^ planned)),
            "let the file be written whole before the run, best by a rename, and run again",
        )  # fmt: skip


def _hold(rows: Sequence[int] | np.ndarray[Any, Any], reason: str, held: Mask, reasons: dict[int, list[str]]) -> None:
    held[rows] = True
    for row in rows:
        reasons.setdefault(int(row), []).append(reason)


def _bad_row(source: str, position: int, reason: str) -> VeilError:
    return VeilError(
        "VEIL213",
        f"row {row_number(position)} of {source} cannot be used: {reason}",
        "repair the file, or say `on_bad_row: quarantine` in the pipeline's source to hold such rows back",
    )


# --- filters -----------------------------------------------------------------------------

_COMPARISONS: dict[str, Callable[..., Any]] = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal,
    ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def _filters(values: pa.RecordBatch, filters: Sequence[FilterPlan]) -> Mask:
    keep = np.ones(values.num_rows, dtype=bool)
    for rule in filters:
        keep &= np.asarray(pc.fill_null(_holds(values.column(rule.column), rule), False).to_numpy(zero_copy_only=False), dtype=bool)  # fmt: skip
    return keep


def _holds(column: pa.Array, rule: FilterPlan) -> pa.Array:
    if rule.op in ("is_null", "not_null"):
        return pc.is_null(column) if rule.op == "is_null" else pc.is_valid(column)
    if rule.op in ("in", "not_in"):
        found = pc.is_in(column, value_set=pa.array(rule.value).cast(column.type))
        found = found if rule.op == "in" else pc.invert(found)
        return pc.and_(found, pc.is_valid(column))
    return _COMPARISONS[rule.op](column, pa.scalar(rule.value).cast(column.type))
