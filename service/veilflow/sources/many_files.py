"""Many files of one kind as one source: those that a pattern matches, one after the other or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial

from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    CHUNKS_A_FILE,
    ROWS_A_FILE,
    Chunk,
    Divisible,
    FileIdentity,
    Part,
    Slice,
    Source,
    SourceColumn,
    SourceConfig,
    SourceSchema,
    Start,
    UnevenColumn,
)
from veilflow.sources.patterns import matching
from veilflow.sources.storage import Storage


class ManyFiles:
    """The files of a pattern, each read by the source of its kind. A chunk holds rows of one file only.

    The files are listed once, when they are first asked for, unless ``config.listed`` names them: a run and all that
    goes on with it read the same list, whatever comes into the directory meanwhile.
    """

    def __init__(
        self, config: SourceConfig, storage: Storage, open_one: Callable[[SourceConfig, Storage], Source],
        chosen: tuple[str, ...] | None = None,
    ) -> None:  # fmt: skip
        self._config, self._storage, self._open_one, self._chosen = config, storage, open_one, chosen

    @cached_property
    def _listed(self) -> tuple[str, ...]:
        if self._chosen is not None:
            return self._chosen
        return self._config.listed or matching(self._config, self._storage)

    def only(self, names: Sequence[str]) -> ManyFiles:
        """See ``model.Selectable``."""
        return ManyFiles(self._config, self._storage, self._open_one, tuple(names))

    def _file(self, number: int) -> tuple[str, Source]:
        name = self._listed[number]
        return name, self._open_one(self._storage.one(self._config, name), self._storage)

    def files(self) -> tuple[FileIdentity, ...]:
        """See ``model.Source``. VEIL310 for one of the list that is gone."""
        return tuple(self._identity(number) for number in range(len(self._listed)))

    def _identity(self, number: int) -> FileIdentity:
        name, source = self._file(number)
        try:
            return source.files()[0]
        except VeilError as error:
            if error.code != "VEIL210":
                raise
            raise VeilError(
                "VEIL310", f"{name} is gone, or is no file any more", "put it back and resume, or start a new run",
                self._config.place,
            ) from None  # fmt: skip

    def fingerprints(self, key: bytes) -> tuple[str, ...]:
        return tuple(self._file(number)[1].fingerprints(key)[0] for number in range(len(self._listed)))

    def schema(self) -> SourceSchema:
        """The columns of all files, and in what they differ from the first one's: every header is read."""
        first_name, first = self._file(0)
        schema = first.schema()
        there = {column.name: column for column in schema.columns}
        more: dict[str, SourceColumn] = {}
        uneven: dict[str, UnevenColumn] = {}
        for number in range(1, len(self._listed)):
            name, source = self._file(number)
            found = {column.name: column for column in source.schema().columns}
            for column in _differing(there, found, first_name, name):
                uneven.setdefault(column.name, column)
            for column_name in found.keys() - there.keys():
                more.setdefault(column_name, replace(found[column_name], file=name))
        columns = (*schema.columns, *(more[name] for name in sorted(more)))
        return replace(schema, columns=columns, files=len(self._listed), uneven=tuple(uneven.values()))

    def slices(self, columns: Sequence[SourceColumn], chunk_rows: int, start: Start = BEGINNING) -> Iterator[Slice]:
        first = start.number // CHUNKS_A_FILE
        for number in range(first, len(self._listed)):
            yield from self._slices(number, columns, chunk_rows, start if number == first else _begin(number))

    def _slices(self, number: int, columns: Sequence[SourceColumn], chunk_rows: int, start: Start) -> Iterator[Slice]:
        """The slices of one file, numbered as those of the whole source."""
        name, source = self._file(number)
        whole = Part(BEGINNING, partial(source.slices, columns, chunk_rows))
        yield from _part_of(whole, _begin(number), name).slices(start)

    @contextmanager
    def parts(self, columns: Sequence[SourceColumn], chunk_rows: int, workers: int) -> Iterator[Sequence[Part]]:
        """A part for each file, in the order of the list; files that are fewer than the workers are divided themselves."""
        numbers = range(len(self._listed))
        share = -(-workers // len(numbers)) if numbers else 1  # none: nothing is new
        with ExitStack() as opened:
            parts: list[Part] = []
            for number in numbers:
                name, source = self._file(number)
                if share > 1 and isinstance(source, Divisible):
                    own = opened.enter_context(source.parts(columns, chunk_rows, share))
                else:
                    own = [Part(BEGINNING, partial(source.slices, columns, chunk_rows))]
                parts += [_part_of(part, _begin(number), name) for part in own]
            yield parts


def _part_of(part: Part, begin: Start, file: str) -> Part:
    """A part of one file as a part of the whole source, in which the file begins with ``begin``."""

    def slices(start: Start) -> Iterator[Slice]:
        own = Start(start.number - begin.number, start.position - begin.position, start.bookmark)
        for piece in part.slices(own):
            yield _OfFile(piece, begin, file)

    return Part(Start(part.begins.number + begin.number, part.begins.position + begin.position), slices)


@dataclass(frozen=True, slots=True)
class _OfFile:
    """A slice of one file as a slice of the whole source."""

    piece: Slice
    begin: Start
    file: str

    @property
    def number(self) -> int:
        return self.begin.number + self.piece.number

    @property
    def bookmark(self) -> int | None:
        return self.piece.bookmark

    def read(self) -> Chunk:
        chunk, before = self.piece.read(), self.begin.position
        rejected = tuple(replace(row, position=row.position + before) for row in chunk.rejected)
        return replace(chunk, number=self.number, positions=chunk.positions + before, rejected=rejected, file=self.file)


def _begin(number: int) -> Start:
    """Where the numbers of a file's chunks and rows begin."""
    return Start(number * CHUNKS_A_FILE, number * ROWS_A_FILE)


def _differing(
    there: dict[str, SourceColumn], found: dict[str, SourceColumn], first: str, name: str
) -> Iterator[UnevenColumn]:
    for column in sorted(found.keys() - there.keys()):
        yield UnevenColumn(column, f"is in {name} and not in {first}")
    for column in there:
        if column not in found:
            yield UnevenColumn(column, f"is in {first} and not in {name}")
        elif found[column].type != there[column].type:
            kinds = there[column].type.arrow, found[column].type.arrow
            yield UnevenColumn(column, f"has the type {kinds[0]} in {first} and {kinds[1]} in {name}")
