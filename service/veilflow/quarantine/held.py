"""What a run held back, read again: held against its manifest, opened with a private key, erased, purged."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyrage

from veilflow.errors import Place, VeilError
from veilflow.model import ROWS_A_FILE, Container, Containers
from veilflow.quarantine.files import encrypt_table, read_table
from veilflow.quarantine.manifest import NAME as MANIFEST
from veilflow.quarantine.manifest import Entry, Manifest

POSITION, FILE, REASONS, RAW = "_veilflow_position", "_veilflow_file", "_veilflow_reasons", "_veilflow_raw"
_OURS = {POSITION, FILE, REASONS, RAW}


@dataclass(frozen=True, slots=True)
class Match:
    """A row that holds a subject's value: where it is, never what it says. ``position`` is that in the source, or in its
    file ``source_file`` where it has several."""

    run_id: str
    file: str
    position: int
    columns: tuple[str, ...]
    source_file: str | None = None


class Held:
    """The quarantine of one run; every container was held against the manifest when this was made.

    ``rows_recorded`` is what the run's record says was held back, ``ended`` whether that record is final: of a run
    that died some rows may be here that it does not count, and where containers commit with their chunks
    (``with_chunks``) those of a chunk that did not are not here. VEIL503 for anything else that is missing, changed or
    added.
    """

    def __init__(
        self,
        directory: Path,
        keys: Sequence[bytes],
        containers: Containers,
        *,
        rows_recorded: int,
        ended: bool,
        with_chunks: bool = False,
    ) -> None:
        self.run_id, self.containers = directory.name, containers
        self.manifest = Manifest(directory, keys)
        listed = self.manifest.entries()
        there = containers.names()
        for name in sorted(there & {entry.file for entry in listed if entry.purged}):
            containers.remove(name)  # a purge that was cut off after its line
            there.remove(name)
        rolled_back = (
            set() if ended or not with_chunks else {entry.file for entry in listed if not entry.purged} - there
        )
        self._listed, self.entries = listed, tuple(entry for entry in listed if entry.file not in rolled_back)
        kept = {entry.file: entry for entry in self.entries if not entry.purged}
        for name in sorted(kept.keys() - there):
            raise self._wrong(f"the file {name} is missing", name)
        for name in sorted(there - kept.keys() if ended else set()):
            raise self._wrong(f"the file {name} does not belong to it", name)
        for entry in kept.values():
            self._read(entry)
        counted = sum(entry.rows + entry.erased for entry in self.entries)
        if counted < rows_recorded or (ended and counted != rows_recorded):
            raise self._wrong(f"it lists {counted} rows, and the run's record says {rows_recorded}", MANIFEST)

    def _read(self, entry: Entry) -> bytes:
        data = self.containers.read(entry.file)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise self._wrong(f"the file {entry.file} was changed", entry.file)
        return data

    def _wrong(self, what: str, name: str) -> VeilError:
        place = self.manifest.place if name == MANIFEST else Place(self.containers.place(name))
        return VeilError(
            "VEIL503", f"the quarantine of run {self.run_id} is not whole: {what}",
            "restore the run's directory under .veil/quarantine, or the table in the target, from a backup; "
            f"without one: veil quarantine purge {self.run_id} --lost", place,
        )  # fmt: skip

    @property
    def kept(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if not entry.purged and entry.rows)

    def tables(self, identities: Sequence[str]) -> Iterator[tuple[Entry, pa.Table]]:
        """The rows container by container. VEIL221 if none of ``identities`` opens them, VEIL503 if one is damaged."""
        for entry in self.kept:
            yield entry, read_table(self._read(entry), self.run_id, entry.file, identities)

    def columns(self, identities: Sequence[str]) -> set[str]:
        """The names of the columns that the rows have, as their source had them."""
        return {name for _entry, table in self.tables(identities) for name in table.column_names} - _OURS

    def find(self, subject: str, identities: Sequence[str], column: str | None = None) -> list[Match]:
        """The rows in which a cell equals ``subject`` (after NFC and trimming, whatever its case), or whose bytes
        contain it."""
        found = []
        for entry, table in self.tables(identities):
            rows = matching_rows(table, subject, column)
            positions, files = table.column(POSITION).to_numpy() % ROWS_A_FILE, table.column(FILE)
            found += [
                Match(self.run_id, entry.file, int(positions[row]), names, files[row].as_py())
                for row, names in rows.items()
            ]
        return found

    def erase(self, subject: str, identities: Sequence[str], column: str | None = None) -> int:
        """Rewrite each container without the rows of ``find``; returns how many they were. Durable when it returns."""
        erased = 0
        for entry, table in self.tables(identities):
            rows = matching_rows(table, subject, column)
            if not rows:
                continue
            left = table.filter(pa.array(np.isin(np.arange(table.num_rows), list(rows), invert=True)))
            facts = {**(table.schema.metadata or {}), b"rows": str(left.num_rows).encode()}
            encrypted = encrypt_table(left.replace_schema_metadata(facts), entry.recipient)
            # The old container is gone when the line says so: a crash between the two is VEIL503 and never a silent return.
            self.containers.write(Container(entry.file, encrypted))
            digest = hashlib.sha256(encrypted).hexdigest()
            self.manifest.append(
                replace(
                    entry, rows=left.num_rows, sha256=digest, erased=entry.erased + len(rows), recipient=entry.recipient
                )
            )
            erased += len(rows)
        return erased

    def export(self, identities: Sequence[str], recipient: str) -> tuple[bytes, int]:
        """All rows as one Arrow stream encrypted to ``recipient``, and how many they are."""
        tables = [_in_file(table).replace_schema_metadata(None) for _, table in self.tables(identities)]
        whole = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
        return encrypt_table(whole.replace_schema_metadata({"format": "veilflow/quarantine_export/1", "run": self.run_id}), recipient), whole.num_rows  # fmt: skip

    def purge(self) -> int:
        """Remove the containers for good and say so in the manifest; returns the rows that were in them."""
        for entry in self._listed:
            if not entry.purged:
                # The line first: a crash between the two is completed by whoever looks next.
                self.manifest.append(replace(entry, purged=True))
        removed = [entry for entry in self.entries if not entry.purged]
        for entry in removed:
            self.containers.remove(entry.file)
        return sum(entry.rows for entry in removed)


def _in_file(table: pa.Table) -> pa.Table:
    """The rows with their positions in their files."""
    positions = pa.array(table.column(POSITION).to_numpy() % ROWS_A_FILE)
    return table.set_column(table.schema.get_field_index(POSITION), POSITION, positions)


def matching_rows(table: pa.Table, subject: str, column: str | None) -> dict[int, tuple[str, ...]]:
    """Row numbers with the names of the columns that hold the subject's value."""
    wanted = _plain(subject)
    found: dict[int, list[str]] = {}
    for name in table.column_names:
        if name in (POSITION, FILE, REASONS) or (column is not None and name != column):
            continue
        for row in np.flatnonzero(_holds(table.column(name), name, wanted)):
            found.setdefault(int(row), []).append("(unreadable row)" if name == RAW else name)
    return {row: tuple(names) for row, names in sorted(found.items())}


