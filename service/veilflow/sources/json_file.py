"""JSON Lines, and JSON that is an array of objects, as a stream. Numbers keep their literal text."""

from __future__ import annotations

import codecs
import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    TEXT,
    FileIdentity,
    RejectedRow,
    Slice,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
)
from veilflow.sources.decoding import as_read, is_marked
from veilflow.sources.files import fingerprint, utf8_blocks
from veilflow.sources.json_text import Number, dump
from veilflow.sources.local_files import LOCAL
from veilflow.sources.rows import rechunk
from veilflow.sources.storage import Storage

_ROWS_A_PIECE = 8192
_LARGEST_OBJECT = 64 << 20
_KEY_TWICE = "has a key twice"


class JsonSource:
    """One file of JSON objects. It has no header: its columns are those that policy and pipeline name, and a key that
    is none of them refuses the run while reading."""

    def __init__(self, config: SourceConfig, storage: Storage = LOCAL) -> None:
        self._config, self._storage = config, storage

    def files(self) -> tuple[FileIdentity, ...]:
        return (self._storage.identity(self._config),)

    def schema(self) -> SourceSchema:
        names = dict.fromkeys([*self._config.types, *self._config.expected])
        next(utf8_blocks(self._config, self._storage), None)
        return SourceSchema(
            tuple(SourceColumn(name, self._config.types.get(name, TEXT)) for name in names), closed=False
        )

    def fingerprints(self, key: bytes) -> tuple[str, ...]:
        return (fingerprint(self._config, self._storage, key),)

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        yield from rechunk(self._pieces(columns, start), columns, chunk_rows, start)

    def _pieces(
        self, columns: Sequence[SourceColumn], start: Start
    ) -> Iterator[tuple[pa.RecordBatch, np.ndarray, list[RejectedRow]]]:
        reader = _Objects({column.name: column.type.name == "json" for column in columns}, self._config)
        texts = self._array() if self._config.kind == "json" else self._lines()
        piece: dict[str, list[str | None]] = {column.name: [] for column in columns}
        positions: list[int] = []
        rejected: list[RejectedRow] = []
        for position, text in enumerate(texts):
            if position < start.position:
                continue
            row = reader.read(text)
            if isinstance(row, str):
                rejected.append(RejectedRow(position, row, as_read(text.decode("utf-8"))))
            else:
                positions.append(position)
                for name, values in piece.items():
                    values.append(row.get(name))
            if len(positions) + len(rejected) == _ROWS_A_PIECE:
                yield _batch(piece), np.array(positions, dtype=np.int64), rejected
                piece, positions, rejected = {name: [] for name in piece}, [], []
        if positions or rejected:
            yield _batch(piece), np.array(positions, dtype=np.int64), rejected

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        for data in utf8_blocks(self._config, self._storage):
            *lines, rest = (rest + data).split(b"\n")
            yield from (line for line in lines if line.strip())
            self._bounded(len(rest))
        if rest.strip():
            yield rest

    def _array(self) -> Iterator[bytes]:
        """The texts of the objects in a top-level array, one at a time."""
        decoder, scan = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder()
        text, at, expect = "", 0, "["
        blocks = utf8_blocks(self._config, self._storage)
        try:
            while True:
                at = _skip_blanks(text, at)
                if at == len(text) or (expect == "value" and not _may_end(text, at, scan)):
                    data = next(blocks, b"")
                    if not data and (expect == "end" and at == len(text)):
                        return
                    if not data:
                        raise self._broken()
                    text, at = text[at:] + decoder.decode(data), 0
                    self._bounded(len(text) - len(data))
                    continue
                mark = text[at]
                if expect == "[" and mark == "[":
                    at, expect = at + 1, "first"
                elif expect in ("first", "comma") and mark == "]":
                    at, expect = at + 1, "end"
                elif expect == "comma" and mark == ",":
                    at, expect = at + 1, "value"
                elif expect in ("first", "value"):
                    if expect == "first":
                        expect = "value"
                        continue
                    _value, end = scan.raw_decode(text, at)
                    yield text[at:end].encode("utf-8")
                    at, expect = end, "comma"
                else:
                    raise self._broken()
        except (ValueError, RecursionError):
            raise self._broken() from None

    def _bounded(self, size: int) -> None:
        if size > _LARGEST_OBJECT:
            raise self._broken()

    def _broken(self) -> VeilError:
        return VeilError(
            "VEIL210", f"{self._config.shown} is not {'an array of JSON objects' if self._config.kind == 'json' else 'JSON Lines'}",
            "check the kind in the pipeline's source; a file that ends in mid-value was not written whole", self._config.place,
        )  # fmt: skip


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _may_end(text: str, at: int, scan: json.JSONDecoder) -> bool:
    """Whether the value at ``at`` is whole in ``text``; a number at its very end may go on."""
    try:
        return scan.raw_decode(text, at)[1] < len(text)
    except ValueError:
        return False


class _Objects:
    """Reads one object's text into the text of its values."""

    def __init__(self, nested: dict[str, bool], config: SourceConfig) -> None:
        self._nested, self._config = nested, config
        self._decoder = json.JSONDecoder(
            parse_float=Number, parse_int=Number, parse_constant=_refuse, object_pairs_hook=_pairs
        )

    def read(self, text: bytes) -> dict[str, str | None] | str:
        """The values by column, or the reason why the row cannot be read."""
        shown = text.decode("utf-8").strip()
        if is_marked(shown):
            return "has bytes that its encoding does not allow"
        try:
            found = self._decoder.decode(shown)
        except _Refused as refused:
            return refused.reason
        except (ValueError, RecursionError):
            return "is not JSON"
        if not isinstance(found, dict):
            return "is not a JSON object"
        row = {}
        for key, value in found.items():
            name = unicodedata.normalize("NFC", key).strip()
            if name not in self._nested:
                raise self._uncovered(name)
            if name in row:
                return _KEY_TWICE
            try:
                row[name] = self._text(name, value)
            except RecursionError:
                return "is nested too deeply"
        if any(value is not None and ("\0" in value or not _encodes(value)) for value in row.values()):
            return "has a NUL or half a character"
        return row

    def _text(self, name: str, value: Any) -> str | None:
        if value is None or type(value) is str:
            return dump(value) if value is not None and self._nested[name] else value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Number):
            return str(value)
        if not self._nested[name]:
            raise VeilError(
                "VEIL301", f'"{name}" in {self._config.shown} holds nested values, and no rule covers their fields',
                f"declare `columns: {{{name}: {{type: json}}}}` in the pipeline and drop, null or redact it in the policy",
                self._config.place,
            )  # fmt: skip
        return dump(value)

    def _uncovered(self, name: str) -> VeilError:
        shown = name if name.isprintable() and len(name) <= 64 else "(a name that cannot be printed)"
        return VeilError(
            "VEIL301", f'no rule covers the key "{shown}" in {self._config.shown}',
            "add it to the policy's columns with a class and a treatment", self._config.place,
        )  # fmt: skip


class _Refused(ValueError):
    """What Python's reader takes and JSON does not say."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused(_KEY_TWICE)
    return found


def _refuse(_text: str) -> Any:
    raise _Refused("has NaN or Infinity, which JSON does not know")


def _encodes(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _batch(piece: dict[str, list[str | None]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.string()) for values in piece.values()], names=list(piece))
