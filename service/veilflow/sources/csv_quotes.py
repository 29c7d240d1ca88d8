"""Whether a CSV file's quotes match: an open quote swallows the rows behind it into one cell, and Arrow says nothing."""

from __future__ import annotations

import numpy as np

from veilflow.errors import VeilError
from veilflow.model import SourceConfig


class QuoteCheck:
    """Follows quotes through a file's bytes by the rules of Arrow's parser, which are those of RFC 4180 for files that
    keep to it: a quote opens a field only at its start, two in a quoted field are one of its text, and any other
    closes it. What it refuses is text behind a closing quote, and an open quote at the end."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._quote = ord(config.quote)
        self._ends = np.zeros(256, dtype=bool)
        self._ends[[ord(config.delimiter), ord("\n"), ord("\r")]] = True
        self._open = False
        self._before = b"\n"  # the byte before what comes next
        self._rest = b""  # quotes at the end of what came, which mean nothing without the byte behind them
        self._lines = 1
        self._opened_in_line = 1

    def feed(self, data: bytes, final: bool) -> None:
        """Follow the next bytes; ``final`` says that none come after. VEIL210 where the quotes do not match."""
        quote = bytes([self._quote])
        if self._rest or quote in data:
            data = self._rest + data
            whole = len(data) if final else len(data.rstrip(quote))
            self._rest = data[whole:]
            data = data[:whole]
            self._follow(data)
        self._before = data[-1:] or self._before
        self._lines += data.count(b"\n")
        if final and self._open:
            raise self._mismatch("an open quote", self._opened_in_line)

    def _follow(self, data: bytes) -> None:
        padded = np.frombuffer(self._before + data + b"\n", dtype=np.uint8)
        quotes = np.flatnonzero(padded[1:-1] == self._quote) + 1
        if len(quotes) == 0:
            return
        # As if every quote opened or closed a field, or were one of a pair: so it is in nearly every file.
        opening = (np.arange(len(quotes)) % 2 == 0) != self._open
        before, behind = padded[quotes - 1], padded[quotes + 1]
        fits = np.where(
            opening, self._ends[before] | (before == self._quote), self._ends[behind] | (behind == self._quote)
        )
        if not fits.all():
            self._follow_one_by_one(data, padded, quotes)
            return
        if bool(opening[-1]):
            self._opened_in_line = self._lines + data.count(b"\n", 0, int(quotes[-1]) - 1)
        self._open = bool(opening[-1])

    def _follow_one_by_one(self, data: bytes, padded: np.ndarray, quotes: np.ndarray) -> None:
        """The same for a stretch with quotes inside unquoted fields, where they are text."""
        at = 0
        while at < len(quotes):
            place = int(quotes[at])
            behind = int(padded[place + 1])
            if not self._open:
                self._open = bool(self._ends[padded[place - 1]])
                if self._open:
                    self._opened_in_line = self._lines + data.count(b"\n", 0, place - 1)
            elif behind == self._quote:
                at += 1
            elif self._ends[behind]:
                self._open = False
            else:
                line = self._lines + data.count(b"\n", 0, place - 1)
                raise self._mismatch("text behind a closing quote", line)
            at += 1

    def _mismatch(self, what: str, line: int) -> VeilError:
        return VeilError(
            "VEIL210", f"the quotes of {self._config.shown} do not match: {what} in line {line}",
            "rows behind an open quote would be swallowed: repair the line, or name the right `quote` in the pipeline's "
            'source (`quote: ""` if quotes are text)', self._config.place,
        )  # fmt: skip
