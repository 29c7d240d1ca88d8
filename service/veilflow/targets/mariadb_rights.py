"""What MariaDB's user may do in a database, from the grants that the server lists: the user's own, its roles', everybody's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilflow.errors import VeilError

STAGING_DATABASE = "veilflow_staging"
_NEEDED = ("SELECT", "INSERT", "CREATE", "DROP", "ALTER")
_ON_DATABASE = re.compile(r"GRANT (.+?) ON (?:\*|`((?:[^`]|``)+)`)\.\* TO ")
_PART_OF_PATTERN = re.compile(r"\\(.)|(%)|(_)|(.)", re.DOTALL)


def refuse_without_staging(grants: Iterable[str]) -> None:
    """VEIL402 with the privileges that lack for the staging. ``grants`` are the lines of SHOW GRANTS."""
    held = {privilege for line in grants for privilege in _held(line, STAGING_DATABASE)}
    lacking = [] if "ALL PRIVILEGES" in held else [name for name in _NEEDED if name not in held]
    if lacking:
        raise VeilError(
            "VEIL402",
            f"the database user lacks {', '.join(lacking)} in the database {STAGING_DATABASE}, where rows are staged",
            f"as an administrator: `grant all on {STAGING_DATABASE}.* to` the user, whether it is there already or not",
        )  # fmt: skip


def _held(grant: str, database: str) -> list[str]:
    found = _ON_DATABASE.match(grant)
    if found is None or not (found[2] is None or re.fullmatch(_expression(found[2]), database)):
        return []
    return found[1].split(", ")


def _expression(pattern: str) -> str:
    """A pattern of LIKE, as which a grant names databases, as a regular expression."""
    parts = _PART_OF_PATTERN.findall(pattern.replace("``", "`"))
    return "".join(".*" if many else "." if one else re.escape(quoted or plain) for quoted, many, one, plain in parts)
