"""Places that hold secrets: Prefect blocks, Vault, environment variables, files.

A store is one file with a class that keeps the ``SecretStore`` protocol, and one line in ``_OPENERS``. Packages outside
join by an entry point of the group ``veilflow.secret_stores``: its name is the kind, its object an ``Opener``. The
contract tests of ``veilflow.testing`` run against each. Errors name the place, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import SecretStore
from veilflow.secret_stores.env import EnvStore
from veilflow.secret_stores.file import FileStore

ENTRY_POINTS = "veilflow.secret_stores"

#: Makes a store of the options under its name in ``secrets/names.yaml`` and the project's directory. It reaches nothing
#: yet and raises VEIL201 for an option that the kind does not take.
Opener = Callable[[Mapping[str, Any], Path], SecretStore]


def no_options(kind: str, options: Mapping[str, Any]) -> None:
    """VEIL201 if there is any option: one that is dropped in silence could be a protection."""
    unknown = sorted(set(options) - {"kind"})
    if unknown:
        raise VeilError(
            "VEIL201",
            f"a store of kind {kind} takes no option {', '.join(unknown)}",
            "remove it from secrets/names.yaml",
        )


def _open_env(options: Mapping[str, Any], _project: Path) -> SecretStore:
    no_options("env", options)
    return EnvStore()


def _open_file(options: Mapping[str, Any], project: Path) -> SecretStore:
    no_options("file", options)
    return FileStore(project)


def _open_prefect(options: Mapping[str, Any], _project: Path) -> SecretStore:
    no_options("prefect", options)
    from veilflow.secret_stores.prefect import PrefectStore

    return PrefectStore()


def _open_vault(options: Mapping[str, Any], project: Path) -> SecretStore:
    from veilflow.secret_stores.vault import VaultStore, parse_options

    return VaultStore(parse_options(options, project), project)


_OPENERS: Mapping[str, Opener] = {
    "env": _open_env,
    "file": _open_file,
    "prefect": _open_prefect,
    "vault": _open_vault,
}


def kinds() -> tuple[str, ...]:
    """The kinds that are here: Veilflow's own, then those of installed packages."""
    outside = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    return (*_OPENERS, *sorted(outside - set(_OPENERS)))


def unknown_kind(kind: str) -> VeilError | None:
    """What is wrong with a kind that nobody brings."""
    if kind in _OPENERS or kind in kinds():
        return None
    near = get_close_matches(kind, kinds(), 1)
    guess = f"did you mean {near[0]}? " if near else ""
    return VeilError("VEIL220", f"unknown kind of secret store: {kind}", f"{guess}There are: {', '.join(kinds())}")


def open_store(kind: str, options: Mapping[str, Any], project: Path) -> SecretStore:
    """The store of a kind; reaches nothing yet. VEIL220 for an unknown kind, VEIL201 for an option."""
    return _opener(kind)(options, project)


def _opener(kind: str) -> Opener:
    """Veilflow's own kinds come first: a package cannot put itself in the place of one."""
    if kind in _OPENERS:
        return _OPENERS[kind]
    found = tuple(entry_points(group=ENTRY_POINTS, name=kind))
    if len(found) > 1:
        raise VeilError(
            "VEIL220", f"several packages bring a secret store of kind {kind}", "uninstall all but one of them"
        )
    if not found:
        raise unknown_kind(kind) or AssertionError(kind)
    return _load(kind, found[0])


def _load(kind: str, entry: Any) -> Opener:
    try:
        opener: Opener = entry.load()
    except Exception as error:  # noqa: BLE001  # a foreign package's import may raise anything
        raise VeilError(
            "VEIL220", f"the package of the secret store {kind} cannot be imported ({type(error).__name__})",
            f"look at the entry point {kind} of {ENTRY_POINTS} in that package",
        ) from None  # fmt: skip
    return opener


__all__ = ["ENTRY_POINTS", "EnvStore", "FileStore", "Opener", "kinds", "no_options", "open_store", "unknown_kind"]
