"""Lists of which invented names and addresses are made, by locale.

They are part of the product and not asked of a library when a value is treated: another version of the library would give
other names, and a person another name after an update. Taken once from Faker (MIT, see LICENSE beside this file). A list
is never changed or reordered; a new one gets a new locale's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module

import pyarrow as pa

LOCALES = ("en", "zh", "de", "fr", "es", "ja")


@dataclass(frozen=True, slots=True)
class Pool:
    """A locale's lists. ``mail_first`` and ``mail_last`` are the same names in letters of an address, in their order."""

    first: pa.Array
    last: pa.Array
    mail_first: pa.Array
    mail_last: pa.Array
    cities: pa.Array
    streets: pa.Array
    company: tuple[pa.Array, ...]


@cache
def pool_of(locale: str) -> Pool:
    """The lists of a locale, loaded when first asked for."""
    lists = import_module(f"veilflow.treatments.pools.{locale}")

    def array(name: str) -> pa.Array:
        return pa.array(getattr(lists, name).split("|"), pa.string())

    company = tuple(array(name) for name in ("COMPANY_0", "COMPANY_1", "COMPANY_2") if hasattr(lists, name))
    return Pool(
        array("FIRST"),
        array("LAST"),
        array("MAIL_FIRST"),
        array("MAIL_LAST"),
        array("CITIES"),
        array("STREETS"),
        company,
    )


@cache
def known_names() -> frozenset[str]:
    """The given names and surnames of all locales, without their case."""
    pools = map(pool_of, LOCALES)
    lists = (names for pool in pools for names in (pool.first, pool.last, pool.mail_first, pool.mail_last))
    return frozenset(name.casefold() for names in lists for name in names.to_pylist())
