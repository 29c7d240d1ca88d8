"""Every column through its steps: the one place that applies treatments, for runs, previews and on-demand calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.errors import VeilError
from veilflow.model import ColumnPlan, DerivedKey, Plan, Seal, Step, Surrogates, row_number
from veilflow.treatments import TREATMENTS, Context, Unfit

Rows = np.ndarray[Any, np.dtype[np.int64]]
#: The derived keys of a run: by key domain, then by use.
Keys = Mapping[str, Mapping[str, DerivedKey]]


@dataclass(frozen=True, slots=True)
class UnfitCells:
    """Rows (indices into the rows that were treated) that a column's treatment does not take, and why."""

    column: str
    rows: Rows
    reason: str


@dataclass(frozen=True, slots=True)
class TreatedRows:
    """The loaded columns after their treatment; rows in ``unfit`` are to be held back, whatever stands in them."""

    table: pa.Table
    unfit: tuple[UnfitCells, ...]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is the same for every column of one call."""

    values: pa.RecordBatch
    positions: Rows
    run_id: str
    as_of: date
    source: str
    types: Mapping[str, pa.DataType]
    surrogates: Surrogates | None
    unfit: list[UnfitCells] = field(default_factory=list)


def treat(
    values: pa.RecordBatch,
    plan: Plan,
    keys: Keys,
    positions: Rows,
    *,
    run_id: str,
    source: str,
    surrogates: Surrogates | None = None,
) -> TreatedRows:
    """The loaded columns, each through its steps in order; rows and their order stay.

    Raises VeilError: VEIL314 for a value that a treatment does not take where the policy says ``refuse``, VEIL103
    where a treatment fails.
    """
    types = {column.name: column.type.arrow for column in plan.columns}
    facts = _Facts(values, positions, run_id, plan.as_of, source, types, surrogates)
    columns = [column for column in plan.columns if column.outcome == "load"]
    table = pa.table([_treat_column(column, keys, facts) for column in columns], schema=plan.output_schema)
    return TreatedRows(table, tuple(facts.unfit))


def _treat_column(column: ColumnPlan, keys: Keys, facts: _Facts) -> pa.Array:
    values = _plain(facts.values.column(column.name), column.type.arrow)
    own_keys = keys.get(column.key_domain, {}) if column.key_domain else {}
    try:
        for step in column.steps:
            values = _apply(step, values, column, own_keys, facts)
        return values if values.type == column.output else values.cast(column.output)
    except VeilError:
        raise
    except Exception as error:
        # The text of an Arrow error quotes the value, so only its kind is told.
        raise VeilError(
            "VEIL103", f'the treatment {column.treatment} of column "{column.name}" failed ({type(error).__name__})',
            "the plan should have refused this: please report it with `veil plan --json`", column.rule,
        ) from None  # fmt: skip


def _plain(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column in the plan's own type: sources may hand over dictionaries, large text and views."""
    if values.type == kind:
        return values
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if values.type == kind else values.cast(kind)


def _apply(step: Step, values: pa.Array, column: ColumnPlan, keys: Mapping[str, DerivedKey], facts: _Facts) -> pa.Array:
    treatment = TREATMENTS[step.treatment]
    context = Context(
        keys=keys,
        columns={
            name: _plain(facts.values.column(name), facts.types[name]) for name in treatment.reads(step.parameters)
        },
        positions=facts.positions,
        run_id=facts.run_id,
        as_of=facts.as_of,
        classification=column.classification,
        surrogates=_draw(facts.surrogates, column.key_domain),
    )
    if treatment.unfit is not None:
        for unfit in treatment.unfit(values, step.parameters, context):
            values = _hold(unfit, values, column, facts)
    treated = treatment.apply(values, step.parameters, context)
    if len(treated) != len(values):
        raise ValueError("a treatment changed the number of rows")
    return treated


def _draw(
    surrogates: Surrogates | None, key_domain: str | None
) -> Callable[[Sequence[bytes], Seal], list[bytes]] | None:
    """The mapping of one key domain."""
    return None if surrogates is None or key_domain is None else partial(surrogates.draw, key_domain)


def _hold(unfit: Unfit, values: pa.Array, column: ColumnPlan, facts: _Facts) -> pa.Array:
    """The values with null in the rows that do not fit, which are noted; VEIL314 where the policy refuses them."""
    if not len(unfit.rows):
        return values
    if unfit.then == "refuse":
        row = row_number(int(facts.positions[unfit.rows[0]]))
        raise VeilError(
            "VEIL314", f'row {row} of {facts.source}: column "{column.name}" {unfit.reason}, which its '
            f"treatment {column.treatment} does not take",
            "repair the row, let the policy say what happens to such values, or choose another treatment", column.rule,
        )  # fmt: skip
    facts.unfit.append(UnfitCells(column.name, unfit.rows, unfit.reason))
    fits = np.ones(len(values), dtype=bool)
    fits[unfit.rows] = False
    return pc.if_else(pa.array(fits), values, pa.scalar(None, values.type))
