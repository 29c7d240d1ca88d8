"""Secrets in environment variables: the path is the variable's name. Read-only."""

from __future__ import annotations

import os

from veilflow.errors import VeilError, frameless
from veilflow.model import Reading, Secret, SecretFacts, SecretRef
from veilflow.secret_stores.parts import only


class EnvStore:
    """The process's environment, as it is when a secret is read."""

    @frameless
    def read(self, ref: SecretRef) -> Reading:
        """The variable's value, unchanged. VEIL221 if it is not set, VEIL222 if it is empty."""
        only("env", ref)
        value = os.environ.get(ref.path)
        if value is None:
            raise VeilError(
                "VEIL221", f"the environment variable {ref.path} is not set", f"set {ref.path} and run again"
            )
        if not value:
            raise VeilError("VEIL222", f"the environment variable {ref.path} is empty", f"set {ref.path} to the secret")
        return Reading(Secret(value))

    @frameless
    def facts(self, ref: SecretRef) -> SecretFacts | None:
        """Nothing is known but that it is there."""
        only("env", ref)
        return SecretFacts() if ref.path in os.environ else None

    @frameless
    def write(self, ref: SecretRef, value: Secret) -> None:
        """Refused: what is set here would be gone with this process. VEIL224."""
        raise VeilError(
            "VEIL224",
            f"the environment cannot keep a secret under {ref.path}",
            "set the variable where this process is started, or use a store of kind prefect, file or vault",
        )

    @frameless
    def replace(self, ref: SecretRef, old: Reading, value: Secret) -> None:
        """Refused like ``write``."""
        self.write(ref, value)
