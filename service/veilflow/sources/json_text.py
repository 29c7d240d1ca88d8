"""JSON text of nested values, in which nothing is lost."""

from __future__ import annotations

import json
from decimal import Decimal
from math import isfinite
from typing import Any


class Number(str):
    """A JSON number's literal text: 1.10 stays 1.10."""


def dump(value: Any) -> str:
    """Numbers stand as they were read, decimals with all their digits. JSON has neither bytes nor NaN and infinity: they
    become the texts that PostgreSQL makes of them."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dump(key)}: {dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dump, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, float) and not isfinite(value):
        return _CONSTANTS[str(value)]
    return json.dumps(value, ensure_ascii=False, default=str)


_CONSTANTS = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def without_constants(text: str | None) -> str | None:
    """JSON text as ``dump`` would have written it, of one that may say NaN and Infinity without quotes."""
    if text is None or not ("NaN" in text or "Infinity" in text):
        return text
    return dump(json.loads(text, parse_int=Number, parse_float=Number, parse_constant=str))
