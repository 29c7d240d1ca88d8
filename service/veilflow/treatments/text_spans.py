"""Where personal data stands in free text: spans of bytes, found with NumPy over all rows at once.

Each finder gets the bytes of all rows joined and the rows' offsets. Whatever it finds is claimed, so that a later finder
does not look there again: the digits of a URL are no telephone number.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.check_digits import IBAN_LENGTHS, SHAPES, is_iban, lettered_spans, luhn, national_numbers
from veilflow.treatments.text_bytes import Bytes, Offsets

Places = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def _set(characters: str, *, letters: bool = False, beyond: bool = False) -> Flags:
    """A table by byte: these characters, letters and digits, and bytes of characters beyond ASCII."""
    table = np.zeros(256, bool)
    table[[ord(one) for one in characters]] = True
    if letters:
        table[[byte for byte in range(128) if chr(byte).isalnum()]] = True
    table[128:] = beyond
    return table


_LOCAL, _DOMAIN = _set("._%+'-", letters=True, beyond=True), _set(".-", letters=True, beyond=True)
_SCHEME, _URL_END = _set("+.-", letters=True), _set(".,;:!?)]}'\"")
_URL = ~_set(' \t\r\n<>"`\\')
_URL[:32] = False
_ADDRESS = _set("0123456789abcdefABCDEF:.")
_ALPHABET, _SEPARATOR, _WORD = _set("") | _set("", letters=True), _set(" -./()"), _set("_@", letters=True)
_ALPHABET[48:58] = False
_LONGEST_WALK = 64
_COUNTRIES = np.zeros(26 * 26, bool)
_COUNTRIES[[(ord(one[0]) - 65) * 26 + ord(one[1]) - 65 for one in IBAN_LENGTHS]] = True


@dataclass(slots=True)
class Text:
    """The rows of a column as bytes, and the spans found so far, by kind."""

    data: Bytes = field(repr=False)
    offsets: Offsets = field(repr=False)
    values: pa.Array = field(repr=False)
    claimed: Flags = field(repr=False)
    found: list[tuple[str, Places, Places]] = field(default_factory=list, repr=False)
    #: Whether a row begins at a byte, or all have ended.
    begins: Flags = field(init=False, repr=False)
    #: Whether there are characters of three bytes or more.
    wide: bool = field(init=False)

    def __post_init__(self) -> None:
        self.begins = np.zeros(len(self.data) + 1, bool)
        self.begins[self.offsets] = True
        self.wide = bool(len(self.data)) and int(self.data.max()) >= 0xE0

    def claim(self, kind: str, starts: Any, ends: Any) -> None:
        """Note spans that do not lie in earlier ones."""
        starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
        free = (ends > starts) & ~self.claimed[np.minimum(starts, len(self.data) - 1)] if len(starts) else []
        starts, ends = starts[free], ends[free]
        if len(starts):
            order = np.argsort(starts, kind="stable")
            starts, ends = starts[order], ends[order]
            apart = np.concatenate([[True], starts[1:] >= np.maximum.accumulate(ends)[:-1]])
            starts, ends = starts[apart], ends[apart]
            self.claimed[spread(starts, ends)] = True
            self.found.append((kind, starts, ends))

    def runs(self, seeds: Places, table: Flags) -> tuple[Places, Places]:
        """The longest stretch of bytes of a table around each seed, within its row."""
        if not self.wide and 16 * len(seeds) < len(self.data):
            near = self._walk(seeds, table)
            if near is not None:
                return near
        inside = _narrow(self.data, table)
        inside[seeds] = True
        row = np.searchsorted(self.offsets, seeds, "right") - 1
        outside = np.concatenate([[-1], np.flatnonzero(~inside), [len(self.data)]])
        at = np.searchsorted(outside, seeds)
        return np.maximum(outside[at - 1] + 1, self.offsets[row]), np.minimum(outside[at], self.offsets[row + 1])

    def _walk(self, seeds: Places, table: Flags) -> tuple[Places, Places] | None:
        """The same step by step, which is faster for few seeds; None where a stretch is long."""
        starts, ends = seeds.copy(), seeds + 1
        going = np.arange(len(seeds))
        for _ in range(_LONGEST_WALK):
            going = going[~self.begins[starts[going]]]
            going = going[table[self.data[starts[going] - 1]]]
            starts[going] -= 1
        more = np.arange(len(seeds))
        for _ in range(_LONGEST_WALK):
            more = more[~self.begins[ends[more]]]
            more = more[table[self.data[ends[more]]]]
            ends[more] += 1
        return None if len(going) or len(more) else (starts, ends)


def spread(starts: Places, ends: Places) -> Places:
    """Every place from each start up to its end."""
    lengths = ends - starts
    first = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return np.asarray(first + np.arange(lengths.sum()), np.int64)


def _is_digit(data: Bytes) -> Flags:
    return np.asarray((data - np.uint8(48)) < 10, bool)


def _is_letter(data: Bytes) -> Flags:
    """ASCII letters, by arithmetic: ten times as fast as a table."""
    return np.asarray(((data | 32) - np.uint8(97)) < 26, bool)


def _narrow(data: Bytes, table: Flags) -> Flags:
    """A table looked up for each byte; characters of three bytes and more (Chinese, kana, wide punctuation) end a word."""
    inside = table[data]
    leads = np.flatnonzero(data >= 0xE0)
    if len(leads):
        for step in range(3):
            inside[np.minimum(leads + step, len(data) - 1)] = False
    return np.asarray(inside, bool)


def _trim(text: Text, starts: Places, ends: Places, table: Flags) -> Places:
    for _ in range(4):
        ends = ends - ((ends > starts) & table[text.data[np.maximum(ends - 1, 0)]])
    return ends


def emails(text: Text) -> None:
    """A local part, @ and a domain with a dot."""
    at = np.flatnonzero(text.data == ord("@"))
    at = at[~text.claimed[at]]
    if not len(at):
        return
    starts, ends = text.runs(at, _LOCAL)[0], text.runs(at, _DOMAIN)[1]
    # Two addresses without a blank between share an @: each takes what is left of it.
    starts = np.maximum(starts, np.concatenate([[0], at[:-1] + 1]))
    ends = _trim(text, at + 1, np.minimum(ends, np.concatenate([at[1:], [len(text.data)]])), _set(".-"))
    dots = np.flatnonzero(text.data == ord("."))
    dotted = np.searchsorted(dots, ends) > np.searchsorted(dots, at + 2)
    good = (starts < at) & dotted
    text.claim("email", starts[good], ends[good])


def urls(text: Text) -> None:
    """A scheme and ``://``, or ``www.``, and what follows up to a blank, a quote or an angle bracket."""
    data = text.data
    colon = np.flatnonzero(data == ord(":"))
    colon = colon[colon + 3 < len(data)]
    colon = colon[(data[colon + 1] == ord("/")) & (data[colon + 2] == ord("/"))] if len(colon) else colon
    www = np.flatnonzero((data | 32) == ord("w"))
    www = www[www + 4 < len(data)]
    if len(www):
        www = www[((data[www + 1] | 32) == ord("w")) & ((data[www + 2] | 32) == ord("w")) & (data[www + 3] == ord("."))]
        www = www[(www == 0) | ~_WORD[data[np.maximum(www - 1, 0)]] | text.begins[www]]
    seeds = np.concatenate([colon, www])
    if not len(seeds):
        return
    starts = np.concatenate([text.runs(colon, _SCHEME)[0], www])
    ends = _trim(text, seeds, text.runs(seeds, _URL)[1], _URL_END)
    least = np.concatenate([colon + 3, www + 4])
    good = (starts < seeds) & (ends > least) | (np.arange(len(seeds)) >= len(colon)) & (ends > least)
    text.claim("url", starts[good], ends[good])


