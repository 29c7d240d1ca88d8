"""Text of the same form: FF1 (NIST SP 800-38G rev. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.keys import FF1, Alphabet, Spelling, contents, once_per_value, skip_nulls, token_bytes
from veilflow.keys.buffers import Bytes, blocks_of, by_length, in_blocks
from veilflow.model import type_name
from veilflow.treatments.alphabets import alphabet_of, characters_of
from veilflow.treatments.interface import (
    TEXT_ONLY,
    Context,
    Traits,
    Treatment,
    Unfit,
    one_of,
    text,
    text_type,
)
from veilflow.treatments.token import DEFAULT_FORM, TOKENISED, tokens

_SEPARATORS = " -./()+"
#: Values at a time, so that what lies between takes little memory.
_ROWS = 8_192
_UNFIT_ROWS = 4_096
_SAMPLE = 64
_Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Ff1:
    """``alphabet``: digits, letters, alphanumeric, or its characters. ``separators`` stay where they are (by default
    space and ``-./()+``). ``luhn``: the last digit is a check digit, before and after. ``tweak``: a column whose value
    makes the same value look unlike beside another one; null is the empty tweak.

    ``too_small``: what happens to values with so few characters of the alphabet that fewer than 1,000,000 others look
    alike; ``outside``: to values with a character that is neither of the alphabet nor a separator, or with a wrong
    check digit. Each is ``refuse``, ``quarantine`` or ``token``. The empty string stays empty.
    """

    alphabet: str = "digits"
    separators: str | None = None
    luhn: bool = False
    tweak: str | None = None
    too_small: str = "refuse"
    outside: str = "refuse"

    def __post_init__(self) -> None:
        characters = characters_of(self.alphabet)
        if self.separators is not None:
            text("separators", self.separators)
            if set(self.separators) & set(characters):
                raise ValueError("a separator stands in the alphabet")
        if not isinstance(self.luhn, bool) or (self.luhn and self.alphabet != "digits"):
            raise ValueError("luhn is true or false, and true only with the alphabet digits")
        if self.tweak is not None and (not isinstance(self.tweak, str) or not self.tweak):
            raise ValueError("tweak must be a column's name")
        one_of("too_small", self.too_small, "refuse", "quarantine", "token")
        one_of("outside", self.outside, "refuse", "quarantine", "token")

    @property
    def letters(self) -> Alphabet:
        """The alphabet with the separators."""
        characters = characters_of(self.alphabet)
        if self.separators is not None:
            return alphabet_of(characters, self.separators)
        return alphabet_of(characters, "".join(one for one in _SEPARATORS if one not in characters))


@dataclass(frozen=True, slots=True)
class _Fit:
    """Rows of a column without nulls: which FF1 takes, which are too small for it, which hold something else."""

    takes: _Mask
    too_small: _Mask
    outside: _Mask


def _fit(spelling: Spelling, parameters: Ff1) -> _Fit:
    alphabet = parameters.letters
    numerals = spelling.numerals
    count = len(numerals)
    outside = np.zeros(count, bool)
    outside[alphabet.foreign_rows(spelling)] = True
    size = 1 if alphabet.radix <= 256 else 2
    lengths = np.diff(contents(numerals)[1]) // size
    empty = np.diff(spelling.starts) == 0
    shortest = FF1(bytes(32), alphabet.radix).shortest + parameters.luhn
    too_small = ~outside & ~empty & (lengths < shortest)
    if parameters.luhn:
        checked = np.flatnonzero(~outside & ~empty & ~too_small)
        outside[checked[~_checks(numerals.take(pa.array(checked)))]] = True
    return _Fit(~(outside | too_small | empty), too_small, outside)


def _unfit(values: pa.Array, parameters: Ff1, _context: Context) -> tuple[Unfit, ...]:
    there = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    given = values.drop_null()
    fits = [_fit(parameters.letters.split(given[own]), parameters) for own in blocks_of(len(given), _UNFIT_ROWS)]
    foreign = "has a character outside the alphabet" + (" or a wrong check digit" if parameters.luhn else "")
    found = []
    for masks, then, reason in (
        ([fit.outside for fit in fits], parameters.outside, foreign),
        ([fit.too_small for fit in fits], parameters.too_small, "has fewer than 1,000,000 values of its form"),
    ):
        rows = there[np.concatenate(masks)]
        if then != "token" and len(rows):
            found.append(Unfit(rows, reason, cast(Literal["refuse", "quarantine"], then)))
    return tuple(found)


def _ff1(values: pa.Array, parameters: Ff1, context: Context) -> pa.Array:
    return _column(values, parameters, context, inverse=False)


def _open_ff1(values: pa.Array, parameters: Ff1, context: Context) -> pa.Array:
    """The values again; tokens among them stay."""
    return _column(values, parameters, context, inverse=True)


def _column(values: pa.Array, parameters: Ff1, context: Context, *, inverse: bool) -> pa.Array:
    if parameters.tweak is None:
        return once_per_value(
            values, lambda own: skip_nulls(own, lambda there: _blocks(there, b"", parameters, context, inverse=inverse))
        )
    tweaks = pc.fill_null(token_bytes(context.columns[parameters.tweak]), "").cast(pa.binary())
    own = tweaks.filter(values.is_valid()) if values.null_count else tweaks
    return skip_nulls(values, lambda there: _blocks(there, own, parameters, context, inverse=inverse))


def _blocks(values: pa.Array, tweak: bytes | pa.Array, parameters: Ff1, context: Context, *, inverse: bool) -> pa.Array:
    run = _Run(parameters, context, FF1(context.key("ff1").value, parameters.letters.radix), inverse)

    def block(there: pa.Array, rows: slice) -> pa.Array:
        return _whole(there, tweak if isinstance(tweak, bytes) else tweak.slice(rows.start, len(there)), run)

    # Separators and tweaks take memory of their own.
    plain = isinstance(tweak, bytes) and parameters.letters.split(values[:_SAMPLE]).inside is None
    return in_blocks(values, _ROWS if plain else _ROWS // 2, block)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is the same for every block of one call."""

    parameters: Ff1
    context: Context
    cipher: FF1
    inverse: bool


