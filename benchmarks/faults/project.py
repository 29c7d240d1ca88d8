"""The project that the trials run: files of people, some with rows to hold back, and an old table that shares some."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

ROWS = 6_000
OLD_ROWS = 700
CHUNK_ROWS = 300
_FILES = 3
#: Behind every so many people stands a row that cannot be loaded, in the files that have some to hold back.
_PEOPLE_A_BAD_ROW = 400
#: The ids of these rows.
HELD = tuple(map(str, range(0, ROWS, _PEOPLE_A_BAD_ROW)))
#: By name, the files of the new people in their folder, and what a pipeline says beside them.
SOURCES = {
    "one file": ("new.csv", ""), "many files": ("new/*.csv", ""), "one file, two workers": ("new.csv", "workers: 2\n"),
    "many files, two workers": ("new/*.csv", "workers: 2\n"),
}  # fmt: skip
#: By where rows are held back, the folder, and what a pipeline says of them: with one more the run is refused.
_HOLDING = f"limits: {{max_quarantined: {len(HELD)}}}\nquarantine: {{store: %s}}\n"
HOLDINGS = {
    "nowhere": ("data", ""), "files": ("data/with_bad_rows", _HOLDING % "files"),
    "target": ("data/with_bad_rows", _HOLDING % "target"),
}  # fmt: skip
_PIPELINE = """\
version: 1
source: {{kind: csv, path: "{path}", on_bad_row: {on_bad_row}}}
columns:
  age: {{type: integer}}
  number: {{type: integer}}
policy: people
target: {{{target}, mode: {mode}}}
chunk_rows: {chunk_rows}
"""
#: By the mode's name here, what a pipeline says of it.
MODES = {
    "replace": ("replace", ""), "append": ("append", ""), "merge": ("merge, key: [id]", ""),
    "incremental merge": ("merge, key: [id]", "incremental: {column: number, lag: 0}\n"),
    "merge of new files": ("merge, key: [id]", "incremental: {files: new}\n"),
}  # fmt: skip
_POLICY = """\
version: 1
purpose: faults
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
  age: {class: quasi_identifier, treatment: keep, reason: what the reader sums}
  city: {class: quasi_identifier, treatment: keep, reason: what the reader sums}
  number: {class: non_personal, treatment: drop}
"""


def people(count: int, first: int, city: str, *, with_bad_rows: bool = False) -> str:
    """A file of so many people; the numbers go on from ``first``."""
    rows = []
    for n in range(first, first + count):
        rows.append(f"{n},Name {n},{n % 97},{city}{n % 7},{n}\n")
        if with_bad_rows and n % _PEOPLE_A_BAD_ROW == 0:
            rows.append(f"{n},Name {n},unknown,{city}{n % 7},{n}\n")
    return "id,name,age,city,number\n" + "".join(rows)


def sources_for(mode: str) -> list[str]:
    """The sources that can be loaded in this mode."""
    return [name for name, (path, _more) in SOURCES.items() if mode != "merge of new files" or "*" in path]


def source_path(source: str, held: str) -> str:
    """The pattern of the new people's files."""
    return f"{HOLDINGS[held][0]}/{SOURCES[source][0]}"


def write_project(directory: Path, login: str = "") -> None:
    """All but the pipelines; half of the old people are among the new ones."""
    from veilflow.keys import KeyRing

    for folder in ("pipelines", "policies", "secrets", "out", "data/new", "data/with_bad_rows/new"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    (directory / "policies/people.yaml").write_text(_POLICY)
    write_names(directory)
    for folder, bad in (("data", False), ("data/with_bad_rows", True)):
        (directory / folder / "new.csv").write_text(people(ROWS, 0, "Newtown", with_bad_rows=bad))
        for number in range(_FILES):
            part = people(ROWS // _FILES, number * ROWS // _FILES, "Newtown", with_bad_rows=bad)
            (directory / folder / f"new/{number}.csv").write_text(part)
    (directory / "data/old.csv").write_text(people(OLD_ROWS, ROWS - OLD_ROWS // 2, "Old"))
    for name, value in (("keyring", KeyRing.generate("2026-01-01T00:00:00Z")), ("login", login)):
        (directory / name).write_text(value)
        (directory / name).chmod(0o600)


def write_names(directory: Path, warehouse: str | None = None, lock_seconds: float = 30) -> None:
    """``secrets/names.yaml``; the address is that of the connection ``warehouse``, and so is its patience with locks."""
    connection = {"url": warehouse, "credential": "login", "lock_timeout_seconds": lock_seconds}
    names = {
        "version": 1, "stores": {"files": {"kind": "file"}},
        "secrets": {"keyring": {"store": "files", "path": "keyring"}, "login": {"store": "files", "path": "login"}},
        "connections": {"warehouse": connection} if warehouse else {},
        "keyring": "keyring",
    }  # fmt: skip
    (directory / "secrets/names.yaml").write_text(json.dumps(names))


def write_pipeline(
    directory: Path, target: str, mode: str, source: str = "one file", held: str = "nowhere"
) -> None:  # fmt: skip
    """``pipelines/new.yaml`` that loads the new people in that way; and ``old``, which replaces them by the old ones."""
    (how, incremental), (_path, workers), (_folder, holding) = MODES[mode], SOURCES[source], HOLDINGS[held]
    fill = partial(_PIPELINE.format, target=target, chunk_rows=CHUNK_ROWS)
    new = fill(path=source_path(source, held), mode=how, on_bad_row="quarantine" if holding else "refuse")
    (directory / "pipelines/new.yaml").write_text(new + workers + incremental + holding)
    (directory / "pipelines/old.yaml").write_text(fill(path="data/old.csv", mode="replace", on_bad_row="refuse"))
