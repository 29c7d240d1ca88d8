"""Compiled checks against Great Expectations itself: the same rows fail, and as many were judged."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from veilflow.checks import COMPILED_EXPECTATIONS, open_checker, plan_check
from veilflow.checks.date_formats import date_format_test
from veilflow.checks.patterns import parse_pattern
from veilflow.errors import Place, VeilError
from veilflow.model import CheckPlan, Chunk, ColumnType, SourceColumn

PLACE = Place("suite.json", 1)
VALUES, PAIR = "expect_column_values_to_", "expect_column_pair_values_"
#: Letters on which engines differ: digits and spaces of Unicode, line ends, folding, wide and combining characters.
ODD = "aAbkKz09 _-@.\n\r\t\x0b\x1c\x85\u00a0\u0663\u00e9\u212a\u017f\u0301\U0001f642\u738b\0"
TEXT = st.text(st.sampled_from(ODD), max_size=5) | st.sampled_from(["", "20240229", "20230229", "2024-1-1", "a@b.c"])
BIG = st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
WHOLE = st.integers(-3, 3) | BIG
FLOAT = st.sampled_from([0.0, -0.0, 0.1, 1.0, -1.5, 1e300, float("nan")]) | st.floats(-3, 3)
MONEY = st.decimals(-3, 3, places=2)
DAY = st.dates(date(1, 1, 1), date(9999, 12, 31)) | st.sampled_from([date(2024, 2, 29), date(1970, 1, 1)])
MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(1970, 1, 3)) | st.datetimes()
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXT), "integer": (pa.int64(), WHOLE), "float": (pa.float64(), FLOAT),
    "decimal": (pa.decimal128(10, 2), MONEY), "boolean": (pa.bool_(), st.booleans()), "date": (pa.date32(), DAY),
    "timestamp": (pa.timestamp("us"), MOMENT),
}  # fmt: skip
COLUMNS = [SourceColumn(f"{name}{n}", ColumnType(name, kind)) for name, (kind, _) in KINDS.items() for n in "12"]


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    rows = draw(st.integers(1, 8))
    batch = {}
    for column in COLUMNS:
        _, values = KINDS[column.type.name]
        nulls = draw(st.sampled_from(["none", "some", "all"]))
        some = {"none": values, "some": st.none() | values, "all": st.none()}[nulls]
        cells = draw(st.lists(some, min_size=rows, max_size=rows))
        batch[column.name] = pa.array(cells, column.type.arrow)
    values_ = pa.RecordBatch.from_pydict(batch)
    return Chunk(0, values_, values_, np.arange(rows))


def check(kind: str, **kwargs: Any) -> CheckPlan:
    return plan_check({"type": kind, "kwargs": kwargs}, PLACE)


PIECES = [
    "a", "k", "(?:a|b)", r"\d", r"\w", r"\s", r"\S", r"\D", r"\W", r"\b", r"\B", "[^a]", "[a-z0-9]", r"[^\s@]", r"[\w-]", ".",
    "a+", "b*", "z?", "a{0,2}", "^", "$", r"\Z", "\u00e9", r"\x20", "@", r"\.", r"[\D_]", r"[^\W]", "(?=a)", "(?<!b)",
]  # fmt: skip
PATTERN = st.builds(
    lambda flag, parts: flag + "".join(parts),
    st.sampled_from(["", "", "(?i)"]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
).filter(lambda source: _safe(source))
#: Great Expectations judges LIKE in databases alone, and fails on a text that is no JSON (test_texts.py has both).
BESIDE_GREAT_EXPECTATIONS = sorted(name for name in COMPILED_EXPECTATIONS if "like_" not in name and "json" not in name)
#: Without \B: pandas finds it in an empty text, which re does not, unless a cell of the column is not ASCII.
ONE_VERDICT = PATTERN.filter(lambda source: r"\B" not in source)
FORMAT = st.sampled_from(
    ["%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%y%m%d", "%H:%M:%S", "%m/%d", "%Y-%m-%dT%H:%M:%S.%f", "%d %b %Y", "%j"]
)


def _safe(source: str) -> bool:
    try:
        parse_pattern(source)
        re.compile(source)
    except (ValueError, re.error):
        return False
    return True


def kinds_and_values(*names: str) -> st.SearchStrategy[tuple[str, Any]]:
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), st.just(KINDS[name][1])))


@st.composite
def checks(draw: st.DrawFn) -> CheckPlan:
    kind = draw(st.sampled_from(BESIDE_GREAT_EXPECTATIONS))
    text = f"text{draw(st.sampled_from('12'))}"
    if kind.endswith("be_null"):
        return check(kind, column=draw(st.sampled_from(COLUMNS)).name)
    if kind.endswith("in_set"):
        name, values = draw(kinds_and_values("text", "integer", "float", "decimal", "boolean", "date", "timestamp"))
        wanted = draw(st.lists(values.filter(lambda one: one == one), min_size=1, max_size=4))
        return check(kind, column=f"{name}1", value_set=wanted)
    if kind.endswith("values_to_be_between"):
        name, values = draw(kinds_and_values("integer", "float", "decimal", "date", "timestamp"))
        some = st.none() | values.filter(lambda one: one == one)
        if name == "integer":
            some |= st.sampled_from([0.5, -1.0, 10**30, -(10**30)])
        bounds = sorted(one for one in draw(st.lists(some, min_size=2, max_size=2)) if one is not None)
        if not bounds:
            bounds = [draw(values.filter(lambda one: one == one))]
        given_ = {"min_value": bounds[0]} if draw(st.booleans()) or len(bounds) == 2 else {"max_value": bounds[0]}
        if len(bounds) == 2:
            given_["max_value"] = bounds[1]
        return check(kind, column=f"{name}1", strict_min=draw(st.booleans()), strict_max=draw(st.booleans()), **given_)
    if kind.endswith("lengths_to_be_between"):
        low, high = sorted(draw(st.tuples(st.integers(0, 5), st.integers(0, 5))))
        strict = {"strict_min": draw(st.booleans()), "strict_max": draw(st.booleans())}
        return check(kind, column=text, min_value=low, max_value=high, **strict)
    if kind.endswith("lengths_to_equal"):
        return check(kind, column=text, value=draw(st.integers(0, 5)))
    if kind.endswith("match_regex"):
        return check(kind, column=text, regex=draw(ONE_VERDICT))
    if kind.endswith("match_regex_list"):
        given_ = {} if "not_match" in kind else {"match_on": draw(st.sampled_from(["any", "all"]))}
        return check(kind, column=text, regex_list=draw(st.lists(ONE_VERDICT, min_size=1, max_size=3)), **given_)
    if kind.endswith("strftime_format"):
        return check(kind, column=text, strftime_format=draw(FORMAT))
    name = draw(st.sampled_from(sorted(KINDS)))
    if kind.startswith(PAIR):
        rule = draw(st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"]))
        extra = {"or_equal": draw(st.booleans())} if "greater" in kind else {}
        name = "integer" if "greater" in kind and name == "boolean" else name
        return check(kind, column_A=f"{name}1", column_B=f"{name}2", ignore_row_if=rule, **extra)
    rule = draw(st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"]))
    return check(kind, column_list=[f"{name}1", f"{name}2"], ignore_row_if=rule)


def told(checks_: list[CheckPlan], chunk: Chunk) -> list[tuple[int, list[int]]]:
    return [(one.evaluated, one.failed.tolist()) for one in open_checker(checks_, COLUMNS).check(chunk)]


def by_great_expectations(some: list[CheckPlan], chunk: Chunk) -> list[tuple[int, list[int]] | None]:
    """Its verdicts; None for one that it cannot judge (big integers with nulls become objects, which do not compare)."""
    forced = [replace(one, engine="great_expectations") for one in some]
    try:
        return list(told(forced, chunk))
    except VeilError:
        if len(some) == 1:
            return [None]
        return [by_great_expectations([one], chunk)[0] for one in some]


# No shrinking, and the same examples every time: each try costs a pass of Great Expectations, and the message says which check differs.
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(chunks(), st.lists(checks(), min_size=8, max_size=16))
def test_compiled_checks_say_what_great_expectations_says(chunk: Chunk, some: list[CheckPlan]) -> None:
    """Rows judged and rows failed, for every compiled expectation, on cells on which engines like to differ."""
    for one, ours, theirs in zip(some, told(some, chunk), by_great_expectations(some, chunk), strict=True):
        cells = {column: chunk.values.column(column).to_pylist() for column in one.columns}
        assert theirs is None or ours == theirs, (one.type, one.arguments, cells)


@settings(max_examples=300, deadline=None)
@given(PATTERN, st.lists(st.none() | TEXT, max_size=8))
def test_patterns_find_what_re_finds(source: str, texts: list[str | None]) -> None:
    """RE2 where it is exact, `re` for the other cells: one verdict."""
    expected = [None if text is None else re.search(source, text) is not None for text in texts]
    assert parse_pattern(source).matches(pa.array(texts, pa.string())).to_pylist() == expected


@settings(max_examples=200, deadline=None)
@given(FORMAT, st.lists(st.datetimes() | st.text(st.sampled_from("0123456789-.: TJan"), max_size=10), max_size=8))
def test_date_formats_take_what_strptime_takes(pattern: str, some: list[datetime | str]) -> None:
    """Written dates, and texts that nearly are."""
    texts = [one if isinstance(one, str) else one.strftime(pattern) for one in some]
    assert date_format_test(pattern)(pa.array(texts, pa.string())).to_pylist() == [_parses(t, pattern) for t in texts]


def test_date_formats_know_every_day_of_four_centuries() -> None:
    """And refuse the days that months do not have."""
    days = [date(1999, 1, 1) + timedelta(days=n) for n in range(366 * 5)]
    texts = [day.strftime("%Y%m%d") for day in days] + [f"2024{m:02}{d:02}" for m in range(14) for d in range(33)]
    assert date_format_test("%Y%m%d")(pa.array(texts)).to_pylist() == [_parses(text, "%Y%m%d") for text in texts]


def _parses(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("source", ["(a+)+$", r"^(\w+\s?)*$", "(a|a)*b", r"(?:a?){30}a{30}$"])
def test_patterns_that_explode_elsewhere_end_at_once(source: str) -> None:
    """Nested repetitions on fifty letters, also where a cell is not ASCII: RE2 takes linear time."""
    cells = pa.array(["a" * 50 + "!", "\u00e9" + "a" * 50 + "!", "a" * 50])
    assert len(parse_pattern(source).matches(cells)) == 3


@pytest.mark.parametrize("source", ["(?=a)(a+)+$", r"(a+)+\1$", r"(\b\w+\s?)+$", "(?=.*a).*.*.*b"])
def test_refuses_patterns_that_only_re_knows_and_that_could_explode_there(source: str) -> None:
    """They need lookaround or back-references, so RE2 cannot help."""
    with pytest.raises(ValueError, match="forever"):
        parse_pattern(source)


def test_a_cell_too_long_for_lookaround_is_an_error_and_no_verdict() -> None:
    """VEIL105 at the suite's place, instead of minutes."""
    one = check(VALUES + "match_regex", column="text1", regex=r"(?=a)\w*\W*b")
    rows = pa.RecordBatch.from_pydict({"text1": pa.array(["a" * 100_000])})
    with pytest.raises(VeilError) as caught:
        open_checker([one], COLUMNS).check(Chunk(0, rows, rows, np.arange(1)))
    assert (caught.value.code, caught.value.place) == ("VEIL105", PLACE)


