"""Carrying a plan out: the one list of steps that every kind of run goes through.

``execute`` runs a pipeline, ``anonymize`` one file or table on demand, ``preview`` a few rows; all three treat
through ``chunk.process``. Nothing is decided here: a choice belongs into the plan.
"""

from veilflow.run.call import Call, direct
from veilflow.run.execute import execute
from veilflow.run.on_demand import Preview, anonymize, preview
from veilflow.run.prepare import Prepared, import_engines, prepare
from veilflow.run.request import Request
from veilflow.run.result import run_document
from veilflow.run.resume import request_to_resume
from veilflow.run.stage import Interrupted, OnProgress

__all__ = [
    "Call",
    "Interrupted",
    "OnProgress",
    "Prepared",
    "Preview",
    "Request",
    "anonymize",
    "direct",
    "execute",
    "import_engines",
    "prepare",
    "preview",
    "request_to_resume",
    "run_document",
]
