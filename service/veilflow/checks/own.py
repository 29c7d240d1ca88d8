"""Expectations of other packages: an entry point of the group ``veilflow.expectations``, named as the expectation is.

It is an ``OwnExpectation``, or a subclass of one of Great Expectations' map expectations (``ColumnMapExpectation``,
``ColumnPairMapExpectation``, ``MulticolumnMapExpectation``) with its metric, which Great Expectations judges. Both are
about single rows: what is about a whole table cannot be said of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.catalogue import ROW_EXPECTATIONS, Expectation
from veilflow.checks.great_expectations_import import import_great_expectations

ENTRY_POINTS = "veilflow.expectations"
#: What every map expectation of Great Expectations takes; the rest are its own arguments.
_COMMON = frozenset({
    "id", "meta", "notes", "result_format", "description", "catch_exceptions", "rendered_content", "windows", "batch_id",
    "severity", "expectation_context", "mostly", "row_condition", "condition_parser", "column", "column_A", "column_B",
    "column_list",
})  # fmt: skip
_MAPS = (
    ("ColumnMapExpectation", ("column",)), ("ColumnPairMapExpectation", ("column_A", "column_B")),
    ("MulticolumnMapExpectation", ("column_list",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OwnExpectation:
    """``function`` gets the cells of its columns as Arrow arrays, then the suite's arguments by name, and returns an
    Arrow boolean a row. It must be pure: no clock, no chance, no other row. Rows without a value are not judged; null for
    a value that is there means that it fails.

    ``columns``: ("column",), ("column_A", "column_B") or ("column_list",). ``title`` in words, with the names of columns
    and arguments in braces. ``reads_text``: it gets the cells as they were read, and not as values of their types.
    """

    function: Callable[..., Any]
    title: str
    columns: tuple[str, ...] = ("column",)
    arguments: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    reads_text: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An own expectation as the plan knows it; ``function`` is None where Great Expectations judges."""

    expectation: Expectation
    function: Callable[..., Any] | None
    package: str
    accepts: Callable[[Mapping[str, Any]], bool]


def expectation_of(kind: str) -> Expectation:
    """What a row expectation reads: ours, or another package's."""
    found = ROW_EXPECTATIONS.get(kind)
    return own(kind).expectation if found is None else found


def names() -> tuple[str, ...]:
    """The expectations that installed packages offer."""
    return tuple(sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)}))


@lru_cache(maxsize=256)
def own(kind: str) -> Found:
    """Another package's expectation. LookupError if none offers it, ValueError for one that cannot be used."""
    found = tuple(entry_points(group=ENTRY_POINTS, name=kind))
    if not found:
        raise LookupError(kind)
    if len(found) > 1:
        raise ValueError(f"several packages offer {kind}: uninstall one of them")
    entry = found[0]
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
    loaded = _load(entry)
    if isinstance(loaded, OwnExpectation):
        if loaded.columns not in [columns for _name, columns in _MAPS] or not callable(loaded.function):
            raise ValueError(f"{entry.value} names columns that no expectation has, or has no function")
        spec = Expectation(loaded.columns, loaded.arguments, loaded.title, loaded.required, loaded.reads_text)
        return Found(spec, loaded.function, package, lambda _given: True)
    return _of_great_expectations(entry, loaded, package)


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        # Its text may be anything.
        raise ValueError(f"{entry.value} cannot be loaded ({type(error).__name__})") from None


def _of_great_expectations(entry: EntryPoint, loaded: Any, package: str) -> Found:
    import_great_expectations()
    from great_expectations.expectations import expectation as theirs
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    columns = [columns for name, columns in _MAPS if _is(loaded, getattr(theirs, name))]
    if not columns:
        raise ValueError(f"{entry.value} is neither an OwnExpectation nor a map expectation of Great Expectations")
    if entry.name not in list_registered_expectation_implementations():
        raise ValueError(f"{entry.value} is registered with Great Expectations under another name than {entry.name}")
    fields = loaded.__fields__
    arguments = tuple(name for name in fields if name not in _COMMON)
    required = tuple(name for name in arguments if fields[name].required)
    title = f"{{{columns[0][0]}}}: {entry.name.removeprefix('expect_').replace('_', ' ')}"
    spec = Expectation(columns[0], arguments, title, required)
    return Found(spec, None, package, lambda given: _accepts(loaded, given))


def _is(loaded: Any, kind: type) -> bool:
    return isinstance(loaded, type) and issubclass(loaded, kind)


def _accepts(loaded: Any, given: Mapping[str, Any]) -> bool:
    try:
        loaded(**given)
    except Exception:  # noqa: BLE001  # whatever its validators raise; the text may quote a value
        return False
    return True


def own_test(kind: str, arguments: Mapping[str, Any]) -> Callable[[Sequence[pa.Array]], pa.Array] | None:
    """The test of an own expectation; None where Great Expectations judges."""
    function = own(kind).function
    if function is None:
        return None
    given = {name: value for name, value in arguments.items() if name != "ignore_row_if"}

    def test(columns: Sequence[pa.Array]) -> pa.Array:
        try:
            passes = function(*columns, **given)
            passes = passes.combine_chunks() if isinstance(passes, pa.ChunkedArray) else passes
        except Exception:  # noqa: BLE001  # somebody else's code; its text may quote a cell
            passes = None
        if not isinstance(passes, pa.Array) or not pa.types.is_boolean(passes.type) or len(passes) != len(columns[0]):
            raise ValueError("not a boolean a row")
        passes = passes.fill_null(False)
        return passes if len(columns) > 1 else pc.if_else(columns[0].is_valid(), passes, pa.scalar(None, pa.bool_()))

    return test
