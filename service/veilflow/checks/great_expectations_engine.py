"""Great Expectations itself, on pandas frames that share Arrow's memory where they can.

Its results carry values in many places, so ours are built from an allow-list: counts and row indices.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.checks.ambiguity import longest_for_re
from veilflow.checks.cells import cells, form_of, unjudged
from veilflow.checks.great_expectations_import import import_great_expectations
from veilflow.checks.own import expectation_of
from veilflow.errors import VeilError
from veilflow.model import TEXT, CheckOutcome, CheckPlan, Chunk, SourceColumn

#: Column name of another form of a column, beside its typed form.
_FORM = "{}\x1f{}"
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

    def __init__(
        self, checks: Mapping[int, tuple[CheckPlan, Mapping[str, Any]]], columns: Sequence[SourceColumn]
    ) -> None:
        """``checks`` by their number in the plan, each with its arguments in the form of its columns."""
        self._checks = {number: check for number, (check, _) in checks.items()}
        self._arguments = {number: _for_great_expectations(arguments) for number, (_, arguments) in checks.items()}
        longest = {number: _longest(arguments) for number, (_, arguments) in checks.items()}
        self._longest = {number: length for number, length in longest.items() if length is not None}
        _silence()
        self._types = {column.name: column.type for column in columns}
        self._local = threading.local()

    def judge(self, chunk: Chunk) -> list[CheckOutcome]:
        """Every check on a chunk with rows. VEIL105 where Great Expectations fails on one; its text is not passed on."""
        self._refuse_long_cells(chunk)
        frame = self._frame(chunk)
        answers = self._answers(frame)
        return [self._outcome(number, answers.get(number), chunk) for number in self._checks]

    def _refuse_long_cells(self, chunk: Chunk) -> None:
        """VEIL105 for a cell on which a pattern could take very long in ``re``."""
        for number, longest in self._longest.items():
            check = self._checks[number]
            for column in check.columns:
                if (pc.max(pc.utf8_length(cells(chunk, column, self._form(check, column)))).as_py() or 0) > longest:
                    raise VeilError(
                        "VEIL105", f"{check.type} on {column} could not be judged: a cell is too long for its pattern",
                        "leave `engine: great_expectations` out: compiled, it takes linear time", check.place,
                    )  # fmt: skip

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

    def _outcome(self, number: int, answer: Any, chunk: Chunk) -> CheckOutcome:
        """An expectation that Great Expectations left out, or that raised, is an error and never a pass."""
        check = self._checks[number]
        failed = None if answer is None or _raised(answer.exception_info) else _failed(answer)
        if failed is None:
            raise VeilError(
                "VEIL105", f"Great Expectations could not judge {check.type} on {check.column}",
                "the expectation does not fit the column's type; compare text with text and numbers with numbers", check.place,
            )  # fmt: skip
        left_out = unjudged(check, [cells(chunk, column, self._form(check, column)) for column in check.columns])
        return CheckOutcome(number, chunk.raw.num_rows - (left_out.true_count if left_out is not None else 0), failed)

    def _frame(self, chunk: Chunk) -> pd.DataFrame:
        """Only the columns that a check names, in the forms in which checks read them."""
        columns: dict[str, pd.Series[Any]] = {}
        for check in self._checks.values():
            for column in check.columns:
                name = self._frame_column(check, column)
                if name not in columns:
                    columns[name] = _series(cells(chunk, column, self._form(check, column)))
        return pd.DataFrame(columns)

    def _form(self, check: CheckPlan, column: str) -> str:
        return form_of(check, self._types.get(column, TEXT))

    def _frame_column(self, check: CheckPlan, column: str) -> str:
        form = self._form(check, column)
        return column if form == "values" else _FORM.format(column, form)

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
        for number, check in self._checks.items():
            spec = expectation_of(check.type)
            names = [self._frame_column(check, column) for column in check.columns]
            together = spec.columns == ("column_list",)
            columns = {"column_list": names} if together else dict(zip(spec.columns, names, strict=True))
            meta = {_NUMBER: number}
            expectations.append(get_expectation_impl(check.type)(**columns, **self._arguments[number], meta=meta))
        suite = gx.ExpectationSuite(name="checks", expectations=expectations)
        return _Built(asset.add_batch_definition_whole_dataframe("whole"), suite)


def _longest(arguments: Mapping[str, Any]) -> int | None:
    """The longest cell that the patterns of a check may be given in ``re``; None without a pattern."""
    patterns = [*arguments.get("regex_list", ()), *([arguments["regex"]] if "regex" in arguments else ())]
    return min(map(longest_for_re, patterns), default=None)


def _raised(info: Any) -> bool:
    """Whether Great Expectations caught an exception; it reports one dict, or one for each metric."""
    if not isinstance(info, dict):
        return False
    return bool(info.get("raised_exception")) or any(_raised(value) for value in info.values())


def _series(values: pa.Array) -> pd.Series[Any]:
    """A column for Great Expectations; the rows and their order stay."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    elif pa.types.is_integer(values.type) and values.null_count and not _small(values):
        whole = pd.Series(values.to_pandas(integer_object_nulls=True))
        # None beside the NaN of another column would be two values where nothing is there twice.
        return whole.where(whole.notna(), np.nan)
    return pd.Series(values.to_pandas())


def _small(values: pa.Array) -> bool:
    """Whether every integer survives as a double, which is what pandas makes of integers with nulls."""
    range_ = pc.min_max(values)
    low, high = range_["min"].as_py(), range_["max"].as_py()
    return low is None or (low > -_EXACT_IN_DOUBLE and high < _EXACT_IN_DOUBLE)


def _for_great_expectations(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds as it takes them: it turns a datetime into a date, but reads its ISO text whole."""
    return {
        name: value.isoformat() if isinstance(value, datetime) and name in ("min_value", "max_value") else value
        for name, value in arguments.items()
    }


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
