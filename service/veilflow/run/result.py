"""A run's outcome as values and as the ``veilflow/run/1`` document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from veilflow.errors import Place, VeilError
from veilflow.model import (
    ROWS_A_FILE,
    Access,
    CheckCount,
    CheckPlan,
    Counts,
    ErrorRecord,
    Plan,
    QuarantineCount,
    Receipt,
    RunResult,
    TableOutcome,
    Waived,
)
from veilflow.run.chunk import FIRST
from veilflow.run.incremental import increment_document, parse_increment


def counts_of(receipts: Iterable[Receipt]) -> Counts:
    """The sums over all chunks."""
    found = tuple(receipts)
    return Counts(
        read=sum(receipt.read for receipt in found),
        loaded=sum(receipt.loaded for receipt in found),
        quarantined=sum(receipt.quarantined for receipt in found),
        filtered=sum(receipt.filtered for receipt in found),
    )


def quarantine_of(plan: Plan, receipts: Iterable[Receipt]) -> tuple[QuarantineCount, ...]:
    """Rows held back per check and per reason; a row that fails twice counts under both."""
    checks: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    for receipt in receipts:
        checks.update({int(number): rows for number, rows in receipt.failed.items()})
        reasons.update(receipt.failures)
    rows = [
        QuarantineCount(check.type, check.column, check.title, checks[number], check.place)
        for number, check in enumerate(plan.checks)
        if checks[number] and check.on_fail != "warn"
    ]
    for key, count in sorted(reasons.items()):
        _kind, column, reason = json.loads(key)
        rows.append(QuarantineCount(None, column, reason, count))
    return tuple(rows)


def checks_of(plan: Plan, receipts: Iterable[Receipt], tables: Sequence[TableOutcome] = ()) -> tuple[CheckCount, ...]:
    """What every check came to over all chunks, in the plan's order."""
    found = sorted(receipts, key=lambda receipt: receipt.chunk)
    judged = {outcome.check: outcome for outcome in tables}
    return tuple(
        _check_count(check, str(number), found)
        if (check.kind, check.stage) == ("row", "source")
        else _whole_count(check, judged.get(number))
        for number, check in enumerate(plan.checks)
    )


def _whole_count(check: CheckPlan, outcome: TableOutcome | None) -> CheckCount:
    """A check that was not judged (the run ended before) did not pass."""
    evaluated, failed, passed = (outcome.evaluated, outcome.failed, outcome.passed) if outcome else (0, 0, False)
    return CheckCount(
        check.type, check.column, check.title, check.kind, check.engine, check.on_fail, evaluated, failed, passed, (),
        check.place, check.stage, other_held=None if outcome is None else outcome.other_held,
    )  # fmt: skip


def _check_count(check: CheckPlan, number: str, receipts: Sequence[Receipt]) -> CheckCount:
    evaluated = sum(receipt.evaluated.get(number, 0) for receipt in receipts)
    failed = sum(receipt.failed.get(number, 0) for receipt in receipts)
    first = [(one.file, position) for one in receipts for position in one.first.get(number, ())][:FIRST]
    passed = not evaluated or (evaluated - failed) / evaluated >= (check.mostly or 1.0)
    return CheckCount(
        check.type, check.column, check.title, "row", check.engine, check.on_fail, evaluated, failed, passed,
        tuple(position % ROWS_A_FILE for _file, position in first), check.place,
        first_files=tuple(file for file, _position in first if file is not None),
    )  # fmt: skip


def error_records(error: VeilError) -> tuple[ErrorRecord, ...]:
    return tuple(ErrorRecord(one.code, one.problem, one.hint, one.place) for one in error.parts)


def place_document(place: Place | None) -> dict[str, Any] | None:
    return None if place is None else {"file": place.file, "line": place.line, "column": place.column}


