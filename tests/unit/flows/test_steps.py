"""A step as a task of Prefect, where Prefect itself fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError

from veilflow.errors import PassingFault
from veilflow.flows import steps


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("all attempts failed: http://user:canary@127.0.0.1"),
        httpx.ReadTimeout("canary"),
        ConcurrencySlotAcquisitionError("Unable to acquire concurrency slots on ['canary']"),
    ],
)
def test_a_server_that_does_not_answer_is_no_defect_of_ours(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """VEIL403, a passing fault, so what is staged stays for a resumed run; without the text of Prefect's error."""

    def failing(**_settings: Any) -> Callable[[Any], Callable[[], None]]:
        def run() -> None:
            raise error

        return lambda _function: run

    monkeypatch.setattr(steps, "task", failing)
    with pytest.raises(PassingFault, match="VEIL403") as found:
        steps.as_task("stage", lambda: None)
    assert "canary" not in str(found.value) and found.value.__suppress_context__