def addresses(text: Text) -> None:
    """IPv4 and IPv6 addresses, with a prefix length or a zone behind them."""
    data = text.data
    digit, colon = _is_digit(data), data == ord(":")
    seeds = np.flatnonzero(data[1:-1] == ord(".")) + 1 if len(data) > 2 else np.zeros(0, np.int64)
    seeds = seeds[digit[seeds - 1] & digit[seeds + 1]]
    pairs = np.flatnonzero(colon)
    near = pairs[np.flatnonzero(np.diff(pairs) <= 5)]
    seeds = np.concatenate([seeds, near])
    if not len(seeds):
        return
    starts, ends = text.runs(seeds, _ADDRESS)
    starts, first = np.unique(starts, return_index=True)
    ends = ends[first]
    spans = [
        span for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if (span := _address(text, start, end))
    ]
    if spans:
        text.claim("ip", [one[0] for one in spans], [one[1] for one in spans])


_BEHIND = re.compile(rb"(?:%[A-Za-z0-9]+)?(?:/[0-9]{1,3}(?![0-9]))?")


def _address(text: Text, start: int, end: int) -> tuple[int, int] | None:
    shown = text.data[start:end].tobytes().decode("ascii")
    lead = len(shown) - len(shown.lstrip("."))
    candidate = shown[lead:].rstrip(".")
    if not candidate.endswith("::"):
        candidate = candidate.rstrip(":")
    start += lead
    end = start + len(candidate)
    # std::cout holds d::c, which is an address by its letters.
    in_word = _touches(text, start, start - 1) or _touches(text, end, end)
    if not _is_address(candidate) or (in_word and candidate.count(".") < 3 and candidate.count(":") < 5):
        return None
    behind = _BEHIND.match(text.data[end : end + 24].tobytes())
    return start, end + (len(behind[0]) if behind else 0)