def error_document(error: ErrorRecord | VeilError) -> dict[str, Any]:
    """One error of the contract's JSON."""
    return {
        "code": error.code,
        "problem": error.problem,
        "hint": error.hint,
        "place": place_document(error.place),
    }


def run_document(result: RunResult) -> dict[str, Any]:
    """The ``veilflow/run/1`` document of CONTRACT: what ``--json`` prints and the state keeps."""
    counts = result.counts
    return {
        "schema": "veilflow/run/1",
        "run_id": result.run_id,
        "parent_run": result.parent_run,
        "pipeline": result.pipeline,
        "environment": result.environment,
        "orchestrator": result.orchestrator,
        "status": result.status,
        "exit_status": result.exit_status,
        "mode": result.mode,
        "counts": {
            "read": counts.read,
            "loaded": counts.loaded,
            "quarantined": counts.quarantined,
            "filtered": counts.filtered,
        },
        "quarantine": [
            {
                "expectation": row.expectation,
                "column": row.column,
                "reason": row.reason,
                "rows": row.rows,
                "place": place_document(row.place),
            }
            for row in result.quarantine
        ],
        "checks": [
            {
                **asdict(check),
                "first": list(check.first),
                "first_files": list(check.first_files),
                "place": place_document(check.place),
            }
            for check in result.checks
        ],
        "plan_hash": result.plan_hash,
        "key_versions": dict(result.key_versions),
        "pinned_key_version": result.pinned_key_version,
        "left_key_versions": None if result.left_key_versions is None else dict(result.left_key_versions),
        "target": {
            "kind": result.target_kind,
            "table": result.target_table,
            "location": result.target_location,
        },
        "chunks": result.chunks,
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "peak_memory_bytes": result.peak_memory_bytes,
        "errors": [error_document(error) for error in result.errors],
        "started": result.started,
        "ended": result.ended,
        "accesses": [asdict(access) for access in result.accesses],
        "dry_run": result.dry_run,
        "resumable": result.resumable,
        "resumed_chunks": result.resumed_chunks,
        "incremental": increment_document(result.increment, result.watermark),
        "waived": None if result.waived is None else asdict(result.waived),
    }


def result_from_document(document: Mapping[str, Any]) -> RunResult:
    """The inverse of ``run_document``."""
    target = document["target"]
    return RunResult(
        **{
            name: document[name]
            for name in (
                "run_id", "parent_run", "pipeline", "environment", "orchestrator", "status", "exit_status",
                "mode", "plan_hash", "key_versions", "chunks", "seconds", "peak_memory_bytes", "started", "ended",
            )
        },
        counts=Counts(**document["counts"]),
        quarantine=tuple(
            QuarantineCount(row["expectation"], row["column"], row["reason"], row["rows"], _place(row["place"]))
            for row in document["quarantine"]
        ),
        checks=tuple(
            CheckCount(
                **{
                    **check,
                    "first": tuple(check["first"]),
                    "first_files": tuple(check.get("first_files", ())),
                    "place": _place(check["place"]),
                }
            )
            for check in document.get("checks", ())
        ),
        pinned_key_version=document.get("pinned_key_version"),
        left_key_versions=document.get("left_key_versions"),
        accesses=tuple(Access(**access) for access in document.get("accesses", ())),
        dry_run=document.get("dry_run", False),
        resumable=document.get("resumable", False),
        resumed_chunks=document.get("resumed_chunks"),
        increment=parse_increment(incremental := document.get("incremental")),
        watermark=incremental and incremental["watermark"]["after"],
        waived=None if (waived := document.get("waived")) is None else Waived(**waived),
        target_kind=target["kind"],
        target_table=target["table"],
        target_location=target["location"],
        errors=tuple(
            ErrorRecord(error["code"], error["problem"], error["hint"], _place(error["place"]))
            for error in document["errors"]
        ),
    )  # fmt: skip


def _place(document: Mapping[str, Any] | None) -> Place | None:
    return None if document is None else Place(document["file"], document["line"], document["column"])
