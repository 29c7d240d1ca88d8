"""Reading files: fingerprints, gzip and zstd, blocks of UTF-8, names of columns."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import SourceConfig
from veilflow.sources.decoding import decoder_of, is_utf8
from veilflow.sources.storage import Storage, unreadable

#: What a block becomes stays in the processor's cache: with 1 MiB the same work takes three times as long, in page faults.
_BLOCK = 1 << 18
_SAMPLES = 16
_SAMPLE_BYTES = 1 << 16
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


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
    decoder = decoder_of(config)
    last, first = b"\n", offset == 0
    read = decoded = 0
    ahead = offset
    try:
        with _opened(config, storage, offset) as (file, packed):
            own = not packed and is_utf8(config.encoding)
            while block := file.read(_BLOCK):
                data = decoder.decode(block)
                read, decoded = read + len(block), decoded + len(data)
                own = own and read - len(decoder.held) == decoded
                if first:
                    stripped = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
                    ahead += len(data) - len(stripped)
                    data = stripped
                if data:
                    first, last = False, data[-1:]
                    yield data, (ahead if own else None)
            data = decoder.decode(b"", final=True)
    except OSError as error:
        raise storage.failure(config, error) from None
    except (EOFError, UnicodeError, zlib.error, pa.ArrowException):
        # The exception holds the bytes.
        raise unreadable(config) from None
    if data or last != b"\n":
        yield data + b"\n", None


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
