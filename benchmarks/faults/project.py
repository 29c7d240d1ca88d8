"""The project that the trials run: a file of people, and an old table that shares some of them."""

from __future__ import annotations

import json
from pathlib import Path

ROWS = 6_000
OLD_ROWS = 700
CHUNK_ROWS = 300
_FILES = 3
#: By name, the files of the new people and what a pipeline says beside them.
SOURCES = {
    "one file": ("data/new.csv", ""), "many files": ("data/new/*.csv", ""),
    "many files, two workers": ("data/new/*.csv", "workers: 2\n"),
}  # fmt: skip
_PIPELINE = """\
version: 1
source: {{kind: csv, path: "{path}"}}
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


def people(count: int, first: int, city: str) -> str:
    """A file of so many people; the numbers go on from ``first``."""
    rows = (f"{n},Name {n},{n % 97},{city}{n % 7},{n}\n" for n in range(first, first + count))
    return "id,name,age,city,number\n" + "".join(rows)


def write_project(directory: Path, login: str = "") -> None:
    """All but the pipelines; half of the old people are among the new ones."""
    from veilflow.keys import KeyRing

    for folder in ("pipelines", "policies", "secrets", "data/new", "out"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    (directory / "policies/people.yaml").write_text(_POLICY)
    write_names(directory)
    (directory / "data/new.csv").write_text(people(ROWS, 0, "Newtown"))
    for number in range(_FILES):
        part = people(ROWS // _FILES, number * ROWS // _FILES, "Newtown")
        (directory / f"data/new/{number}.csv").write_text(part)
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


def write_pipeline(directory: Path, target: str, mode: str, source: str = "one file") -> None:
    """``pipelines/new.yaml`` that loads the new people in that way; and ``old``, which replaces them by the old ones."""
    (path, more), (how, column) = SOURCES[source], MODES[mode]
    text = _PIPELINE.format(path=path, target=target, mode=how, chunk_rows=CHUNK_ROWS)
    (directory / "pipelines/new.yaml").write_text(text + more + column)
    text = _PIPELINE.format(path="data/old.csv", target=target, mode="replace", chunk_rows=CHUNK_ROWS)
    (directory / "pipelines/old.yaml").write_text(text)
