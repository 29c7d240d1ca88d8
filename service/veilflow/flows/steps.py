"""One step of a run as a Prefect task: its retries, its time limit, its log line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from veilflow.errors import PassingFault, VeilError
from veilflow.run import Interrupted

T = TypeVar("T")
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a step is tried again after a passing fault, and how long one try may take."""

    retries: int
    timeout_seconds: float


#: A try that is cut off leaves only staging behind, and ``limits.timeout_seconds`` of the pipeline is the
#: limit that a person sets; these catch what hangs.
STEPS: dict[str, Limits] = {
    "discover": Limits(3, HOUR),
    "plan": Limits(3, HOUR),
    "stage": Limits(3, 24 * HOUR),
    "verify": Limits(3, HOUR),
    "publish": Limits(3, 6 * HOUR),
    "report": Limits(0, HOUR),
}
_BACKOFF_SECONDS = 1.0
_JITTER = 0.5


def as_task(step: str, function: Callable[[], T], /, *, cache_key: str | None = None) -> T:
    """Carry a step out as a task of the flow run that is active; its VeilError comes through.

    Nothing is cached or kept but what the step itself marks by a ``cache_key``: column names and types, as JSON.
    """
    limits = STEPS[step]
    as_prefect_task = task(
        name=step, task_run_name=step, tags=["veilflow"], log_prints=False,
        **(_KEEP_NOTHING if cache_key is None else _kept_under(f"veilflow-{step}-{cache_key}")),
        retries=limits.retries, retry_condition_fn=is_passing,
        retry_delay_seconds=exponential_backoff(backoff_factor=_BACKOFF_SECONDS), retry_jitter_factor=_JITTER,
        timeout_seconds=limits.timeout_seconds,
    )  # fmt: skip
    try:
        return as_prefect_task(_told(step, function))()
    except TerminationSignal as ended:
        # It came between Prefect's own lines. To the run it is a signal like any other.
        raise Interrupted(128 + ended.signal) from None
    except TimeoutError:
        raise VeilError(
            "VEIL312",
            f"the step {step} took longer than {limits.timeout_seconds:g} seconds",
            "look for what it waits for",
        ) from None
    except (httpx.HTTPError, ConcurrencySlotAcquisitionError):
        # Prefect asks its server before and after a step; the texts may quote the request.
        raise PassingFault(
            "VEIL403",
            f"Prefect's server did not answer around the step {step}",
            "check that it runs and that PREFECT_API_URL is right, then run again, or resume the run; --direct does without it",
        ) from None


_KEEP_NOTHING: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
_KEPT_FOR = timedelta(hours=1)


def _kept_under(key: str) -> dict[str, Any]:
    """Kept for an hour in Prefect's storage as JSON, never as pickle: who can write there may not run code here."""
    return {
        "cache_policy": CacheKeyFnPolicy(cache_key_fn=lambda _context, _parameters: key),
        "cache_expiration": _KEPT_FOR,
        "persist_result": True,
        "result_serializer": "json",
    }


def is_passing(_task: Any, _task_run: Any, state: Any) -> bool:
    """Whether a failed try is worth another: only where the fault may go away by itself."""
    return isinstance(state.result(raise_on_failure=False), PassingFault)


def _told(step: str, function: Callable[[], T]) -> Callable[[], T]:
    """The function with a log line about its duration, and with no exception that could carry a value."""

    def carry_out() -> T:
        began = time.monotonic()
        outcome = "failed"
        try:
            result = function()
            outcome = "succeeded"
            return result
        except VeilError as error:
            outcome = ",".join(part.code for part in error.parts)
            raise
        except TerminationSignal as ended:
            # To the run it is a signal like any other: it closes its books and gives its lock back.
            outcome = "interrupted"
            raise Interrupted(128 + ended.signal) from None
        except TimeoutError:
            raise TimeoutError from None
        except Exception as error:  # noqa: BLE001  # whatever it is, only its type may be told
            # Prefect stores the text of an exception, and any text but our own may quote a row.
            raise VeilError(
                "VEIL100", f"a defect in Veilflow ({type(error).__name__} in the step {step})",
                "please report it with the version and the command; the error's text is not shown, it may carry data",
            ) from None  # fmt: skip
        finally:
            get_run_logger().info("step=%s outcome=%s seconds=%.3f", step, outcome, time.monotonic() - began)

    return carry_out
