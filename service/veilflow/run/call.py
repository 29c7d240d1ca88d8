"""How a step of a run is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Call(Protocol):
    """How a step is carried out: as it is, or as a Prefect task. Errors of the step come through.

    A step with a ``cache_key`` returns a text that holds for everything the key was made of: it may come from
    an earlier call with the same key.
    """

    def __call__(self, step: str, function: Callable[[], T], /, *, cache_key: str | None = None) -> T: ...


def direct(_step: str, function: Callable[[], T], /, *, cache_key: str | None = None) -> T:
    """Carry a step out here and now."""
    return function()
