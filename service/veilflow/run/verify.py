"""The gate before publishing: do the books balance, did the checks hold, is the input still the same?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from veilflow.errors import VeilError, raise_all
from veilflow.model import CHUNKS_A_FILE, CheckPlan, Counts, FileIdentity, Plan, Receipt, TableOutcome
from veilflow.run.result import counts_of


def verify(
    plan: Plan,
    receipts: Mapping[int, Receipt],
    *,
    staged_rows: int,
    before: Sequence[FileIdentity],
    after: Sequence[FileIdentity],
    source: str,
    tables: Sequence[TableOutcome] = (),
    may_be_empty: bool = False,
) -> None:
    """Raise what forbids publishing: VEIL501, 502 (books), 306 (checks, limits), 309 (empty, unless it ``may_be_empty``:
    a run that looks for new rows), 310 (changed)."""
    counts = counts_of(receipts.values())
    _books(counts, receipts, staged_rows)
    changed = next((old.name for old, new in zip_longest(before, after) if old and old != new), None)
    if changed is not None:
        raise VeilError(
            "VEIL310", f"{changed} changed while it was read",
            "let the file be written whole before the run, best by a rename, and run again",
        )  # fmt: skip
    if counts.read == 0 and not (plan.allow_empty or may_be_empty):
        raise VeilError(
            "VEIL309", f"{source} has no row",
            "say `allow_empty: true` in the pipeline if an empty table is right",
        )  # fmt: skip
    raise_all([*_mostly(plan, receipts), *failed_wholes(plan, tables), *_limit(plan, counts)])


def _books(counts: Counts, receipts: Mapping[int, Receipt], staged_rows: int) -> None:
    if not counts.balance or not _gapless(receipts):
        raise VeilError(
            "VEIL501", f"{counts.read} rows were read, but {counts.loaded} loaded + {counts.quarantined} "
            f"quarantined + {counts.filtered} filtered do not add up over {len(receipts)} chunks",
            "this is a defect: please report it with `veil runs show last --json`",
        )  # fmt: skip
    refuse_other_rows(staged_rows, counts.loaded)


def refuse_other_rows(staged_rows: int, loaded: int) -> None:
    """VEIL502 where the staging does not hold what the receipts say."""
    if staged_rows != loaded:
        raise VeilError(
            "VEIL502", f"the staging table holds {staged_rows} rows, the receipts say {loaded}",
            "somebody else writes to the staging, or this is a defect; run again and report it if it stays",
        )  # fmt: skip


def _gapless(numbers: Iterable[int]) -> bool:
    """Whether no chunk is missing before another one of its file."""
    by_file: dict[int, set[int]] = {}
    for number in numbers:
        by_file.setdefault(number // CHUNKS_A_FILE, set()).add(number % CHUNKS_A_FILE)
    return all(found == set(range(len(found))) for found in by_file.values())


def _mostly(plan: Plan, receipts: Mapping[int, Receipt]) -> list[VeilError]:
    """``mostly`` is a share of the rows judged in the whole run, as Great Expectations defines it."""
    problems = []
    for number, check in enumerate(plan.checks):
        if check.on_fail == "warn":
            continue
        evaluated = sum(receipt.evaluated.get(str(number), 0) for receipt in receipts.values())
        failed = sum(receipt.failed.get(str(number), 0) for receipt in receipts.values())
        if evaluated and (evaluated - failed) / evaluated < check.mostly:
            problems.append(
                VeilError(
                    "VEIL306",
                    f"{check.title}: {failed:,} of {evaluated:,} rows fail, "
                    f"and the suite asks that at least {check.mostly * 100:g} % pass",
                    "look at the rows' reasons with `veil runs show last`; repair the source, or lower `mostly`",
                    check.place,
                )
            )
    return problems


def failed_wholes(plan: Plan, outcomes: Sequence[TableOutcome]) -> list[VeilError]:
    """Checks about a whole table that refuse; what was observed is not told, because it can be a person's value."""
    return [
        VeilError(
            "VEIL306", f"{check.title}: this does not hold over {outcome.evaluated:,} rows{_of_the_output(check)}"
            + (f", {outcome.failed:,} of them fail" if outcome.failed else ""),
            "repair the source, or the expectation; `on_fail: warn` publishes all the same", check.place,
        )
        for outcome in outcomes
        if not outcome.passed and (check := plan.checks[outcome.check]).on_fail == "refuse"
    ]  # fmt: skip


def _of_the_output(check: CheckPlan) -> str:
    return " of the table as it would be" if check.stage == "output" else ""


def _limit(plan: Plan, counts: Counts) -> list[VeilError]:
    if plan.max_quarantined is None or plan.max_quarantined.allows(counts.quarantined, counts.read):
        return []
    return [
        VeilError(
            "VEIL306",
            f"{counts.quarantined:,} of {counts.read:,} rows are in quarantine, more than "
            f"limits.max_quarantined ({plan.max_quarantined}) allows",
            "repair the source, or raise the limit in the pipeline",
        )
    ]
