"""What is proposed from a sample: it holds on the sample, and tells of no person."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from veilflow.checks import TableChecker, fit_check, open_checker, plan_check
from veilflow.checks.profile import BEHIND, ProfiledColumn, propose
from veilflow.errors import Place
from veilflow.model import TEXT, Chunk, ColumnType, SourceColumn
from veilflow.run.profile import Sample
from veilflow.treatments.pools import known_names

PLACE = Place("suite.yaml", 1)
TYPES = {
    "text": TEXT, "integer": ColumnType("integer", pa.int64()), "float": ColumnType("float", pa.float64()),
    "decimal": ColumnType("decimal", pa.decimal128(12, 2)), "date": ColumnType("date", pa.date32()),
    "timestamp": ColumnType("timestamp", pa.timestamp("us", tz="UTC")),
}  # fmt: skip
MARKED = st.text("aB9 -.@+é\n", max_size=6)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.one_of(MARKED, st.sampled_from(["nsw", "vic"]), st.from_regex(r"[A-Z]{1,2}-[0-9]{2,4}", fullmatch=True)),
    "integer": st.one_of(st.integers(0, 120), st.integers(-(2**63), 2**63 - 1)),
    "float": st.one_of(st.floats(), st.floats(0, 1)),
    "decimal": st.decimals(-9_999_999, 9_999_999, places=2),
    "date": st.dates(), "timestamp": st.datetimes(timezones=st.just(UTC)),
}  # fmt: skip


def column(
    values: list[Any], kind: str = "text", name: str = "state", classification: str | None = None
) -> ProfiledColumn:
    cells = pa.chunked_array([pa.array(values, TYPES[kind].arrow)])
    return ProfiledColumn(name, TYPES[kind], cells, cells, classification)


def proposed(found: ProfiledColumn, whole: bool = True) -> list[dict[str, Any]]:
    is_name = lambda text: text.casefold() in known_names()  # noqa: E731
    return [dict(one) for one in propose(found, whole=whole, is_name=is_name).expectations]


def told(values: list[Any], kind: str = "text", **facts: Any) -> str:
    return json.dumps(proposed(column(values, kind, **facts)), ensure_ascii=False)


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A few values repeated at random, so that sets, ends and shapes come about."""
    kind = draw(st.sampled_from(sorted(TYPES)))
    cells = draw(st.lists(st.none() | CELLS[kind], min_size=1, max_size=12))
    size, seed = draw(st.integers(1, 400)), draw(st.integers(0, 2**32))
    chance = random.Random(seed)
    weights = [chance.choice([1, 1, 8, 60]) for _ in cells]
    return kind, chance.choices(cells, weights, k=size)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(("float", [float("nan")] * 30), None)
@example(("float", [None, float("nan")]), None)
@example(("float", [0.0, 1.6e308] * 30), None)
@example(("integer", [None, 2**53 + 11] * 40), None)
@given(columns(), st.sampled_from([None, "non_personal", "quasi_identifier", "direct_identifier"]))
def test_what_is_proposed_holds_on_the_rows_it_was_made_from(data: tuple[str, list[Any]], label: str | None) -> None:
    """As the run judges it, by rows and over the table; and the plan accepts all of it."""
    kind, values = data
    found = column(values, kind, name="c", classification=label)
    source = [SourceColumn("c", TYPES[kind])]
    checks = [fit_check(plan_check(one, PLACE), {"c": TYPES[kind]}) for one in proposed(found)]
    batch = pa.RecordBatch.from_arrays([found.raw.combine_chunks()], ["c"])
    chunk = Chunk(0, batch, batch, np.arange(len(values)))
    for outcome in open_checker(checks, source).check(chunk) if any(one.kind == "row" for one in checks) else ():
        check = checks[outcome.check]
        assert not outcome.evaluated or 1 - len(outcome.failed) / outcome.evaluated >= check.mostly, check
    tables = TableChecker(checks, source)
    tables.add(chunk)
    assert all(outcome.passed for outcome in tables.outcomes())
    tables.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns(), st.sampled_from([None, "non_personal", "quasi_identifier"]))