def test_moments_with_zones_compare_as_moments() -> None:
    """A bound in another zone than the column's."""
    kind = pa.timestamp("us", "UTC")
    column = SourceColumn("at", ColumnType("timestamp", kind))
    rows = pa.RecordBatch.from_pydict({"at": pa.array([datetime(2020, 1, 1, 12, tzinfo=UTC), None], kind)})
    one = check(VALUES + "be_between", column="at", min_value="2020-01-01T13:30:00+01:00")
    (outcome,) = open_checker([one], [column]).check(Chunk(0, rows, rows, np.arange(2)))
    assert (outcome.evaluated, outcome.failed.tolist()) == (1, [0])


def test_a_run_whose_checks_are_all_compiled_never_imports_great_expectations() -> None:
    """That is seconds of every start."""
    code = """
import sys, numpy as np, pyarrow as pa
from veilflow.checks import COMPILED_EXPECTATIONS, open_checker, plan_check
from veilflow.errors import Place
from veilflow.model import TEXT, Chunk, SourceColumn
check = plan_check({"type": "expect_column_values_to_match_regex", "kwargs": {"column": "a", "regex": "(?=a)a"}}, Place("s"))
rows = pa.RecordBatch.from_pydict({"a": ["a", "b", "\u00e9"]})
assert open_checker([check], [SourceColumn("a", TEXT)]).check(Chunk(0, rows, rows, np.arange(3)))[0].failed.tolist() == [1, 2]
print([name for name in ("great_expectations", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_suite_forces_great_expectations() -> None:
    """`meta.veilflow.engine`, of one expectation or of the whole suite."""
    raw = {"type": VALUES + "not_be_null", "kwargs": {"column": "text1"}}
    forced = {"veilflow": {"engine": "great_expectations"}}
    assert plan_check(raw, PLACE).engine == "compiled"
    assert plan_check(raw | {"meta": forced}, PLACE).engine == "great_expectations"
    assert plan_check(raw, PLACE, forced).engine == "great_expectations"
    assert plan_check(raw | {"meta": {"veilflow": {"engine": "compiled"}}}, PLACE, forced).engine == "compiled"
    with pytest.raises(VeilError, match="engine"):
        plan_check(raw | {"meta": {"veilflow": {"engin": "x"}}}, PLACE)
