"""Numbers with noise that the key draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context as DecimalContext
from decimal import Decimal
from math import frexp, isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.keys import hmac_words, token_bytes
from veilflow.keys.buffers import in_blocks
from veilflow.keys.words import Words
from veilflow.model import type_name
from veilflow.treatments.interface import Context, Traits, Treatment, always, one_of, same_type
from veilflow.treatments.token import TOKENISED

_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Integers = np.ndarray[Any, np.dtype[np.int64]]
_Number = int | float | Decimal
#: Steps of the grid that results lie on, for a scale: 2^-10 of it.
_GRID_BITS = 10
_SEPARATOR = "\x1f"
#: Rows at a time, so that their seeds take little memory.
_BLOCK = 4_096
_EXACT = DecimalContext(prec=120)


@dataclass(frozen=True, slots=True)
class Noise:
    """``distribution``: laplace (its scale b) or gaussian (its standard deviation), ``scale`` in units of the value;
    ``low`` and ``high`` clip the result. Whole numbers stay whole and decimals keep their places.

    The noise is drawn from the key, the row's ``row_key`` (a column; without one, the row's position in the source)
    and the value, so a retry repeats it, and so does another run over the same row. With ``row_key`` nobody gains by
    averaging over runs; a changed value gets noise of its own, so that the difference does not show.
    """

    distribution: str
    scale: _Number
    row_key: str | None = None
    low: _Number | None = None
    high: _Number | None = None

    def __post_init__(self) -> None:
        one_of("distribution", self.distribution, "laplace", "gaussian")
        for name in ("scale", "low", "high"):
            value = getattr(self, name)
            if value is None and name != "scale":
                continue
            if isinstance(value, bool) or not isinstance(value, _Number) or not isfinite(value):
                raise ValueError(f"{name} must be a number")
        if not 1e-9 <= self.scale <= 1e15:
            raise ValueError("scale must lie between 1e-9 and 1e15")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low must not be above high")
        if self.row_key is not None and (not isinstance(self.row_key, str) or not self.row_key):
            raise ValueError("row_key must be a column's name")


def _output(kind: pa.DataType, parameters: Noise) -> pa.DataType:
    if pa.types.is_integer(kind):
        for bound in (parameters.low, parameters.high):
            if bound is not None and bound != int(bound):
                raise TypeError("integers take whole bounds")
    return same_type(kind, parameters)


def draws(words: Words, parameters: Noise) -> _Floats:
    """Noise from two uniform words a row: Laplace by inversion, Gaussian by Box and Muller's formula (1958)."""
    uniform = ((words[:, 0] >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    if parameters.distribution == "laplace":
        sign = np.where(words[:, 1] >> np.uint64(63), 1.0, -1.0)
        found: _Floats = sign * float(parameters.scale) * -np.log(uniform)
        return found
    angle = (words[:, 1] >> np.uint64(11)).astype(np.float64) * (2.0**-53 * 2 * np.pi)
    found = float(parameters.scale) * np.sqrt(-2 * np.log(uniform)) * np.cos(angle)
    return found


def _noise(values: pa.Array, parameters: Noise, context: Context) -> pa.Array:
    def block(own: pa.Array, rows: slice) -> pa.Array:
        return _block(own, parameters, context.take(np.arange(rows.start, rows.start + len(own))))

    return in_blocks(values, _BLOCK, block)


def _block(values: pa.Array, parameters: Noise, context: Context) -> pa.Array:
    there = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    own = values.take(pa.array(there))
    rows = _row_keys(parameters, context, there)
    seeds = pc.binary_join_element_wise(rows, _text(own), _SEPARATOR)
    noise = draws(hmac_words(seeds, context.key("noise").value, 2), parameters)
    return _with_noise(own, noise, parameters).take(_places(values, there))


def _places(values: pa.Array, there: Any) -> pa.Array:
    places = np.zeros(len(values), np.int64)
    places[there] = np.arange(len(there))
    return pa.array(places, mask=~values.is_valid().to_numpy(zero_copy_only=False))


def _row_keys(parameters: Noise, context: Context, there: Any) -> pa.Array:
    """What names each row: its key, or where it has none its position."""
    if context.positions is None:
        raise ValueError("rows without positions")
    places = pc.binary_join_element_wise("#", pa.array(context.positions[there]).cast(pa.string()), "")
    if parameters.row_key is None:
        return places
    return pc.coalesce(token_bytes(context.columns[parameters.row_key].take(pa.array(there))), places)


def _text(values: pa.Array) -> pa.Array:
    return values.cast(pa.string()) if pa.types.is_floating(values.type) else token_bytes(values)


def _fits(parameters: Noise, types: Mapping[str, pa.DataType]) -> None:
    if parameters.row_key is not None and type_name(types[parameters.row_key], "json") not in TOKENISED:
        raise TypeError(f"the column {parameters.row_key} has a type that names no row")


# --- adding ----------------------------------------------------------------------------------


def _with_noise(values: pa.Array, noise: _Floats, parameters: Noise) -> pa.Array:
    kind = values.type
    if pa.types.is_floating(kind):
        return _floats(values, noise, parameters)
    if pa.types.is_integer(kind):
        info = np.iinfo(kind.to_pandas_dtype())
        low, high = _bounds(parameters, 0, int(info.min), int(info.max))
        if kind == pa.uint64():
            return pa.array(_sums(values.to_pylist(), np.round(noise), low, high), kind)
        own = values.to_numpy(zero_copy_only=False).astype(np.int64)
        return pa.array(_saturated(own, np.round(noise).astype(np.int64)).clip(low, high)).cast(kind)
    return _decimals(values, noise, parameters)


def _bounds(parameters: Noise, places: int, least: int, most: int) -> tuple[int, int]:
    """``low`` and ``high`` in units of the last place, and never beyond what the type holds."""
    low, high = (
        None if b is None else int(_scaled(Decimal(str(b)), places)) for b in (parameters.low, parameters.high)
    )
    return max(least, least if low is None else low), min(most, most if high is None else high)


def _saturated(values: _Integers, steps: _Integers) -> _Integers:
    """Sums that stop at the ends of 64 bits."""
    found = values + steps
    passed = ((values ^ found) & (steps ^ found)) < 0
    ends = np.iinfo(np.int64)
    return np.where(passed, np.where(steps > 0, ends.max, ends.min), found)


def _sums(values: list[int], steps: _Floats, low: int, high: int) -> list[int]:
    return [min(max(value + int(step), low), high) for value, step in zip(values, steps.tolist(), strict=True)]


def _floats(values: pa.Array, noise: _Floats, parameters: Noise) -> pa.Array:
    """Value and noise on a grid of a power of two: the last bits of a sum of floats would tell the value (Mironov,
    CCS 2012)."""
    grid = 2.0 ** (frexp(float(parameters.scale))[1] - _GRID_BITS)
    own = values.to_numpy(zero_copy_only=False).astype(np.float64)
    with np.errstate(over="ignore"):
        on_grid = np.where(np.abs(own) < grid * 2.0**53, np.round(own / grid) * grid, own)
    found = on_grid + np.round(noise / grid) * grid
    low = -np.inf if parameters.low is None else float(parameters.low)
    high = np.inf if parameters.high is None else float(parameters.high)
    return pa.array(np.clip(found, low, high)).cast(values.type, safe=False)


def _decimals(values: pa.Array, noise: _Floats, parameters: Noise) -> pa.Array:
    kind = values.type
    most = 10**kind.precision - 1
    low, high = _bounds(parameters, kind.scale, -most, most)
    steps = np.round(noise * 10.0**kind.scale)
    if pa.types.is_decimal128(kind) and kind.precision <= 18 and np.abs(steps).max(initial=0) < 2**62:
        # 128 bits in two's complement, of which the lower half says it all.
        words = np.frombuffer(values.buffers()[1], np.int64)[2 * values.offset : 2 * (values.offset + len(values)) : 2]
        units = np.empty((len(values), 2), np.int64)
        units[:, 0] = (words + steps.astype(np.int64)).clip(low, high)
        units[:, 1] = units[:, 0] >> 63
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(units)])
    own = [int(_scaled(value, kind.scale)) for value in values.to_pylist()]
    return pa.array([_scaled(Decimal(total), -kind.scale) for total in _sums(own, steps, low, high)], kind)


def _scaled(value: Decimal, places: int) -> Decimal:
    return value.scaleb(places, _EXACT)


NOISE = Treatment(
    "noise",
    "Adds Laplace or Gaussian noise that the key draws for each row: a retry repeats it, and sums and means stay about right.",
    Noise,
    frozenset({"integer", "decimal", "float"}),
    _output,
    _noise,
    Traits("a number of the same type"),
    uses=always("noise"),
    reads=lambda parameters: () if parameters.row_key is None else (parameters.row_key,),
    fits=_fits,
)
