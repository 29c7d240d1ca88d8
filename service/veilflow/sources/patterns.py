"""Which files a pattern stands for, in an order that is always the same."""

from __future__ import annotations

import glob
import stat
from dataclasses import replace
from pathlib import Path

from veilflow.errors import VeilError
from veilflow.model import MOST_FILES, SourceConfig
from veilflow.sources.files import unreadable


def is_pattern(config: SourceConfig) -> bool:
    """Whether the path stands for the files that it matches, and is not the name of one."""
    return bool(config.listed) or (glob.has_magic(config.shown) and not config.path.exists())


def matching(config: SourceConfig) -> tuple[str, ...]:
    """The files that the pattern matches, written as it is, in the order of their names' characters.

    Directories and hidden files are left out, links are followed. VEIL210 where there is none or there are too many, where
    two names are one file, and for a name that cannot be shown or that is no readable file.
    """
    # Not Path.glob, whose `*` also stands for hidden files: what is being written often is one.
    found = glob.glob(str(Path(config.shown)), root_dir=_root(config), recursive=True)  # noqa: PTH207
    names = sorted(name for name in found if not (_root(config) / name).is_dir())
    if not names or len(names) > MOST_FILES:
        number = "no file matches" if not names else f"more than {MOST_FILES:,} files match"
        raise VeilError(
            "VEIL210", f"{number} {config.shown}",
            "`*` stands for what is within one directory, `**` for directories at any depth", config.place,
        )  # fmt: skip
    seen: dict[tuple[int, int], str] = {}
    for name in names:
        other = seen.setdefault(_node(config, name), name)
        if other != name:
            raise VeilError(
                "VEIL210", f"{other} and {name} are one file, whose rows would be loaded twice",
                "remove the link, or write the pattern so that it matches one of both", config.place,
            )  # fmt: skip
    return tuple(names)


def located(config: SourceConfig, name: str) -> Path:
    """Where a file of ``matching`` lies."""
    return _root(config) / name


def _root(config: SourceConfig) -> Path:
    """What the pattern is relative to; the path's own directories may have characters that would be a pattern."""
    written = Path(config.shown)
    return Path(written.anchor) if written.is_absolute() else config.path.parents[len(written.parts) - 1]


def _node(config: SourceConfig, name: str) -> tuple[int, int]:
    """What tells a file from all others on this machine."""
    if not name.isprintable():
        raise VeilError(
            "VEIL210",
            f"a file that {config.shown} matches has a name that cannot be printed",
            "rename it",
            config.place,
        )
    try:
        facts = located(config, name).stat()
    except OSError:
        facts = None
    if facts is None or not stat.S_ISREG(facts.st_mode):
        raise unreadable(replace(config, shown=name))
    return facts.st_dev, facts.st_ino
