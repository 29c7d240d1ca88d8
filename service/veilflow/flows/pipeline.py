"""The flow: one run of one pipeline, under its own name in Prefect, with its counts as artifacts."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.events.worker import EventsWorker
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Failed

from veilflow.config import find_project, settings
from veilflow.errors import VeilError
from veilflow.flows.steps import as_task
from veilflow.model import RunResult
from veilflow.run import Interrupted, OnProgress, Request, execute
from veilflow.run.variation import Variation
from veilflow.secret_stores.session import Session
from veilflow.state import new_run_id

HEARTBEAT_VARIABLE = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
CONSOLE_VARIABLE = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"


@dataclass(slots=True)
class _Caller:
    """What ``run_with_prefect`` hands into the flow beside its parameters, and gets back whatever happens."""

    request: Request
    on_progress: OnProgress | None
    session: Session | None = None
    variation: Variation | None = None
    result: RunResult | None = None


_CALLER: ContextVar[_Caller | None] = ContextVar("veilflow_caller", default=None)


@flow(
    name="veilflow-pipeline", flow_run_name="{pipeline}", persist_result=False, validate_parameters=True,
    log_prints=False, retries=0,
)  # fmt: skip
def run_pipeline(
    pipeline: str, project: str | None = None, environment: str | None = None, key_version: int | None = None,
    since: str | None = None, until: str | None = None, full: bool = False,
) -> RunResult:  # fmt: skip
    """Run a pipeline as a flow, or as a subflow of the caller's flow.

    ``project`` is the project's directory (default: the working directory or above), ``environment`` defaults to
    VEIL_ENV, ``key_version`` to the key ring's active one. ``since``, ``until`` and ``full`` are what they are to
    ``veil run``. Returns the result of a run that succeeded and raises VeilError with the codes of any other.
    """
    caller = _CALLER.get()
    _CALLER.set(None)
    request = (
        caller.request
        if caller
        else Request(
            find_project(Path(project) if project else None), environment or settings().environment, pipeline,
            key_version=key_version, since=since, until=until, full=full,
        )
    )  # fmt: skip
    run_id = request.resumes or new_run_id()
    _name(request, run_id)
    try:
        result = _carry_out(caller or _Caller(request, None), run_id)
    except VeilError as error:
        return _failed(error)
    if caller:
        caller.result = result
    _tell(result)
    if result.status == "interrupted":
        # Prefect asked for the end of a deployed run, and has to see that it came, to call it cancelled.
        raise (Interrupted(result.exit_status) if caller else TerminationSignal(max(result.exit_status - 128, 0)))
    if result.status != "succeeded":
        return _failed(_failure(result))
    return result


def run_with_prefect(
    request: Request,
    on_progress: OnProgress | None = None,
    session: Session | None = None,
    variation: Variation | None = None,
) -> RunResult:
    """Run a pipeline as a flow and return its result however it ended; the flow's state in Prefect says the same.

    ``variation`` stays in this process: neither its rows nor its private keys are parameters of the flow.

    VEIL403 if Prefect's server fails before the run began; ``Interrupted`` if a signal ended it without a result.
    """
    caller = _Caller(request, on_progress, session, variation)
    token = _CALLER.set(caller)
    try:
        with _quick():
            run_pipeline(
                request.pipeline, str(request.project), request.environment, request.key_version,
                request.since, request.until, request.full,
            )  # fmt: skip
    except (VeilError, Interrupted) as error:
        if caller.result is None:
            raise error from None
    except TerminationSignal as ended:
        if caller.result is None:
            raise Interrupted(128 + ended.signal) from None
    except Exception as error:  # noqa: BLE001  # the run is over, or never began: neither may show Prefect's text
        if caller.result is None:
            raise VeilError(
                "VEIL403", f"Prefect's server did not take the run ({type(error).__name__})",
                "check PREFECT_API_URL and the server's log, or use `veil run --direct`",
            ) from None  # fmt: skip
    finally:
        _CALLER.reset(token)
        _send_what_waits()
    assert caller.result is not None
    return caller.result


def _carry_out(caller: _Caller, run_id: str) -> RunResult:
    try:
        return execute(
            caller.request, run_id=run_id, call=as_task, orchestrator="prefect", on_progress=caller.on_progress,
            session=caller.session, variation=caller.variation,
        )  # fmt: skip
    except VeilError:
        raise
    except Exception as error:  # noqa: BLE001  # Prefect stores and pickles what leaves a flow: never a foreign text
        raise VeilError(
            "VEIL100", f"a defect in Veilflow ({type(error).__name__} around the steps)",
            "please report it with the version and the command; the error's text is not shown, it may carry data",
        ) from None  # fmt: skip


@contextmanager
def _quick() -> Iterator[None]:
    """Without Prefect's heartbeat, whose thread costs a second at the end, and without its lines on the terminal,
    which is the command's own, unless the user asked for either."""
    if CONSOLE_VARIABLE not in os.environ:
        for handler in logging.getLogger("prefect").handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.setLevel(logging.CRITICAL)
    if HEARTBEAT_VARIABLE in os.environ:
        yield
        return
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _failed(error: VeilError) -> RunResult:
    """The end of a flow that failed, for its caller the same as ``raise error``.

    A state, because Prefect pickles what a flow raises into its storage and holds this one in memory only.
    """
    return Failed(message=str(error), data=error)  # type: ignore[return-value]


