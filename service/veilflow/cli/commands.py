"""The commands of ``veil``. Each parses, calls and prints; nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Protocol

from cyclopts import App, CycloptsError, Parameter

from veilflow import __version__
from veilflow.cli.keys_commands import keys
from veilflow.cli.options import HERE as _HERE
from veilflow.cli.options import Common
from veilflow.cli.output import Output
from veilflow.cli.policy_commands import policy as policy_group
from veilflow.cli.profile_command import profile
from veilflow.cli.quarantine_commands import quarantine
from veilflow.cli.runs_commands import runs
from veilflow.cli.secrets_commands import secrets
from veilflow.cli.treatments_commands import treatments
from veilflow.errors import CODES, WORST_FIRST, VeilError

if TYPE_CHECKING:
    from veilflow.config import NamesConfig
    from veilflow.model import RunResult
    from veilflow.plan.approval import Approved
    from veilflow.prefect_server import EmbeddedServer
    from veilflow.run.request import Request
    from veilflow.run.variation import Variation
    from veilflow.secret_stores.session import Session

_BEGAN = time.monotonic()


app = App(
    name="veil",
    help="Personal data into SQL without the person in it.",
    version=__version__,
    help_epilogue="First steps: veil init my-project; cd my-project; veil run people. Every error has a code: veil explain VEIL301.",
)
app.command(runs)
app.command(keys)
app.command(secrets)
app.command(policy_group)
app.command(treatments)
app.command(quarantine)
app.command(profile)
app.register_install_completion_command(add_to_startup=False)


def run_command(arguments: list[str]) -> int:
    """Run one command; errors become words (or one JSON document) and the contract's exit status."""
    output = Output(as_json="--json" in arguments, quiet="--quiet" in arguments)
    from veilflow.errors import PassingFault

    try:
        status = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value", help_on_error=False
        )
        return int(status or 0)
    except CycloptsError as error:
        usage = VeilError(
            "VEIL200", _usage_text(error), "`veil --help` lists the commands, `veil COMMAND --help` its options"
        )
        return output.errors(usage)
    except (VeilError, PassingFault) as error:
        return output.errors(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        from veilflow.run.endings import origin

        return output.errors(
            VeilError("VEIL100", f"a defect in Veilflow ({type(error).__name__} in {origin(error)})",
                      "please report it with the version and the command; the text of the error is not shown, it may carry data")
        )  # fmt: skip


def _usage_text(error: CycloptsError) -> str:
    return " ".join(str(error).split()) or "the command line could not be understood"


# --- project -----------------------------------------------------------------------------


@app.command
def init(directory: Path | None = None, *, common: Common = _HERE) -> int:
    """Make a project, or complete one: the sample pipeline, and the key ring in its store.

    Nothing that exists is replaced; a second call changes nothing.
    """
    from veilflow.cli.project import init_project

    output = Output(common.json, common.quiet)
    target = directory or common.project or Path()
    with _stopping():
        made = init_project(target.resolve(), common.environment, output)
    output.init(target, made)
    return 0


@app.command
def plan(
    pipeline: str, *, out: Path | None = None, param: tuple[str, ...] = (), common: Common = _HERE
) -> int:  # fmt: skip
    """Show what a run would do: each column's class, treatment, key domain and rule. Reads no row.

    Parameters
    ----------
    out
        A file to write the plan to, with the key versions, for `veil run --plan`. A plan that is blocked is not written.
    param
        A parameter of the suite, name=value; may be given several times.
    """
    from veilflow.config import parse_parameters, suspicious
    from veilflow.plan import document
    from veilflow.run import prepare
    from veilflow.run.plan_file import write_plan
    from veilflow.run.prepare import checkpoint_document

    output = Output(common.json, common.quiet)
    project = common.directory
    with _prefect_for_secrets(project, common.environment, pipeline, output, keyring=out is not None):
        prepared = prepare(project, common.environment, pipeline, parse_parameters(param))
        decision = prepared.decision
        written = None if out is None or decision.errors else write_plan(prepared, out)
    output.warnings(suspicious(project))
    output.plan(decision, (written or document(decision)) | {"checkpoint": checkpoint_document(prepared)})
    if written is not None:
        output.say(f"written to {out}; veil run --plan {out}")
    return worst_status([error.exit_status for error in decision.errors])


@app.command
def run(
    *pipelines: str, direct: bool = False, dry_run: bool = False, plan: Path | None = None,
    key_version: int | None = None, since: str | None = None, until: str | None = None, full: bool = False,
    param: tuple[str, ...] = (), common: Common = _HERE,
) -> int:  # fmt: skip
    """Run pipelines: read, check, treat, load, verify, publish.

    Parameters
    ----------
    pipelines
        Names of pipelines, in the order in which they run.
    direct
        The same plan and code without Prefect.
    dry_run
        Everything but publishing: rows are staged, checked and verified, then the staging is dropped.
    plan
        A file that `veil plan --out` wrote: the run is refused if anything has moved since. It names the pipeline.
    key_version
        A version of the key ring in the place of the active one, for appending to a table that holds its pseudonyms.
    since
        Of an incremental pipeline: the first value of its column that is read. The checkpoint stays, if there is one.
    until
        Of an incremental pipeline: the first value of its column that is not read.
    full
        Of an incremental pipeline with `mode: merge`: read everything, and set the checkpoint anew.
    param
        A parameter of the suites, name=value; may be given several times.
    """
    from veilflow.config import parse_parameters, pipeline_names, suspicious
    from veilflow.run.request import Request

    output = Output(common.json, common.quiet)
    project = common.directory
    approved = None if plan is None else _approved(plan, pipelines)
    pipelines = pipelines if approved is None else (approved.pipeline,)
    if not pipelines:
        raise VeilError(
            "VEIL200", "no pipeline is named",
            "`veil run NAME`; this project has: " + (", ".join(pipeline_names(project)) or "none"),
        )  # fmt: skip
    for name in pipelines:
        _known(project, name)
    if len(pipelines) > 1 and (since is not None or until is not None):
        raise VeilError("VEIL200", "--since and --until are for one pipeline", "run the pipelines one by one")
    output.warnings(suspicious(project))
    results = []
    parameters = parse_parameters(param)
    with _stopping(), _orchestrator(project, common.environment, pipelines, direct, output) as carry_out:
        began: float | None = _BEGAN
        for name in pipelines:
            request = Request(
                project, common.environment, name, began, parameters, key_version, approved, dry_run,
                since=since, until=until, full=full,
            )  # fmt: skip
            results.append(carry_out(request))
            began = None
            if results[-1].status == "interrupted":
                break
    output.runs_done(project, results)
    return worst_status([result.exit_status for result in results])


@app.command
def preview(
    pipeline: str, *, rows: Annotated[int, Parameter(name=["--rows", "-n"])] = 5, show_values: bool = False,
    common: Common = _HERE,
) -> int:  # fmt: skip
    """Show a few rows before (as shapes) and after treatment, under a key made for this call.

    Parameters
    ----------
    show_values
        Show originals in the place of shapes, unless the policy refuses it. That you saw them is recorded: `veil runs disclosures`.
    """
    from veilflow.run import prepare
    from veilflow.run import preview as preview_rows
    from veilflow.secret_stores.session import Session

    output = Output(common.json, common.quiet)
    project = common.directory
    if rows < 1:
        raise VeilError("VEIL200", "-n must be at least 1", "`veil preview people -n 3`")
    with (
        _prefect_for_secrets(project, common.environment, pipeline, output, keyring=False),
        Session(project) as session,
    ):
        prepared = prepare(project, common.environment, pipeline, session=session)
        output.preview(preview_rows(prepared, rows, show_values))
    return 0


@app.command
def anonymize(source: Path, *, policy: str, out: Path, like: str | None = None, common: Common = _HERE) -> int:
    """Treat one file by a policy and write the result: CSV, JSON Lines or Parquet, by the endings.

    Works under a key made for this call, without Prefect and without a server.

    Parameters
    ----------
    source
        The file to read.
    policy
        A policy's name in the project, or the path of its file.
    out
        The file to write; it appears only when everything has succeeded.
    like
        The pipeline that says how to read the file: types, delimiter, null values (default: the only one with the policy).
    """
    from veilflow.run.on_demand import anonymize_file, file_source

    output = Output(common.json, common.quiet)
    project = None if Path(policy).suffix in (".yaml", ".yml") else common.directory
    with _stopping():
        config = file_source(source, policy=policy, project=project, like=like)
        done = anonymize_file(config, out, policy=policy, project=project, like=like)
    output.anonymized(source, out, done)
    return 0


@app.command
def report(run_id: str, *, out: Path | None = None, common: Common = _HERE) -> int:
    """Write a run's report: one HTML page, or with --json its document.

    Parameters
    ----------
    run_id
        A run's id, a unique beginning of it, or `last`.
    out
        The file to write (default: report-RUN.html here).
    """
    from veilflow.report import html, report_document
    from veilflow.state import State

    output = Output(common.json, common.quiet)
    found, planned = State(common.directory).run(run_id)
    document = report_document(found, planned)
    if common.json:
        output.document(document)
        return 0
    path = out or Path(f"report-{found['run_id']}.html")
    try:
        path.write_text(html(document), encoding="utf-8")
    except OSError:
        raise VeilError("VEIL101", f"{path} cannot be written", "name a place with --out where you may write") from None
    output.say(str(path))
    return 0


@app.command
def deploy(pipeline: str, *, cron: str, work_pool: str = "veilflow", common: Common = _HERE) -> int:
    """Register a pipeline with a schedule in the Prefect server of PREFECT_API_URL.

    Parameters
    ----------
    cron
        When it runs, for example "0 2 * * *".
    work_pool
        The process work pool whose worker runs it; made if it does not exist.
    """
    from veilflow import flows
    from veilflow.config import load_pipeline

    output = Output(common.json, common.quiet)
    load_pipeline(common.directory, pipeline, common.environment)
    name = flows.deploy(pipeline, common.directory, common.environment, cron, work_pool)
    output.deployed(name, work_pool, cron)
    return 0


@app.command
def explain(code: str | None = None, *, common: Common = _HERE) -> int:
    """Tell the long version of an error code, or of a finding of the linter, offline; without a code, list the errors."""
    from difflib import get_close_matches

    output = Output(common.json, common.quiet)
    if code is None:
        output.codes(CODES)
        return 0
    from veilflow.policies.lint import FINDINGS

    wanted = code.upper()
    if wanted in FINDINGS:
        output.finding_explained(wanted, FINDINGS[wanted])
        return 0
    if wanted not in CODES:
        near = get_close_matches(wanted, [*CODES, *FINDINGS], n=1)
        raise VeilError(
            "VEIL200",
            f"there is no error code {code}",
            f"did you mean {near[0]}?" if near else "codes look like VEIL301",
        )
    output.explained(wanted, CODES[wanted])
    return 0


# --- what commands share -----------------------------------------------------------------


def worst_status(statuses: list[int]) -> int:
    """The exit status of several pipelines: the first of 5, 1, 4, 3, 2 that occurred; a signal's before all."""
    signals = [status for status in statuses if status > 128]
    if signals:
        return signals[0]
    return next((status for status in WORST_FIRST if status in statuses), 0)


def _approved(plan: Path, pipelines: tuple[str, ...]) -> Approved:
    """The plan of a file; VEIL200 if other pipelines than its own are named beside it."""
    from veilflow.run.plan_file import read_plan

    approved = read_plan(plan)
    if pipelines not in ((), (approved.pipeline,)):
        raise VeilError(
            "VEIL200", f"the plan is one of {approved.pipeline}, and another pipeline is named",
            f"`veil run --plan {plan}` alone runs it",
        )  # fmt: skip
    return approved


def _known(project: Path, name: str) -> None:
    from difflib import get_close_matches

    from veilflow.config import pipeline_names

    names = pipeline_names(project)
    if name not in names:
        near = get_close_matches(name, names, n=1)
        raise VeilError(
            "VEIL204", f'there is no pipeline "{name}"',
            (f"did you mean {near[0]}? " if near else "") + "this project has: " + (", ".join(names) or "none"),
        )  # fmt: skip


@contextmanager
def _stopping() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into ``Interrupted``, so that a run ends between two chunks and says so."""
    from veilflow.run.stage import Interrupted

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Interrupted as interrupted:
        raise SystemExit(interrupted.status) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class CarriesOut(Protocol):
    """Runs a pipeline, or a variation of it: rows that it held back, or its table under another key version."""

    def __call__(self, request: Request, variation: Variation | None = None, /) -> RunResult: ...


@contextmanager
def _orchestrator(
    project: Path, environment: str, pipelines: tuple[str, ...], direct: bool, output: Output
) -> Iterator[CarriesOut]:
    """Yield what carries a request out: through Prefect, or directly."""
    from veilflow.run import execute
    from veilflow.secret_stores.session import Session

    with output.progress() as on_progress, Session(project) as session:
        if direct:
            with _prefect_for_secrets(project, environment, pipelines[0], output, keyring=True, others=pipelines):
                yield lambda request, variation=None: execute(
                    request, on_progress=on_progress(request.pipeline), session=session, variation=variation
                )
            return
        with _embedded_prefect(project, output) as server:
            # Importing takes as long as the server takes to start: side by side.
            from veilflow.flows import run_with_prefect
            from veilflow.run import import_engines

            import_engines()
            _wait(server, output)
            yield lambda request, variation=None: run_with_prefect(
                request, on_progress(request.pipeline), session, variation
            )


@contextmanager
def _embedded_prefect(project: Path, output: Output) -> Iterator[EmbeddedServer | None]:
    """Veilflow's own Prefect server as a child, unless PREFECT_API_URL names another."""
    from veilflow.config import settings

    if settings().prefect_api_url:
        yield None
        return
    from veilflow import prefect_server
    from veilflow.state import State

    server = prefect_server.start(State(project).directory)
    try:
        yield server
    finally:
        server.stop()


def _wait(server: EmbeddedServer | None, output: Output) -> None:
    if server is not None:
        output.say("waiting for Prefect's own server")
        server.wait()


@contextmanager
def secrets_session(project: Path, names: NamesConfig, wanted: Iterable[str], output: Output) -> Iterator[Session]:
    """A session that gives back what it was given; with the embedded server only if one of the wanted secrets lies in
    a Prefect block."""
    from veilflow.secret_stores.session import Session

    kinds = {names.stores[names.secrets[name].store].kind for name in wanted if name in names.secrets}
    with _embedded_prefect(project, output) if "prefect" in kinds else nullcontext() as server:
        _wait(server, output)
        with Session(project) as session:
            yield session


@contextmanager
def _prefect_for_secrets(
    project: Path, environment: str, pipeline: str, output: Output, *, keyring: bool, others: tuple[str, ...] = ()
) -> Iterator[None]:
    """Start the embedded server only if a secret that the pipelines need lies in a Prefect block."""
    from veilflow.cli.project import needs_prefect

    if needs_prefect(project, environment, others or (pipeline,), keyring=keyring):
        with _embedded_prefect(project, output) as server:
            _wait(server, output)
            yield
    else:
        yield
