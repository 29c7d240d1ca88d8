"""Invented names, companies, addresses, e-mail addresses and telephone numbers: the same for the same person.

Nothing is drawn: the HMAC of the subject under the key of its domain is cut into numbers, each of which picks from a list.
So columns that share a key domain and a subject fit together: the e-mail address has the person's name in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.keys import hmac_hex, token_bytes
from veilflow.treatments.interface import TEXT_ONLY, Context, Traits, Treatment, always, one_of, text, text_type
from veilflow.treatments.pools import LOCALES, Pool, pool_of
from veilflow.treatments.text_bytes import bytes_of

_KINDS = ("first_name", "last_name", "name", "company", "street", "city", "postcode", "address", "email", "phone")
_UNIQUE = ("name", "company", "email")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


@dataclass(frozen=True, slots=True)
class Fake:
    """``kind``: first_name, last_name, name, company, street, city, postcode, address, email or phone; ``locale``: en,
    zh, de, fr, es or ja. ``subject``: the column that says whose value it is (the value itself, unless set): columns
    with the same subject and key domain fit together. Empty text stays empty. ``domain`` is that of e-mail addresses. ``unique`` adds 64 bits
    of the hash to a name, company or e-mail address: among a million subjects two are the same with a chance of 10^-12;
    without it they often are."""

    kind: str
    locale: str = "en"
    subject: str | None = None
    domain: str = "example.com"
    unique: bool = False

    def __post_init__(self) -> None:
        one_of("kind", self.kind, *_KINDS)
        one_of("locale", self.locale, *LOCALES)
        if self.subject is not None:
            text("subject", self.subject)
        if not isinstance(self.domain, str) or not _DOMAIN.fullmatch(self.domain) or len(self.domain) > 253:
            raise ValueError("domain must be a domain's name in small letters, such as example.com")
        if not isinstance(self.unique, bool):
            raise ValueError("unique must be true or false")
        if self.unique and self.kind not in _UNIQUE:
            raise ValueError("unique is for " + ", ".join(_UNIQUE))


#: Which 32 of the hash's 256 bits pick what; never changed, or people get other names.
_FIRST, _LAST, _COMPANY, _STREET, _HOUSE, _CITY, _POSTCODE, _PHONE = range(8)


@dataclass(slots=True)
class _Draws:
    """The hashes of a chunk's subjects as characters, 64 a row, and the lists to pick from."""

    hexadecimal: np.ndarray[Any, np.dtype[np.uint8]]
    pool: Pool

    def number(self, which: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """32 bits of each hash."""
        characters = self.hexadecimal[:, 8 * which : 8 * which + 8].astype(np.int64)
        digits = (characters & 15) + 9 * (characters >> 6)
        return np.asarray(digits @ (16 ** np.arange(7, -1, -1)), np.int64)

    def pick(self, which: int, options: pa.Array, stride: int = 1) -> pa.Array:
        """One of the options for each row; a stride keeps several picks of the same bits apart."""
        return options.take(pa.array(self.number(which) // stride % len(options)))

    def tail(self) -> pa.Array:
        """64 bits that pick no part of a name or an e-mail address, as 16 hexadecimal characters."""
        part = np.ascontiguousarray(self.hexadecimal[:, 8 * _HOUSE : 8 * _CITY + 8])
        offsets = np.arange(len(part) + 1, dtype=np.int32) * 16
        return pa.StringArray.from_buffers(len(part), pa.py_buffer(offsets), pa.py_buffer(part))


@cache
def _numbers(count: int, width: int = 0, start: int = 0) -> pa.Array:
    return pa.array([f"{number:0{width}d}" for number in range(start, start + count)], pa.string())


def _join(*parts: Any, by: str = "") -> pa.Array:
    return pc.binary_join_element_wise(*parts, by)


def _first(draws: _Draws, _parameters: Fake) -> pa.Array:
    return draws.pick(_FIRST, draws.pool.first)


def _last(draws: _Draws, _parameters: Fake) -> pa.Array:
    return draws.pick(_LAST, draws.pool.last)


def _name(draws: _Draws, parameters: Fake) -> pa.Array:
    first, last = _first(draws, parameters), _last(draws, parameters)
    if parameters.locale in ("zh", "ja"):
        return _join(last, first) if parameters.locale == "zh" else _join(last, first, by=" ")
    return _join(first, last, by=" ")


def _company(draws: _Draws, _parameters: Fake) -> pa.Array:
    parts, stride = [], 1
    for options in draws.pool.company:
        parts.append(draws.pick(_COMPANY, options, stride))
        stride *= len(options)
    return _join(*parts)


def _city(draws: _Draws, _parameters: Fake) -> pa.Array:
    return draws.pick(_CITY, draws.pool.cities)


def _postcode(draws: _Draws, parameters: Fake) -> pa.Array:
    front, back = draws.pick(_POSTCODE, _numbers(90, 2, 10)), _numbers(1000, 3)
    if parameters.locale == "ja":
        return _join(
            draws.pick(_POSTCODE, _numbers(900, 3, 100)), draws.pick(_POSTCODE, _numbers(10_000, 4), 900), by="-"
        )
    if parameters.locale == "zh":
        back = _numbers(10_000, 4)
    return _join(front, draws.pick(_POSTCODE, back, 90))


def _street(draws: _Draws, parameters: Fake) -> pa.Array:
    street, house = draws.pick(_STREET, draws.pool.streets), draws.pick(_HOUSE, _numbers(199, 0, 1))
    if parameters.locale in ("zh", "ja"):
        return _join(street, house, "号" if parameters.locale == "zh" else "番地")
    return _join(house, street, by=" ") if parameters.locale in ("en", "fr") else _join(street, house, by=" ")


def _address(draws: _Draws, parameters: Fake) -> pa.Array:
    street, city, postcode = (make(draws, parameters) for make in (_street, _city, _postcode))
    if parameters.locale == "zh":
        return _join(city, street, " ", postcode)
    if parameters.locale == "ja":
        return _join("〒", postcode, " ", city, street)
    place = _join(city, postcode, by=" ") if parameters.locale == "en" else _join(postcode, city, by=" ")
    return _join(street, place, by=", ")


def _email(draws: _Draws, parameters: Fake) -> pa.Array:
    local = _join(draws.pick(_FIRST, draws.pool.mail_first), draws.pick(_LAST, draws.pool.mail_last), by=".")
    if parameters.unique:
        return _join(local, ".", draws.tail(), f"@{parameters.domain}")
    return _join(local, draws.pick(_HOUSE, _numbers(1000, 0, 1)), f"@{parameters.domain}")


#: Prefixes kept for fiction (the North American Numbering Plan's 555-01xx, the Federal Network Agency's and ARCEP's numbers
#: for films) or given to nobody, with how many digits follow.
_PHONES = {
    "en": ("+1 {area} 555 01", 2), "de": ("+49 30 23125 ", 3), "fr": ("+33 1 99 00 ", 4), "es": ("+34 400 ", 6),
    "zh": ("+86 100 ", 8), "ja": ("+81 90 0000 ", 4),
}  # fmt: skip


def _phone(draws: _Draws, parameters: Fake) -> pa.Array:
    prefix, digits = _PHONES[parameters.locale]
    if "{area}" in prefix:
        before, after = prefix.split("{area}")
        return _join(
            before, draws.pick(_PHONE, _numbers(800, 0, 200), 100), after, draws.pick(_PHONE, _numbers(100, 2))
        )
    low = draws.pick(_PHONE, _numbers(10 ** min(digits, 4), min(digits, 4)))
    if digits <= 4:
        return _join(prefix, low)
    return _join(prefix, draws.pick(_PHONE, _numbers(10 ** (digits - 4), digits - 4), 10_000), low)


_MAKERS: dict[str, Callable[[_Draws, Fake], pa.Array]] = {
    "first_name": _first, "last_name": _last, "name": _name, "company": _company, "street": _street, "city": _city,
    "postcode": _postcode, "address": _address, "email": _email, "phone": _phone,
}  # fmt: skip


def _fake(values: pa.Array, parameters: Fake, context: Context) -> pa.Array:
    own = token_bytes(values)
    subjects = own
    if parameters.subject is not None:
        # A value without a subject is a person of its own.
        subjects = pc.coalesce(token_bytes(context.columns[parameters.subject]), own)
    hashed = hmac_hex(pc.fill_null(subjects, ""), context.key("fake").value)
    draws = _Draws(bytes_of(hashed)[1].reshape(-1, 64), pool_of(parameters.locale))
    made = _MAKERS[parameters.kind](draws, parameters)
    if parameters.unique and parameters.kind != "email":
        made = _join(made, draws.tail(), by=" ")
    # No value, no person: the empty text stays empty, and null null.
    made = pc.if_else(pc.equal(own, ""), "", made)
    return pc.if_else(pc.is_valid(values), made, pa.scalar(None, pa.string()))


def _fits(_parameters: Fake, types: Mapping[str, pa.DataType]) -> None:
    for name, kind in types.items():
        try:
            token_bytes(pa.array([], kind))
        except TypeError:
            raise TypeError(f"{name} of type {kind} cannot say whose value it is") from None


FAKE = Treatment(
    "fake",
    "An invented name, company, address, e-mail address or telephone number, always the same for the same subject and key.",
    Fake,
    TEXT_ONLY,
    text_type,
    _fake,
    Traits("a name, company, address, e-mail address or telephone number of the locale", linkable=True),
    uses=always("fake"),
    reads=lambda parameters: () if parameters.subject is None else (parameters.subject,),
    fits=_fits,
)
