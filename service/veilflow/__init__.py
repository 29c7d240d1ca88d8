"""Personal data into SQL without the person in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "anonymize"]

if TYPE_CHECKING:
    from veilflow.run import anonymize


def __getattr__(name: str) -> Any:
    """Import on first use: ``import veilflow`` alone costs nothing."""
    if name == "anonymize":
        from veilflow.run import anonymize

        return anonymize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
