"""Which run is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from veilflow.plan.approval import Approved


@dataclass(frozen=True, slots=True)
class Request:
    """Which pipeline of which project, in which environment; names only.

    ``began`` is the ``time.monotonic()`` moment when the command started, for the seconds of start-up.
    ``key_version`` pins a version of the key ring, for a target that holds pseudonyms of it. ``dry_run`` stops before
    publishing; ``resumes`` is the id of the run that is gone on with.
    """

    project: Path
    environment: str
    pipeline: str
    began: float | None = field(default=None, compare=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)
    key_version: int | None = None
    #: What ``veil plan --out`` wrote: the run is this plan, or nothing.
    approved: Approved | None = field(default=None, compare=False)
    dry_run: bool = False
    resumes: str | None = None
    #: An incremental pipeline's window, as a person wrote it; ``full`` reads everything and sets the checkpoint anew.
    since: str | None = None
    until: str | None = None
    full: bool = False
