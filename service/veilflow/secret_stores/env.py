"""Secrets in environment variables: the path is the variable's name. Read-only."""

from __future__ import annotations

import os

from veilflow.errors import VeilError
from veilflow.model import Secret


class EnvStore:
    """The process's environment, as it is when a secret is read."""

    def read(self, path: str, field: str | None) -> Secret:
        """The variable's value, unchanged. VEIL221 if it is not set, VEIL222 if it is empty or ``field`` is given."""
        if field is not None:
            raise VeilError(
                "VEIL222",
                f"the environment variable {path} has no field {field}",
                "remove `field` in secrets/names.yaml",
            )
        value = os.environ.get(path)
        if value is None:
            raise VeilError("VEIL221", f"the environment variable {path} is not set", f"set {path} and run again")
        if not value:
            raise VeilError("VEIL222", f"the environment variable {path} is empty", f"set {path} to the secret")
        return Secret(value)

    def write(self, path: str, value: Secret) -> None:
        """Refused: what is set here would be gone with this process. VEIL220."""
        raise VeilError(
            "VEIL220",
            f"the environment cannot keep a secret under {path}",
            "set the variable yourself, or use a store of kind prefect or file in secrets/names.yaml",
        )

    def exists(self, path: str) -> bool:
        """Whether the variable is set."""
        return path in os.environ
