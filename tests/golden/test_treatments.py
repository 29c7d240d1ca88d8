"""Known answers of treatments. Where they come from stands at each: worked by hand from the rule, or another tool's."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from veilflow.errors import Place
from veilflow.model import FileContent
from veilflow.treatments import TREATMENTS, Context, make_step

REGIONS = FileContent("regions.csv", "", "value,county,country\n1010,Vienna,Austria\n8010,Graz,Austria\n")


def treated(
    name: str, raw: Mapping[str, Any], values: pa.Array, as_of: date | None = None, **columns: pa.Array
) -> list[Any]:
    step = make_step(name, raw, Place("p.yaml", 1))
    context = Context(columns=columns, as_of=as_of, classification="quasi_identifier")
    return list(TREATMENTS[name].apply(values, step.parameters, context).to_pylist())


# By hand, from each treatment's definition. Card numbers: the test numbers that card schemes publish. The Chinese
# identity number is the example of GB 11643-1999.
TEXTS: list[tuple[str, Mapping[str, Any], list[tuple[str, str]]]] = [
    ("mask", {"keep_first": 1, "keep_last": 1}, [("Schmidt", "S*****t"), ("Li", "**"), ("Lee", "***"), ("Löwe", "L**e"), ("e\u0301te\u0301", "e***\u0301")]),
    ("mask", {"keep_last": 4, "at_most": 0.25}, [("4111111111111111", "************1111"), ("411111111111111", "*" * 15)]),
    ("mask_card", {}, [("4111 1111 1111 1111", "**** **** **** 1111"), ("378282246310005", "***********0005"), ("4222", "****"), ("no card", "** ****")]),
    ("mask_card", {"keep_first": 6}, [("5555-5555-5555-4444", "5555-55**-****-4444"), ("5555555555554444X", "*" * 17)]),
    ("mask_name", {}, [("Ada Lovelace", "A. L."), ("Jean-Luc Picard", "J.-L. P."), ("Miles O'Brien", "M. O."), ("Zoë", "Z."), ("Al", "A."), ("O", "*"), ("", "")]),
    ("mask_chinese_name", {}, [("王小明", "王**"), ("欧阳修", "欧**"), ("欧阳修文", "欧阳**"), ("王五", "王*"), ("买买提·吐尔逊", "买**·***"), ("Bob", "***"), ("𠮷野家", "𠮷**")]),
    ("mask_chinese_id", {}, [("11010519491231002X", "110105************"), ("110105491231002", "*" * 15)]),
    ("mask_chinese_id", {"keep_first": 0, "keep_last": 4}, [("11010519491231002X", "**************002X")]),
    ("url_host", {}, [("https://u:p@Example.COM:8080/a?b=c#d", "example.com"), ("http://[2001:db8::1]/", "[2001:db8::1]"), ("//cdn.example/x", "cdn.example"),
                      ("https://bücher.example", "bücher.example"), ("https://evil.example\\@good.example/", "evil.example"), ("mailto:a@b.example", "*" * 18)]),
    ("postcode", {}, [("10115", "10***"), ("SW1A 1AA", "SW** ***"), ("123", "***"), ("〒100", "〒1**")]),
    ("redact", {"by": "class"}, [("x", "[quasi_identifier]")]),
    ("constant", {"value": "x"}, [("a", "x"), ("", "x")]),
    ("hierarchy", {"table": REGIONS, "level": "country", "missing": "redact"}, [("1010", "Austria"), ("9999", "[redacted]")]),
    ("hierarchy", {"table": REGIONS, "level": 1, "missing": "redact"}, [("8010", "Graz"), ("", "[redacted]")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "raw", "pairs"), TEXTS, ids=[f"{n}-{k}" for k, (n, _, _) in enumerate(TEXTS)])
def test_texts(name: str, raw: Mapping[str, Any], pairs: list[tuple[str, str]]) -> None:
    """Each value alone and all of them in one array: the kernels for ASCII and beyond agree."""
    before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert treated(name, raw, pa.array([*before, None])) == [*after, None]
    assert [treated(name, raw, pa.array([value]))[0] for value in before] == after


@pytest.mark.parametrize("v4", [0, 7, 8, 13, 16, 24])
@pytest.mark.parametrize("v6", [0, 32, 47, 64])
def test_networks_are_those_of_the_standard_library(v4: int, v6: int) -> None:
    """Python's ipaddress gives the expected answers; what is no address is masked whole."""
    fours = ["192.168.17.5", "0.0.0.0", "255.255.255.255", "10.1.2.3"]
    sixes = ["2001:db8:1:2:3:4:5:6", "::1", "fe80::1"]
    expected = [str(ipaddress.ip_network((one, v4), strict=False).network_address) for one in fours]
    expected += [str(ipaddress.ip_network((one, v6), strict=False).network_address) for one in sixes]
    wrong = ["256.1.1.1", "1.2.3", "01.2.3.4", "x", "1.2.3.4 "]
    found = treated("mask_ip", {"v4": v4, "v6": v6}, pa.array([*fours, *sixes, *wrong, None]))
    assert found == [*expected, *["*" * len(one) for one in wrong], None]


