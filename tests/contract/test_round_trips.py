"""Every type, every target: what was loaded is what another reader finds there, or the row is refused, and never changed."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import Store, receipt

from veilflow.errors import VeilError

#: Any Unicode that is text: astral, combining, controls, and what quoting and patterns stumble over.
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        ["", " ", "NULL", "\\N", "\\", "'", '"', "a\tb\r\nc", "é", "é", "👩‍👩‍👧", "%s", "\0", "\ufeff", "\x1a"]
    ),
)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
WHOLE = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=1 - 10**16, max_value=10**16 - 1)
WIDE = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda number: Decimal(f"{number}e-10"))
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=11, minutes=30))])


def numbers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([low, high, 0]), st.integers(low, high))


TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), numbers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), numbers(0, 2**bits - 1)) for bits in (8, 16, 32, 64)},
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats()),
    "decimal(18,2)": (pa.decimal128(18, 2), WHOLE),
    "decimal(38,10)": (pa.decimal128(38, 10), WIDE),
    "boolean": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "timestamp": (pa.timestamp("us"), MOMENTS),
    "timestamp of nanoseconds": (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
    "moment": (pa.timestamp("us", "UTC"), st.builds(lambda at, zone: at.replace(tzinfo=zone), MOMENTS, ZONES)),
    "text": (pa.string(), TEXT),
    "bytes": (pa.binary(), st.binary()),
    "uuid": (pa.string(), st.uuids().map(str)),
    "json": (pa.string(), st.recursive(st.none() | st.booleans() | TEXT, st.lists).map(json.dumps)),
}  # fmt: skip

DATABASES = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
    pytest.param("mariadb by statements", marks=pytest.mark.live),
    pytest.param("postgresql+psycopg", marks=pytest.mark.live),
    pytest.param("mysql+pymysql", marks=pytest.mark.live),
]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    return make_store(request.param)


@pytest.mark.parametrize("name", TYPES)
def test_a_value_comes_back_as_it_was_or_is_refused(database: Store, name: str) -> None:
    """Each of many values in one load; those that the target cannot hold are refused with VEIL319 before, one by one."""
    kind, values = TYPES[name]
    target = database.target("t", schema=pa.schema([("n", pa.int64()), ("v", kind)]))
    target.open("01A")

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(st.none() | values, min_size=20, max_size=60))
    def load(found: list[Any]) -> None:
        nonlocal chunk
        rows = pa.table(
            {"n": pa.array(range(chunk * 100, chunk * 100 + len(found)), pa.int64()), "v": pa.array(found, kind)}
        )
        taken = pa.concat_tables([rows.slice(row, 1) for row in range(len(rows)) if takes(rows.slice(row, 1))])
        writer.load(taken, receipt(chunk, taken.num_rows))
        expected.update(
            zip(
                taken["n"].to_pylist(),
                taken["v"].to_pylist() if "nano" not in name else taken["v"].cast(pa.timestamp("us")).to_pylist(),
                strict=True,
            )
        )
        refused.extend(set(rows["n"].to_pylist()) - expected.keys())
        chunk += 1

    def takes(row: pa.Table) -> bool:
        try:
            writer.attempt(row)
        except VeilError as error:
            assert error.code == "VEIL319", str(error)
            value = row["v"][0]
            assert not exact(
                database.dialect or database.kind, name, value.as_py() if "nano" not in name else value.value
            ), "refused without need"
            return False
        return True

    chunk = 0
    expected: dict[int, Any] = {}
    refused: list[int] = []
    with target.writer() as writer:
        load()
    target.publish({})
    target.close()
    there = dict(database.sql('select n, v from "t"'))
    assert there.keys() == expected.keys()
    for number, value in expected.items():
        assert same(there[number], value, kind), (database.kind, name, value, there[number])


def exact(kind: str, name: str, value: Any) -> bool:
    """Whether the database can hold the value."""
    if name == "text" or name == "json":
        return not (kind.startswith("postgresql") and "\0" in value)
    if name.startswith("float"):
        return math.isfinite(value) or kind in ("duckdb", "postgresql") or (kind == "sqlite" and not math.isnan(value))
    if name == "timestamp of nanoseconds":
        return bool(value % 1000 == 0)
    return True


def same(there: Any, value: Any, kind: pa.DataType) -> bool:
    """Whether a driver of somebody else gives the value, in the words that the store makes of it."""
    if value is None or there is None:
        return there is value
    if isinstance(value, bool):
        return bool(there) is value
    if isinstance(value, float):
        return there == value or (math.isnan(value) and math.isnan(there))
    if isinstance(value, datetime):
        plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return datetime.fromisoformat(str(there).removesuffix("Z").replace(" ", "T")) == plain
    if isinstance(value, int | Decimal):
        return Decimal(str(there)) == value
    return str(there) == str(value) if isinstance(value, date | uuid.UUID) else bool(there == value)
