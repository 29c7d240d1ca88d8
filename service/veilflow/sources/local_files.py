"""Files on this machine."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import FileIdentity, SourceConfig
from veilflow.sources.storage import unreadable


class LocalFiles:
    """Links are followed; a path with the characters of a pattern that is the name of a file is that file."""

    read_ahead = 0

    def is_pattern(self, config: SourceConfig) -> bool:
        return glob.has_magic(config.shown) and not config.path.exists()

    def found(self, config: SourceConfig) -> list[str]:
        """VEIL210 for a directory that cannot be listed: its files would be missing in silence."""
        root = _root(config)
        for name in _searched(config):
            if not os.access(root / name, os.R_OK | os.X_OK):
                raise _closed(config, name)
        # Not Path.glob, whose `*` also stands for hidden files: what is being written often is one.
        names = glob.glob(str(Path(config.shown)), root_dir=root, recursive=True)  # noqa: PTH207
        return [name for name in names if not os.path.isdir(root / name)]  # noqa: PTH112  # Path.is_dir raises

    def node(self, config: SourceConfig, name: str) -> tuple[int, int]:
        try:
            facts = (_root(config) / name).stat()
        except OSError:
            facts = None
        if facts is None or not stat.S_ISREG(facts.st_mode):
            raise unreadable(replace(config, shown=name))
        return facts.st_dev, facts.st_ino

    def one(self, config: SourceConfig, name: str) -> SourceConfig:
        return replace(config, path=_root(config) / name, shown=name, listed=())

    def identity(self, config: SourceConfig) -> FileIdentity:
        try:
            facts = config.path.stat()
        except OSError:
            raise unreadable(config) from None
        if not config.path.is_file():
            raise unreadable(config)
        return FileIdentity(config.shown, facts.st_size, facts.st_mtime_ns)

    def open(self, config: SourceConfig) -> pa.NativeFile:
        return pa.OSFile(str(config.path), "rb")

    def failure(self, config: SourceConfig, _error: OSError) -> VeilError:
        return unreadable(config)


LOCAL = LocalFiles()


def _searched(config: SourceConfig) -> Iterator[str]:
    """The directories in which the pattern looks for names: glob passes over those that it may not read."""
    parts = Path(config.shown).parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    for number in range(first, len(parts) + (parts[-1] == "**")):
        yield from glob.iglob(f"{Path(*parts[:number])}{os.sep}", root_dir=_root(config), recursive=True)  # noqa: PTH207


def _closed(config: SourceConfig, name: str) -> VeilError:
    shown = name if name.isprintable() else "a directory"
    return VeilError(
        "VEIL210", f"{shown} may not be read, and {config.shown} looks for files in it",
        "give the user of the run the right to read it, or write the pattern so that it does not go there", config.place,
    )  # fmt: skip


def _root(config: SourceConfig) -> Path:
    """What the pattern is relative to; the path's own directories may have characters that would be a pattern."""
    written = Path(config.shown)
    return Path(written.anchor) if written.is_absolute() else config.path.parents[len(written.parts) - 1]
