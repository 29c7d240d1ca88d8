"""Incremental runs: which window is read, what lies in it, and where the checkpoint moves to.

With a checkpoint a run reads from the watermark, less the lag, up to the newest value when it begins. A merge reads the
watermark's own value again, because more rows may have come with it; an append must not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import (
    Advance,
    Checkpoint,
    FileIdentity,
    Increment,
    IncrementalPlan,
    Plan,
    Receipt,
    Selectable,
    Source,
    SourceColumn,
    Standing,
    Target,
    Window,
    Windowed,
)
from veilflow.run.again import answered
from veilflow.run.new_files import begin_files
from veilflow.run.request import Request
from veilflow.sources.casting import cast_values
from veilflow.sources.windows import earlier, largest, number_of, text_of, value_of

_UNITS_A_DAY = {"s": 86_400, "ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}


# --- what is read ------------------------------------------------------------------------


def begin(
    plan: Plan, target: Target, source: Source, files: Sequence[FileIdentity], keys: Sequence[bytes], request: Request
) -> Increment | None:  # fmt: skip
    """What a new run reads: a window, or new files. VEIL328 where the checkpoint is not one to go on from, VEIL200 for options that do not fit."""
    by = plan.incremental
    if by is None:
        refuse_window(request)
        return None
    standing = answered(lambda: target.standing(plan.pipeline))
    _refuse_repeated(plan, standing, request)
    checkpoint = standing.checkpoint
    if checkpoint is not None and checkpoint.meaning != by.meaning and not request.full:
        raise _other_meaning()
    if by.column is None:
        return begin_files(plan, standing, source, files, keys, request)
    return _begin_window(by, by.column, plan.target.mode == "merge", checkpoint, source, request)


def _begin_window(
    by: IncrementalPlan, column: str, merges: bool, checkpoint: Checkpoint | None, source: Source, request: Request
) -> Increment:  # fmt: skip
    since, until = (_given(name, text, by) for name, text in (("--since", request.since), ("--until", request.until)))
    if since is not None and until is not None and _number(since, by) >= _number(until, by):
        raise VeilError("VEIL200", "--since is not before --until", "--until is the first value that is not read")
    low = since
    if since is None and checkpoint is not None and checkpoint.watermark is not None and not request.full:
        low = earlier(checkpoint.watermark, by.lag, by.type.arrow)
    high = until
    if until is None and isinstance(source, Windowed):
        looked_at = SourceColumn(column, by.type)
        high = answered(lambda: source.newest(looked_at))
    window = Window(column, low, since is not None or merges, high, high_included=until is None)
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
    if standing.checkpoint is None and standing.published and request.since is None and not request.full:
        raise VeilError(
            "VEIL328", "runs have loaded the table, and the pipeline has no checkpoint in it: appending everything could load rows twice",
            "say with --since from which value on rows are to be appended, or with --full that it is everything, or drop the table",
        )  # fmt: skip


def _other_meaning() -> VeilError:
    return VeilError(
        "VEIL328", "source, filters, treatments or column are others than when the rows in the table were loaded",
        "with `mode: merge`, `veil run --full` reads everything again and goes on from there; with append drop the table",
    )  # fmt: skip


def fixed_document(found: Increment | None) -> dict[str, Any] | None:
    """All of it, as JSON holds it."""
    return None if found is None else asdict(found)


def parse_fixed(found: Mapping[str, Any] | None) -> Increment | None:
    """The inverse of ``fixed_document``."""
    if found is None:
        return None
    window, before, chosen = found["window"], found["before"], found["chosen"]
    parts = {
        "window": None if window is None else Window(**window),
        "before": None if before is None else Checkpoint(**before),
        "chosen": None if chosen is None else tuple(chosen),
    }
    return Increment(**{**found, **parts})


def increment_document(found: Increment | None, watermark: str | None = None) -> dict[str, Any] | None:
    """What a run's document tells of it, with where the watermark stands behind the run."""
    if found is None:
        return None
    before, window = found.before, None if found.window is None else asdict(found.window)
    return {
        "column": window.pop("column") if window else None,
        "window": window,
        "files": None if found.files_read is None else {"read": found.files_read, "skipped": found.files_skipped},
        "moves": found.moves,
        "watermark": {"before": before.watermark if before else None, "after": watermark},
        "goes_on_from": before.revision if before else None,
    }


