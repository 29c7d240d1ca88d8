"""Parameters of a suite: values that stand in the suite as defaults, or are given when a run starts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import yaml

from veilflow.errors import Place, VeilError

_REFERENCE = "$PARAMETER"


def parse_parameters(given: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` each, the value as YAML reads it: a number, a date, a text, a list. VEIL200 for another form."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            if not equals or not name.strip():
                raise ValueError
            found[name.strip()] = yaml.safe_load(value)
        except (ValueError, yaml.YAMLError):
            raise VeilError("VEIL200", "a parameter is not written as name=value", "--param max_age=120") from None
    return found


def fill(raw: Any, values: Mapping[str, Any], used: set[str], place: Place) -> Any:
    """``raw`` with each ``{"$PARAMETER": name}`` replaced. VEIL207 for a name without a value."""
    if isinstance(raw, list):
        return [fill(one, values, used, place) for one in raw]
    if not isinstance(raw, dict):
        return raw
    if set(raw) != {_REFERENCE}:
        return {key: fill(value, values, used, place) for key, value in raw.items()}
    name = str(raw[_REFERENCE])
    used.add(name)
    if name not in values:
        near = get_close_matches(name, [str(key) for key in values], n=1)
        raise VeilError(
            "VEIL207", f'the parameter "{name}" has no value',
            (f"did you mean {near[0]}? " if near else "")
            + f"give it with --param {name}=…, or under suite_parameters in the suite", place,
        )  # fmt: skip
    value = values[name]
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def refuse_unused(given: Mapping[str, Any], used: set[str], place: Place) -> list[VeilError]:
    """A parameter that no expectation asks for is a mistake: its check would run with another value."""
    return [
        VeilError("VEIL207", f'no expectation asks for the parameter "{name}"',
                  "it asks for: " + (", ".join(sorted(used)) or "none"), place)
        for name in given if name not in used
    ]  # fmt: skip
