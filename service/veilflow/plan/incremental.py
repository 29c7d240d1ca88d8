"""Whether a pipeline may be loaded incrementally, and by what. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from veilflow.config import NamesConfig, PipelineConfig
from veilflow.config.objects import Lag
from veilflow.errors import VeilError
from veilflow.model import TEXT, ColumnPlan, ColumnType, IncrementalPlan
from veilflow.plan.meaning import digest
from veilflow.sources import FILE_KINDS
from veilflow.sources.windows import ORDERED_TYPES

_NO_LAG = Lag(Decimal(0), "0")
_DAY = 86_400


def incremental_plan(
    pipeline: PipelineConfig, columns: tuple[ColumnPlan, ...], names: NamesConfig | None,
    meaning: Mapping[str, Any], errors: list[VeilError],
) -> IncrementalPlan | None:  # fmt: skip
    """What ``incremental:`` comes to; what forbids it goes into ``errors``. None where a column of its name is missing."""
    config = pipeline.incremental
    if config is None:
        return None
    errors += [_refused(pipeline, *why) for why in _modes(pipeline)]
    if config.column is None:
        errors += [_refused(pipeline, *why) for why in _files(pipeline)]
        hashed = _meaning(pipeline, names, meaning)
        return IncrementalPlan(None, TEXT, Decimal(0), "0", hashed, config.changed_files)
    found = next((column for column in columns if column.name == config.column), None)
    if found is None:
        errors.append(
            VeilError("VEIL302", f'incremental names the column "{config.column}", which is not in the source',
                      "the source has: " + ", ".join(column.name for column in columns), config.place)
        )  # fmt: skip
        return None
    errors += [_refused(pipeline, *why) for why in (*_type(found), *_personal(found))]
    written = config.lag or _NO_LAG
    lag = _in_units(written, found.type)
    if lag is None:
        errors.append(
            VeilError("VEIL202", f'incremental.lag does not fit the column "{found.name}" of type {found.type.name}',
                      "a whole number for integers, a number for decimals, days for dates (3 d), a time for timestamps (15 min)", config.place)
        )  # fmt: skip
    elif lag and pipeline.target.mode == "append":
        errors.append(
            _refused(pipeline, "appending with a lag would load the rows within it a second time",
                     "say `mode: merge` with a key, or leave the lag out")
        )  # fmt: skip
    return IncrementalPlan(found.name, found.type, lag or Decimal(0), written.shown, _meaning(pipeline, names, meaning))


def _refused(pipeline: PipelineConfig, problem: str, hint: str) -> VeilError:
    assert pipeline.incremental is not None
    return VeilError("VEIL327", problem, hint, pipeline.incremental.place)


def _modes(pipeline: PipelineConfig) -> list[tuple[str, str]]:
    target = pipeline.target
    if target.mode == "replace":
        return [
            ("replacing the table by what is new would lose the rows that are not read again",
             "say `mode: merge` with a key, or `mode: append`")
        ]  # fmt: skip
    if target.delete:
        return [
            ("`delete: true` would remove every row that is merely not in the window",
             "leave `delete` out, or leave `incremental` out: only a run that reads the whole source knows what is gone")
        ]  # fmt: skip
    return []


def _files(pipeline: PipelineConfig) -> list[tuple[str, str]]:
    source, target = pipeline.source, pipeline.target
    if source.kind not in FILE_KINDS or not any(mark in source.shown for mark in "*?["):
        return [
            ("`files: new` is for a source of several files", "name them by a pattern, such as data/visits-*.csv, or take a column")
        ]  # fmt: skip
    if pipeline.incremental and pipeline.incremental.changed_files == "load" and target.mode == "append":
        return [
            ("appending a changed file once more would load its rows a second time",
             "say `mode: merge` with a key, or leave `changed_files` out")
        ]  # fmt: skip
    return []


def _type(column: ColumnPlan) -> list[tuple[str, str]]:
    if column.type.name in ORDERED_TYPES:
        return []
    return [
        (f'the column "{column.name}" is of type {column.type.name}, which has no one order or is not exact',
         "take a column of integers, decimals, dates or timestamps, or declare its type under `columns:`")
    ]  # fmt: skip


def _personal(column: ColumnPlan) -> list[tuple[str, str]]:
    """The watermark is one row's value, in clear, in the target, the run's record and the terminal."""
    kept = column.classification == "quasi_identifier" and column.treatment == "keep"
    if kept or column.classification == "non_personal":
        return []
    what = (column.classification or "without a class").replace("_", " ")
    return [
        (f'the watermark would tell a value of "{column.name}", which is {what}',
         "take a column of class non_personal, such as the time of the last change, or a quasi-identifier that is kept")
    ]  # fmt: skip


def _in_units(lag: Lag, kind: ColumnType) -> Decimal | None:
    """The lag in the column's unit; None if it does not fit."""
    if not lag.value:
        return Decimal(0)
    if kind.name in ("integer", "decimal"):
        whole = kind.name == "decimal" or lag.value == lag.value.to_integral_value()
        return lag.value if lag.unit is None and whole else None
    if lag.unit is None:
        return None
    return lag.value if kind.name == "timestamp" else lag.value / _DAY if not lag.value % _DAY else None


def _meaning(pipeline: PipelineConfig, names: NamesConfig | None, meaning: Mapping[str, Any]) -> str:
    """What rows mean that were loaded before: from where, which, and how they were treated."""
    connection = names.connections.get(pipeline.source.connection or "") if names else None
    assert pipeline.incremental is not None
    parts = [meaning["source"], connection.url if connection else None, meaning["columns"], meaning["filters"]]
    return digest([*parts, pipeline.incremental.column])