def parse_increment(found: Mapping[str, Any] | None) -> Increment | None:
    """What ``increment_document`` tells: counts, and no file."""
    if found is None:
        return None
    revision, files = found["goes_on_from"], found["files"]
    return Increment(
        window=None if found["window"] is None else Window(found["column"], **found["window"]),
        before=None if revision is None else Checkpoint("", found["watermark"]["before"], revision=revision),
        moves=found["moves"],
        files_read=files["read"] if files else None,
        files_skipped=files["skipped"] if files else 0,
    )


# --- what it means for the run -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of its source a run reads, and where that leaves the checkpoint; without an increment all of it, and no
    checkpoint."""

    increment: Increment | None

    @property
    def window(self) -> Window | None:
        """What is read of a column; None: all that the source gives."""
        return self.increment.window if self.increment else None

    @property
    def looks_for_new(self) -> bool:
        """Whether a run that finds no row did what it is for."""
        return self.increment is not None and self.increment.moves and self.increment.before is not None

    def files(self, files: tuple[FileIdentity, ...]) -> tuple[FileIdentity, ...]:
        """Those that the run reads."""
        if self.increment is None or self.increment.chosen is None:
            return files
        chosen = set(self.increment.chosen)
        return tuple(file for file in files if file.name in chosen)

    def source(self, source: Source) -> Source:
        """The source, or as little of it as holds what the run reads."""
        increment = self.increment
        if increment is None:
            return source
        if increment.chosen is not None and isinstance(source, Selectable):
            return source.only(increment.chosen)
        return source.within(increment.window) if increment.window and isinstance(source, Windowed) else source

    def reached(self, plan: Plan, receipts: Mapping[int, Receipt]) -> Checkpoint | None:
        """The checkpoint behind this run: never before the one that it began with; None while nothing was ever read."""
        by, increment = plan.incremental, self.increment
        if by is None or increment is None:
            return None
        if not increment.moves:
            return increment.before
        if by.column is None:
            return Checkpoint(by.meaning, None, increment.files, increment.key)
        # That of another meaning is one of another column, perhaps: a full run sets it anew.
        goes_on = increment.before is not None and increment.before.meaning == by.meaning
        before = increment.before.watermark if increment.before and goes_on else None
        watermark = largest([before, *(receipt.newest for receipt in receipts.values())], by.type.arrow)
        return None if watermark is None else Checkpoint(by.meaning, watermark)

    def watermark(self, plan: Plan | None, receipts: Mapping[int, Receipt], moved: bool) -> str | None:
        """Where it stands behind a run: where it ``moved``, at what was reached, else at what the run began with."""
        before = self.increment.before if self.increment else None
        found = self.reached(plan, receipts) if plan and moved else before
        return found.watermark if found else None

    def advance(self, plan: Plan, receipts: Mapping[int, Receipt]) -> Advance | None:
        """What publishing writes; nothing where the checkpoint stays."""
        increment, after = self.increment, self.reached(plan, receipts)
        if increment is None or not increment.moves or after is None:
            return None
        return Advance(plan.pipeline, increment.before, after)

    def refuse_future(self, plan: Plan, receipts: Mapping[int, Receipt], today: date) -> None:
        """VEIL329 for a watermark more than a day ahead: it would hide every row that comes until then."""
        by, checkpoint = plan.incremental, self.reached(plan, receipts)
        if by is None or checkpoint is None or checkpoint.watermark is None:
            return
        if by.type.name not in ("date", "timestamp"):
            return
        a_day = 1 if by.type.name == "date" else _UNITS_A_DAY[by.type.arrow.unit]
        last = ((today + timedelta(days=2)) - date(1970, 1, 1)).days * a_day
        if _number(checkpoint.watermark, by) >= last:
            raise VeilError(
                "VEIL329", f'the column "{by.column}" holds a time more than a day ahead, which would hide every row until then',
                "repair the row in the source, or leave it out by the source's query; --until reads the rows before it",
            )  # fmt: skip
