"""Which expectations of Great Expectations 1.24 judge single rows, and the arguments they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: What an argument is checked as: see ``arguments.py``, one function each.
Kind = Literal[
    "column", "columns", "values", "pairs", "regex", "regexes", "bound", "length", "number", "flag",
    "date_format", "json_schema", "any_or_all", "pair_nulls", "record_nulls",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an expectation; ``one_of`` means that at least one such argument must be given."""

    kind: Kind
    need: Literal["required", "one_of", "optional"] = "required"


@dataclass(frozen=True, slots=True)
class RowExpectation:
    """One row expectation. ``reads`` says what it judges: ``text`` and ``null`` read the cell as it was
    read, ``value`` its typed value. ``says`` is the title, with the arguments described."""

    reads: Literal["text", "null", "value"]
    arguments: Mapping[str, Argument]
    says: str


_COLUMN = {"column": Argument("column")}
_PAIR = {
    "column_A": Argument("column"),
    "column_B": Argument("column"),
    "ignore_row_if": Argument("pair_nulls", "optional"),
}
_RECORD = {"column_list": Argument("columns"), "ignore_row_if": Argument("record_nulls", "optional")}
_STRICT = {"strict_min": Argument("flag", "optional"), "strict_max": Argument("flag", "optional")}
_BOUNDS = {"min_value": Argument("bound", "one_of"), "max_value": Argument("bound", "one_of"), **_STRICT}
_LENGTHS = {"min_value": Argument("length", "one_of"), "max_value": Argument("length", "one_of"), **_STRICT}
_REGEXES = {"regex_list": Argument("regexes")}

ROW_EXPECTATIONS: Mapping[str, RowExpectation] = {
    "expect_column_values_to_not_be_null": RowExpectation("null", _COLUMN, "{column} is given"),
    "expect_column_values_to_be_null": RowExpectation("null", _COLUMN, "{column} is empty"),
    "expect_column_values_to_be_in_set": RowExpectation(
        "value", {**_COLUMN, "value_set": Argument("values")}, "{column} is one of {value_set}"
    ),
    "expect_column_values_to_not_be_in_set": RowExpectation(
        "value", {**_COLUMN, "value_set": Argument("values")}, "{column} is none of {value_set}"
    ),
    "expect_column_values_to_be_between": RowExpectation(
        "value", {**_COLUMN, **_BOUNDS}, "{column} is {range}"
    ),
    "expect_column_values_to_match_regex": RowExpectation(
        "text", {**_COLUMN, "regex": Argument("regex")}, "{column} matches {regex}"
    ),
    "expect_column_values_to_not_match_regex": RowExpectation(
        "text", {**_COLUMN, "regex": Argument("regex")}, "{column} does not match {regex}"
    ),
    "expect_column_values_to_match_regex_list": RowExpectation(
        "text",
        {**_COLUMN, **_REGEXES, "match_on": Argument("any_or_all", "optional")},
        "{column} matches {match_on} of {regex_list}",
    ),
    "expect_column_values_to_not_match_regex_list": RowExpectation(
        "text", {**_COLUMN, **_REGEXES}, "{column} matches none of {regex_list}"
    ),
    "expect_column_value_lengths_to_be_between": RowExpectation(
        "text", {**_COLUMN, **_LENGTHS}, "the length of {column} is {range}"
    ),
    "expect_column_value_lengths_to_equal": RowExpectation(
        "text", {**_COLUMN, "value": Argument("length")}, "the length of {column} is {value}"
    ),
    "expect_column_values_to_match_strftime_format": RowExpectation(
        "text",
        {**_COLUMN, "strftime_format": Argument("date_format")},
        "{column} matches the date format {strftime_format}",
    ),
    "expect_column_values_to_be_dateutil_parseable": RowExpectation(
        "text", _COLUMN, "{column} can be read as a date"
    ),
    "expect_column_values_to_be_json_parseable": RowExpectation("text", _COLUMN, "{column} is JSON"),
    "expect_column_values_to_match_json_schema": RowExpectation(
        "text", {**_COLUMN, "json_schema": Argument("json_schema")}, "{column} fits its JSON schema"
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": RowExpectation(
        "value",
        {**_PAIR, "or_equal": Argument("flag", "optional")},
        "{column_A} is greater than {or_equal}{column_B}",
    ),
    "expect_column_pair_values_to_be_equal": RowExpectation("value", _PAIR, "{column_A} equals {column_B}"),
    "expect_column_pair_values_to_be_in_set": RowExpectation(
        "value",
        {**_PAIR, "value_pairs_set": Argument("pairs")},
        "{column_A} and {column_B} are one of {value_pairs_set}",
    ),
    "expect_select_column_values_to_be_unique_within_record": RowExpectation(
        "value", _RECORD, "{column_list} differ from each other"
    ),
    "expect_multicolumn_values_to_be_equal": RowExpectation("value", _RECORD, "{column_list} are equal"),
    "expect_multicolumn_sum_to_equal": RowExpectation(
        "value", {**_RECORD, "sum_total": Argument("number")}, "{column_list} add up to {sum_total}"
    ),
}

#: Expectations that exist and judge a whole table, a whole column, or work on SQL only.
OTHER_EXPECTATIONS: frozenset[str] = frozenset(
    {
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_distinct_values_to_contain_set",
        "expect_column_distinct_values_to_equal_set",
        "expect_column_kl_divergence_to_be_less_than",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_most_common_value_to_be_in_set",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_quantile_values_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_to_exist",
        "expect_column_type_to_be",
        "expect_column_unique_value_count_to_be_between",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_decreasing",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_not_be_outliers",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_compound_columns_to_be_unique",
        "expect_query_results_to_match_comparison",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
        "expect_table_row_count_to_be_between",
        "expect_table_row_count_to_equal",
        "expect_table_row_count_to_equal_other_table",
        "unexpected_rows_expectation",
    }
)

KNOWN_EXPECTATIONS: frozenset[str] = OTHER_EXPECTATIONS | ROW_EXPECTATIONS.keys()