def _touches(text: Text, edge: int, place: int) -> bool:
    """Whether a letter or digit stands at a place, in the same row as what ends at the edge."""
    if not 0 <= place < len(text.data) or not _WORD[text.data[place]]:
        return False
    return not text.begins[edge]


def _is_address(candidate: str) -> bool:
    try:
        ipaddress.ip_address(candidate)
    except ValueError:
        # 1.2.3.4.5 holds an address: better a version number too many than an address left.
        parts = candidate.split(".")
        return len(parts) > 4 and all(part.isdigit() and int(part) < 256 for part in parts)
    return True


def ibans(text: Text) -> None:
    """A country, two digits, and as much as the country's numbers are long, with a blank or hyphen here and there."""
    data = text.data
    if len(data) < 15:
        return
    digit, upper = _is_digit(data), _is_letter(data)
    seeds = np.flatnonzero(upper[:-3] & upper[1:-2] & (digit[2:-1] | (data[2:-1] == 32)) & digit[3:])
    country = ((data[seeds] | 32).astype(np.int64) - 97) * 26 + (data[seeds + 1] | 32) - 97
    seeds = seeds[_COUNTRIES[country] & ~text.claimed[seeds]]
    starts, ends = [], []
    for start in seeds.tolist():
        length = IBAN_LENGTHS.get(data[start : start + 2].tobytes().decode("ascii").upper())
        row = int(np.searchsorted(text.offsets, start, "right"))
        end = (
            None
            if length is None
            else _iban_end(data[start : min(int(text.offsets[row]), start + 48)].tobytes(), length)
        )
        if end is not None:
            starts.append(start)
            ends.append(start + end)
    text.claim("iban", starts, ends)


def _iban_end(shown: bytes, length: int) -> int | None:
    compact = ""
    for place, byte in enumerate(shown):
        if chr(byte).isalnum() and byte < 128:
            compact += chr(byte).upper()
        elif chr(byte) not in " -":
            return None
        if len(compact) == length:
            return place + 1 if is_iban(compact) else None
    return None


def _lettered_rows(text: Text) -> Places:
    """Rows in which a letter follows a digit or goes before one, or stands alone behind one."""
    if len(text.data) < 4:
        return np.zeros(0, np.int64)
    digit, letter = _is_digit(text.data), _is_letter(text.data)
    beside = digit[:-1] & letter[1:] | letter[:-1] & digit[1:]
    alone = digit[:-2] & ~letter[1:-1] & letter[2:]
    alone[:-1] &= ~letter[3:]
    seeds = np.concatenate([np.flatnonzero(beside), np.flatnonzero(alone)])
    return np.unique(np.searchsorted(text.offsets, seeds, "right") - 1).astype(np.int64)


