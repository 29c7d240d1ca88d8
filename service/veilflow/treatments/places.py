"""Coarser places: postcodes cut, ZIP codes by HIPAA's rule, coordinates on a grid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import TEXT_ONLY, Context, Traits, Treatment, Unfit, one_of, text_type, whole
from veilflow.treatments.numbers import number
from veilflow.treatments.text_bytes import by_script, bytes_of, text_of

_HIDDEN = np.arange(256, dtype=np.uint8)
_HIDDEN[[byte for byte in range(128) if chr(byte).isalnum()]] = ord("*")


# --- postcodes ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Postcode:
    """``keep`` characters at the beginning stay, each other letter and digit becomes ``*``; what is shorter than twice
    that is masked whole."""

    keep: int = 2

    def __post_init__(self) -> None:
        whole("keep", self.keep, 0, 5)


def _postcode(values: pa.Array, parameters: Postcode, _context: Context) -> pa.Array:
    return by_script(
        values, lambda rows: _ascii_postcodes(rows, parameters.keep), lambda rows: _postcodes(rows, parameters.keep)
    )


def _ascii_postcodes(values: pa.Array, keep: int) -> pa.Array:
    offsets, data = bytes_of(values)
    hidden = _HIDDEN[data]
    starts = offsets[:-1][np.diff(offsets) >= 2 * keep]
    for place in range(keep if len(data) else 0):
        hidden[starts + place] = data[starts + place]
    return text_of(offsets, hidden, values)


def _postcodes(values: pa.Array, keep: int) -> pa.Array:
    hidden = pc.replace_substring_regex(values, r"[\p{L}\p{N}\p{M}]", "*")
    if not keep:
        return hidden
    shown = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(values, 0, keep), pc.utf8_slice_codeunits(hidden, keep), ""
    )
    return pc.if_else(pc.greater_equal(pc.utf8_length(values), 2 * keep), shown, hidden)


#: Three-digit ZIP areas of 20,000 people or fewer by the 2000 Census: the list of the Department of Health and Human
#: Services, "Guidance Regarding Methods for De-identification of Protected Health Information" (2012), question 2.5.
_SMALL_AREAS = {
    2000: ("036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890", "893"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Zip3:
    """``census``: the count that the list of small areas comes from (2000: the one that the guidance prints);
    ``also``: areas that a later count adds. HIPAA asks for the current one: 45 CFR 164.514(b)(2)(i)(B)."""

    census: int = 2000
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.census not in _SMALL_AREAS:
            raise ValueError("census must be one of " + ", ".join(str(year) for year in _SMALL_AREAS))
        if not isinstance(self.also, list | tuple) or not all(
            isinstance(area, str) and re.fullmatch(r"[0-9]{3}", area) for area in self.also
        ):
            raise ValueError('also must be a list of three digits in quotes, such as ["205"]')
        object.__setattr__(self, "also", tuple(self.also))


def _zip3(values: pa.Array, parameters: Zip3, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    is_zip = pc.match_substring_regex(values, r"^[0-9]{5}(?:-?[0-9]{4})?$")
    area = pc.binary_slice(values.cast(pa.binary()), 0, 3)
    small = pc.is_in(area, value_set=pa.array([*_SMALL_AREAS[parameters.census], *parameters.also]).cast(pa.binary()))
    # What is no ZIP code belongs to no area that could be counted.
    shown = pc.if_else(pc.and_(is_zip, pc.invert(small)), area, pa.scalar(b"000"))
    return pc.if_else(pc.is_valid(values), shown, pa.scalar(None, pa.binary())).cast(pa.string())


# --- coordinates -------------------------------------------------------------------------

#: Kilometres of a degree of latitude: the mean of the WGS 84 ellipsoid's meridian.
_DEGREE_KM = 111.132


@dataclass(frozen=True, slots=True)
class Grid:
    """A latitude or longitude to the middle of its cell: ``degrees`` wide, or ``kilometres``. A longitude's kilometres
    depend on the latitude: name its column as ``latitude``."""

    axis: Literal["latitude", "longitude"]
    degrees: float | None = None
    kilometres: float | None = None
    latitude: str | None = None

    def __post_init__(self) -> None:
        one_of("axis", self.axis, "latitude", "longitude")
        if (self.degrees is None) == (self.kilometres is None):
            raise ValueError("give either degrees or kilometres")
        for name, size, most in (("degrees", self.degrees, 90), ("kilometres", self.kilometres, 5000)):
            if size is not None:
                number(name, size)
                if not 0.0001 <= size <= most:
                    raise ValueError(f"{name} must be from 0.0001 to {most}")
        if (self.latitude is not None) != (self.axis == "longitude" and self.kilometres is not None):
            raise ValueError("latitude names the column of latitudes, for a longitude in kilometres")
        if self.latitude is not None and not isinstance(self.latitude, str):
            raise ValueError("latitude must be a column's name")


def _numbers(values: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False), np.float64)


def _middles(numbers: np.ndarray[Any, Any], width: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The middle of each cell, with as many decimals as a grid of 0.0001 degrees needs."""
    return np.asarray(np.round((np.floor(np.round(numbers / width, 9)) + 0.5) * width, 6), np.float64)


def _grid(values: pa.Array, parameters: Grid, context: Context) -> pa.Array:
    numbers = _numbers(values)
    limit = 90 if parameters.axis == "latitude" else 180
    middles = np.clip(_middles(numbers, _widths(parameters, context)), -limit, limit)
    return pa.array(middles, pa.float64(), mask=np.isnan(numbers) | np.isnan(middles))


def _widths(parameters: Grid, context: Context) -> Any:
    if parameters.degrees is not None:
        return parameters.degrees
    assert parameters.kilometres is not None
    height = parameters.kilometres / _DEGREE_KM
    if parameters.latitude is None:
        return height
    # All of a row of cells share the width in its middle, or else a width would tell the latitude.
    row = _middles(_numbers(context.columns[parameters.latitude]), height)
    return np.minimum(height / np.maximum(np.cos(np.radians(np.clip(row, -90, 90))), 1e-4), 360)


def _unfit(values: pa.Array, parameters: Grid, _context: Context) -> tuple[Unfit, ...]:
    limit = 90 if parameters.axis == "latitude" else 180
    rows = np.flatnonzero(np.abs(_numbers(values)) > limit)
    return (Unfit(rows, f"is no {parameters.axis}"),) if len(rows) else ()


def _fits(parameters: Grid, types: Mapping[str, pa.DataType]) -> None:
    for name, kind in types.items():
        if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise TypeError(f"{name} must be float or decimal")


POSTCODE = Treatment(
    "postcode",
    "Keeps the beginning of a postcode and masks the rest.",
    Postcode,
    TEXT_ONLY,
    text_type,
    _postcode,
    Traits("a postcode with asterisks"),
)
ZIP3 = Treatment(
    "zip3",
    "The first three digits of a US ZIP code, 000 for areas of 20,000 people or fewer and for what is no ZIP code (HIPAA Safe Harbor).",
    Zip3,
    TEXT_ONLY,
    text_type,
    _zip3,
    Traits("three digits"),
)
GRID = Treatment(
    "grid",
    "A latitude or longitude to the middle of its cell; a longitude without its latitude is null.",
    Grid,
    frozenset({"float", "decimal"}),
    lambda _kind, _parameters: pa.float64(),
    _grid,
    Traits("a coordinate"),
    reads=lambda parameters: () if parameters.latitude is None else (parameters.latitude,),
    unfit=_unfit,
    fits=_fits,
)
