"""Invented names: recomputed with the standard library, and fixed for good."""

from __future__ import annotations

import hashlib
import hmac
from importlib import import_module
from typing import Any

import pyarrow as pa
import pytest

from veilflow.errors import Place
from veilflow.model import DerivedKey
from veilflow.treatments import TREATMENTS, Context, make_step
from veilflow.treatments.pools import LOCALES

KEY = bytes(range(32))
KINDS = ("first_name", "last_name", "name", "company", "street", "city", "postcode", "address", "email", "phone")


def faked(values: list[str | None], key: bytes = KEY, subjects: list[Any] | None = None, **raw: Any) -> list[Any]:
    step = make_step("fake", raw, Place("p.yaml", 1))
    columns = {} if subjects is None else {raw["subject"]: pa.array(subjects)}
    context = Context({"fake": DerivedKey(key, 1)}, columns)
    return list(TREATMENTS["fake"].apply(pa.array(values, pa.string()), step.parameters, context).to_pylist())


def bits(subject: str, which: int) -> int:
    """By hand: the HMAC of CONTRACT's token, cut into eight numbers of 32 bits."""
    return int(hmac.new(KEY.hex().encode(), subject.encode(), "sha256").hexdigest()[8 * which : 8 * which + 8], 16)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("subject", ["anna@example.com", "王小明", "x" * 300])
def test_a_name_is_picked_by_the_bits_of_the_hash(locale: str, subject: str) -> None:
    """A stranger with the key and the lists finds the same."""
    lists = import_module(f"veilflow.treatments.pools.{locale}")
    first, last = lists.FIRST.split("|"), lists.LAST.split("|")
    assert faked([subject], kind="first_name", locale=locale) == [first[bits(subject, 0) % len(first)]]
    assert faked([subject], kind="last_name", locale=locale) == [last[bits(subject, 1) % len(last)]]
    mail = [
        lists.MAIL_FIRST.split("|")[bits(subject, 0) % len(first)],
        lists.MAIL_LAST.split("|")[bits(subject, 1) % len(last)],
    ]
    found = faked([subject], kind="email", locale=locale)[0]
    assert found == f"{'.'.join(mail)}{bits(subject, 4) % 1000 + 1}@example.com" and found.isascii()


# SHA-256 of each locale's lists, as first released: who changes one changes people's names.
LISTS = {
    "en": "18a459d92a745c1638a17c67a1f73a7259b09e0acf101e30b088653e8b1c448e",
    "zh": "951758d32e00ddaeac698bf7e9989db8c7127262cd48bf33cdf4ffec775d5cd9",
    "de": "ddeede6f8e44b13f1df334d44da007db92d72100c00ca8779e5abffa39a79877",
    "fr": "bb2a0b990f27c0e9616040a4524e8c68b8b148dd8a68bfecf611e3824877e6c9",
    "es": "b4d54c1e5d3b53913cd0d6b3c073f44a8e1770a0ef7da2b7dd0ef34fc63d7726",
    "ja": "8e7662287f918ebb7bd0661e02c0ccf5033b450047f436ef32b4718758a8fc3b",
}


@pytest.mark.parametrize("locale", LOCALES)
def test_the_lists_are_never_changed(locale: str) -> None:
    """Their order and content decide who gets which name."""
    lists = import_module(f"veilflow.treatments.pools.{locale}")
    names = [
        "FIRST",
        "LAST",
        "MAIL_FIRST",
        "MAIL_LAST",
        "CITIES",
        "STREETS",
        *sorted(one for one in vars(lists) if one.startswith("COMPANY")),
    ]
    assert hashlib.sha256("\n".join(getattr(lists, name) for name in names).encode()).hexdigest() == LISTS[locale]
    assert len(lists.FIRST.split("|")) == len(lists.MAIL_FIRST.split("|")) and len(lists.LAST.split("|")) == len(
        lists.MAIL_LAST.split("|")
    )


