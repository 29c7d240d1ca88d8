"""The gate before publishing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from veilflow.errors import Place, VeilError
from veilflow.model import CheckPlan, FileIdentity, Limit, Receipt
from veilflow.run.verify import verify

FILE = FileIdentity("people.csv", 100, 1)
CHECK = CheckPlan("expect_x", ("a",), {}, 0.9, "a is x", Place("s.yaml", 3))


def receipt(number: int, **changes: Any) -> Receipt:
    facts: dict[str, Any] = {
        "chunk": number, "read": 100, "loaded": 95, "quarantined": 5, "filtered": 0, "digest": "",
        "failures": {}, "evaluated": {"0": 100}, "failed": {"0": 5},
    }  # fmt: skip
    return Receipt(**(facts | changes))


def judge(receipts: list[Receipt], *, staged: int | None = None, after: FileIdentity = FILE, **plan: Any) -> None:
    facts = {"checks": (CHECK,), "max_quarantined": None, "allow_empty": False} | plan
    verify(
        SimpleNamespace(**facts),  # type: ignore[arg-type]
        {one.chunk: one for one in receipts},
        staged_rows=sum(one.loaded for one in receipts) if staged is None else staged,
        before=(FILE,),
        after=(after,),
        source="people.csv",
    )


def test_passes_what_balances() -> None:
    """read = loaded + quarantined + filtered, staged = loaded, checks within `mostly`."""
    judge([receipt(0), receipt(1)])


@pytest.mark.parametrize(
    ("receipts", "changes", "code"),
    [
        ([receipt(0, loaded=94)], {}, "VEIL501"),
        ([receipt(0), receipt(2)], {}, "VEIL501"),
        ([receipt(0)], {"staged": 94}, "VEIL502"),
        ([receipt(0)], {"after": FileIdentity("people.csv", 101, 1)}, "VEIL310"),
        ([], {}, "VEIL309"),
        ([receipt(0, failed={"0": 11})], {}, "VEIL306"),
        ([receipt(0)], {"max_quarantined": Limit(share=0.04)}, "VEIL306"),
        ([receipt(0)], {"max_quarantined": Limit(rows=4)}, "VEIL306"),
    ],
)
def test_refuses_what_does_not(receipts: list[Receipt], changes: dict[str, Any], code: str) -> None:
    """Each gap has its code."""
    with pytest.raises(VeilError) as caught:
        judge(receipts, **changes)
    assert caught.value.code == code


def test_mostly_is_judged_over_the_whole_run() -> None:
    """One bad chunk among good ones does not refuse what Great Expectations would pass as a whole."""
    judge([receipt(0, failed={"0": 15}), receipt(1, failed={"0": 0})])
