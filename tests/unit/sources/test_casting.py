"""From what a source holds to declared types: a value that would change is a bad cell."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilflow.model import ColumnType
from veilflow.sources.casting import cast_values

DATE = ColumnType("date", pa.date32())
MOMENT = ColumnType("timestamp", pa.timestamp("us"))


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_timestamp_becomes_a_date_only_where_it_has_no_time_of_day(zone: str | None) -> None:
    """Cutting the time off would be a treatment that no policy asked for."""
    values = pa.array(
        [datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 2, 3, tzinfo=UTC), None], pa.timestamp("us", zone)
    )
    assert cast_values(values, DATE).to_pylist() == [date(2020, 1, 2), None, None]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DATE, "2020-01-02", date(2020, 1, 2)),
        (DATE, "2020-W01-1", None),
        (DATE, "2020-02-30", None),
        (MOMENT, "2020-01-02T03:04:05", datetime(2020, 1, 2, 3, 4, 5)),
        (MOMENT, "2020-W01-1", None),
        (MOMENT, "2020-W01-1T03:04:05", None),
        (MOMENT, "2020-01-02T03:04:05+01:00", None),
    ],
)
def test_dates_and_moments_are_those_of_the_calendar(kind: ColumnType, text: str, value: Any) -> None:
    """Alone, and beside a cell that sends the chunk down the slow way."""
    assert cast_values(pa.array([text]), kind).to_pylist() == [value]
    assert cast_values(pa.array([text, "no date"]), kind).to_pylist() == [value, None]


@given(st.text(alphabet="09.+-e _", max_size=6))
def test_a_decimal_is_the_same_alone_and_beside_a_cell_that_is_none(text: str) -> None:
    """A chunk of plain characters goes without the pattern, any other by it: neither takes what the other refuses."""
    kind = ColumnType("decimal", pa.decimal128(12, 2))
    plain = re.fullmatch(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)", text)
    fits = plain is not None and len(text.partition(".")[2].rstrip("0")) <= 2
    alone, beside = cast_values(pa.array([text]), kind), cast_values(pa.array([text, "x"]), kind)
    assert alone[0].as_py() == beside[0].as_py() == (Decimal(text) if fits else None)
