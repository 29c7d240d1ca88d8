"""Places that hold secrets: Prefect Secret blocks, environment variables, files.

A store is one file with a class that keeps the ``SecretStore`` protocol, and one line in ``_OPENERS``; the
contract tests run against each. Errors name the place, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import SecretStore
from veilflow.secret_stores.env import EnvStore
from veilflow.secret_stores.file import FileStore

__all__ = ["KINDS", "EnvStore", "FileStore", "open_store"]


def _open_prefect(_project: Path) -> SecretStore:
    from veilflow.secret_stores.prefect import PrefectStore

    return PrefectStore()


_OPENERS: Mapping[str, Callable[[Path], SecretStore]] = {
    "env": lambda _project: EnvStore(),
    "file": FileStore,
    "prefect": _open_prefect,
}
KINDS: tuple[str, ...] = tuple(_OPENERS)


def open_store(kind: str, options: Mapping[str, Any], project: Path) -> SecretStore:
    """The store of a kind; reaches nothing yet. VEIL220 for an unknown kind, VEIL201 for an option."""
    opener = _OPENERS.get(kind)
    if opener is None:
        near = get_close_matches(kind, KINDS, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise VeilError("VEIL220", f"unknown kind of secret store: {kind}", f"{guess}There are: {', '.join(KINDS)}")
    unknown = sorted(set(options) - {"kind"})
    if unknown:
        raise VeilError(
            "VEIL201",
            f"a store of kind {kind} takes no option {', '.join(unknown)}",
            "remove it from secrets/names.yaml",
        )
    return opener(project)