# HHS, "Guidance Regarding Methods for De-identification of Protected Health Information", question 2.5 and its table.
@pytest.mark.parametrize(
    ("zip_code", "area"),
    [("10115", "101"), ("12345-6789", "123"), ("123456789", "123"), ("03601", "000"), ("89301", "000"), ("20599", "205"), ("1234", "000"),
     ("abcde", "000"), ("１２３４５", "000"), ("", "000")],
)  # fmt: skip
def test_zip_codes_by_the_hipaa_rule(zip_code: str, area: str) -> None:
    """Small areas and what is no ZIP code are 000; a later count may add areas."""
    assert treated("zip3", {}, pa.array([zip_code])) == [area]
    assert treated("zip3", {"also": ["205"]}, pa.array([zip_code])) == ["000" if area == "205" else area]


# By hand, from the calendar.
@pytest.mark.parametrize(
    ("born", "as_of", "age", "band"),
    [
        (date(2000, 3, 1), date(2026, 3, 1), 26, "20-29"), (date(2000, 3, 2), date(2026, 3, 1), 25, "20-29"),
        (date(2000, 2, 29), date(2026, 2, 28), 25, "20-29"), (date(2000, 2, 29), date(2026, 3, 1), 26, "20-29"),
        (date(1999, 3, 1), date(2024, 2, 29), 24, "20-29"), (date(1999, 2, 28), date(2024, 2, 29), 25, "20-29"),
        (date(1936, 3, 1), date(2026, 3, 1), 90, "90+"), (date(1936, 3, 2), date(2026, 3, 1), 89, "80-89"),
        (date(1800, 1, 1), date(2026, 3, 1), 90, "90+"), (date(2026, 3, 1), date(2026, 3, 1), 0, "0-9"), (None, date(2026, 3, 1), None, None),
    ],
)  # fmt: skip
def test_ages(born: date | None, as_of: date, age: int | None, band: str | None) -> None:
    """Completed years, also of those born on 29 February; 90 and over together."""
    births = pa.array([born], pa.date32())
    assert treated("age", {}, births, as_of) == [age]
    assert treated("age_band", {}, births, as_of) == [band]
    moment = births.cast(pa.timestamp("us"))
    assert treated("age", {}, moment, as_of) == [age]


@pytest.mark.parametrize(("age", "band"), [(17, "0-17"), (18, "18-64"), (64, "18-64"), (65, "65-79"), (80, "80+")])
def test_age_bands_by_edges(age: int, band: str) -> None:
    """The bands that a study asks for."""
    births = pa.array([date(2026 - age, 1, 1)])
    assert treated("age_band", {"edges": [18, 65], "top": 80}, births, date(2026, 1, 1)) == [band]


