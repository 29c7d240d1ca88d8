"""Masks for payment cards and for Chinese identity numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import TEXT_ONLY, Context, Traits, Treatment, text_type, whole
from veilflow.treatments.mask import mask_text
from veilflow.treatments.text_bytes import by_script, bytes_of, sums_before, text_of

_CARD_DIGITS = range(13, 20)
_HIDDEN = np.arange(256, dtype=np.uint8)
_HIDDEN[[byte for byte in range(128) if chr(byte).isalnum()]] = ord("*")
_LETTER = np.array([chr(byte).isalpha() for byte in range(256)])


@dataclass(frozen=True, slots=True)
class MaskCard:
    """``keep_first`` digits (at most 6) and ``keep_last`` (at most 4) stay, as PCI DSS 4.0.1, 3.4.1 allows; each other
    digit becomes ``*`` and separators stay. What has not 13 to 19 digits, or has letters, is masked whole."""

    keep_first: int = 0
    keep_last: int = 4

    def __post_init__(self) -> None:
        whole("keep_first", self.keep_first, 0, 6)
        whole("keep_last", self.keep_last, 0, 4)


def _mask_card(values: pa.Array, parameters: MaskCard, _context: Context) -> pa.Array:
    return by_script(values, lambda rows: _ascii_cards(rows, parameters), _hide)


def _hide(values: pa.Array) -> pa.Array:
    # Digits in any script, and letters too.
    return pc.replace_substring_regex(values, r"[\p{N}\p{L}\p{M}]", "*")


def _ascii_cards(values: pa.Array, parameters: MaskCard) -> pa.Array:
    offsets, data = bytes_of(values)
    hidden = _HIDDEN[data]
    is_digit = (data - np.uint8(48)) < 10
    digits, before = np.flatnonzero(is_digit), sums_before(is_digit, offsets)
    first, count = before[:-1], np.diff(before)
    card = (count >= _CARD_DIGITS.start) & (count < _CARD_DIGITS.stop)
    if len(digits) < len(data) and (letters := _LETTER[data]).any():
        card &= np.diff(sums_before(letters, offsets)) == 0
    start, end = first[card], first[card] + count[card]
    for place in [start + n for n in range(parameters.keep_first)] + [end - 1 - n for n in range(parameters.keep_last)]:
        hidden[digits[place]] = data[digits[place]]
    return text_of(offsets, hidden, values)


@dataclass(frozen=True, slots=True)
class MaskChineseId:
    """``keep_first`` characters (the first six are the area) and ``keep_last`` stay, together at most half of the 18."""

    keep_first: int = 6
    keep_last: int = 0

    def __post_init__(self) -> None:
        whole("keep_first", self.keep_first, 0, 6)
        whole("keep_last", self.keep_last, 0, 4)
        if self.keep_first + self.keep_last > 9:
            raise ValueError("keep_first and keep_last together may show 9 of the 18 characters")


def _mask_chinese_id(values: pa.Array, parameters: MaskChineseId, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    # GB 11643: 17 digits and a check character. The 15 digits of the first generation would show more than half.
    is_id = pc.match_substring_regex(values, r"^[0-9]{17}[0-9Xx]$")
    whole_mask = mask_text(values, 0, 0, "*")
    return pc.if_else(is_id, mask_text(values, parameters.keep_first, parameters.keep_last, "*"), whole_mask)


MASK_CARD = Treatment(
    "mask_card",
    "Keeps the last digits of a payment card, and the first if asked; what is no card is masked whole.",
    MaskCard,
    TEXT_ONLY,
    text_type,
    _mask_card,
    Traits("a card number with asterisks"),
)
MASK_CHINESE_ID = Treatment(
    "mask_chinese_id",
    "Keeps the area of an 18-digit Chinese identity number; what is none is masked whole.",
    MaskChineseId,
    TEXT_ONLY,
    text_type,
    _mask_chinese_id,
    Traits("an identity number with asterisks"),
)
