"""Incremental runs: which window is read, what lies in it, and where the checkpoint moves to.

With a checkpoint a run reads from the watermark, less the lag, up to the newest value when it begins. A merge reads the
watermark's own value again, because more rows may have come with it; an append must not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import (
    Advance,
    Checkpoint,
    Increment,
    IncrementalPlan,
    Plan,
    Receipt,
    Source,
    SourceColumn,
    Standing,
    Target,
    Window,
    Windowed,
)
from veilflow.run.request import Request
from veilflow.sources.casting import cast_values
from veilflow.sources.windows import earlier, largest, number_of, text_of, value_of

_UNITS_A_DAY = {"s": 86_400, "ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}


# --- what is read ------------------------------------------------------------------------


def begin(plan: Plan, target: Target, source: Source, request: Request) -> Increment | None:
    """The window of a new run. VEIL328 where the checkpoint is not one to go on from, VEIL200 for options that do not fit."""
    by = plan.incremental
    if by is None:
        refuse_window(request)
        return None
    since, until = (_given(name, text, by) for name, text in (("--since", request.since), ("--until", request.until)))
    if since is not None and until is not None and _number(since, by) >= _number(until, by):
        raise VeilError("VEIL200", "--since is not before --until", "--until is the first value that is not read")
    standing = target.standing(plan.pipeline)
    checkpoint = standing.checkpoint
    _refuse_repeated(plan, standing, request)
    if checkpoint is not None and checkpoint.meaning != by.meaning and not request.full:
        raise _other_meaning()
    low = since
    if since is None and checkpoint is not None and not request.full:
        low = earlier(checkpoint.watermark, by.lag, by.type.arrow)
    included = since is not None or plan.target.mode == "merge"
    high = until
    if until is None and isinstance(source, Windowed):
        high = source.newest(SourceColumn(by.column, by.type))
    window = Window(by.column, low, included, high, high_included=until is None)
    return Increment(window, checkpoint, moves=since is None or checkpoint is None)


def refuse_window(request: Request) -> None:
    """VEIL200 for a window, asked of a pipeline that has none."""
    if request.since is not None or request.until is not None or request.full:
        raise VeilError(
            "VEIL200", "--since, --until and --full are for incremental pipelines",
            "say `incremental: {column: …}` in the pipeline, or leave them out",
        )  # fmt: skip


def _given(option: str, text: str | None, by: IncrementalPlan) -> str | None:
    """What a person wrote, as a value of the column."""
    if text is None:
        return None
    found = cast_values(pa.array([text], pa.string()), replace(by.type, format=None))[0]
    if not found.is_valid:
        raise VeilError(
            "VEIL200", f'{option} is no {by.type.name}, which the column "{by.column}" holds',
            "for example 2026-01-31 for dates, 2026-01-31T12:00:00 for timestamps (UTC where the column has a zone)",
        )  # fmt: skip
    return text_of(found)


def _number(text: str, by: IncrementalPlan) -> Decimal:
    return number_of(value_of(text, by.type.arrow))


def _refuse_repeated(plan: Plan, standing: Standing, request: Request) -> None:
    """VEIL328 where an append would load rows that are there already."""
    if plan.target.mode != "append":
        return
    if standing.checkpoint is not None and (request.since is not None or request.full):
        raise VeilError(
            "VEIL328", "appending what was read before would load its rows a second time",
            "leave --since and --full out; `mode: merge` with a key can read a window again",
        )  # fmt: skip
    if standing.checkpoint is None and standing.published and request.since is None:
        raise VeilError(
            "VEIL328", "runs have loaded the table, and the pipeline has no checkpoint in it: appending everything could load rows twice",
            "say with --since from which value on rows are to be appended, or drop the table",
        )  # fmt: skip


def _other_meaning() -> VeilError:
    return VeilError(
        "VEIL328", "source, filters, treatments or column are others than when the rows in the table were loaded",
        "with `mode: merge`, `veil run --full` reads everything again and goes on from there; with append drop the table",
    )  # fmt: skip


def increment_document(found: Increment | None, watermark: str | None = None) -> dict[str, Any] | None:
    """As JSON holds it, with where the watermark stands behind the run."""
    if found is None:
        return None
    before = found.before
    return {
        "column": found.window.column,
        "window": {name: value for name, value in asdict(found.window).items() if name != "column"},
        "moves": found.moves,
        "watermark": {"before": before.watermark if before else None, "after": watermark},
        "meaning": before.meaning if before else None,
    }


def parse_increment(found: Mapping[str, Any] | None) -> Increment | None:
    """The inverse of ``increment_document``."""
    if found is None:
        return None
    before = found["watermark"]["before"]
    checkpoint = None if before is None else Checkpoint(found["meaning"], before)
    return Increment(Window(found["column"], **found["window"]), checkpoint, found["moves"])


def source_of(source: Source, increment: Increment | None) -> Source:
    """The source, or as little of it as holds the run's window."""
    return source.within(increment.window) if increment and isinstance(source, Windowed) else source


# --- where it moves to -------------------------------------------------------------------


def reached(plan: Plan, increment: Increment | None, receipts: Mapping[int, Receipt]) -> Checkpoint | None:
    """The checkpoint behind this run: never before the one that it began with; None while nothing was ever read."""
    by = plan.incremental
    if by is None or increment is None:
        return None
    if not increment.moves:
        return increment.before
    before = increment.before.watermark if increment.before else None
    watermark = largest([before, *(receipt.newest for receipt in receipts.values())], by.type.arrow)
    return None if watermark is None else Checkpoint(by.meaning, watermark)


def began_with(increment: Increment | None) -> Checkpoint | None:
    """The checkpoint that the run began with."""
    return increment.before if increment else None


def advance_of(plan: Plan, increment: Increment | None, receipts: Mapping[int, Receipt]) -> Advance | None:
    """What publishing writes; nothing where the checkpoint stays."""
    after = reached(plan, increment, receipts)
    if increment is None or not increment.moves or after is None:
        return None
    return Advance(plan.pipeline, increment.before, after)


def looks_for_new(increment: Increment | None) -> bool:
    """Whether a run that finds no row did what it is for."""
    return increment is not None and increment.moves and increment.before is not None


def refuse_future(plan: Plan, checkpoint: Checkpoint | None, today: date) -> None:
    """VEIL329 for a watermark more than a day ahead: it would hide every row that comes until then."""
    by = plan.incremental
    if by is None or checkpoint is None or by.type.name not in ("date", "timestamp"):
        return
    a_day = 1 if by.type.name == "date" else _UNITS_A_DAY[by.type.arrow.unit]
    last = ((today + timedelta(days=2)) - date(1970, 1, 1)).days * a_day
    if _number(checkpoint.watermark, by) >= last:
        raise VeilError(
            "VEIL329", f'the column "{by.column}" holds a time more than a day ahead, which would hide every row until then',
            "repair the row in the source, or leave it out by the source's query; --until reads the rows before it",
        )  # fmt: skip