def _holds(values: pa.ChunkedArray, name: str, wanted: str) -> list[bool]:
    if name == RAW:
        forms = _as_bytes(wanted)
        return [value is not None and any(form in value.lower() for form in forms) for value in values.to_pylist()]
    return [text is not None and _plain(text) == wanted for text in _texts(values)]


def _texts(values: pa.ChunkedArray) -> list[str | None]:
    """Cells as texts; those that Arrow cannot write as text (lists, bytes that are none) as Python does."""
    try:
        return list(pc.cast(values, pa.string()).to_pylist())
    except pa.ArrowException:
        return [_text(value) for value in values.to_pylist()]


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None else str(value)


def _as_bytes(wanted: str) -> set[bytes]:
    """How a row that could not be read may hold the value: in the common encodings, and as JSON escapes it; with
    ASCII's letters small."""
    encoded = [wanted.encode("utf-8"), json.dumps(wanted)[1:-1].encode()]
    for encoding in ("utf-16-le", "utf-16-be", "latin-1", "gb18030"):
        with suppress(UnicodeEncodeError):
            encoded.append(wanted.encode(encoding))
    return {form.lower() for form in encoded}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip().casefold()


def parse_recipient(text: str) -> str:
    """An age public key. VEIL202 if it is none."""
    try:
        pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise VeilError("VEIL202", "the recipient is not an age public key", "it looks like age1…; `age-keygen` makes one") from None  # fmt: skip
    return text
