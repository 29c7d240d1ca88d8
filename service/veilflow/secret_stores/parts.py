"""What the kinds share: which parts of a reference they take."""

from __future__ import annotations

from veilflow.errors import VeilError
from veilflow.model import SecretRef


def only(kind: str, ref: SecretRef, *taken: str) -> None:
    """VEIL220 if ``ref`` has a part (field, engine, version) that the kind does not take: a version that is dropped in
    silence would be another secret."""
    given = [part for part in ("field", "engine", "version") if getattr(ref, part) is not None and part not in taken]
    if given:
        raise VeilError(
            "VEIL220",
            f"a store of kind {kind} takes no {' and no '.join(given)}: {ref.path}",
            f"remove `{given[0]}` in secrets/names.yaml",
        )
