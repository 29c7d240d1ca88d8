"""Prefect: a run's steps as tasks, deployments, artifacts. The order of the steps is ``veilflow.run``'s own.

``run_pipeline`` is the flow that a deployment or a user's own flow runs; ``run_with_prefect`` is what ``veil run``
calls. To change how a step is retried or limited, edit its line in ``steps.STEPS``. Only names and counts reach
Prefect's database: tasks take no arguments, results are not persisted, exceptions are ``VeilError``.
"""

from __future__ import annotations

from veilflow.flows.deployments import deploy
from veilflow.flows.pipeline import run_pipeline, run_with_prefect

__all__ = ["deploy", "run_pipeline", "run_with_prefect"]