def _failure(result: RunResult) -> VeilError:
    """The error that Prefect stores: codes only."""
    codes = tuple(dict.fromkeys(error.code for error in result.errors))
    return VeilError(
        codes[0] if codes else "VEIL100",
        f"the run {result.run_id} of {result.pipeline} was {result.status}: {', '.join(codes) or 'no error recorded'}",
        f"veil report {result.run_id} tells more; nothing was published unless it says so",
    )


def _name(request: Request, run_id: str) -> None:
    """Give the flow run its name and tags before the run begins, so that it is found while it runs."""
    tags = ("veilflow", f"pipeline:{request.pipeline}", f"environment:{request.environment}")
    _quietly(lambda: _update_flow_run(tags, name=f"{request.pipeline}-{run_id}"), "name")


def _tell(result: RunResult) -> None:
    """Log line, status tag and artifacts of the flow run. The run has ended: none of this can fail it."""
    counts = result.counts
    get_run_logger().info(
        "run=%s pipeline=%s status=%s read=%d loaded=%d quarantined=%d filtered=%d",
        result.run_id, result.pipeline, result.status, counts.read, counts.loaded, counts.quarantined, counts.filtered,
    )  # fmt: skip
    _quietly(lambda: _update_flow_run((f"status:{result.status}",)), "status")
    _quietly(lambda: _publish_artifacts(result), "artifacts")


def _quietly(tell_prefect: Callable[[], None], what: str) -> None:
    """Prefect's pages are a mirror of the run, not a part of it: what they miss is a warning."""
    try:
        tell_prefect()
    except Exception as error:  # noqa: BLE001  # any of Prefect's or httpx's; their text may quote the request
        get_run_logger().warning("the run's %s was not stored (%s)", what, type(error).__name__)


def _update_flow_run(tags: Iterable[str], **changes: str) -> None:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    context.flow_run.tags = sorted({*context.flow_run.tags, *tags})
    with get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, tags=context.flow_run.tags, **changes)  # type: ignore[arg-type]


def _publish_artifacts(result: RunResult) -> None:
    key = re.sub(r"[^a-z0-9]+", "-", f"veilflow-{result.pipeline}".lower()).strip("-")
    create_table_artifact([_row(result)], key=f"{key}-counts", description=f"Counts of run {result.run_id}", _sync=True)  # type: ignore[call-arg]
    create_markdown_artifact(markdown(result), key=f"{key}-run", description=f"Run {result.run_id}", _sync=True)  # type: ignore[call-arg]


def _row(result: RunResult) -> dict[str, str | int]:
    counts = result.counts
    return {
        "run": result.run_id, "status": result.status, "read": counts.read, "loaded": counts.loaded,
        "quarantined": counts.quarantined, "filtered": counts.filtered,
    }  # fmt: skip


def markdown(result: RunResult) -> str:
    """The run as a page: status, counts, what was held back and why, errors. Names and numbers only."""
    counts = result.counts
    lines = [
        f"# {result.pipeline}: {result.status}",
        "",
        f"{counts.read:,} read · {counts.loaded:,} loaded · "
        + f"{counts.quarantined:,} quarantined · {counts.filtered:,} filtered",
        "",
        f"Run `{result.run_id}`, environment `{result.environment}`, {result.mode} into "
        + f"`{result.target_table or 'no target'}`.",
    ]
    if result.quarantine:
        lines += ["", "| rows | column | check | reason |", "|---|---|---|---|"]
        lines += [
            f"| {held.rows:,} | {_cell(held.column)} | {_cell(held.expectation)} | {_cell(held.reason)} |"
            for held in result.quarantine
        ]
    if result.errors:
        codes = ", ".join(dict.fromkeys(error.code for error in result.errors))
        lines += ["", f"Errors: {codes} (`veil explain CODE`)"]
    return "\n".join(lines) + "\n"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


def _send_what_waits() -> None:
    """Send log lines and task states that Prefect keeps in the background: the server may end next."""
    APILogWorker.drain_all(timeout=10)
    EventsWorker.drain_all(timeout=10)