def test_no_text_of_a_few_rows_is_told(data: tuple[str, list[Any]], label: str | None) -> None:
    """Whatever the class: a member of a set stands in twenty rows, and a pattern repeats no text."""
    _kind, values = data
    texts = [None if value is None else str(value) for value in values]
    for one in proposed(column(texts, classification=label)):
        for member in one["kwargs"].get("value_set", ()):
            assert texts.count(member) >= BEHIND


def test_a_rare_value_is_not_told_and_leaves_only_its_share() -> None:
    """The set covers the others; the rare row is not named by it."""
    found = told(["yes"] * 60 + ["no"] * 60 + ["hiv"])
    assert '"value_set": ["no", "yes"], "mostly": 0.99' in found
    assert "hiv" not in found


@pytest.mark.parametrize("facts", [{}, {"classification": "quasi_identifier"}, {"classification": "sensitive"}])
@pytest.mark.parametrize(
    "names", [["Ann", "Bob", "Kim"], ["Anna Smith", "Bo Li"], ["李伟", "王芳"], ["ann", "uwe", "kai"]]
)
def test_a_column_of_a_few_names_is_no_set(names: list[str], facts: dict[str, str]) -> None:
    """Ten doctors with a hundred rows each are still ten people, short names included."""
    found = told(names * 100, name="seen_with", **facts)
    assert "value_set" not in found
    assert not any(name in found for name in names)


@pytest.mark.parametrize("name", ["customer_id", "clientId", "staff no", "initials", "first_name"])
def test_a_column_that_is_named_after_people_is_no_set(name: str) -> None:
    """A customer with a hundred rows is one person; where there is no policy the column's name must do."""
    assert "value_set" not in told(["ax", "by", "cz"] * 50, name=name)


def test_numbers_of_two_digits_are_no_set() -> None:
    """They number something."""
    assert "value_set" not in told(["11", "12", "13"] * 50)
    assert "value_set" in told(["1", "2", "3"] * 50)


def test_words_are_told_only_where_the_policy_calls_the_column_non_personal() -> None:
    """A direct identifier, a sensitive column and free text never are."""
    colours = ["orange", "green"] * 30
    assert '["green", "orange"]' in told(colours, classification="non_personal")
    for label in (None, "quasi_identifier", "sensitive", "direct_identifier", "free_text"):
        assert "orange" not in told(colours, classification=label)


def test_one_birth_date_is_not_told_as_the_lowest() -> None:
    """The end is the decade that twenty births lie in; of one person far before, it says that there is no lower end."""
    births = [date(1950, 1, 1) + timedelta(days=150 * n) for n in range(150)]
    (ends,) = (one["kwargs"] for one in proposed(column(births, "date", name="born"), whole=False) if "min_value" in one["kwargs"])  # fmt: skip
    assert (ends["min_value"], ends["max_value"]) == ("1950-01-01", "2020-01-01")
    alone = told([date(1899, 3, 7), *births], "date", name="born")
    assert "18" not in alone
    assert "max_value" in alone


def test_an_outlier_leaves_its_end_open() -> None:
    """Rounding would still tell that there is a billionaire."""
    found = told([*range(20_000, 90_000, 100), 7_654_321_987], "integer", name="salary")
    assert '"min_value": 20000' in found
    assert "max_value" not in found


def test_the_number_of_one_row_is_not_told_by_a_unit_of_one() -> None:
    """Grades from 1 to 6 and a single 7: that end stays open."""
    grades = [1, 2, 3, 4, 5, 6] * 30
    assert '"min_value": 1, "max_value": 6' in told(grades, "integer", name="grade")
    assert "max_value" not in told([*grades, 7], "integer", name="grade")


