"""Which files a pattern stands for, in an order that is always the same."""

from __future__ import annotations

from collections.abc import Hashable

from veilflow.errors import VeilError
from veilflow.model import MOST_FILES, SourceConfig
from veilflow.sources.storage import Storage


def matching(config: SourceConfig, storage: Storage) -> tuple[str, ...]:
    """The files that the pattern matches, written as it is, in the order of their names' characters.

    VEIL210 where there is none or there are too many, where two names are one file, and for a name that cannot be shown
    or that is no readable file.
    """
    names = sorted(storage.found(config))
    if not names or len(names) > MOST_FILES:
        number = "no file matches" if not names else f"more than {MOST_FILES:,} files match"
        raise VeilError(
            "VEIL210", f"{number} {config.shown}",
            "`*` stands for what is within one directory, `**` for directories at any depth", config.place,
        )  # fmt: skip
    seen: dict[Hashable, str] = {}
    for name in names:
        if not name.isprintable():
            raise VeilError(
                "VEIL210", f"a file that {config.shown} matches has a name that cannot be printed", "rename it",
                config.place,
            )  # fmt: skip
        other = seen.setdefault(storage.node(config, name), name)
        if other != name:
            raise VeilError(
                "VEIL210", f"{other} and {name} are one file, whose rows would be loaded twice",
                "remove the link, or write the pattern so that it matches one of both", config.place,
            )  # fmt: skip
    return tuple(names)