# As first released, under the key 00 01 02 … 1f.
ANNA: dict[str, list[str]] = {
    "en": [
        "Tony",
        "Solis",
        "Tony Solis",
        "Harper Inc",
        "122 Erickson Tunnel",
        "Port Mullenview",
        "95232",
        "122 Erickson Tunnel, Port Mullenview 95232",
        "tony.solis516@example.com",
        "+1 704 555 0143",
    ],
    "zh": [
        "俊",
        "仝",
        "仝俊",
        "泰麒麟信息有限公司",
        "蔡路122号",
        "重庆市",
        "952232",
        "重庆市蔡路122号 952232",
        "jun.tong516@example.com",
        "+86 100 28370443",
    ],
    "de": [
        "Stavros",
        "Börner",
        "Stavros Börner",
        "Berger AG & Co. KG",
        "Ullrichstraße 122",
        "Dresden",
        "95232",
        "Ullrichstraße 122, 95232 Dresden",
        "stavros.boerner516@example.com",
        "+49 30 23125 443",
    ],
    "fr": [
        "Gilles",
        "Olivier",
        "Gilles Olivier",
        "Aubry SA",
        "122 chemin de Besnard",
        "Toussaint-la-Forêt",
        "95232",
        "122 chemin de Besnard, 95232 Toussaint-la-Forêt",
        "gilles.olivier516@example.com",
        "+33 1 99 00 0443",
    ],
    "es": [
        "Salvador",
        "Jódar",
        "Salvador Jódar",
        "Consultoría Cerdán S.A.D",
        "Avenida Florinda Alonso 122",
        "Ourense",
        "95232",
        "Avenida Florinda Alonso 122, 95232 Ourense",
        "salvador.jodar516@example.com",
        "+34 400 370443",
    ],
    "ja": [
        "洋介",
        "岡本",
        "岡本 洋介",
        "株式会社三浦ガス",
        "千束122番地",
        "八千代市",
        "365-0223",
        "〒365-0223 八千代市千束122番地",
        "yosuke.okamoto516@example.com",
        "+81 90 0000 0443",
    ],
}


@pytest.mark.parametrize("locale", LOCALES)
def test_known_answers(locale: str) -> None:
    """Every kind in every locale."""
    assert [faked(["anna"], kind=kind, locale=locale)[0] for kind in KINDS] == ANNA[locale]


def test_columns_of_one_person_fit_together() -> None:
    """By the subject's column, whatever type it has; a value without a subject is a person of its own."""
    ids = [7, 8, None]
    names = faked(["Ada", "Bob", "Eve"], subjects=ids, kind="name", subject="id")
    mails = faked(["a@b.example", "b@b.example", "e@b.example"], subjects=ids, kind="email", subject="id", unique=True)
    assert [mail.split(".")[:2] for mail in mails[:2]] == [name.lower().split(" ") for name in names[:2]]
    assert names[:2] == faked(["7", "8"], kind="name")
    assert names[2] == faked(["Eve"], kind="name")[0]


def test_nothing_is_invented_where_there_is_nothing() -> None:
    """Null stays null and the empty text empty, with a subject too."""
    for raw in ({"kind": "name"}, {"kind": "email", "unique": True}):
        assert faked([None, ""], **raw) == [None, ""]
        assert faked([None, ""], subjects=["a", "b"], subject="id", **raw) == [None, ""]


def test_another_key_gives_another_person() -> None:
    """In nearly all cases: two people may have one name."""
    people = [f"p{number}" for number in range(200)]
    both = zip(faked(people, kind="name"), faked(people, key=bytes(32), kind="name"), strict=True)
    assert sum(one == other for one, other in both) < 5


@pytest.mark.parametrize("kind", ["name", "company", "email"])
def test_unique_ones_do_not_collide(kind: str) -> None:
    """Where without it many do: 20,000 people, 360,000 names."""
    people = [f"p{number}" for number in range(20_000)]
    assert len(set(faked(people, kind=kind, unique=True))) == len(people)
    if kind != "email":  # which has a number behind the name: 360 million addresses
        assert len(set(faked(people, kind=kind))) < len(people)
