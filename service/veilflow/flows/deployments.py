"""Registering a pipeline with a schedule in a Prefect server, for a process worker to run."""

from __future__ import annotations

from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from veilflow.errors import VeilError
from veilflow.flows.pipeline import run_pipeline
from veilflow.secret_stores.prefect_blocks import register as register_blocks

ENTRYPOINT = "veilflow.flows.run_pipeline"
#: A project has a folder `secrets/`; a worker must not take it for the standard library's module.
WORKER_ENVIRONMENT = {"PYTHONSAFEPATH": "1"}


def deploy(pipeline: str, project: Path, environment: str, cron: str, work_pool: str) -> str:
    """Register or update a deployment and return its name, ``<flow>/<pipeline>-<environment>``.

    Makes the process work pool if there is none, and Veilflow's block types. VEIL403 if no server is known or it does not answer, VEIL202 for
    a cron line that cannot be read or a work pool of another type.
    """
    if not get_current_settings().api.url:
        raise VeilError(
            "VEIL403", "no Prefect server is known to hold a schedule",
            "start one with `prefect server start` and set PREFECT_API_URL to its address",
        )  # fmt: skip
    deployment = _deployment(pipeline, project, environment, cron, work_pool)
    try:
        with get_client(sync_client=True) as client:
            _ensure_process_pool(client, work_pool)
        register_blocks()
        deployment.apply(_sync=True)  # type: ignore[call-arg]
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        raise VeilError(
            "VEIL403", f"Prefect's server did not take the deployment ({type(error).__name__})",
            "check that it runs, PREFECT_API_URL and PREFECT_API_AUTH_STRING",
        ) from None  # fmt: skip
    return f"{run_pipeline.name}/{deployment.name}"


def _deployment(pipeline: str, project: Path, environment: str, cron: str, work_pool: str) -> RunnerDeployment:
    try:
        deployment = run_pipeline.to_deployment(
            name=f"{pipeline}-{environment}", cron=cron, work_pool_name=work_pool,
            parameters={"pipeline": pipeline, "project": str(project.resolve()), "environment": environment},
            tags=["veilflow", f"pipeline:{pipeline}"], job_variables={"env": WORKER_ENVIRONMENT},
            entrypoint_type=EntrypointType.MODULE_PATH, _sync=True,  # type: ignore[call-arg]
        )  # fmt: skip
    except ValueError:
        raise VeilError(
            "VEIL202", "the cron line cannot be read", 'write five fields, for example "0 2 * * *"'
        ) from None
    assert isinstance(deployment, RunnerDeployment)
    # The public name: where the flow's code lies inside the package may change under a deployment.
    deployment.entrypoint = ENTRYPOINT
    return deployment


def _ensure_process_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        try:
            pool = client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
        except ObjectAlreadyExists:
            pool = client.read_work_pool(name)
    if pool.type != "process":
        raise VeilError(
            "VEIL202",
            f"the work pool {name} is of type {pool.type}, not process",
            "choose another name for --work-pool",
        )
