"""Files on this machine."""

from __future__ import annotations

import glob
import stat
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
        # Not Path.glob, whose `*` also stands for hidden files: what is being written often is one.
        names = glob.glob(str(Path(config.shown)), root_dir=_root(config), recursive=True)  # noqa: PTH207
        return [name for name in names if not (_root(config) / name).is_dir()]

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


def _root(config: SourceConfig) -> Path:
    """What the pattern is relative to; the path's own directories may have characters that would be a pattern."""
    written = Path(config.shown)
    return Path(written.anchor) if written.is_absolute() else config.path.parents[len(written.parts) - 1]
