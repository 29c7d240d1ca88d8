"""A CSV file, written anew by each run and published by a rename."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.databases import NO_TABLE, Look, Rows, Summary, small_disk, summary
from benchmarks.faults.project import write_project


@dataclass
class Csv:
    """``out/people.csv``."""

    project: Path
    disk: Path | None
    name: str = "csv"
    modes: tuple[str, ...] = ("replace",)
    holdings: tuple[str, ...] = ("nowhere", "files")
    shared: bool = True
    resumes: bool = False
    room: tuple[int, int] = (20_000, 300_000)

    @property
    def _path(self) -> Path:
        return self.project / "out/people.csv"

    def target(self) -> str:
        return "kind: csv, path: out/people.csv"

    def keep_as_old(self) -> None:
        shutil.copy(self._path, self.project / "old.csv")

    def begin(self, indexed: bool) -> None:
        for path in self._path.parent.iterdir():
            path.unlink()
        shutil.copy(self.project / "old.csv", self._path)

    def rows(self) -> Rows:
        with self._path.open(newline="") as file:
            found = csv.reader(file)
            next(found)
            return Counter((who, name, int(age), city) for who, name, age, city in found)

    def staging(self) -> list[str]:
        return [path.name for path in self._path.parent.glob(".people.csv.*")]

    @contextmanager
    def reader(self) -> Iterator[Look]:
        before: dict[tuple[int, int, int], Summary] = {}

        def look() -> Summary | None:
            try:
                facts = self._path.stat()
                state = facts.st_ino, facts.st_mtime_ns, facts.st_size
                return before.get(state) or before.setdefault(state, summary(self.rows()))
            except FileNotFoundError:
                return NO_TABLE
            except (ValueError, StopIteration):
                return ("half a row",)

        yield look

    def on_disk(self) -> nullcontext[None]:
        return nullcontext()


@contextmanager
def opened(project: Path) -> Iterator[Csv]:
    """In a project of its own."""
    write_project(project)
    with small_disk(project / "out") as disk:
        yield Csv(project, disk)
