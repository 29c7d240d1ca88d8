"""Bytes that do not fit into memory, on disk for as long as the process lives: encrypted under a key that only it holds.

The file has no name, so no crash leaves it, and the key is never written: what a disk keeps of it is noise. Each piece
is sealed by AES-256-GCM and bound to where it belongs, so that one that was changed or exchanged is refused.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from veilflow.errors import VeilError

_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a piece lies: its number, which is its nonce, its offset and its size on disk."""

    number: int
    offset: int
    size: int


class Spill:
    """A nameless encrypted file. Not safe to use from several threads."""

    def __init__(self) -> None:
        self._cipher = AESGCM(secrets.token_bytes(32))
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # close() closes it
        self._pieces = self._end = 0

    def write(self, data: bytes, place: int) -> Piece:
        """Seal and keep ``data``, which belongs to ``place``. OSError if the disk is full."""
        piece = Piece(self._pieces, self._end, len(data) + _TAG_BYTES)
        sealed = memoryview(self._cipher.encrypt(_nonce(piece), data, _bound(place)))
        while sealed:
            written = os.pwrite(self._file.fileno(), sealed, piece.offset + piece.size - len(sealed))
            sealed = sealed[written:]
        self._pieces, self._end = piece.number + 1, piece.offset + piece.size
        return piece

    def read(self, piece: Piece, place: int) -> bytes:
        """What was written as ``piece`` at ``place``. VEIL105 if that is not what lies there."""
        sealed = os.pread(self._file.fileno(), piece.size, piece.offset)
        try:
            return self._cipher.decrypt(_nonce(piece), sealed, _bound(place))
        except InvalidTag:
            raise VeilError(
                "VEIL105", "the temporary file of a check is not what was written",
                "look at the disk of the directory for temporary files (TMPDIR), and run again",
            ) from None  # fmt: skip

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


def _nonce(piece: Piece) -> bytes:
    """Counted: the key lives for one file, so no number comes twice."""
    return piece.number.to_bytes(12, "big")


def _bound(place: int) -> bytes:
    return place.to_bytes(8, "big")
