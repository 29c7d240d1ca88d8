"""Bytes of any encoding as valid UTF-8; what the encoding does not allow is marked, so that it costs its row alone."""

from __future__ import annotations

import codecs
import re
from typing import Protocol

import numpy as np
import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import SourceConfig

#: Python's ways to write text in other text, which no program writes files in; some run escapes of the file.
_NO_FILE_ENCODINGS = (
    "unicode-escape",
    "raw-unicode-escape",
    "unicode_escape",
    "raw_unicode_escape",
    "utf-7",
    "idna",
    "punycode",
    "undefined",
)
_MARKS = re.compile("([\ufdd0-\ufddf])([\ufde0-\ufdef])")
_ERRORS = "veilflow-mark"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Undecodable bytes as pairs of noncharacters: valid UTF-8 that no text holds, and each pair is one byte.

    pyarrow cannot hand over a ragged row that is not UTF-8, so the bytes themselves cannot be passed on.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xFDD0 + (byte >> 4)) + chr(0xFDE0 + (byte & 15)) for byte in bad), error.end


codecs.register_error(_ERRORS, _mark)


def marked(data: bytes) -> str:
    """Text of UTF-8; what is none is marked."""
    return data.decode("utf-8", _ERRORS)


def is_marked(text: str) -> bool:
    """Whether the text holds bytes that the file's encoding does not allow."""
    return _MARKS.search(text) is not None


def as_read(text: str) -> bytes:
    """The bytes of a text that was decoded here, with undecodable bytes as they were."""
    parts = _MARKS.split(text)
    out = [parts[0].encode("utf-8", "surrogatepass")]
    for high, low, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        out += [bytes([(ord(high) - 0xFDD0) << 4 | ord(low) - 0xFDE0]), rest.encode("utf-8", "surrogatepass")]
    return b"".join(out)


def is_utf8(encoding: str) -> bool:
    """Whether it is UTF-8, under whichever name."""
    return codecs.lookup(encoding).name == "utf-8"


class Decoder(Protocol):
    """Makes UTF-8 of a file's bytes, block by block; ``held`` are those of a character that is not there as a whole."""

    @property
    def held(self) -> bytes: ...

    def decode(self, block: bytes, *, final: bool = False) -> bytes: ...


def decoder_of(config: SourceConfig) -> Decoder:
    """The decoder of a source's encoding. VEIL202 if it is unknown."""
    try:
        if codecs.lookup(config.encoding).name in _NO_FILE_ENCODINGS:
            raise LookupError
        decoder = codecs.getincrementaldecoder(config.encoding)(_ERRORS)
        known = isinstance(decoder.decode(b""), str)
        decoder.reset()
    except (LookupError, TypeError, AssertionError, ValueError):
        known = False
    if not known:
        raise VeilError(
            "VEIL202", f'there is no encoding "{config.encoding}"', "for example: utf-8, utf-16, gb18030, latin-1", config.place
        ) from None  # fmt: skip
    return _Utf8() if is_utf8(config.encoding) else _Other(decoder)


class _Other:
    def __init__(self, decoder: codecs.IncrementalDecoder) -> None:
        self._decoder = decoder

    @property
    def held(self) -> bytes:
        return self._decoder.getstate()[0]

    def decode(self, block: bytes, *, final: bool = False) -> bytes:
        return self._decoder.decode(block, final).encode("utf-8", "surrogatepass")


class _Utf8:
    """Passes on what is valid as it is: to decode and encode it again takes twenty times as long as to look at it."""

    def __init__(self) -> None:
        self.held = b""

    def decode(self, block: bytes, *, final: bool = False) -> bytes:
        data = self.held + block
        end = len(data) if final else _last_boundary(data)
        data, self.held = data[:end], data[end:]
        return data if _is_valid(data) else marked(data).encode("utf-8", "surrogatepass")


def _last_boundary(data: bytes) -> int:
    """Where the last character begins, if its first byte announces more than are there; else the end."""
    for length, byte in enumerate(reversed(data[-3:]), start=1):
        if byte >= 0xC0:
            return len(data) - length if length < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else len(data)
        if byte < 0x80:
            break
    return len(data)


def _is_valid(data: bytes) -> bool:
    try:
        ends = pa.py_buffer(np.array([0, len(data)], np.int64))
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