def test_a_moment_is_born_on_its_local_day() -> None:
    """23:30 in New York is the day after in UTC."""
    births = pa.array([datetime(2000, 6, 2, 3, 30)], pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    assert treated("age", {}, births.cast(pa.timestamp("us", "America/New_York")), date(2020, 6, 1)) == [20]
    assert treated("age", {}, births, date(2020, 6, 1)) == [19]


MONEY = pa.decimal128(38, 2)


# Rounding: by Python's decimal, ROUND_HALF_EVEN. The rest by hand.
@pytest.mark.parametrize(
    ("name", "raw", "values", "expected"),
    [
        ("round", {"to": 10}, pa.array([5, 15, -5, -15, 14, None]), [0, 20, 0, -20, 10, None]),
        ("round", {"to": 0.1}, pa.array([Decimal("0.05"), Decimal("0.15"), Decimal("-9.96")], MONEY), [Decimal("0.0"), Decimal("0.2"), Decimal("-10.0")]),
        ("round", {"to": 10}, pa.array([Decimal(10**30 + 5)], MONEY), [Decimal(10**30)]),
        ("round", {"to": 1}, pa.array([0.5, 1.5, None]), [0.0, 2.0, None]),
        ("band", {"width": 10}, pa.array([0, 9, 10, -1, None]), ["0-9", "0-9", "10-19", "-10 to -1", None]),
        ("band", {"width": 1}, pa.array([3]), ["3"]),
        ("band", {"width": 5, "start": 1}, pa.array([0, 1, 6]), ["-4 to 0", "1-5", "6-10"]),
        ("band", {"width": 0.1}, pa.array([0.3, 0.29]), ["0.3-<0.4", "0.2-<0.3"]),
        ("band", {"edges": [18, 65]}, pa.array([17, 18, 64, 65, None]), ["<18", "18-64", "18-64", "65+", None]),
        ("band", {"edges": [0, 1000]}, pa.array([Decimal("999.99"), Decimal("1000.00")], MONEY), ["0-<1000", "1000+"]),
        ("clip", {"at_least": 10, "at_most": 100}, pa.array([9, 10, 100, 101, None]), [10, 10, 100, 100, None]),
        ("clip", {"at_most": 4.5}, pa.array([Decimal("4.50"), Decimal("4.51")], MONEY), [Decimal("4.50"), Decimal("4.50")]),
        ("constant", {"value": 7}, pa.array([1, None]), [7, None]),
        ("constant", {"value": 1.05}, pa.array([Decimal("3.00")], MONEY), [Decimal("1.05")]),
        ("constant", {"value": "1970-01-01"}, pa.array([date(2000, 1, 1)]), [date(1970, 1, 1)]),
        ("grid", {"axis": "latitude", "degrees": 0.1}, pa.array([52.52, -0.05, 90.0, None]), [52.55, -0.05, 90.0, None]),
        ("grid", {"axis": "longitude", "degrees": 1}, pa.array([-179.2]), [-179.5]),
    ],
)  # fmt: skip
def test_numbers_and_coordinates(name: str, raw: Mapping[str, Any], values: pa.Array, expected: list[Any]) -> None:
    """Exact for whole numbers and decimals."""
    assert treated(name, raw, values) == expected


def test_a_grid_of_kilometres_has_cells_of_that_width() -> None:
    """At 60 degrees north a degree of longitude is half as long as at the equator: 111.32 km x cos 60."""
    places = pa.array([10.0 + step / 1000 for step in range(400)])
    north = set(
        treated("grid", {"axis": "longitude", "kilometres": 5, "latitude": "lat"}, places, lat=pa.array([60.0] * 400))
    )
    equator = set(
        treated("grid", {"axis": "longitude", "kilometres": 5, "latitude": "lat"}, places, lat=pa.array([0.0] * 400))
    )
    # 0.4 degrees are 22.3 km and 44.5 km: 4.5 and 8.9 cells, which begin and end anywhere.
    assert len(north) in (5, 6) and len(equator) in (9, 10)
    assert treated(
        "grid",
        {"axis": "longitude", "kilometres": 5, "latitude": "lat"},
        pa.array([1.0]),
        lat=pa.array([None], pa.float64()),
    ) == [None]
