"""The expectations that there are: Great Expectations' own that make sense here, and a few of ours; what each reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expectation:
    """``columns`` and ``arguments`` are its keyword arguments; ``reads_text``: it judges the cell's text as read,
    else its typed value; ``title`` in words, with the arguments' names in braces. ``takes`` are those of Great
    Expectations' common arguments that it has."""

    columns: tuple[str, ...]
    arguments: tuple[str, ...]
    title: str
    required: tuple[str, ...] = ()
    reads_text: bool = False
    takes: tuple[str, ...] = ("mostly", "row_condition")


def _one(title: str, *arguments: str, required: tuple[str, ...] = (), reads_text: bool = False) -> Expectation:
    return Expectation(("column",), arguments, title, required, reads_text)


def _pair(title: str, *arguments: str, required: tuple[str, ...] = ()) -> Expectation:
    return Expectation(("column_A", "column_B"), (*arguments, "ignore_row_if"), title, required)


def _record(title: str, *arguments: str, required: tuple[str, ...] = ()) -> Expectation:
    return Expectation(("column_list",), (*arguments, "ignore_row_if"), title, required)


ROW_EXPECTATIONS: Mapping[str, Expectation] = {
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
    "expect_column_values_to_match_like_pattern": _one(
        "{column} is like {like_pattern}", "like_pattern", "escape", required=("like_pattern",), reads_text=True
    ),
    "expect_column_values_to_not_match_like_pattern": _one(
        "{column} is not like {like_pattern}", "like_pattern", "escape", required=("like_pattern",), reads_text=True
    ),
    "expect_column_values_to_match_like_pattern_list": _one(
        "{column} is like its patterns",
        "like_pattern_list",
        "match_on",
        "escape",
        required=("like_pattern_list",),
        reads_text=True,
    ),
    "expect_column_values_to_not_match_like_pattern_list": _one(
        "{column} is like none of its patterns",
        "like_pattern_list",
        "escape",
        required=("like_pattern_list",),
        reads_text=True,
    ),
    "expect_column_values_to_match_json_schema": _one(
        "{column} is JSON of its schema", "json_schema", required=("json_schema",), reads_text=True
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


def _share(title: str, *arguments: str, required: tuple[str, ...] = ()) -> Expectation:
    """About every row, so it has a share that must pass, and yet only the whole column tells."""
    return Expectation(("column",), arguments, title, required)


def _figure(title: str, *arguments: str, required: tuple[str, ...] = ()) -> Expectation:
    """About one figure of a column."""
    return Expectation(("column",), arguments, title, required, takes=("row_condition",))


def _table(title: str, *arguments: str, required: tuple[str, ...] = (), takes: tuple[str, ...] = ()) -> Expectation:
    return Expectation((), arguments, title, required, takes=takes)


#: Those about the whole table, counted over the stream.
_COUNTED: Mapping[str, Expectation] = {
    "expect_table_row_count_to_be_between": _table("the number of rows is {range}", *_BOUNDS, takes=("row_condition",)),
    "expect_table_row_count_to_equal": _table(
        "there are {value} rows", "value", required=("value",), takes=("row_condition",)
    ),
    "expect_column_values_to_be_unique": _share("{column} is unique"),
    "expect_compound_columns_to_be_unique": _record("{column_list} together are unique"),
    "expect_column_values_to_be_increasing": _share("{column} never goes down", "strictly"),
    "expect_column_values_to_be_decreasing": _share("{column} never goes up", "strictly"),
    "expect_column_value_z_scores_to_be_less_than": _share(
        "{column} is less than {threshold} standard deviations from its mean",
        "threshold",
        "double_sided",
        required=("threshold",),
    ),
    "expect_column_values_to_not_be_outliers": _share("{column} has no outlier", "method", "multiplier"),
    "expect_column_min_to_be_between": _figure("the smallest {column} is {range}", *_BOUNDS),
    "expect_column_max_to_be_between": _figure("the largest {column} is {range}", *_BOUNDS),
    "expect_column_max_to_be_recent": _figure(
        "the latest {column} is at most {within_days} days old", "within_days", required=("within_days",)
    ),
    "expect_column_sum_to_be_between": _figure("the sum of {column} is {range}", *_BOUNDS),
    "expect_column_mean_to_be_between": _figure("the mean of {column} is {range}", *_BOUNDS),
    "expect_column_median_to_be_between": _figure("the median of {column} is {range}", *_BOUNDS),
    "expect_column_stdev_to_be_between": _figure("the standard deviation of {column} is {range}", *_BOUNDS),
    "expect_column_quantile_values_to_be_between": _figure(
        "the quantiles of {column} are in their ranges",
        "quantile_ranges",
        "allow_relative_error",
        required=("quantile_ranges",),
    ),
    "expect_column_unique_value_count_to_be_between": _figure("the number of different {column} is {range}", *_BOUNDS),
    "expect_column_proportion_of_unique_values_to_be_between": _figure(
        "the share of different {column} is {range}", *_BOUNDS
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _figure(
        "the share of {column} that is there is {range}", *_BOUNDS
    ),
    "expect_column_distinct_values_to_be_in_set": _figure(
        "every {column} is one of {value_set}", "value_set", required=("value_set",)
    ),
    "expect_column_distinct_values_to_contain_set": _figure(
        "{column} has each of {value_set}", "value_set", required=("value_set",)
    ),
    "expect_column_distinct_values_to_equal_set": _figure(
        "{column} has exactly {value_set}", "value_set", required=("value_set",)
    ),
    "expect_column_most_common_value_to_be_in_set": _figure(
        "the commonest {column} is one of {value_set}", "value_set", "ties_okay", required=("value_set",)
    ),
}

#: Those about the columns of a table, which the plan decides.
COLUMN_EXPECTATIONS: Mapping[str, Expectation] = {
    "expect_column_to_exist": _table("there is a column {column}", "column", "column_index", required=("column",)),
    "expect_table_column_count_to_equal": _table("there are {value} columns", "value", required=("value",)),
    "expect_table_column_count_to_be_between": _table("the number of columns is {range}", "min_value", "max_value"),
    "expect_table_columns_to_match_set": _table(
        "the columns are those of its set", "column_set", "exact_match", required=("column_set",)
    ),
    "expect_table_columns_to_match_ordered_list": _table(
        "the columns are those of its list", "column_list", required=("column_list",)
    ),
    "expect_column_type_to_be": _figure("{column} is of the type {type_}", "type_", required=("type_",)),
    "expect_column_values_to_be_of_type": _share("{column} is of the type {type_}", "type_", required=("type_",)),
    "expect_column_values_to_be_in_type_list": _share(
        "{column} is of one of its types", "type_list", required=("type_list",)
    ),
}

TABLE_EXPECTATIONS: Mapping[str, Expectation] = {**_COUNTED, **COLUMN_EXPECTATIONS}

_OTHER = ("other_table_name", "other_pipeline")

#: Those that compare the output with another table: of the target, or the output of another pipeline.
CROSS_EXPECTATIONS: Mapping[str, Expectation] = {
    "expect_table_row_count_to_equal_other_table": _table("there are as many rows as in {other}", *_OTHER),
    "expect_column_values_to_be_in_other_table": Expectation(
        ("column",), (*_OTHER, "other_column"), "every {column} stands in {other}", takes=("mostly",)
    ),
    "expect_compound_columns_to_be_in_other_table": Expectation(
        ("column_list",),
        (*_OTHER, "other_column_list"),
        "every {column_list} together stands in {other}",
        takes=("mostly",),
    ),
    "expect_column_sum_to_equal_other_table": Expectation(
        ("column",), (*_OTHER, "other_column"), "the sum of {column} is that of {other}", takes=()
    ),
}

#: Great Expectations' other core types, and why they are refused.
REFUSED_EXPECTATIONS: Mapping[str, str] = {
    "expect_column_kl_divergence_to_be_less_than": "its sum of logarithms depends on the order and grouping of every value, so "
    "no verdict on a stream is sure to be Great Expectations' own: bound shares with "
    "expect_column_proportion_of_unique_values_to_be_between, or values with expect_column_quantile_values_to_be_between",
    "expect_query_results_to_match_comparison": "it runs SQL of its own against databases that the plan does not know: "
    "compare with expect_column_values_to_be_in_other_table or expect_column_sum_to_equal_other_table",
    "unexpected_rows_expectation": "it runs SQL of its own, which the plan cannot hold against the policy: say it with "
    "expectations on columns and a row_condition",
}

KNOWN_EXPECTATIONS = frozenset({**ROW_EXPECTATIONS, **TABLE_EXPECTATIONS, **CROSS_EXPECTATIONS, **REFUSED_EXPECTATIONS})
