"""Opening files: identity, gzip, encodings, names of columns."""

from __future__ import annotations

import codecs
import gzip
import io
import unicodedata
from collections.abc import Sequence
from typing import BinaryIO, cast

from veilflow.errors import VeilError
from veilflow.model import FileIdentity, SourceConfig

_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"


def identity(config: SourceConfig) -> FileIdentity:
    """The file's size and time now. VEIL210 if it cannot be read."""
    try:
        facts = config.path.stat()
    except OSError:
        raise unreadable(config) from None
    if not config.path.is_file():
        raise unreadable(config)
    return FileIdentity(config.shown, facts.st_size, facts.st_mtime_ns)


def unreadable(config: SourceConfig) -> VeilError:
    """VEIL210 that names the file."""
    return VeilError(
        "VEIL210", f"{config.shown} cannot be read", "check the path, its permission and its kind", config.place
    )


def open_bytes(config: SourceConfig) -> BinaryIO:
    """The file's bytes, unzipped if it is gzip (by its first bytes, whatever its name). VEIL211 if it is empty."""
    try:
        if config.path.stat().st_size == 0:
            raise VeilError("VEIL211", f"{config.shown} is empty", "it needs at least a header", config.place)
        file = config.path.open("rb")
        if file.read(2) == _GZIP:
            file.close()
            return cast(BinaryIO, gzip.open(config.path, "rb"))
        file.seek(0)
        return file
    except OSError:
        raise unreadable(config) from None


def open_utf8(config: SourceConfig) -> io.RawIOBase:
    """The file as UTF-8 without a byte order mark. Bytes that the encoding does not allow become a sequence that
    UTF-8 does not allow either, so that they cost the row in which they stand and not the block."""
    try:
        name = codecs.lookup(config.encoding).name
    except LookupError:
        raise VeilError(
            "VEIL202", f'there is no encoding "{config.encoding}"', "for example: utf-8, utf-16, gb18030, latin-1", config.place
        ) from None  # fmt: skip
    file = open_bytes(config)
    return _Utf8(file, None if name in ("utf-8", "utf-8-sig", "ascii") else name)


class _Utf8(io.RawIOBase):
    def __init__(self, file: BinaryIO, encoding: str | None) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape") if encoding else None
        self._rest = b""
        self._first = True
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; empty only at the end."""
        while not self._ended and (size < 0 or len(self._rest) < size):
            self._fill()
        size = len(self._rest) if size < 0 else size
        out, self._rest = self._rest[:size], self._rest[size:]
        return out

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _fill(self) -> None:
        data = self._file.read(_BLOCK)
        self._ended = not data
        if self._decoder is not None:
            data = self._decoder.decode(data, final=self._ended).encode("utf-8", "surrogatepass")
        if self._first and data:
            self._first = False
            data = data.removeprefix(b"\xef\xbb\xbf")
        self._rest += data

    def close(self) -> None:
        self._file.close()
        super().close()


def column_names(raw: Sequence[str], config: SourceConfig) -> tuple[str, ...]:
    """Header names after NFC and trimming. VEIL212 where one is missing, repeated, or differs only in case."""
    names = tuple(unicodedata.normalize("NFC", name).strip() for name in raw)
    problem = None
    folded: dict[str, str] = {}
    for position, name in enumerate(names, start=1):
        if not name or "\0" in name or not name.isprintable():
            problem = f"column {position} of {config.shown} has no usable name"
        elif name in folded.values():
            problem = f'{config.shown} has two columns named "{name}"'
        elif name.casefold() in folded:
            problem = f'{config.shown} has columns "{folded[name.casefold()]}" and "{name}", which differ only in case'
        if problem:
            raise VeilError("VEIL212", problem, "give each column a name of its own in the first line", config.place)
        folded[name.casefold()] = name
    return names
