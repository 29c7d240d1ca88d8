"""Where the rows of a CSV file end, and whether its quotes match: an open quote swallows the rows behind it into one
cell, and Arrow says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from veilflow.errors import VeilError
from veilflow.model import SourceConfig
from veilflow.sources.bit_sets import among, last_of, odd_up_to, places_of, right_before, right_behind

Positions = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_NEWLINE, _RETURN = ord("\n"), ord("\r")


class RowEnds:
    """Follows a file's bytes by the rules of Arrow's parser, which are those of RFC 4180 for files that keep to it: a
    quote opens a field only at its start, two in a quoted field are one of its text, and any other closes it; a row
    ends with LF, CR or CRLF outside quotes, and a blank line is no row. Refused are text behind a closing quote, and an
    open quote at the end."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._quote = config.quote.encode()
        self._field_ends = (ord(config.delimiter), _NEWLINE, _RETURN)
        self._open = False
        self._before = b"\n"  # the byte before what comes next
        self._rest = b""  # quotes and CRs at the end of what came, which mean nothing without the byte behind them
        self._row_bytes = 0  # of the row that has begun and not ended
        self._lines = 1
        self._opened_in_line = 1

    def feed(self, data: bytes, final: bool) -> tuple[bytes, Positions]:
        """Follow the next bytes; ``final`` says that none come after.

        Returns the bytes that are decided now, and where rows end in them (the offset behind each). VEIL210 where the
        quotes do not match.
        """
        data = self._rest + data if self._rest else data
        whole = len(data) if final else len(data.rstrip(self._quote + b"\r"))
        data, self._rest = data[:whole], data[whole:]
        lines = _line_ends(data)
        if self._quote and self._quote in data:
            ends = lines[~self._follow(data, lines)]
        else:
            ends = lines[:0] if self._open else lines
        rows = self._rows(data, ends)
        self._before = data[-1:] or self._before
        self._lines += len(lines)
        if final and self._open:
            raise self._mismatch("an open quote", self._opened_in_line)
        return data, rows

    def _rows(self, data: bytes, ends: Positions) -> Positions:
        """The ends of rows that are not blank."""
        if not len(ends):
            self._row_bytes += len(data)
            return ends
        lengths = np.diff(ends, prepend=-self._row_bytes)
        self._row_bytes = len(data) - int(ends[-1])
        short = np.flatnonzero(lengths <= 2)
        blank = [at for at in short if lengths[at] == 1 or self._two_before(data, int(ends[at])) == b"\r\n"]
        return np.delete(ends, blank) if blank else ends

    def _two_before(self, data: bytes, end: int) -> bytes:
        return data[end - 2 : end] if end >= 2 else self._before + data[:end]

    def _follow(self, data: bytes, lines: Positions) -> Flags:
        """Whether a field is open at each line end."""
        quotes = places_of(data, *self._quote)
        # As if every quote opened or closed a field, or were one of a pair: so it is in nearly every file.
        inside = odd_up_to(quotes, self._open)
        beside = places_of(data, *self._field_ends) | quotes
        openers, closers = quotes & inside, quotes & ~inside
        after = right_behind(beside, first=self._before[0] in (*self._field_ends, *self._quote))
        if (openers & ~after).any() or (closers & ~right_before(beside, len(data))).any():
            return self._follow_one_by_one(data, lines)
        opener = last_of(openers)
        self._open = bool(among(inside, np.array([len(data) - 1]))[0])
        if self._open and opener is not None:
            self._opened_in_line = self._line_of(opener, lines)
        return among(inside, lines - 1)

    def _follow_one_by_one(self, data: bytes, lines: Positions) -> Flags:
        """The same for a stretch with quotes inside unquoted fields, where they are text."""
        padded = self._before + data + b"\r"
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == self._quote[0])
        open_behind = [self._open]
        at = 0
        while at < len(quotes):
            place = int(quotes[at])
            before, behind = padded[place], padded[place + 2]
            if not self._open:
                self._open = before in self._field_ends
                if self._open:
                    self._opened_in_line = self._line_of(place, lines)
            elif behind == self._quote[0]:
                open_behind.append(True)
                at += 1
            elif behind in self._field_ends:
                self._open = False
            else:
                raise self._mismatch("text behind a closing quote", self._line_of(place, lines))
            open_behind.append(self._open)
            at += 1
        return np.array(open_behind)[np.searchsorted(quotes, lines)]

    def _line_of(self, place: int, lines: Positions) -> int:
        return self._lines + int(np.searchsorted(lines, place, side="right"))

    def _mismatch(self, what: str, line: int) -> VeilError:
        return VeilError(
            "VEIL210", f"the quotes of {self._config.shown} do not match: {what} in line {line}",
            "rows behind an open quote would be swallowed: repair the line, or name the right `quote` in the pipeline's "
            'source (`quote: ""` if quotes are text)', self._config.place,
        )  # fmt: skip


def _line_ends(data: bytes) -> Positions:
    """The offset behind each LF, and behind each CR that none follows."""
    codes = np.frombuffer(data, np.uint8)
    ends = codes == _NEWLINE
    if b"\r" in data:
        ends[:-1] |= (codes[:-1] == _RETURN) & (codes[1:] != _NEWLINE)
        ends[-1] |= codes[-1] == _RETURN
    return np.flatnonzero(ends) + 1
