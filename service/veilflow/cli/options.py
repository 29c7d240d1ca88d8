"""The options that every command takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    project: Annotated[Path | None, Parameter(help="Directory that has pipelines/ (default: here or above).")] = None
    env: Annotated[str | None, Parameter(help="Environment; default VEIL_ENV, else dev.")] = None
    json: Annotated[bool, Parameter(negative="", help="Print one JSON document on stdout.")] = False
    quiet: Annotated[bool, Parameter(negative="", help="No progress and no words on stderr but errors.")] = False
    no_input: Annotated[bool, Parameter(negative="", help="Never ask; veil never does, so this changes nothing.")] = (
        False
    )

    @property
    def directory(self) -> Path:
        from veilflow.config import find_project

        return find_project(self.project)

    @property
    def environment(self) -> str:
        from veilflow.config import settings

        return self.env or settings().environment


HERE = Common()
