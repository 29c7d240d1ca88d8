"""Expectations about which columns there are and of which type: decided by the plan, from the schema alone.

Types go by their names in pandas, as Great Expectations compares them there: ``int64``, ``str``, ``float64``, ``bool``,
``datetime64``. A column of integers stays one when values are missing, where pandas would make doubles of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from veilflow.model import ColumnType, SourceColumn

_Columns = Sequence[SourceColumn]
#: Great Expectations' words for Python's own types, which are never NumPy's.
_TEXT_NAMES = ("str", "string_types")


def holds(expectation: str, arguments: Mapping[str, Any], names: Sequence[str], columns: _Columns) -> bool:
    """Whether such an expectation holds for the columns of a table; ``names`` are those that it is about."""
    return _HOLDS[expectation]({**arguments, "column": names[0] if names else arguments.get("column")}, columns)


def _exists(given: Mapping[str, Any], columns: _Columns) -> bool:
    names = [column.name for column in columns]
    at = given.get("column_index")
    if at is None:
        return given["column"] in names
    return -len(names) <= at < len(names) and bool(names[at] == given["column"])


def _counted(given: Mapping[str, Any], columns: _Columns) -> bool:
    low, high = given.get("min_value"), given.get("max_value")
    return (low is None or low <= len(columns)) and (high is None or len(columns) <= high)


def _same_set(given: Mapping[str, Any], columns: _Columns) -> bool:
    found, wanted = {column.name for column in columns}, set(given["column_set"])
    return found == wanted if given.get("exact_match", True) else wanted <= found


def _same_order(given: Mapping[str, Any], columns: _Columns) -> bool:
    return [column.name for column in columns] == list(given["column_list"])


def _of_type(given: Mapping[str, Any], columns: _Columns) -> bool:
    kind = next(column.type for column in columns if column.name == given["column"])
    return any(_is_type(kind, name) for name in given.get("type_list", [given.get("type_")]))


def type_name(kind: ColumnType) -> str:
    """The name by which ``expect_column_values_to_be_of_type`` knows a column's type."""
    if kind.name in ("text", "json"):
        return _TEXT_NAMES[0]
    if kind.name in ("date", "timestamp"):
        return "datetime64" if kind.name == "date" or kind.arrow.tz is None else "Timestamp"
    return _pandas(kind).name


def _is_type(kind: ColumnType, name: str) -> bool:
    if kind.name in ("text", "json"):
        return name.lower() in _TEXT_NAMES
    if pa.types.is_timestamp(kind.arrow) and kind.arrow.tz is not None:
        return name == "Timestamp"
    try:
        return np.dtype(name).type is _pandas(kind).type
    except (TypeError, ValueError):
        return False


def _is_dtype(given: Mapping[str, Any], columns: _Columns) -> bool:
    kind, name = next(column.type for column in columns if column.name == given["column"]), given["type_"]
    if kind.name in ("text", "json"):
        return bool(name == "str")
    if pa.types.is_timestamp(kind.arrow) and kind.arrow.tz is not None:
        return bool(name == f"datetime64[{kind.arrow.unit}, {kind.arrow.tz}]")
    try:
        wanted, found = np.dtype(name), _pandas(kind)
    except (TypeError, ValueError):
        return False
    generic = wanted.kind == "M" and np.datetime_data(wanted)[0] == "generic"
    return found.kind == "M" if generic else found == wanted


def _pandas(kind: ColumnType) -> np.dtype[Any]:
    """The dtype under which pandas holds the column for Great Expectations."""
    if kind.name == "decimal":
        return np.dtype("float64")
    if kind.name == "date":
        return np.dtype("datetime64[s]")
    if kind.name == "timestamp":
        return np.dtype(f"datetime64[{kind.arrow.unit}]")
    return np.dtype(object) if kind.name == "binary" else np.dtype(kind.arrow.to_pandas_dtype())


_HOLDS: Mapping[str, Callable[[Mapping[str, Any], _Columns], bool]] = {
    "expect_column_to_exist": _exists,
    "expect_table_column_count_to_equal": lambda given, columns: len(columns) == given["value"],
    "expect_table_column_count_to_be_between": _counted,
    "expect_table_columns_to_match_set": _same_set,
    "expect_table_columns_to_match_ordered_list": _same_order,
    "expect_column_values_to_be_of_type": _of_type,
    "expect_column_values_to_be_in_type_list": _of_type,
    "expect_column_type_to_be": _is_dtype,
}
