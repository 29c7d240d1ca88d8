"""Great Expectations itself, on pandas frames that share Arrow's memory where they can.

Its results carry values in many places, so ours are built from an allow-list: counts and row indices.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.catalogue import ROW_EXPECTATIONS
from veilflow.checks.comparison import comparable_arguments
from veilflow.checks.great_expectations_import import import_great_expectations
from veilflow.errors import VeilError
from veilflow.model import TEXT, CheckOutcome, CheckPlan, Chunk, SourceColumn

#: Column name of the text form of a column, beside its typed form.
_TEXT = "{}\x1ftext"
_NULL_CHECKS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
_IGNORE_ALL = ("both_values_are_missing", "all_values_are_missing")
_IGNORE_ANY = ("either_value_is_missing", "any_value_is_missing")
#: The key in an expectation's meta that holds the number of its check.
_NUMBER = "veilflow_check"
_COMPLETE = {"result_format": "COMPLETE", "exclude_unexpected_values": True}
_EXACT_IN_DOUBLE = 2**53


@dataclass(frozen=True)
class _Built:
    """A thread's own context, batch definition and expectations: shared, they give wrong verdicts in silence."""

    batch_definition: Any
    suite: Any


class GreatExpectationsChecker:
    """Judges chunks by a plan's checks."""

    def __init__(self, checks: Sequence[CheckPlan], columns: Sequence[SourceColumn]) -> None:
        self._checks = tuple(checks)
        _silence()
        self._types = {column.name: column.type for column in columns}
        self._arguments = tuple(
            comparable_arguments(check, tuple(self._types.get(column, TEXT) for column in check.columns))
            for check in self._checks
        )
        self._local = threading.local()

    def check(self, chunk: Chunk) -> tuple[CheckOutcome, ...]:
        """See ``model.Checker``. VEIL105 where Great Expectations fails on a check; its text is not passed on."""
        if chunk.raw.num_rows == 0 or not self._checks:
            none = np.array([], dtype=np.int64)
            return tuple(CheckOutcome(number, 0, none) for number in range(len(self._checks)))
        frame = self._frame(chunk)
        answers = self._answers(frame)
        return tuple(self._outcome(number, answers.get(number), frame) for number in range(len(self._checks)))

    def _answers(self, frame: pd.DataFrame) -> dict[int, Any]:
        """Great Expectations' result of each check, by its number. All checks go in one pass with row indices:
        a pass costs more than what booleans alone would save, and every pass hashes the frame anew."""
        try:
            built = self._built()
            # After the first build: two threads that import the package by different doors deadlock.
            from great_expectations.validator.v1_validator import Validator

            # Not ValidationDefinition.run(): that keeps every result in a store which all threads share.
            validator = Validator(built.batch_definition, _COMPLETE, {"dataframe": frame})
            results = validator.validate_expectation_suite(built.suite).results
            # Results do not come in the suite's order once an expectation raised.
            return {answer.expectation_config.meta[_NUMBER]: answer for answer in results}
        except Exception as error:
            raise VeilError(
                "VEIL105", f"Great Expectations could not judge a chunk ({type(error).__name__})",
                "look for an expectation that does not fit its column's type",
            ) from None  # fmt: skip

    def _outcome(self, number: int, answer: Any, frame: pd.DataFrame) -> CheckOutcome:
        """An expectation that Great Expectations left out, or that raised, is an error and never a pass."""
        check = self._checks[number]
        failed = None if answer is None or _raised(answer.exception_info) else _failed(answer)
        if failed is None:
            raise VeilError(
                "VEIL105", f"Great Expectations could not judge {check.type} on {check.column}",
                "the expectation does not fit the column's type; compare text with text and numbers with numbers", check.place,
            )  # fmt: skip
        return CheckOutcome(number, len(frame) - self._unjudged(check, frame), failed)

    def _unjudged(self, check: CheckPlan, frame: pd.DataFrame) -> int:
        """Rows that the check leaves out: nulls, except for the null checks themselves; of pairs, those that
        ``ignore_row_if`` says (Great Expectations' default: all are missing)."""
        if check.type in _NULL_CHECKS:
            return 0
        missing = [frame[self._frame_column(check, column)].isna().to_numpy() for column in check.columns]
        if len(missing) == 1:
            return int(missing[0].sum())
        rule = check.arguments.get("ignore_row_if", _IGNORE_ALL[0])
        if rule in _IGNORE_ALL:
            return int(np.logical_and.reduce(missing).sum())
        return int(np.logical_or.reduce(missing).sum()) if rule in _IGNORE_ANY else 0

    def _frame(self, chunk: Chunk) -> pd.DataFrame:
        """Only the columns that a check names, typed or as text."""
        columns: dict[str, pd.Series[Any]] = {}
        for check in self._checks:
            for column in check.columns:
                name = self._frame_column(check, column)
                if name not in columns:
                    text = _reads_text(check)
                    columns[name] = _series(_as_text(chunk.raw.column(column)) if text else chunk.values.column(column))
        return pd.DataFrame(columns)

    def _frame_column(self, check: CheckPlan, column: str) -> str:
        """A text column has one form; of others, expectations about text read the text as it came."""
        reads_text = _reads_text(check) and self._types.get(column, TEXT).name != "text"
        return _TEXT.format(column) if reads_text else column

    def _built(self) -> _Built:
        built = getattr(self._local, "built", None)
        if built is None:
            built = self._local.built = self._build()
        return built

    def _build(self) -> _Built:
        gx = import_great_expectations()
        from great_expectations.expectations.registry import get_expectation_impl

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("chunks").add_dataframe_asset("chunk")
        expectations = []
        for number, check in enumerate(self._checks):
            spec = ROW_EXPECTATIONS[check.type]
            names = [self._frame_column(check, column) for column in check.columns]
            together = spec.columns == ("column_list",)
            columns = {"column_list": names} if together else dict(zip(spec.columns, names, strict=True))
            meta = {_NUMBER: number}
            expectations.append(get_expectation_impl(check.type)(**columns, **self._arguments[number], meta=meta))
        suite = gx.ExpectationSuite(name="checks", expectations=expectations)
        return _Built(asset.add_batch_definition_whole_dataframe("whole"), suite)