def _whole(values: pa.Array, tweak: bytes | pa.Array, run: _Run) -> pa.Array:
    """A column without nulls: what fits through FF1, the rest as the parameters say."""
    letters = run.parameters.letters
    spelling = letters.split(values)
    fit = _fit(spelling, run.parameters)
    if run.inverse and "token" in _uses(run.parameters):
        fit.takes[pc.match_substring_regex(values, DEFAULT_FORM).to_numpy(zero_copy_only=False)] = False
    if fit.takes.all():
        return _permuted(spelling, tweak, run)
    takes, rest = np.flatnonzero(fit.takes), np.flatnonzero(~fit.takes)
    own = tweak if isinstance(tweak, bytes) else tweak.take(pa.array(takes))
    chosen = _permuted(letters.split(values.take(pa.array(takes))), own, run)
    back = np.empty(len(values), np.int64)
    back[np.concatenate([takes, rest])] = np.arange(len(values))
    return pa.concat_arrays([chosen, _fallback(values.take(pa.array(rest)), fit, run)]).take(pa.array(back))


def _fallback(others: pa.Array, fit: _Fit, run: _Run) -> pa.Array:
    """Tokens where the parameters say so; the empty string stays, and so does what FF1 did not make."""
    if run.inverse:
        return others
    for mask, then in ((fit.outside, run.parameters.outside), (fit.too_small, run.parameters.too_small)):
        if then != "token" and mask.any():
            raise ValueError("a value that FF1 does not take")
    given = pc.greater(pc.binary_length(others), 0)
    if not pc.any(given).as_py():
        return others
    return pc.if_else(given, tokens(others, run.context.key("token")), others)


def _permuted(spelling: Spelling, tweak: bytes | pa.Array, run: _Run) -> pa.Array:
    numerals = spelling.numerals
    if run.parameters.luhn:
        body = run.cipher.column(pc.binary_slice(numerals, 0, -1), tweak, inverse=run.inverse)
        numerals = by_length(body, lambda rows, _indices: np.concatenate([rows, _check_digits(rows)], axis=1))
    else:
        numerals = run.cipher.column(numerals, tweak, inverse=run.inverse)
    return run.parameters.letters.join(spelling, numerals)


def _checks(numerals: pa.Array) -> _Mask:
    """Whether the last digit of each value is that of Luhn's formula (ISO/IEC 7812-1, annex B)."""
    found = by_length(numerals, lambda rows, _indices: (_check_digits(rows[:, :-1]) == rows[:, -1:]).astype(np.uint8))
    return contents(found)[0].astype(bool)


def _check_digits(body: Bytes) -> Bytes:
    """Luhn's check digit of each row of digits, as a column."""
    total = np.zeros(len(body), np.int64)
    for place in range(body.shape[1]):
        digit = body[:, -1 - place].astype(np.int64)
        total += digit if place % 2 else 2 * digit - 9 * (digit > 4)
    return (-total % 10).astype(np.uint8).reshape(-1, 1)


def _uses(parameters: Ff1) -> tuple[str, ...]:
    return ("ff1", "token") if "token" in (parameters.too_small, parameters.outside) else ("ff1",)


def _reads(parameters: Ff1) -> tuple[str, ...]:
    return () if parameters.tweak is None else (parameters.tweak,)


def _fits(parameters: Ff1, types: Mapping[str, pa.DataType]) -> None:
    for name in _reads(parameters):
        if type_name(types[name], "json") not in TOKENISED:
            raise TypeError(f"the column {name} has a type that makes no tweak")


FF1_TREATMENT = Treatment(
    "ff1",
    "Format-preserving encryption (FF1, NIST SP 800-38G rev. 1): text of the same length over the same alphabet, separators in their places; one to one for values of one form without a tweak, and the key opens it.",
    Ff1,
    TEXT_ONLY,
    text_type,
    _ff1,
    Traits("text of the same form: as many characters of the same alphabet, separators where they were", reversible=True, linkable=True),
    uses=_uses,
    reads=_reads,
    unfit=_unfit,
    fits=_fits,
    inverse=_open_ff1,
    keeps_apart=lambda parameters: parameters.tweak is None,
)  # fmt: skip
