"""Generalisation by a table: each value to its group at a level."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from io import StringIO
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.model import FileContent
from veilflow.treatments.interface import Context, Traits, Treatment, Unfit, one_of, text_type

_MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """``table``: ``{file: PATH}``, a CSV file with a header; its first column holds the values, each further one a
    level. ``level``: that column's name, or its number from 1. Values that the table does not have follow ``missing``:
    refuse, quarantine or redact."""

    table: FileContent
    level: str | int
    missing: Literal["refuse", "quarantine", "redact"] = "refuse"
    values: pa.Array = field(init=False, repr=False, compare=False)
    groups: pa.Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        one_of("missing", self.missing, "refuse", "quarantine", "redact")
        if not isinstance(self.table, FileContent):
            raise ValueError("table must name a file: {file: PATH}")
        values, groups = _read(self.table, self.level)
        object.__setattr__(self, "values", pa.array(values, pa.string()))
        object.__setattr__(self, "groups", pa.array(groups, pa.string()))


def _read(table: FileContent, level: str | int) -> tuple[list[str], list[str]]:
    """Values and their groups. ValueError with file and line, never with a value of the table."""
    try:
        rows = csv.reader(StringIO(table.text, newline=""), strict=True)
        header = [name.strip() for name in next(rows, [])]
        column = _column(table.path, header, level)
        found: dict[str, str] = {}
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"{table.path}:{rows.line_num} has {len(row)} fields and the header {len(header)}")
            if row[0] in found:
                raise ValueError(f"{table.path}:{rows.line_num} has a value of an earlier line")
            found[row[0]] = row[column]
            if len(found) > _MOST_ROWS:
                raise ValueError(f"{table.path} has more than {_MOST_ROWS:,} rows")
    except csv.Error:
        raise ValueError(f"{table.path}:{rows.line_num} has quotes that do not match") from None
    if not found:
        raise ValueError(f"{table.path} has no row")
    return list(found), list(found.values())


def _column(path: str, header: list[str], level: str | int) -> int:
    if len(header) < 2 or len(set(header)) < len(header):
        raise ValueError(f"{path}:1 must name a column of values and one for each level")
    if isinstance(level, int) and not isinstance(level, bool) and 1 <= level < len(header):
        return level
    if isinstance(level, str) and level in header[1:]:
        return header.index(level)
    raise ValueError(f"level must be one of {', '.join(header[1:])}, or a number from 1 to {len(header) - 1}")


def _places(values: pa.Array, parameters: Hierarchy) -> pa.Array:
    return pc.index_in(values.cast(pa.string()), value_set=parameters.values)


def _apply(values: pa.Array, parameters: Hierarchy, _context: Context) -> pa.Array:
    found = parameters.groups.take(_places(values, parameters))
    missing = "[redacted]" if parameters.missing == "redact" else None
    return pc.if_else(
        pc.is_valid(values), pc.fill_null(found, missing) if missing else found, pa.scalar(None, pa.string())
    )


def _unfit(values: pa.Array, parameters: Hierarchy, _context: Context) -> tuple[Unfit, ...]:
    if parameters.missing == "redact":
        return ()
    absent = pc.and_(pc.is_valid(values), pc.is_null(_places(values, parameters)))
    rows = np.flatnonzero(absent.to_numpy(zero_copy_only=False))
    return (Unfit(rows, f"is not in {parameters.table.path}", parameters.missing),) if len(rows) else ()


HIERARCHY = Treatment(
    "hierarchy",
    "Each value to its group at a level of a table in a CSV file.",
    Hierarchy,
    frozenset({"text", "integer"}),
    text_type,
    _apply,
    Traits("a group of the table"),
    unfit=_unfit,
)
