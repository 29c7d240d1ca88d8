"""Where the rows of a CSV file end, and whether its quotes match: an open quote swallows the rows behind it into one
cell, and Arrow says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from veilflow.errors import VeilError
from veilflow.model import SourceConfig

Positions = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
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
        ends = [ord(config.delimiter), _NEWLINE, _RETURN, *self._quote]
        self._beside_quote = np.zeros(256, dtype=bool)
        self._beside_quote[ends] = True
        self._ends_field = self._beside_quote.copy()
        self._ends_field[list(self._quote)] = False
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
        padded = np.frombuffer(self._before + data + b"\r", dtype=np.uint8)
        lines = _line_ends(padded, data)
        was_open = self._open
        quotes = np.flatnonzero(padded[1:-1] == self._quote[0]) + 1 if self._quote and self._quote in data else None
        if quotes is None:
            ends = lines[:0] if was_open else lines
        else:
            open_behind = self._follow(padded, quotes, lines)
            ends = lines[~open_behind[np.searchsorted(quotes, lines)]]
        self._before = data[-1:] or self._before
        self._lines += len(lines)
        if final and self._open:
            raise self._mismatch("an open quote", self._opened_in_line)
        return data, self._rows(padded, ends, len(data))

    def _rows(self, padded: Bytes, ends: Positions, size: int) -> Positions:
        """The ends of rows that are not blank. ``ends`` are offsets of line ends in ``padded``, which is one byte ahead."""
        if not len(ends):
            self._row_bytes += size
            return ends
        lengths = np.diff(ends, prepend=-self._row_bytes)
        blank = (lengths == 1) | ((lengths == 2) & (padded[ends] == _NEWLINE) & (padded[ends - 1] == _RETURN))
        self._row_bytes = size - int(ends[-1])
        kept: Positions = ends[~blank]
        return kept

    def _follow(self, padded: Bytes, quotes: Positions, lines: Positions) -> Flags:
        """Whether a field is open before the first quote, and behind each."""
        # As if every quote opened or closed a field, or were one of a pair: so it is in nearly every file.
        openers, closers = quotes[int(self._open) :: 2], quotes[1 - int(self._open) :: 2]
        beside = self._beside_quote
        if not (beside[padded[openers - 1]].all() and beside[padded[closers + 1]].all()):
            return self._follow_one_by_one(padded, quotes, lines)
        open_behind: Flags = (np.arange(len(quotes) + 1) % 2 == 1) != self._open
        self._open = bool(open_behind[-1])
        if self._open and len(openers):
            self._opened_in_line = self._line_of(int(openers[-1]), lines)
        return open_behind

    def _follow_one_by_one(self, padded: Bytes, quotes: Positions, lines: Positions) -> Flags:
        """The same for a stretch with quotes inside unquoted fields, where they are text."""
        quote = self._quote[0]
        open_behind = [self._open]
        at = 0
        while at < len(quotes):
            place = int(quotes[at])
            behind = int(padded[place + 1])
            if not self._open:
                self._open = bool(self._ends_field[padded[place - 1]])
                if self._open:
                    self._opened_in_line = self._line_of(place, lines)
            elif behind == quote:
                open_behind.append(True)
                at += 1
            elif self._ends_field[behind]:
                self._open = False
            else:
                raise self._mismatch("text behind a closing quote", self._line_of(place, lines))
            open_behind.append(self._open)
            at += 1
        return np.array(open_behind)

    def _line_of(self, place: int, lines: Positions) -> int:
        return self._lines + int(np.searchsorted(lines, place))

    def _mismatch(self, what: str, line: int) -> VeilError:
        return VeilError(
            "VEIL210", f"the quotes of {self._config.shown} do not match: {what} in line {line}",
            "rows behind an open quote would be swallowed: repair the line, or name the right `quote` in the pipeline's "
            'source (`quote: ""` if quotes are text)', self._config.place,
        )  # fmt: skip


def _line_ends(padded: Bytes, data: bytes) -> Positions:
    """Offsets in ``padded`` of each LF of the data, and of each CR that none follows: so they are also the offsets in
    the data behind the line."""
    ends = padded[1:-1] == _NEWLINE
    if b"\r" in data:
        ends |= (padded[1:-1] == _RETURN) & (padded[2:] != _NEWLINE)
    return np.flatnonzero(ends) + 1
