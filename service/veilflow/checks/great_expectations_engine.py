"""Great Expectations itself, on pandas frames that share Arrow's memory where they can.

Its results carry values in many places, so ours are built from an allow-list: counts and row indices.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from veilflow.checks.catalogue import ROW_EXPECTATIONS
from veilflow.errors import VeilError
from veilflow.model import Chunk, CheckOutcome, CheckPlan, SourceColumn

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

#: Column name of the text form of a column, beside its typed form.
_TEXT = "{}\x1ftext"
_NULL_CHECKS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
_COMPLETE = {"result_format": "COMPLETE", "exclude_unexpected_values": True}
_IMPORT = threading.Lock()


@dataclass(frozen=True)
class _Built:
    """A thread's own context, batch definition and expectations: shared, they give wrong verdicts in silence."""

    batch_definition: Any
    expectations: tuple[Any, ...]


class GreatExpectationsChecker:
    """Judges chunks by a plan's checks."""

    def __init__(self, checks: Sequence[CheckPlan], columns: Sequence[SourceColumn]) -> None:
        self._checks = tuple(checks)
        self._types = {column.name: column.type.name for column in columns}
        self._local = threading.local()

    def check(self, chunk: Chunk) -> tuple[CheckOutcome, ...]:
        """See ``model.Checker``. VEIL103 where Great Expectations fails on a check; its text is not passed on."""
        if chunk.raw.num_rows == 0:
            none = np.array([], dtype=np.int64)
            return tuple(CheckOutcome(number, 0, none) for number in range(len(self._checks)))
        built = self._built()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = built.batch_definition.get_batch(batch_parameters={"dataframe": self._frame(chunk)})
            return tuple(
                self._outcome(number, batch, expectation, chunk.raw.num_rows)
                for number, expectation in enumerate(built.expectations)
            )

    def _outcome(self, number: int, batch: Any, expectation: Any, rows: int) -> CheckOutcome:
        check = self._checks[number]
        failed = np.array([], dtype=np.int64)
        try:
            # Booleans alone are twice as fast; indices are asked for only where something failed.
            answer = batch.validate(expectation, result_format="BOOLEAN_ONLY")
            if not answer.success:
                answer = batch.validate(expectation, result_format=_COMPLETE)
                failed = np.array(sorted(answer.result["unexpected_index_list"]), dtype=np.int64)
            if _raised(answer.exception_info):
                raise ValueError
        except Exception:
            raise VeilError(
                "VEIL103", f"Great Expectations could not judge {check.type} on {check.column}",
                "the expectation does not fit the column's type; compare text with text and numbers with numbers", check.place,
            ) from None  # fmt: skip
        return CheckOutcome(number, rows - self._unjudged(check, batch.data.dataframe), failed)

    def _unjudged(self, check: CheckPlan, frame: pd.DataFrame) -> int:
        """Rows that the check leaves out: nulls, except for the null checks themselves; of pairs, those that
        ``ignore_row_if`` says (Great Expectations' default: both are missing)."""
        if check.type in _NULL_CHECKS:
            return 0
        missing = [frame[self._frame_column(check, column)].isna().to_numpy() for column in check.columns]
        rule = check.arguments.get("ignore_row_if", "both_values_are_missing")
        if len(missing) == 1:
            return int(missing[0].sum())
        if rule == "neither":
            return 0
        return int((missing[0] & missing[1] if rule == "both_values_are_missing" else missing[0] | missing[1]).sum())

    def _frame(self, chunk: Chunk) -> pd.DataFrame:
        """Only the columns that a check names, typed or as text."""
        columns: dict[str, pd.Series[Any]] = {}
        for check in self._checks:
            for column in check.columns:
                name = self._frame_column(check, column)
                if name not in columns:
                    text = ROW_EXPECTATIONS[check.type].reads_text
                    columns[name] = _series(_as_text(chunk.raw.column(column)) if text else chunk.values.column(column))
        return pd.DataFrame(columns)

    def _frame_column(self, check: CheckPlan, column: str) -> str:
        """A text column has one form; of others, expectations about text read the text as it came."""
        reads_text = ROW_EXPECTATIONS[check.type].reads_text and self._types.get(column) != "text"
        return _TEXT.format(column) if reads_text else column

    def _built(self) -> _Built:
        built = getattr(self._local, "built", None)
        if built is None:
            with _IMPORT:
                built = self._local.built = self._build()
        return built

    def _build(self) -> _Built:
        import great_expectations as gx
        from great_expectations.expectations.registry import get_expectation_impl

        logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("chunks").add_dataframe_asset("chunk")
        expectations = []
        for check in self._checks:
            spec = ROW_EXPECTATIONS[check.type]
            names = [self._frame_column(check, column) for column in check.columns]
            together = spec.columns == ("column_list",)
            columns = {"column_list": names} if together else dict(zip(spec.columns, names, strict=True))
            expectations.append(get_expectation_impl(check.type)(**columns, **check.arguments))
        return _Built(asset.add_batch_definition_whole_dataframe("whole"), tuple(expectations))


def _raised(info: Any) -> bool:
    """Whether Great Expectations caught an exception; it reports one dict, or one for each metric."""
    if not isinstance(info, dict):
        return False
    return bool(info.get("raised_exception")) or any(_raised(value) for value in info.values())


def _as_text(values: pa.Array) -> pa.Array:
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def _series(values: pa.Array) -> pd.Series[Any]:
    """Text and numbers as pandas knows them; dates and decimals as Python objects, null as None."""
    if pa.types.is_string(values.type):
        return pd.Series(values.to_pandas(), dtype=object).where(pd.Series(values.is_valid().to_pandas()), None)
    if pa.types.is_integer(values.type):
        return pd.Series(values.to_pandas(types_mapper=None) if not values.null_count else values.to_pandas(integer_object_nulls=True))
    return pd.Series(values.to_pandas(date_as_object=True))
