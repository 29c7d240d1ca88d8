"""``environments/<name>.yaml``: what is laid over the files of a project in one environment."""

from __future__ import annotations

import re
from pathlib import Path

from veilflow.config.nodes import Mapping, read_yaml
from veilflow.errors import VeilError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def overlay(project: Path, environment: str, problems: list[VeilError]) -> Mapping | None:
    """The environment's file with its keys checked; None if there is none. VEIL204 for a name that names no file."""
    if not _NAME.fullmatch(environment):
        raise VeilError(
            "VEIL204", "the environment's name is not usable", "letters, digits, - and _: dev, staging, prod"
        )
    path = project / "environments" / f"{environment}.yaml"
    if not path.is_file():
        return None
    shown = f"environments/{environment}.yaml"
    found = Mapping(read_yaml(path, shown), shown, problems)
    found.version()
    for key in ("stores", "secrets", "connections", "limits"):
        found.node(key)
    found.end()
    return found
