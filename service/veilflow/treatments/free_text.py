"""Personal data inside free text: found by its shape and its check digits, replaced by its kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments import text_spans
from veilflow.treatments.interface import TEXT_ONLY, Context, Traits, Treatment, text, text_type
from veilflow.treatments.text_bytes import bytes_of, per_distinct, text_of
from veilflow.treatments.text_spans import Text

KINDS = ("email", "url", "ip", "iban", "card", "national_id", "phone")
_WIDE = {
    narrow + 0xFEE0: narrow for narrow in range(0x21, 0x7F) if chr(narrow).isalnum() or chr(narrow) in "@./:+-_"
}  # their code points lie side by side
#: What text must have for any kind to stand in it; most has not.
_WORTH = r"[0-9@]|://|[Ww]{3}\.|::"
_FINDERS = (
    ("url", text_spans.urls), ("email", text_spans.emails), ("ip", text_spans.addresses), ("iban", text_spans.ibans),
    ("national_id", text_spans.lettered),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RedactText:
    """``find``: the kinds to look for (all, unless set); ``with``: what stands in their place, where ``{kind}`` is the
    kind found. Names and addresses have no shape: text that may hold them is not safe by this alone."""

    find: tuple[str, ...] = KINDS
    with_: str = "[{kind}]"

    def __post_init__(self) -> None:
        text("with", self.with_)
        if not isinstance(self.find, list | tuple) or not self.find or not set(self.find) <= set(KINDS):
            raise ValueError("find must be a list of " + ", ".join(KINDS))
        object.__setattr__(self, "find", tuple(self.find))


def _narrow(values: pa.Array) -> pa.Array:
    """Full-width letters and digits, as Chinese and Japanese keyboards make them, in their usual width."""
    wide = pc.fill_null(pc.match_substring_regex(values, "[\uff10-\uff19\uff20-\uff3a\uff41-\uff5a]"), False)
    if not pc.any(wide).as_py():
        return values
    narrow = per_distinct(
        pc.if_else(wide, values, pa.scalar(None, pa.string())),
        lambda found: [None if one is None else one.translate(_WIDE) for one in found],
        pa.string(),
    )
    return pc.if_else(wide, narrow, values)


def _redact_text(values: pa.Array, parameters: RedactText, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    if pc.all(pc.string_is_ascii(values)).as_py() is False:
        values = _narrow(values)
    worth = pc.fill_null(pc.match_substring_regex(values, _WORTH), False)
    some = values.filter(worth)
    redacted = _searched(some, parameters) if len(some) else some
    if len(some) == len(values):
        return redacted
    # Three times as fast as replace_with_mask.
    rows = np.arange(len(values))
    rows[np.asarray(worth.to_numpy(zero_copy_only=False), bool)] = len(values) + np.arange(len(some))
    return pa.concat_arrays([values, redacted]).take(pa.array(rows))


def _searched(values: pa.Array, parameters: RedactText) -> pa.Array:
    offsets, data = bytes_of(values)
    kinds = frozenset(parameters.find)
    found = Text(data, offsets, values, np.zeros(len(data), bool))
    for kind, finder in _FINDERS:
        if kind in kinds:
            finder(found)
    if kinds & {"card", "national_id", "phone"}:
        text_spans.numbers(found, kinds)
    return _replaced(found, parameters.with_) if found.found else values


def _replaced(found: Text, with_: str) -> pa.Array:
    """The text with each span's label in its place."""
    labels = [with_.replace("{kind}", kind).encode() for kind, _, _ in found.found]
    starts = np.concatenate([starts for _, starts, _ in found.found])
    ends = np.concatenate([ends for _, _, ends in found.found])
    which = np.repeat(np.arange(len(labels)), [len(one) for _, one, _ in found.found])
    order = np.argsort(starts, kind="stable")
    starts, ends, which = starts[order], ends[order], which[order]
    lengths = np.array([len(label) for label in labels])[which]
    longer = lengths - (ends - starts)
    row = np.searchsorted(found.offsets, starts, "right") - 1
    per_row = np.bincount(row, longer, len(found.offsets) - 1).astype(np.int64)
    offsets = found.offsets + np.concatenate([[0], np.cumsum(per_row)])
    to = starts + np.cumsum(longer) - longer
    out = np.empty(int(offsets[-1]), np.uint8)
    ours = np.zeros(len(out), bool)
    ours[text_spans.spread(to, to + lengths)] = True
    out[~ours] = found.data[~found.claimed]
    for number, label in enumerate(labels):
        for place, byte in enumerate(label):
            out[to[which == number] + place] = byte
    return text_of(offsets, out, found.values)


REDACT_TEXT = Treatment(
    "redact_text",
    "Replaces e-mail addresses, URLs, IP addresses, accounts, cards, national and telephone numbers within free text by their kind.",
    RedactText,
    TEXT_ONLY,
    text_type,
    _redact_text,
    Traits("text with kinds in square brackets"),
)
