"""Which rows are loaded: the checks and the filters, held against the columns that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa

from veilflow.checks import COLUMN_EXPECTATIONS, fit_check, holds, plan_check
from veilflow.config import SuiteConfig
from veilflow.errors import VeilError
from veilflow.model import CheckPlan, ColumnPlan, ColumnType, FilterPlan, SourceColumn
from veilflow.plan.presence import present_in


def planned_checks(
    suite: SuiteConfig | None, columns: tuple[ColumnPlan, ...], errors: list[VeilError]
) -> tuple[CheckPlan, ...]:
    checks = []
    types_at = {
        "source": {column.name: column.type for column in columns},
        "output": {column.name: column.output_type for column in columns if column.outcome == "load"},
    }
    for expectation in suite.expectations if suite else ():
        try:
            check = plan_check(expectation.raw, expectation.place, suite.meta if suite else None)
            types = types_at[check.stage]
            missing = [column for column in check.reads if column not in types]
            for column in missing:
                present_in(column, list(types), "an expectation names the column", check.place, errors, check.stage)
            if not missing:
                check = fit_check(check, types)
                errors += _undone(check, types)
            checks.append(check)
        except VeilError as error:
            errors.extend(error.parts)
    return tuple(checks)


def _undone(check: CheckPlan, types: Mapping[str, ColumnType]) -> list[VeilError]:
    """VEIL306 for an expectation about the columns themselves that does not hold: no row needs to be read for it."""
    columns = [SourceColumn(name, kind) for name, kind in types.items()]
    if check.type not in COLUMN_EXPECTATIONS or check.on_fail != "refuse":
        return []
    if holds(check.type, check.arguments, check.columns, columns):
        return []
    shown = ", ".join(f"{name} ({kind.name})" for name, kind in types.items())
    return [VeilError("VEIL306", f"{check.title}: this does not hold", f"the {check.stage} has: {shown}", check.place)]


def planned_filter(rule: FilterPlan, columns: tuple[ColumnPlan, ...], errors: list[VeilError]) -> FilterPlan:
    found = next((column for column in columns if column.name == rule.column), None)
    rule = rule if found is None else _exact(rule, found.type.arrow)
    if found is None:
        present_in(rule.column, [column.name for column in columns], "a filter names the column", rule.place, errors)
    elif not _filter_fits(rule, found.type.arrow):
        errors.append(
            VeilError("VEIL209", f'the filter {rule.name} does not fit the column "{rule.column}" of type {found.type.name}',
                      "in and not_in take a list, is_null and not_null take no value, the others one value of the column's type", rule.place)
        )  # fmt: skip
    return rule


def _exact(rule: FilterPlan, kind: pa.DataType) -> FilterPlan:
    """Numbers for a decimal column as decimals: neither rounded by a float nor too wide as an integer."""
    if not pa.types.is_decimal(kind):
        return rule
    many = isinstance(rule.value, list)
    values = [
        Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for value in (rule.value if many else [rule.value])
    ]
    return replace(rule, value=values if many else values[0])


def _filter_fits(rule: FilterPlan, kind: pa.DataType) -> bool:
    if rule.op in ("is_null", "not_null"):
        return rule.value is None
    values = rule.value if rule.op in ("in", "not_in") else [rule.value]
    if (
        not isinstance(values, list)
        or not values
        or any(value is None or isinstance(value, dict | list) for value in values)
    ):
        return False
    if rule.op in ("<", "<=", ">", ">=") and pa.types.is_string(kind) and not isinstance(values[0], str):
        return False  # as text "9" is above "18": the column needs a type first
    if pa.types.is_boolean(kind) != all(isinstance(value, bool) for value in values):
        return False
    try:
        pa.array(values).cast(kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True
