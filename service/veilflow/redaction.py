"""The values of opened secrets, taken out of every text that leaves: errors, log records, reports.

A value is remembered when its ``Secret`` is made, for as long as the process lives. What is found of it, as it is or in
one of the forms of ``forms``, becomes ``MARK``. Values under ``SHORTEST`` characters are not looked for: they would
blank ordinary text, so a store's value that short is refused unless a person marked it ``unsafe_short``.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MARK = "[secret]"
SHORTEST = 8
#: Forms shorter than this are parts of ordinary words too often: the tail of a base64 group, a line of a key.
_SHORTEST_PART = 8
_LONGEST_LINE_SKIPPED = 15
_OWN_KEY = re.compile("[a-z_]+")

_lock = threading.Lock()
#: Longest value first: of two that begin alike the longer one is taken whole.
_patterns: dict[str, re.Pattern[str]] = {}


def remember(value: str) -> None:
    """Redact ``value`` from now on, in this process's log records too."""
    if len(value) >= SHORTEST and value not in _patterns:
        _look_for(value, forms(value))


def remember_bytes(value: bytes) -> None:
    """The same for a key of bytes, which is printed in hex and in base64."""
    if len(value) >= SHORTEST and value.hex() not in _patterns:
        _look_for(value.hex(), _coded(value))


def _look_for(name: str, spellings: set[str]) -> None:
    global _patterns
    pattern = re.compile("|".join(sorted(spellings, key=len, reverse=True)))
    with _lock:
        known = {**_patterns, name: pattern}
        # Exchanged as a whole: other threads are reading it.
        _patterns = dict(sorted(known.items(), key=lambda item: len(item[0]), reverse=True))
    _watch_log_records()


def redact(text: str) -> str:
    """``text`` with every remembered value, in any of its forms, replaced by ``MARK``."""
    for pattern in _patterns.values():
        text = pattern.sub(MARK, text)
    return text


def redact_document(document: Any) -> Any:
    """A document of JSON with every text in it redacted. Numbers stay: a secret of digits must not break them; so do
    keys in lower case, which are the document's own words: a secret that is one of them must not break it either."""
    if isinstance(document, str):
        return redact(document)
    if isinstance(document, Mapping):
        return {
            key if _OWN_KEY.fullmatch(key) else redact(key): redact_document(value) for key, value in document.items()
        }
    if isinstance(document, list | tuple):
        return [redact_document(value) for value in document]
    return document


def forms(value: str) -> set[str]:
    """Patterns of a value as libraries print it: as it is, with any of its characters quoted for a URL or escaped for
    JSON, ``repr``, HTML or a connection string; in base64 at each of the three alignments; in hex; and the long lines
    of one with several."""
    lines = [line for line in value.splitlines() if len(line) > _LONGEST_LINE_SKIPPED]
    texts = {text for text in (value, value.strip(), *lines) if len(text) >= _SHORTEST_PART}
    return {_as_text(text) for text in texts} | _coded(value.encode("utf-8", "surrogatepass"))


def _coded(data: bytes) -> set[str]:
    found = {data.hex(), data.hex().upper(), *_base64(data)}
    return {re.escape(form) for form in found if len(form) >= _SHORTEST_PART}


def _as_text(text: str) -> str:
    return "".join(map(_character, text))


def _character(character: str) -> str:
    """A pattern of one character in every spelling. Letters and digits of ASCII are spelt as they are everywhere."""
    if character.isascii() and character.isalnum():
        return character
    data = character.encode("utf-8", "surrogatepass")
    spellings = [
        "".join(f"%{byte:02x}" for byte in data),
        json.dumps(character)[1:-1],
        repr(character)[1:-1],
        "\\" + character,
        html.escape(character),
        *("+" if character == " " else ""),
    ]
    any_case = "|".join(f"(?i:{re.escape(spelling)})" for spelling in dict.fromkeys(spellings) if spelling != character)
    return f"(?:{any_case}|{re.escape(character)})"


def _base64(data: bytes) -> Iterator[str]:
    """The characters that stand for ``data`` alone, wherever it begins in a longer text."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode()
        first = (0, 2, 3)[before]
        last = (before + len(data)) * 8 // 6
        yield encoded[first:last]
        yield encoded[first:last].translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


# --- log records -------------------------------------------------------------------------


def _watch_log_records() -> None:
    """Every record of the process, whoever logs it, is made by this factory: handlers and formats need no change."""
    before = logging.getLogRecordFactory()
    if not getattr(before, "redacts", False):
        logging.setLogRecordFactory(_Factory(before))


class _Factory:
    """Makes log records without remembered values in message, arguments and traceback."""

    redacts = True

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **others: Any) -> logging.LogRecord:
        return redact_record(self._make(*arguments, **others))


def redact_record(record: logging.LogRecord) -> logging.LogRecord:
    """The record, changed in place only if a remembered value stands in it.

    A traceback with a value becomes text: as an object, a handler could print its frames' variables.
    """
    message = _message(record)
    if (clean := redact(message)) != message:
        record.msg, record.args = clean, None
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        told = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if (clean := redact(told)) != told or _frames_hold_a_value(record.exc_info[1]):
            record.exc_text, record.exc_info = clean, None
    for name in ("exc_text", "stack_info"):
        if isinstance(text := getattr(record, name), str):
            setattr(record, name, redact(text))
    return record


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # a wrong format is told by the handler; its parts are redacted apart
        record.msg = redact(str(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(redact(str(argument)) for argument in record.args)
        return str(record.msg)


def _frames_hold_a_value(error: BaseException | None) -> bool:
    """Whether a handler that shows variables would show a remembered value."""
    if error is None or not _patterns:
        return False
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return redact(told) != told


class RedactingFilter(logging.Filter):
    """For handlers that print what ``extra=`` added to a record: redacts those attributes as well."""

    def filter(self, record: logging.LogRecord) -> bool:
        redact_record(record)
        for name, value in record.__dict__.items():
            if name not in ("msg", "args", "exc_text", "stack_info") and isinstance(value, str):
                record.__dict__[name] = redact(value)
        return True