def test_lengths_of_one_long_name_are_not_told() -> None:
    """And unique names give no pattern with a length that one of them has."""
    chance = random.Random(3)
    names = ["".join(chance.choices("abcdefgh", k=chance.randint(5, 8))) for _ in range(300)]
    found = told([*names, "abcdefgh" * 5], name="nick")
    assert "40" not in found
    assert "max_value" not in found


def test_patterns_are_shapes_without_a_literal_value() -> None:
    """Marks stay, letters and digits become classes; lengths are exact where twenty rows stand behind both ends."""
    chance = random.Random(5)
    plates = [f"{''.join(chance.choices('ABXYZ', k=2))}-{chance.randrange(10**4):04}" for _ in range(200)]
    assert r'"regex": "^[A-Z]{2}-[0-9]{4}$"' in told(plates)
    mails = [f"{''.join(chance.choices('abc', k=chance.randint(3, 9)))}{n}@mail.example" for n in range(300)]
    assert r"^[a-z]+[0-9]+@" not in told(mails, classification="free_text")
    assert "example" not in told(mails)
    assert "regex" in told(mails)


def test_a_shape_of_one_row_is_not_told() -> None:
    """One passport of another country would stand out by its pattern."""
    codes = [f"A{n:07}" for n in range(200)]
    assert "regex" in told(codes)
    assert "regex" not in told([*codes, "12/34-X/7"])


def test_of_few_rows_nothing_is_said() -> None:
    """Below twenty rows there is no group to hide in."""
    assert proposed(column(["nsw"] * (BEHIND - 1))) == []


def test_uniqueness_is_proposed_only_of_a_sample_that_is_the_whole() -> None:
    """Every tenth row repeats nothing even where each row stands twice."""
    ids = [f"{n:05}" for n in range(100)]
    assert "be_unique" in json.dumps(proposed(column(ids), whole=True))
    assert "be_unique" not in json.dumps(proposed(column(ids), whole=False))


@pytest.mark.parametrize(
    ("cells", "whole"),
    [
        (["17", "0", "-4", None], True),
        (["17", "007"], False),
        (["17", "1.0"], False),
        (["17", ""], False),
        (["9" * 19], False),
    ],
)
def test_texts_that_are_whole_numbers_are_told_as_such(cells: list[Any], whole: bool) -> None:
    """A code with zeros in front would lose them; of few rows nothing is said."""
    assert propose(column(cells * BEHIND), whole=True, is_name=lambda _text: False).whole_numbers is whole
    assert not propose(column(cells), whole=True, is_name=lambda _text: False).whole_numbers
    assert not propose(column([17] * BEHIND, "integer"), whole=True, is_name=lambda _text: False).whole_numbers


def test_a_share_of_nulls_is_rounded_down() -> None:
    """The share of rows that are there; a decimal column has its own ends."""
    amounts = [Decimal("1.10")] * 150 + [Decimal("9.95")] * 49 + [None]
    assert '"min_value": 0.99' in told(amounts, "decimal", name="amount")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(1, 40))
def test_a_sample_is_bounded_and_the_same_however_the_source_is_cut(sizes: list[int], most: int) -> None:
    """Every n-th row of the whole stream, by position alone."""

    def sampled(cut: list[int]) -> tuple[list[int], int]:
        sample, start = Sample(most), 0
        for number, size in enumerate(cut):
            batch = pa.RecordBatch.from_pydict({"n": pa.array(range(start, start + size), pa.int64())})
            sample.add(Chunk(number, batch, batch, np.arange(start, start + size)))
            assert sum(one.raw.num_rows for one in sample.kept) <= most
            start += size
        return sample.tables()[0].column("n").to_pylist(), sample.rows

    rows, total = sampled(sizes)
    assert (rows, total) == sampled([sum(sizes)])
    assert not total or rows[0] == 0


def test_a_moment_in_another_zone_is_rounded_in_utc() -> None:
    """The bounds are compared in UTC."""
    moments = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=9 * n) for n in range(900)]
    assert '"min_value": "2020-01-01"' in told(moments, "timestamp", name="seen")
