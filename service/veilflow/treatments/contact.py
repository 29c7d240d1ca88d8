"""Masks for e-mail addresses and telephone numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import TEXT_ONLY, Context, NoParameters, Traits, Treatment, text_type, whole
from veilflow.treatments.mask import mask_text
from veilflow.treatments.text_bytes import Bytes, Offsets, by_script, bytes_of, text_of

#: local part, domain without its last label, last label with its dot.
_ADDRESS = r"^(?P<local>(?s:.+))@(?P<domain>[^@]+?)(?P<last>\.[^.@]{2,24})$"
_LONGEST_LABEL = 24


def _mask_email(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return by_script(values, ascii_addresses, any_addresses)


def any_addresses(values: pa.Array) -> pa.Array:
    """Mask addresses in any script: a regular expression says where local part, domain and last label stand."""
    parts = pc.extract_regex(values, _ADDRESS)
    local, domain, last = (pc.struct_field(parts, name) for name in ("local", "domain", "last"))
    masked = pc.binary_join_element_wise(
        mask_text(local, 1, 0, "*"), "@", mask_text(domain, 1, 0, "*"), last, ""
    )  # fmt: skip
    return pc.if_else(pc.is_valid(parts), masked, mask_text(values, 0, 0, "*"))


def ascii_addresses(values: pa.Array) -> pa.Array:
    """The same where all is ASCII, on the bytes: the last ``@`` and the last dot of each value say it all."""
    offsets, data = bytes_of(values)
    starts, ends = offsets[:-1], offsets[1:]
    at, dot = _last(data, ord("@"), starts, ends), _last(data, ord("."), starts, ends)
    label = ends - dot - 1
    is_address = (at > starts) & (dot > at + 1) & (label >= 2) & (label <= _LONGEST_LABEL)
    starts, ends, at, dot = (where[is_address] for where in (starts, ends, at, dot))
    masked = np.full(len(data), ord("*"), np.uint8)
    shown = [at, starts[at - starts > 1], at[dot - at > 2] + 1]
    shown += [(dot + step)[dot + step < ends] for step in range(int((ends - dot).max(initial=0)))]
    for places in shown:
        masked[places] = data[places]
    return text_of(offsets, masked, values)


def _last(data: Bytes, character: int, starts: Offsets, ends: Offsets) -> Offsets:
    """Where a character stands last in each value; -1 where it does not."""
    places = np.concatenate([[-1], np.flatnonzero(data == character)])
    last = places[np.searchsorted(places, ends) - 1]
    found: Offsets = np.where(last >= starts, last, -1)
    return found


@dataclass(frozen=True, slots=True)
class MaskPhone:
    """``keep_last`` digits stay, each other digit becomes ``*``; separators stay."""

    keep_last: int = 2

    def __post_init__(self) -> None:
        whole("keep_last", self.keep_last, 0, 4)


def _mask_phone(values: pa.Array, parameters: MaskPhone, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    fast = _mask_ascii_phones(values, parameters.keep_last)
    return _mask_any_phones(values, parameters.keep_last) if fast is None else fast


_HIDDEN_ASCII = np.arange(256, dtype=np.uint8)
_HIDDEN_ASCII[[byte for byte in range(128) if chr(byte).isalnum()]] = ord("*")


def _mask_ascii_phones(values: pa.Array, keep: int) -> pa.Array | None:
    """The common case on the bytes themselves: ASCII, and each number ends in its last digits. None if it is not."""
    shown = pc.match_substring_regex(values, rf"(?s)(?:[0-9].*){{{keep}}}[0-9]{{{keep}}}$")
    if keep and not pc.all(shown).as_py() and len(values) != values.null_count:
        return None
    _validity, offset_buffer, data_buffer = values.buffers()
    if data_buffer is None or not len(values):
        return values
    offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    if (data >= 128).any():
        return None
    hidden = _HIDDEN_ASCII[data]
    offsets = offsets - offsets[0]
    ends = offsets[1:][values.is_valid().to_numpy(zero_copy_only=False)]
    for back in range(1, keep + 1):
        hidden[ends - back] = data[ends - back]
    masked = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets.copy()), pa.py_buffer(hidden))
    return pc.if_else(pc.is_valid(values), masked, pa.scalar(None, pa.string()))


def _mask_any_phones(values: pa.Array, keep: int) -> pa.Array:
    # Digits in any script, and letters too: an extension or a name in a phone column is no less personal.
    hidden = pc.replace_substring_regex(values, r"[\p{N}\p{L}\p{M}]", "*")
    if not keep:
        return hidden
    # The tail that holds the last digits shows; a number with less than twice as many digits is hidden whole.
    parts = pc.extract_regex(values, rf"(?P<tail>(?:[0-9][^0-9\p{{L}}\p{{N}}\p{{M}}]*){{{keep}}})$")
    tail = pc.struct_field(parts, "tail")
    head_length = pc.subtract(pc.utf8_length(values), pc.utf8_length(tail))
    digits = pc.count_substring_regex(values, r"[0-9]")
    shows = pc.and_(pc.is_valid(parts), pc.greater_equal(digits, 2 * keep))
    shows = pc.fill_null(shows, False)
    # Cut the hidden text at each value's own head: both have the same length in code points.
    head = _cut(hidden, head_length)
    return pc.if_else(shows, pc.binary_join_element_wise(head, tail, ""), hidden)


def _cut(hidden: pa.Array, lengths: pa.Array) -> pa.Array:
    import polars as pl

    frame = pl.DataFrame(
        {"v": pl.from_arrow(pa.chunked_array([hidden])), "n": pl.from_arrow(pa.chunked_array([lengths]))}
    )
    return frame.select(pl.col("v").str.slice(0, pl.col("n")))["v"].to_arrow().cast(pa.string())


MASK_EMAIL = Treatment(
    "mask_email",
    "Keeps an address's first letters and its last domain label; what is no address is masked whole.",
    NoParameters,
    TEXT_ONLY,
    text_type,
    _mask_email,
    Traits("an e-mail address of the same length"),
)
MASK_PHONE = Treatment(
    "mask_phone",
    "Keeps the last digits and the separators of a telephone number.",
    MaskPhone,
    TEXT_ONLY,
    text_type,
    _mask_phone,
    Traits("a telephone number with asterisks"),
)