def lettered(text: Text) -> None:
    """National numbers with letters: on the few rows that have their shape."""
    rows = _lettered_rows(text)
    if not len(rows):
        return
    some = text.values.take(pa.array(rows))
    shaped = np.zeros(len(rows), bool)
    for pattern in SHAPES:
        shaped |= pc.fill_null(pc.match_substring_regex(some, pattern), False).to_numpy(zero_copy_only=False)
    starts, ends = [], []
    for row in rows[shaped].tolist():
        # As Latin-1 each byte is a character: places in the text are places in the bytes.
        shown = text.data[text.offsets[row] : text.offsets[row + 1]].tobytes().decode("latin-1")
        for start, end in lettered_spans(shown):
            starts.append(int(text.offsets[row]) + start)
            ends.append(int(text.offsets[row]) + end)
    text.claim("national_id", starts, ends)


# --- numbers -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Runs:
    """Digits that stand together, a separator between two of them allowed: ``first`` to ``first + count`` of ``places``."""

    places: Places
    first: Places
    count: Places

    @property
    def starts(self) -> Places:
        return np.asarray(self.places[self.first], np.int64)

    @property
    def ends(self) -> Places:
        return np.asarray(self.places[self.first + self.count - 1] + 1, np.int64)


def _digit_runs(text: Text) -> _Runs:
    places = np.flatnonzero(_is_digit(text.data) & ~text.claimed)
    gaps = np.diff(places)
    joined = (gaps == 1) | (gaps == 2) & _SEPARATOR[text.data[places[1:] - 1]]
    wide = np.flatnonzero(gaps == 3)
    joined[wide] = _SEPARATOR[text.data[places[wide] + 1]] & _SEPARATOR[text.data[places[wide] + 2]]
    for back in range(3):  # a row's beginning lies between them
        joined &= ~(text.begins[places[1:] - back] & (gaps > back))
    first = np.flatnonzero(np.concatenate([[True], ~joined])) if len(places) else places
    return _Runs(places, first, np.diff(np.concatenate([first, [len(places)]])))


def _digits(text: Text, runs: _Runs, which: Places, count: int) -> Any:
    return text.data[runs.places[runs.first[which][:, None] + np.arange(count)]].astype(np.int64) - 48


def numbers(text: Text, kinds: frozenset[str]) -> None:
    """Cards by Luhn, national numbers by their check digits, telephone numbers by their length."""
    runs = _digit_runs(text)
    if not len(runs.first):
        return
    if "national_id" in kinds:
        _chinese_with_x(text, runs)
    checks: tuple[tuple[str, range, Callable[[Any], Flags]], ...] = (
        ("card", range(13, 20), luhn),
        ("national_id", range(9, 19), national_numbers),
    )
    for kind, lengths, check in checks:
        for count in lengths if kind in kinds else ():
            which = np.flatnonzero(runs.count == count)
            if len(which):
                which = which[check(_digits(text, runs, which, count))]
                text.claim(kind, runs.starts[which], runs.ends[which])
        if kind == "national_id" and kind in kinds:
            _american(text, runs)
    _inside_long_runs(text, runs, kinds)
    if "phone" in kinds:
        which = np.flatnonzero(runs.count >= 7)
        which = which[~_dates(text, runs.starts[which], runs.ends[which])]
        which = which[~_in_words(text, runs.starts[which], runs.ends[which])]
        text.claim("phone", _with_plus(text, runs.starts[which]), runs.ends[which])


