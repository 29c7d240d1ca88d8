"""What a reference to a Vault secret says, and the errors that tell what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret, SecretRef
from veilflow.secret_stores.vault.faults import Refused

ENGINES = ("kv2", "kv1", "database", "transit")


def engine_of(ref: SecretRef) -> str:
    engine = ref.engine or "kv2"
    if engine not in ENGINES:
        raise VeilError("VEIL220", f"Vault has no engine {engine} for {ref.path}", "engines: " + ", ".join(ENGINES))
    return engine


def clean_path(ref: SecretRef) -> str:
    path = ref.path
    if not path.isprintable() or path != path.strip("/ ") or any(part in ("", ".", "..") for part in path.split("/")):
        raise VeilError(
            "VEIL220", "a path of Vault is malformed", "mount first, as on Vault's command line: secret/veilflow"
        )
    return path


def refuse_version(ref: SecretRef) -> None:
    if ref.version is not None:
        raise VeilError(
            "VEIL220",
            f"the engine {engine_of(ref)} has no versions: {ref.path}",
            "remove `version` in secrets/names.yaml",
        )


def field_to_write(ref: SecretRef) -> str:
    if ref.version is not None:
        raise VeilError("VEIL220", f"{ref.path} is pinned to a version", "remove `version` in secrets/names.yaml")
    if ref.field is None and engine_of(ref) == "kv2":
        raise VeilError("VEIL220", f"{ref.path} names no field to write", "add `field` in secrets/names.yaml")
    return ref.field or ""


def wrapped_name(ref: SecretRef) -> str:
    """The file below `.veil/keys`: the field, or the Transit key's own name."""
    refuse_version(ref)
    return ref.field or ref.path.rpartition("/")[2]


# --- values ------------------------------------------------------------------------------


def chosen_field(data: Mapping[str, Any], ref: SecretRef) -> Secret:
    """One field, or all of them as JSON. VEIL221 if the field is missing, VEIL222 if it is empty or not text."""
    if ref.field is None:
        if not data:
            raise VeilError("VEIL222", f"Vault's secret {ref.path} is empty", "write its fields")
        return Secret(json.dumps(data, ensure_ascii=False))
    if ref.field not in data:
        raise VeilError(
            "VEIL221", f"Vault's secret {ref.path} has no field {ref.field}",
            "correct `field`; it has: " + ", ".join(sorted(data)),
        )  # fmt: skip
    value = data[ref.field]
    if not isinstance(value, str) or not value or "\0" in value:
        what = "is empty" if value in (None, "") else "has a NUL" if isinstance(value, str) else "is not text"
        raise VeilError("VEIL222", f"the field {ref.field} of {ref.path} {what}", "store it as a text")
    return Secret(value)


def as_text(value: bytes, ref: SecretRef) -> Secret:
    try:
        return Secret(value.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    raise VeilError("VEIL222", f"what {ref.path} encrypted is not text", "wrap the secret again")


# --- errors ------------------------------------------------------------------------------


def missing_in_kv(ref: SecretRef, refused: Refused) -> VeilError:
    metadata = (refused.document.get("data") or {}).get("metadata") or {}
    if metadata.get("destroyed") or metadata.get("deletion_time"):
        state = "destroyed" if metadata.get("destroyed") else "deleted"
        return VeilError(
            "VEIL221", f"version {metadata.get('version')} of {ref.path} is {state}",
            "name another `version`, undelete it, or write the secret anew",
        )  # fmt: skip
    if refused.document.get("warnings"):
        return wrong_engine(ref)
    of = f" in version {ref.version}" if ref.version else ""
    return VeilError(
        "VEIL221", f"Vault has no secret {ref.path}{of}",
        "correct `path`, `engine` or `version` in secrets/names.yaml, or write the secret",
    )  # fmt: skip


def wrong_engine(ref: SecretRef) -> VeilError:
    return VeilError("VEIL221", f"{ref.path} is not of the engine {engine_of(ref)}", "correct `engine`: kv1 or kv2")


def unknown_role(ref: SecretRef, _refused: Refused) -> VeilError:
    return VeilError("VEIL221", f"Vault has no role for {ref.path}", "correct `path`, or make the role")


def taken(ref: SecretRef) -> VeilError:
    return VeilError(
        "VEIL220", f"Vault's secret {ref.path} exists already", "it is never replaced; choose another path"
    )


def changed(ref: SecretRef) -> PassingFault:
    return PassingFault("VEIL405", f"{ref.path} was changed since it was read", "run the command again")
