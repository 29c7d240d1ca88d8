"""Refusals that no row causes by itself: a key that it shares with another one, a row that it refers to and that is not there.

Told alike for every database. Nothing says which of two rows is the bad one, so none is held back and the run is refused.
"""

from __future__ import annotations

from veilflow.errors import VeilError


def shared_key(name: str | None = None) -> VeilError:
    """VEIL319: a unique key does not allow a row beside another one."""
    return VeilError(
        "VEIL319", f"two rows have the same unique key{_named(name)}: both of this run, or one that is in the table",
        "`mode: merge` with its columns as `key:` updates rows that are there; "
        "`expect_column_values_to_be_unique` tells of those that stand twice in the source before anything is loaded",
    )  # fmt: skip


def missing_partner(name: str | None = None) -> VeilError:
    """VEIL319: a foreign key would lead nowhere."""
    return VeilError(
        "VEIL319", f"a foreign key{_named(name)} would lead to a row that is not there",
        "load the table that it leads to first, its key by the same treatment and `key_domain`; `mode: merge` takes no row "
        "away that others refer to",
    )  # fmt: skip


def _named(name: str | None) -> str:
    return f' "{name}"' if name else ""
