"""The contract of a treatment; it fits on one screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from veilflow.model import DerivedKey

ALL = frozenset({"text", "integer", "decimal", "float", "boolean", "date", "timestamp", "binary", "json"})
TEXT_ONLY = frozenset({"text"})


@dataclass(frozen=True, slots=True)
class Context:
    """What a treatment may know beside the values: the key of its column's domain."""

    key: DerivedKey | None = None


@dataclass(frozen=True, slots=True)
class Treatment:
    """A treatment as the registry holds it.

    ``takes`` are the names of column types that it fits; ``output`` gives the type it makes of a type;
    ``apply`` keeps length and order, null stays null; ``use`` names what its key is for, if it needs one.
    ``parameters`` raises ValueError, without the value of any data, for what is out of range.
    """

    name: str
    summary: str
    parameters: type
    takes: frozenset[str]
    output: Callable[[pa.DataType, Any], pa.DataType]
    apply: Callable[[pa.Array, Any, Context], pa.Array]
    use: str | None = None


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Of treatments that take none."""


def same_type(kind: pa.DataType, _parameters: object) -> pa.DataType:
    return kind


def text_type(_kind: pa.DataType, _parameters: object) -> pa.DataType:
    return pa.string()


def whole(name: str, value: object, least: int, most: int) -> None:
    """Raise ValueError unless ``value`` is an int from ``least`` to ``most``."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")


def text(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
