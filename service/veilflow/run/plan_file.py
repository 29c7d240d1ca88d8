"""Plan files: written by ``veil plan --out``, read by ``veil run --plan``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veilflow.errors import VeilError
from veilflow.plan import document
from veilflow.plan.approval import Approved, parse_approved
from veilflow.run.prepare import Prepared, planned_key_versions
from veilflow.secret_stores.session import Session

_LARGEST_FILE = 16 << 20


def write_plan(prepared: Prepared, path: Path) -> dict[str, Any]:
    """Write the plan with its key versions, whole or not at all; returns what was written. VEIL101 if it cannot be."""
    with Session(prepared.project) as session:
        versions = planned_key_versions(prepared, session)
    planned = {**document(prepared.decision), "key_versions": versions}
    _write(path, planned)
    return planned


def _write(path: Path, planned: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(planned, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise VeilError("VEIL101", f"{path} cannot be written", "name a place with --out where you may write") from None


def read_plan(path: Path) -> Approved:
    """The plan that a file holds. VEIL204 if it cannot be read, VEIL203 if it is not JSON, VEIL202 if it is no plan."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise VeilError(
            "VEIL204", f"there is no plan file {path}", "`veil plan PIPELINE --out FILE` writes one"
        ) from None
    except (ValueError, RecursionError):
        raise VeilError(
            "VEIL203", f"{path} is not JSON", "`veil plan PIPELINE --out FILE` writes a plan", None
        ) from None  # fmt: skip
    return parse_approved(found, str(path))
