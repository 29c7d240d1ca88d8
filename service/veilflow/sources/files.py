"""Reading files: fingerprints, gzip and zstd, encodings, names of columns."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import hmac
import io
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import SourceConfig
from veilflow.sources.storage import Storage, unreadable

#: What a block becomes stays in the processor's cache: with 1 MiB the same work takes three times as long, in page faults.
_BLOCK = 1 << 18
_SAMPLES = 16
_SAMPLE_BYTES = 1 << 16
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
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


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Undecodable bytes as pairs of noncharacters: valid UTF-8 that no text holds, and each pair is one byte.

    pyarrow cannot hand over a ragged row that is not UTF-8, so the bytes themselves cannot be passed on.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xFDD0 + (byte >> 4)) + chr(0xFDE0 + (byte & 15)) for byte in bad), error.end


codecs.register_error("veilflow-mark", _mark)


def is_marked(text: str) -> bool:
    """Whether the text holds bytes that the file's encoding does not allow."""
    return _MARKS.search(text) is not None


def as_read(text: str) -> bytes:
    """The bytes of a text from ``utf8_blocks``, with undecodable bytes as they were."""
    parts = _MARKS.split(text)
    out = [parts[0].encode("utf-8", "surrogatepass")]
    for high, low, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        out += [bytes([(ord(high) - 0xFDD0) << 4 | ord(low) - 0xFDE0]), rest.encode("utf-8", "surrogatepass")]
    return b"".join(out)


def fingerprint(config: SourceConfig, storage: Storage, key: bytes) -> str:
    """See ``model.Source.fingerprints``. By samples, so that it takes no longer for a large file; the whole of a small one."""
    size = storage.identity(config).size
    mac = hmac.new(key, b"file\0" + size.to_bytes(8, "little"), hashlib.sha256)
    try:
        with storage.open(config) as file:
            for sample in range(_SAMPLES):
                file.seek(max(size - _SAMPLE_BYTES, 0) * sample // (_SAMPLES - 1))
                mac.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise storage.failure(config, error) from None
    return mac.hexdigest()


@contextmanager
def _opened(config: SourceConfig, storage: Storage, offset: int) -> Iterator[tuple[BinaryIO, bool]]:
    """The file's bytes from an offset on, unpacked if it is gzip or zstd (by its first bytes, whatever its name), and
    whether it is. VEIL211 if it is empty."""
    with storage.open(config) as raw:
        if raw.size() == 0:
            raise VeilError("VEIL211", f"{config.shown} is empty", "it needs at least a header", config.place)
        start = raw.read(4)
        raw.seek(0)
        file = io.BufferedReader(raw, storage.read_ahead) if storage.read_ahead else raw
        if start.startswith(_GZIP):
            file = gzip.GzipFile(fileobj=file)
        elif start == _ZSTD:
            file = pa.CompressedInputStream(file, "zstd")
        if offset:
            file.seek(offset)
        yield file, start.startswith(_GZIP) or start == _ZSTD


def utf8_blocks(config: SourceConfig, storage: Storage) -> Iterator[bytes]:
    """The file's bytes as valid UTF-8, without a byte order mark or blank lines at its start, with a line end at its
    end. Bytes that the encoding does not allow are marked (``is_marked``), so that they cost their row and not the
    block. No block is empty. VEIL202 for an unknown encoding, VEIL210 where reading fails, VEIL211 if it is empty."""
    return (data for data, _ahead in placed_blocks(config, storage, 0))


def placed_blocks(config: SourceConfig, storage: Storage, offset: int) -> Iterator[tuple[bytes, int | None]]:
    """As ``utf8_blocks``, from an offset in the file on. With each block: how far offsets in the file are ahead of those
    in what is yielded, or None where that is not made of the file's own bytes (gzip, another encoding, marked bytes)."""
    decoder = _decoder(config)
    last, first = b"\n", offset == 0
    read = decoded = 0
    ahead = offset
    try:
        with _opened(config, storage, offset) as (file, packed):
            own = not packed and is_utf8(config)
            while block := file.read(_BLOCK):
                data = decoder.decode(block).encode("utf-8", "surrogatepass")
                read, decoded = read + len(block), decoded + len(data)
                own = own and read - len(decoder.getstate()[0]) == decoded
                if first:
                    stripped = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
                    ahead += len(data) - len(stripped)
                    data = stripped
                if data:
                    first, last = False, data[-1:]
                    yield data, (ahead if own else None)
            data = decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except OSError as error:
        raise storage.failure(config, error) from None
    except (EOFError, UnicodeError, zlib.error, pa.ArrowException):
        # The exception holds the bytes.
        raise unreadable(config) from None
    if data or last != b"\n":
        yield data + b"\n", None


def is_utf8(config: SourceConfig) -> bool:
    """Whether the file's encoding is UTF-8, under whichever name."""
    return codecs.lookup(config.encoding).name == "utf-8"


def _decoder(config: SourceConfig) -> codecs.IncrementalDecoder:
    try:
        if codecs.lookup(config.encoding).name in _NO_FILE_ENCODINGS:
            raise LookupError
        decoder = codecs.getincrementaldecoder(config.encoding)("veilflow-mark")
        known = isinstance(decoder.decode(b""), str)
        decoder.reset()
    except (LookupError, TypeError, AssertionError, ValueError):
        known = False
    if not known:
        raise VeilError(
            "VEIL202", f'there is no encoding "{config.encoding}"', "for example: utf-8, utf-16, gb18030, latin-1", config.place
        ) from None  # fmt: skip
    return decoder


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
