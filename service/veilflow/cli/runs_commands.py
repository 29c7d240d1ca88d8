"""``veil runs``: look at runs, go on with one, stop one, remove what dead ones left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output

if TYPE_CHECKING:
    from veilflow.run.control import Cleaned

_BEGAN = time.monotonic()

runs = App(name="runs", help="List runs, show one, go on with one, stop one, or remove what dead ones left.")


@runs.command(name="list")
def list_runs(*, limit: int = 20, common: Common = HERE) -> int:
    """List the newest runs."""
    from veilflow.state import State

    Output(common.json, common.quiet).run_list(State(common.directory).runs(limit))
    return 0


@runs.command(name="show")
def show_run(run_id: str, *, common: Common = HERE) -> int:
    """Show one run: counts, what is in quarantine and why, errors, timings."""
    from veilflow.state import State

    found, planned = State(common.directory).run(run_id)
    Output(common.json, common.quiet).run_shown(found, planned)
    return 0


@runs.command
def disclosures(*, limit: int = 50, common: Common = HERE) -> int:
    """List who was shown original values in a preview, when and of which columns; newest first."""
    from veilflow.state import State

    Output(common.json, common.quiet).disclosures(State(common.directory).disclosures(limit))
    return 0


@runs.command
def resume(run_id: str, *, direct: bool = False, common: Common = HERE) -> int:
    """Go on with a run that was stopped, killed or cut off: what is staged is verified and kept, the rest is loaded.

    Refused if source, pipeline, policy, suite or key versions are others than when it began, or if another run of the
    pipeline has published since. The environment is the run's own.

    Parameters
    ----------
    run_id
        A run's id, a unique beginning of it, or `last`.
    direct
        The same plan and code without Prefect.
    """
    from veilflow.cli.commands import _orchestrator, _stopping
    from veilflow.run import request_to_resume

    output, project = Output(common.json, common.quiet), common.directory
    request = request_to_resume(project, run_id, _BEGAN)
    with _stopping(), _orchestrator(project, request.environment, (request.pipeline,), direct, output) as carry_out:
        result = carry_out(request)
    output.runs_done(project, [result])
    return result.exit_status


@runs.command
def cancel(
    run_id: str,
    *,
    wait: Annotated[float, Parameter(help="Seconds to wait until it has stopped.")] = 60,
    common: Common = HERE,
) -> int:
    """Stop a run that is alive, and tell how it ended. It stops between two chunks and can be resumed.

    Parameters
    ----------
    run_id
        A run's id, a unique beginning of it, or `last`.
    """
    from veilflow.run.control import cancel as stop
    from veilflow.state import State

    output, project = Output(common.json, common.quiet), common.directory
    document = stop(project, run_id, wait)
    output.run_shown(document, State(project).run(document["run_id"])[1])
    return 0


@runs.command
def clean(*pipelines: str, common: Common = HERE) -> int:
    """Remove the staging that dead runs left in the targets. They can be resumed still, from their first row.

    Parameters
    ----------
    pipelines
        Names of pipelines; all where none is named.
    """
    from veilflow.cli.commands import _known, _prefect_for_secrets, _stopping
    from veilflow.config import pipeline_names
    from veilflow.run.control import clean as remove
    from veilflow.secret_stores.session import Session

    output, project = Output(common.json, common.quiet), common.directory
    for name in pipelines:
        _known(project, name)
    names = pipelines or pipeline_names(project)
    if not names:
        return _tell_cleaned(output, [])
    with (
        _stopping(),
        _prefect_for_secrets(project, common.environment, names[0], output, keyring=False, others=names),
        Session(project) as session,
    ):
        return _tell_cleaned(output, remove(project, common.environment, names, session))


def _tell_cleaned(output: Output, cleaned: list[Cleaned]) -> int:
    from veilflow.cli.commands import worst_status
    from veilflow.run.result import error_document

    skipped = [error for one in cleaned if one.skipped for error in one.skipped.parts]
    if output.as_json:
        removed = [{"pipeline": one.pipeline, "run_id": run} for one in cleaned for run in one.removed]
        output.document(
            {
                "schema": "veilflow/cleaned/1",
                "removed": removed,
                "errors": [error_document(error) for error in skipped],
            }
        )
    for one in cleaned:
        for run in one.removed:
            output.result(f"{one.pipeline}  the staging of run {run} is removed")
    if not any(one.removed for one in cleaned):
        output.result("nothing was left over")
    for one in cleaned:
        if one.skipped:
            output.say(f"{one.pipeline} was left as it is:")
            output.problems(one.skipped.parts)
    return worst_status([error.exit_status for error in skipped])
