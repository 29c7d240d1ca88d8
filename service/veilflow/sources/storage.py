"""Where the bytes of files are: on this machine or in an object store. Every kind of file is read through this.

To add one: a file with a class like ``local_files.LocalFiles``, and a line in ``sources.storage_of``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Protocol

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import FileIdentity, SourceConfig


class Storage(Protocol):
    """Files by the ``path`` and ``shown`` of a source. What is out of reach is told by ``failure``."""

    #: How many bytes of a file that is read from one end to the other are fetched at a time; 0: as many as are wanted.
    read_ahead: int

    def is_pattern(self, config: SourceConfig, /) -> bool:
        """Whether the path stands for the files that it matches, and is not the name of one."""

    def found(self, config: SourceConfig, /) -> Iterable[str]:
        """The names that the pattern matches, written as it is; without directories and hidden files."""

    def node(self, config: SourceConfig, name: str, /) -> Hashable:
        """What tells a file of ``found`` from all others, whatever its names. VEIL210 where it is no readable file."""

    def one(self, config: SourceConfig, name: str, /) -> SourceConfig:
        """The source that is a file of ``found`` alone."""

    def identity(self, config: SourceConfig, /) -> FileIdentity:
        """What the file is now. VEIL210 if it cannot be read."""

    def open(self, config: SourceConfig, /) -> pa.NativeFile:
        """The file's bytes as they are there, from any offset on; opening and reading raise OSError."""

    def failure(self, config: SourceConfig, error: OSError, /) -> VeilError:
        """Ours for what opening or reading raised, without its text."""


def unreadable(config: SourceConfig) -> VeilError:
    """VEIL210 that names the file."""
    return VeilError(
        "VEIL210", f"{config.shown} cannot be read", "check the path, its permission and its kind", config.place
    )
