"""Collision-free pseudonyms: a keyed permutation of a range of numbers, or of the texts of an alphabet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.keys import MINIMUM_DOMAIN, Alphabet, Permutation, binary_array, contents, once_per_value, skip_nulls
from veilflow.keys.buffers import by_length, in_blocks
from veilflow.keys.numerals import numbers, numeral_type, strings
from veilflow.keys.words import Words
from veilflow.treatments.alphabets import alphabet_of, characters_of
from veilflow.treatments.interface import Context, Traits, Treatment, Unfit, always, one_of, whole

_MOST = 2**63
#: Values at a time, so that what lies between takes little memory.
_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """Whole numbers: ``low`` to ``high``, which they stay in; with ``alphabet`` and ``length`` as well, each becomes a
    code of so many characters. Text: values of 1 to ``length`` characters of ``alphabet`` (digits, letters,
    alphanumeric, or its characters) become others of these; the empty string stays empty.

    ``outside``: what happens to other values, ``refuse`` or ``quarantine``. Fewer than 1,000,000 possible pseudonyms can
    be searched through by whoever sees some: ``unsafe_small_space`` is the reason to allow it.
    """

    low: int | None = None
    high: int | None = None
    alphabet: str | None = None
    length: int | None = None
    outside: str = "refuse"
    unsafe_small_space: str | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None) or (self.alphabet is None) != (self.length is None):
            raise ValueError("low and high go together, and so do alphabet and length")
        if self.low is None and self.alphabet is None:
            raise ValueError("give low and high (numbers) or alphabet and length (text)")
        if self.low is not None:
            whole("low", self.low, -_MOST, _MOST - 1)
            whole("high", self.high, self.low + 1, _MOST - 1)
        if self.alphabet is not None:
            characters_of(self.alphabet)
            whole("length", self.length, 1, 63)
        one_of("outside", self.outside, "refuse", "quarantine")
        self._check_sizes()

    def _check_sizes(self) -> None:
        if self.size > _MOST:
            raise ValueError("more than 2^63 pseudonyms: choose a smaller range or length")
        if self.low is not None and self.high is not None and self.size < self.high - self.low + 1:
            raise ValueError("fewer codes than numbers from low to high: choose a greater length")
        reason = self.unsafe_small_space
        if reason is not None and (not isinstance(reason, str) or not reason.strip()):
            raise ValueError("unsafe_small_space is the reason, in words")
        if self.size < MINIMUM_DOMAIN and reason is None:
            raise ValueError("fewer than 1,000,000 pseudonyms; if it has to be, give unsafe_small_space: REASON")

    @property
    def size(self) -> int:
        """How many pseudonyms there are."""
        if self.alphabet is None:
            assert self.low is not None and self.high is not None
            return self.high - self.low + 1
        assert self.length is not None
        radix = len(characters_of(self.alphabet))
        return int(radix**self.length) if self.low is not None else _first_rank(radix, self.length + 1)

    @property
    def letters(self) -> Alphabet:
        """The alphabet of codes or texts."""
        return alphabet_of(characters_of(self.alphabet))


def _output(kind: pa.DataType, parameters: Pseudonym) -> pa.DataType:
    if pa.types.is_integer(kind) != (parameters.low is not None):
        raise TypeError("numbers take low and high, text takes alphabet and length")
    if not pa.types.is_integer(kind):
        return pa.string()
    try:
        pa.array([parameters.low, parameters.high], kind)
    except (pa.ArrowException, OverflowError):
        raise TypeError(f"low to high does not fit into {kind}") from None
    return kind if parameters.alphabet is None else pa.string()


def _unfit(values: pa.Array, parameters: Pseudonym, _context: Context) -> tuple[Unfit, ...]:
    if pa.types.is_integer(values.type):
        bad = pc.or_(
            pc.less(values, pa.scalar(parameters.low, values.type)),
            pc.greater(values, pa.scalar(parameters.high, values.type)),
        )
        rows = np.flatnonzero(pc.fill_null(bad, False).to_numpy(zero_copy_only=False))
    else:
        there = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
        rows = there[_outside_text(values.drop_null(), parameters)]
    if not len(rows):
        return ()
    then = cast(Literal["refuse", "quarantine"], parameters.outside)
    return (Unfit(rows, "is not one of the values that have a pseudonym", then),)


def _outside_text(values: pa.Array, parameters: Pseudonym) -> np.ndarray[Any, np.dtype[np.bool_]]:
    assert parameters.length is not None
    spelling = parameters.letters.split(values)
    bad = pc.greater(pc.utf8_length(values), parameters.length).to_numpy(zero_copy_only=False).copy()
    bad[parameters.letters.foreign_rows(spelling)] = True
    return np.asarray(bad, bool)


def _pseudonym(values: pa.Array, parameters: Pseudonym, context: Context) -> pa.Array:
    permutation = Permutation(context.key("permute").value, parameters.size)

    def treat(there: pa.Array) -> pa.Array:
        if pa.types.is_integer(there.type):
            return _written(permutation.forward(_indices(there, parameters)), there.type, parameters)
        return _on_texts(there, parameters, permutation.forward)

    return once_per_value(values, lambda own: skip_nulls(own, lambda there: _in_blocks(there, treat)))


def _in_blocks(values: pa.Array, treat: Callable[[pa.Array], pa.Array]) -> pa.Array:
    return in_blocks(values, _ROWS, lambda own, _rows: treat(own))


def _open_pseudonym(values: pa.Array, parameters: Pseudonym, context: Context) -> pa.Array:
    """The values again: numbers from codes as 64-bit integers."""
    permutation = Permutation(context.key("permute").value, parameters.size)

    def treat(there: pa.Array) -> pa.Array:
        if parameters.low is None:
            return _on_texts(there, parameters, permutation.backward)
        kind = there.type if pa.types.is_integer(there.type) else pa.int64()
        indices = _indices(there, parameters) if kind == there.type else _codes(there, parameters)
        return _numbers(permutation.backward(indices), kind, parameters.low)

    return skip_nulls(values, lambda there: _in_blocks(there, treat))


# --- numbers ---------------------------------------------------------------------------------


def _indices(values: pa.Array, parameters: Pseudonym) -> Words:
    """How far each number is above ``low``; the difference may pass 2^63 and wraps as it should."""
    own: Words = values.to_numpy(zero_copy_only=False).astype(np.uint64)
    return own - np.uint64((parameters.low or 0) % 2**64)


def _numbers(indices: Words, kind: pa.DataType, low: int) -> pa.Array:
    moved = indices + np.uint64(low % 2**64)
    return pa.array(moved if kind == pa.uint64() else moved.view(np.int64)).cast(kind)


def _written(indices: Words, kind: pa.DataType, parameters: Pseudonym) -> pa.Array:
    if parameters.alphabet is None:
        return _numbers(indices, kind, parameters.low or 0)
    assert parameters.length is not None
    return parameters.letters.text(_as_values(strings(indices, parameters.letters.radix, parameters.length)))


def _codes(values: pa.Array, parameters: Pseudonym) -> Words:
    assert parameters.length is not None
    radix = parameters.letters.radix
    numerals, starts = contents(parameters.letters.numerals(values))
    own = numerals.view(numeral_type(radix)).reshape(-1, parameters.length)
    if (np.diff(starts) != parameters.length * own.dtype.itemsize).any():
        raise ValueError("a value is not a code of this length")
    return numbers(own, radix)


# --- texts by rank: shorter ones first, then by their numerals ----------------------------------


def _first_rank(radix: int, length: int) -> int:
    """How many texts are shorter than ``length`` and not empty."""
    return int((radix**length - radix) // (radix - 1))


def _on_texts(values: pa.Array, parameters: Pseudonym, permute: Any) -> pa.Array:
    alphabet = parameters.letters
    ranks = _ranks(alphabet.numerals(values), alphabet.radix)
    given = ranks >= 0
    ranks[given] = permute(ranks[given].astype(np.uint64)).astype(np.int64)
    return alphabet.text(_unranked(ranks, alphabet.radix))


def _ranks(numerals: pa.Array, radix: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The rank of each text, -1 of the empty one."""

    def group(rows: Any, _indices: Any) -> Any:
        own = rows.view(numeral_type(radix))
        if not own.shape[1]:
            return np.full((len(own), 8), 255, np.uint8)
        ranks = numbers(own, radix) + np.uint64(_first_rank(radix, own.shape[1]))
        return ranks.reshape(-1, 1).view(np.uint8)

    return contents(by_length(numerals, group))[0].view(np.int64).copy()


