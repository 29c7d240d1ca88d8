"""The address of a database server, with only the parameters that are known to be harmless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit

from veilflow.errors import VeilError
from veilflow.model import Secret


@dataclass(frozen=True, slots=True)
class Address:
    """A connection's URL in its parts; ``parameters`` are those that were given."""

    parts: SplitResult = field(repr=False)
    parameters: dict[str, str]


def parse(url: Secret, allowed: Sequence[str]) -> Address:
    """The address. VEIL214 for a parameter that is not allowed: drivers take files to read and code to run by them."""
    parts = urlsplit(url.reveal())
    given = dict(parse_qsl(parts.query))
    other = sorted(set(given) - set(allowed))
    if other:
        raise VeilError(
            "VEIL214", f"the connection's URL has the parameter {other[0]}", "allowed: " + ", ".join(allowed)
        )
    return Address(parts, given)
