"""Files and environment -> frozen objects, once.

Every loader raises VeilError (or Problems: all of a file's mistakes together) with file and line. To add a key: take it
in the loader of its file and give it a field in ``objects``.
"""

from veilflow.config.files import (
    find_project,
    load_pipeline,
    load_suite,
    pipeline_names,
)
from veilflow.config.leaks import NotASecret, not_secrets, suspicious
from veilflow.config.names import load_names
from veilflow.config.objects import (
    QUARANTINE_DAYS,
    AcknowledgementConfig,
    ColumnLabels,
    ConnectionConfig,
    ExpectationConfig,
    NamesConfig,
    PipelineConfig,
    PolicyConfig,
    RuleConfig,
    SecretConfig,
    StoreConfig,
    SuiteConfig,
)
from veilflow.config.parameters import parse_parameters
from veilflow.config.policies import load_policy, policy_names, purposes_elsewhere
from veilflow.config.settings import Settings, settings

__all__ = [
    "NotASecret",
    "not_secrets",
    "QUARANTINE_DAYS",
    "AcknowledgementConfig",
    "ColumnLabels",
    "ConnectionConfig",
    "ExpectationConfig",
    "NamesConfig",
    "PipelineConfig",
    "PolicyConfig",
    "RuleConfig",
    "SecretConfig",
    "Settings",
    "StoreConfig",
    "SuiteConfig",
    "find_project",
    "load_names",
    "load_pipeline",
    "load_policy",
    "load_suite",
    "parse_parameters",
    "pipeline_names",
    "policy_names",
    "purposes_elsewhere",
    "settings",
    "suspicious",
]