def _american(text: Text, runs: _Runs) -> None:
    """Social security numbers have no check digit: the shape 123-45-6789, or with blanks or dots, and its numbers."""
    which = np.flatnonzero(runs.count == 9)
    starts = runs.starts[which]
    which = which[(runs.ends[which] - starts == 11) & ~_is_digit(text.data[starts + 3])]
    starts = runs.starts[which]
    which = which[(text.data[starts + 3] == text.data[starts + 6])]
    digits = _digits(text, runs, which, 9)
    area, group, serial = (digits[:, a:b] @ 10 ** np.arange(b - a - 1, -1, -1) for a, b in ((0, 3), (3, 5), (5, 9)))
    which = which[(area > 0) & (area != 666) & (area < 900) & (group > 0) & (serial > 0)]
    text.claim("national_id", runs.starts[which], runs.ends[which])


def _chinese_with_x(text: Text, runs: _Runs) -> None:
    which = np.flatnonzero(runs.count == 17)
    ends = runs.ends[which]
    which = which[(text.data[np.minimum(ends, len(text.data) - 1)] | 32) == ord("x")]
    if len(which):
        digits = np.concatenate([_digits(text, runs, which, 17), np.full((len(which), 1), 10)], axis=1)
        which = which[national_numbers(digits)]
        text.claim("national_id", runs.starts[which], runs.ends[which] + 1)


def _inside_long_runs(text: Text, runs: _Runs, kinds: frozenset[str]) -> None:
    """Numbers that stand beside others: 4111 1111 1111 1111 12/26. Only where no telephone number takes it all."""
    if not kinds & {"card", "national_id"}:
        return
    least = 16 if "phone" in kinds else 10 if "national_id" in kinds else 14
    which = np.flatnonzero((runs.count >= least) & (runs.ends - runs.starts > runs.count))
    which = which[~text.claimed[runs.starts[which]]]
    for run in which.tolist():
        places = runs.places[runs.first[run] : runs.first[run] + runs.count[run]]
        for kind, start, end in _parts(text.data[places].astype(np.int64) - 48, places, kinds):
            text.claim(kind, [start], [end])


def _parts(digits: Places, places: Places, kinds: frozenset[str]) -> Iterator[tuple[str, int, int]]:
    """The longest numbers that begin and end with a group of digits, from the left."""
    edges = [0, *(np.flatnonzero(np.diff(places) > 1) + 1).tolist(), len(places)]
    at = 0
    while at < len(edges) - 1:
        for end in range(len(edges) - 1, at, -1):
            count, part = edges[end] - edges[at], digits[None, edges[at] : edges[end]]
            kind = "card" if "card" in kinds and 13 <= count <= 19 and luhn(part)[0] else None
            if kind is None and "national_id" in kinds and 9 <= count <= 18 and national_numbers(part)[0]:
                kind = "national_id"
            if kind is not None:
                yield kind, int(places[edges[at]]), int(places[edges[end] - 1]) + 1
                at = end - 1
                break
        at += 1


def _dates(text: Text, starts: Places, ends: Places) -> Flags:
    """2026-01-31, 31.01.2026, also with the hour of a time behind."""
    data, last = text.data, len(text.data) - 1

    def separated(*steps: int) -> Flags:
        found = [np.isin(data[np.minimum(starts + step, last)], list(b"-./")) for step in steps]
        return np.asarray(np.all(found, axis=0), bool)

    length = ends - starts
    hour = (length == 13) & (data[np.minimum(ends, last)] == ord(":"))
    dated = (length == 10) | hour
    return np.asarray(dated & (separated(4, 7) | separated(2, 5)), bool)


def _in_words(text: Text, starts: Places, ends: Places) -> Flags:
    """Digits inside a word: of a hash or a file's name. Bytes beyond ASCII are no such word: Chinese has no blanks."""
    data = text.data
    before = _ALPHABET[data[np.maximum(starts - 1, 0)]] & ~text.begins[starts]
    after = _ALPHABET[data[np.minimum(ends, len(data) - 1)]] & ~text.begins[ends]
    return np.asarray(before & after, bool)


def _with_plus(text: Text, starts: Places) -> Places:
    """From the + or the bracket in front."""
    for sign in "(+":
        mine = (starts > 0) & (text.data[np.maximum(starts - 1, 0)] == ord(sign)) & ~text.begins[starts]
        starts = starts - mine
    return starts
