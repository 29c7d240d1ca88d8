"""Which rows a check judges: ``row_condition``, as comparisons of columns with values, joined by and and or.

Great Expectations turns a condition into text that pandas evaluates; here it is a small tree and Arrow kernels, for
both engines, with the outcome that pandas has: a null fails every comparison but ``!=`` and ``NOT_IN``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.cells import cells
from veilflow.model import Chunk, ColumnType, RowCondition

_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "IN", "NOT_IN")
_MOST_PARTS = 100
_LARGEST = 2**63 - 1
_WANTED = (
    "it takes comparisons of a column with a value, joined by and and or: "
    '{type: comparison, column: {name: state}, operator: ==, parameter: nsw}, or the text col("state") == "nsw"'
)


def parse_condition(raw: Any) -> RowCondition:
    """A condition as Great Expectations writes it (JSON), or as one line. ValueError for all that is more."""
    try:
        found = _from_text(raw) if isinstance(raw, str) else _from_json(raw)
    except (KeyError, TypeError, ValueError, AttributeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError(_WANTED) from None
    if _size(found) > _MOST_PARTS:
        raise ValueError(f"it has more than {_MOST_PARTS} comparisons")
    return found


def _size(condition: RowCondition) -> int:
    return sum(map(_size, condition.parts)) if condition.parts else 1


def fit_condition(
    condition: RowCondition, types: Mapping[str, ColumnType], convert: Callable[[Any, ColumnType], Any]
) -> RowCondition:
    """The condition with its values in their columns' form. ValueError where one does not fit its column."""
    if condition.parts:
        return replace(condition, parts=tuple(fit_condition(part, types, convert) for part in condition.parts))
    if condition.op in ("is_null", "not_null"):
        return condition
    kind = types[condition.column]
    if kind.name == "boolean" and condition.op not in ("==", "!="):
        raise ValueError("a row_condition compares a boolean column by == or != only")
    many = isinstance(condition.value, tuple)
    values = [convert(one, kind) for one in (condition.value if many else [condition.value])]
    if any(isinstance(one, int) and abs(one) > _LARGEST for one in values):
        raise ValueError("a number of its row_condition is larger than any column holds")
    return replace(condition, value=tuple(values) if many else values[0])


def holds(condition: RowCondition, chunk: Chunk) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The rows of a chunk for which a fitted condition holds."""
    return np.asarray(_holds(condition, chunk).to_numpy(zero_copy_only=False), dtype=bool)


def part_for(condition: RowCondition | None, chunk: Chunk) -> Chunk:
    """The rows of a chunk for which a fitted condition holds; all without one."""
    return chunk if condition is None else part(chunk, np.flatnonzero(holds(condition, chunk)))


def part(chunk: Chunk, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Chunk:
    """Some rows of a chunk, in their order."""
    taken = pa.array(rows)
    return Chunk(chunk.number, chunk.raw.take(taken), chunk.values.take(taken), chunk.positions[rows])


def _holds(condition: RowCondition, chunk: Chunk) -> pa.Array:
    if condition.parts:
        combine = pc.and_ if condition.op == "and" else pc.or_
        return reduce(combine, (_holds(part, chunk) for part in condition.parts))
    values = cells(chunk, condition.column, "values")
    if condition.op in ("is_null", "not_null"):
        return values.is_null() if condition.op == "is_null" else values.is_valid()
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", getattr(values.type, "tz", None)))
    found = _COMPARISONS[condition.op](values, condition.value)
    return found.fill_null(condition.op in ("!=", "NOT_IN"))


def _comparison(kernel: Any) -> Callable[[pa.Array, Any], pa.Array]:
    return lambda values, value: kernel(values, _scalar(value, values.type))


def _is_in(values: pa.Array, wanted: tuple[Any, ...]) -> pa.Array:
    return reduce(pc.or_, (pc.equal(values, _scalar(one, values.type)) for one in wanted))


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(value, kind) if pa.types.is_timestamp(kind) else pa.scalar(value)


_COMPARISONS: Mapping[str, Callable[[pa.Array, Any], pa.Array]] = {
    "==": _comparison(pc.equal), "!=": _comparison(pc.not_equal), "<": _comparison(pc.less),
    "<=": _comparison(pc.less_equal), ">": _comparison(pc.greater), ">=": _comparison(pc.greater_equal),
    "IN": _is_in, "NOT_IN": lambda values, wanted: pc.invert(_is_in(values, wanted)),
}  # fmt: skip


# --- reading ------------------------------------------------------------------------------------


def _from_json(raw: Any) -> RowCondition:
    kind = raw["type"]
    if kind in ("and", "or"):
        return _joined(kind, [_from_json(part) for part in raw["conditions"]])
    column = raw["column"]["name"] if isinstance(raw["column"], Mapping) else raw["column"]
    if kind == "nullity":
        return RowCondition("is_null" if raw["is_null"] else "not_null", str(column))
    if kind == "comparison":
        return _leaf(str(raw["operator"]), str(column), raw["parameter"])
    raise ValueError(_WANTED)


def _joined(op: str, parts: list[RowCondition]) -> RowCondition:
    if not parts:
        raise ValueError(_WANTED)
    return RowCondition(op, parts=tuple(parts))


def _leaf(op: str, column: str, value: Any) -> RowCondition:
    many = op in ("IN", "NOT_IN")
    if op not in _OPERATORS or value is None or isinstance(value, list) != many or (many and not value):
        raise ValueError(_WANTED)
    return RowCondition(op, column, tuple(value) if many else value)


_TEXT_OPERATORS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "IN",
    ast.NotIn: "NOT_IN",
}  # fmt: skip


def _from_text(text: str) -> RowCondition:
    return _node(ast.parse(text.strip(), mode="eval").body)


def _node(node: ast.expr) -> RowCondition:
    if isinstance(node, ast.BoolOp):
        return _joined("and" if isinstance(node.op, ast.And) else "or", [_node(part) for part in node.values])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        return _joined("and" if isinstance(node.op, ast.BitAnd) else "or", [_node(node.left), _node(node.right)])
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        op = _TEXT_OPERATORS[type(node.ops[0])]
        return _leaf(op, _name(node.left), ast.literal_eval(node.comparators[0]))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
        nullity = {"notNull": "not_null", "is_not_null": "not_null", "notnull": "not_null"} | dict.fromkeys(
            ("isNull", "is_null", "isnull"), "is_null"
        )
        return RowCondition(nullity[node.func.attr], _name(node.func.value))
    raise ValueError(_WANTED)


def _name(node: ast.expr) -> str:
    """A column: its bare name (pandas), or col("its name")."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col" and len(node.args) == 1:
        name = ast.literal_eval(node.args[0])
        if isinstance(name, str):
            return name
    raise ValueError(_WANTED)