def _unranked(ranks: np.ndarray[Any, np.dtype[np.int64]], radix: int) -> pa.Array:
    """The numerals of the texts with these ranks."""
    lengths = np.zeros(len(ranks), np.int64)
    length = 1
    while _first_rank(radix, length) < _MOST:
        lengths += ranks >= _first_rank(radix, length)
        length += 1
    order = np.argsort(lengths, kind="stable")
    parts = []
    for length in np.unique(lengths).tolist():
        own = ranks[order][lengths[order] == length].astype(np.uint64)
        made = strings(own - np.uint64(_first_rank(radix, length)), radix, length) if length else np.empty((len(own), 0), np.uint8)  # fmt: skip
        parts.append(_as_values(made))
    back = np.empty(len(ranks), np.int64)
    back[order] = np.arange(len(ranks))
    return pa.concat_arrays(parts).take(pa.array(back)) if parts else pa.array([], pa.binary())


def _as_values(rows: Any) -> pa.Array:
    """Rows of numerals as binary values."""
    width = rows.shape[1] * rows.dtype.itemsize
    return binary_array(np.ascontiguousarray(rows).reshape(-1), np.arange(len(rows) + 1) * width)


PSEUDONYM = Treatment(
    "pseudonym",
    "A keyed one-to-one mapping of whole numbers onto their range or onto codes, or of texts onto texts of an alphabet: no two values share one, and the key opens it.",
    Pseudonym,
    frozenset({"text", "integer"}),
    _output,
    _pseudonym,
    Traits("a number of the same range, or text of the alphabet", reversible=True, unique_safe=True, linkable=True),
    uses=always("permute"),
    unfit=_unfit,
    inverse=_open_pseudonym,
)