def _raised(info: Any) -> bool:
    """Whether Great Expectations caught an exception; it reports one dict, or one for each metric."""
    if not isinstance(info, dict):
        return False
    return bool(info.get("raised_exception")) or any(_raised(value) for value in info.values())


def _series(values: pa.Array) -> pd.Series[Any]:
    """A column for Great Expectations; the rows and their order stay."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    elif pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    elif pa.types.is_integer(values.type) and values.null_count and not _small(values):
        return pd.Series(values.to_pandas(integer_object_nulls=True))
    return pd.Series(values.to_pandas())


def _small(values: pa.Array) -> bool:
    """Whether every integer survives as a double, which is what pandas makes of integers with nulls."""
    range_ = pc.min_max(values)
    low, high = range_["min"].as_py(), range_["max"].as_py()
    return low is None or (low > -_EXACT_IN_DOUBLE and high < _EXACT_IN_DOUBLE)


def _as_text(values: pa.Array) -> pa.Array:
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def _reads_text(check: CheckPlan) -> bool:
    """Null checks read the cell as it came too: one that does not fit its type is not missing."""
    return ROW_EXPECTATIONS[check.type].reads_text or check.type in _NULL_CHECKS


def _failed(answer: Any) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """The indices of the rows that failed; None where Great Expectations does not say which."""
    rows = answer.result.get("unexpected_index_list")
    if rows is None:
        return None if answer.result.get("unexpected_count") else np.array([], dtype=np.int64)
    return np.array(sorted(rows), dtype=np.int64)


def _silence() -> None:
    """Keep texts that may quote a value out of logs and stderr. The filters stay for the process, because
    ``warnings.catch_warnings`` is not safe beside other threads."""
    logger = logging.getLogger("great_expectations")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", message="This pattern is interpreted as a regular expression")
    for module in ("great_expectations", "dateutil", "pandas"):
        warnings.filterwarnings("ignore", module=module)
