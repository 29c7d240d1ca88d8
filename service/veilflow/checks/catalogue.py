"""Which of Great Expectations' expectations can be judged row by row, and what each reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowExpectation:
    """``columns`` and ``arguments`` are its keyword arguments; ``reads_text``: it judges the cell's text as read,
    else its typed value; ``title`` in words, with the arguments' names in braces."""

    columns: tuple[str, ...]
    arguments: tuple[str, ...]
    title: str
    required: tuple[str, ...] = ()
    reads_text: bool = False


def _one(title: str, *arguments: str, required: tuple[str, ...] = (), reads_text: bool = False) -> RowExpectation:
    return RowExpectation(("column",), arguments, title, required, reads_text)


def _pair(title: str, *arguments: str, required: tuple[str, ...] = ()) -> RowExpectation:
    return RowExpectation(("column_A", "column_B"), (*arguments, "ignore_row_if"), title, required)


def _record(title: str, *arguments: str, required: tuple[str, ...] = ()) -> RowExpectation:
    return RowExpectation(("column_list",), (*arguments, "ignore_row_if"), title, required)


ROW_EXPECTATIONS: Mapping[str, RowExpectation] = {
    "expect_column_values_to_not_be_null": _one("{column} is not null"),
    "expect_column_values_to_be_null": _one("{column} is null"),
    "expect_column_values_to_be_in_set": _one("{column} is one of {value_set}", "value_set", required=("value_set",)),
    "expect_column_values_to_not_be_in_set": _one(
        "{column} is none of {value_set}", "value_set", required=("value_set",)
    ),
    "expect_column_values_to_be_between": _one(
        "{column} is {range}", "min_value", "max_value", "strict_min", "strict_max"
    ),
    "expect_column_values_to_match_regex": _one(
        "{column} matches its pattern", "regex", required=("regex",), reads_text=True
    ),
    "expect_column_values_to_not_match_regex": _one(
        "{column} does not match its pattern", "regex", required=("regex",), reads_text=True
    ),
    "expect_column_values_to_match_regex_list": _one(
        "{column} matches its patterns", "regex_list", "match_on", required=("regex_list",), reads_text=True
    ),
    "expect_column_values_to_not_match_regex_list": _one(
        "{column} matches none of its patterns", "regex_list", required=("regex_list",), reads_text=True
    ),
    "expect_column_value_lengths_to_be_between": _one(
        "the length of {column} is {range}", "min_value", "max_value", "strict_min", "strict_max", reads_text=True
    ),
    "expect_column_value_lengths_to_equal": _one(
        "the length of {column} is {value}", "value", required=("value",), reads_text=True
    ),
    "expect_column_values_to_match_strftime_format": _one(
        "{column} matches the date format {strftime_format}",
        "strftime_format",
        required=("strftime_format",),
        reads_text=True,
    ),
    "expect_column_values_to_be_dateutil_parseable": _one("{column} can be read as a date", reads_text=True),
    "expect_column_values_to_be_json_parseable": _one("{column} can be read as JSON", reads_text=True),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair("{column_A} is greater than {column_B}", "or_equal"),
    "expect_column_pair_values_to_be_equal": _pair("{column_A} equals {column_B}"),
    "expect_column_pair_values_to_be_in_set": _pair(
        "{column_A} and {column_B} are one of {value_pairs_set}", "value_pairs_set", required=("value_pairs_set",)
    ),
    "expect_select_column_values_to_be_unique_within_record": _record("{column_list} differ from each other"),
    "expect_multicolumn_values_to_be_equal": _record("{column_list} are equal"),
    "expect_multicolumn_sum_to_equal": _record(
        "{column_list} add up to {sum_total}", "sum_total", required=("sum_total",)
    ),
}

_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
_PLAIN = ("min_value", "max_value")

#: Those about the whole table that are judged over the stream.
TABLE_EXPECTATIONS: Mapping[str, RowExpectation] = {
    "expect_table_row_count_to_be_between": RowExpectation((), _PLAIN, "the number of rows is {range}"),
    "expect_table_row_count_to_equal": RowExpectation((), ("value",), "there are {value} rows", ("value",)),
    "expect_column_values_to_be_unique": _one("{column} is unique"),
    "expect_compound_columns_to_be_unique": _record("{column_list} together are unique"),
    "expect_column_min_to_be_between": _one("the smallest {column} is {range}", *_BOUNDS),
    "expect_column_max_to_be_between": _one("the largest {column} is {range}", *_BOUNDS),
    "expect_column_sum_to_be_between": _one("the sum of {column} is {range}", *_BOUNDS),
    "expect_column_mean_to_be_between": _one("the mean of {column} is {range}", *_BOUNDS),
    "expect_column_unique_value_count_to_be_between": _one("the number of different {column} is {range}", *_BOUNDS),
    "expect_column_proportion_of_unique_values_to_be_between": _one(
        "the share of different {column} is {range}", *_BOUNDS
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _one(
        "the share of {column} that is there is {range}", *_BOUNDS
    ),
    "expect_column_distinct_values_to_be_in_set": _one(
        "every {column} is one of {value_set}", "value_set", required=("value_set",)
    ),
    "expect_column_distinct_values_to_contain_set": _one(
        "{column} has each of {value_set}", "value_set", required=("value_set",)
    ),
    "expect_column_distinct_values_to_equal_set": _one(
        "{column} has exactly {value_set}", "value_set", required=("value_set",)
    ),
}

#: Great Expectations' other core types: known, but not to be judged chunk by chunk.
OTHER_EXPECTATIONS = frozenset(
    f"expect_{name}"
    for name in (
        "column_distinct_values_to_be_in_set", "column_distinct_values_to_contain_set",
        "column_distinct_values_to_equal_set", "column_kl_divergence_to_be_less_than", "column_max_to_be_between",
        "column_mean_to_be_between", "column_median_to_be_between", "column_min_to_be_between",
        "column_most_common_value_to_be_in_set", "column_type_to_be", "column_values_to_not_be_outliers",
        "column_proportion_of_non_null_values_to_be_between", "column_proportion_of_unique_values_to_be_between",
        "column_quantile_values_to_be_between", "column_stdev_to_be_between", "column_sum_to_be_between",
        "column_to_exist", "column_unique_value_count_to_be_between", "column_value_z_scores_to_be_less_than",
        "column_values_to_be_decreasing", "column_values_to_be_in_type_list", "column_values_to_be_increasing",
        "column_values_to_be_of_type", "column_values_to_be_unique", "column_values_to_match_json_schema",
        "column_values_to_match_like_pattern", "column_values_to_match_like_pattern_list",
        "column_values_to_not_match_like_pattern", "column_values_to_not_match_like_pattern_list",
        "compound_columns_to_be_unique", "query_results_to_match_comparison",
        "table_column_count_to_be_between",
        "table_column_count_to_equal", "table_columns_to_match_ordered_list", "table_columns_to_match_set",
        "table_row_count_to_be_between", "table_row_count_to_equal", "table_row_count_to_equal_other_table",
    )
) | {"unexpected_rows_expectation"}  # fmt: skip

KNOWN_EXPECTATIONS = frozenset(ROW_EXPECTATIONS) | frozenset(TABLE_EXPECTATIONS) | OTHER_EXPECTATIONS
