"""What `redact_text` finds, held against the tables of two other projects (origin in tests/data/*/SOURCE.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.errors import Place
from veilflow.treatments import TREATMENTS, Context, make_step

DATA = Path(__file__).parent.parent / "data"
SPANS: list[dict[str, Any]] = json.loads((DATA / "presidio" / "spans.json").read_text(encoding="utf-8"))
NUMBERS: list[dict[str, Any]] = json.loads((DATA / "stdnum" / "numbers.json").read_text(encoding="utf-8"))
TREATMENT = TREATMENTS["redact_text"]

#: Texts where we differ on purpose, and what we make of them.
OURS = {
    "1748503543012": "[card]",  # right by Luhn; Presidio takes it for a moment in milliseconds
    "11112345678": "[national_id]",  # the check digit is right; how often digits repeat is not looked at
    "310289-211C": "[national_id]",  # likewise: the day and the control character are right
    "760413-5212134": "[national_id]",  # likewise
    "BG123612A": "[national_id]",  # a prefix that is not given out
    "ID 80010150090": "ID [national_id]",  # right as another country's number
    "2400:c401::5054:ff:fe1b:b031": "[ip]",  # Presidio gives this one twice, with and without a match
    "192.168.1.1.1": "[ip]",  # rather a version number too many than a part of an address left
    "text::ffff:192.0.2.1": "text[ip]",
    "foo2001:db8::10.0.0.1": "foo[ip]",
    "10.0.0.0/123": "[ip]",
    "http://microsoft": "[url]",
    "'https://presidio.dataprivacystack.org/'": "'[url]'",
    "my domains: microsoft.com google.co.il": "my domains: microsoft.com google.co.il",  # a bare domain names nobody
    "Here is my National Insurance Number YZ 61 48 68 B": "Here is my National Insurance Number [national_id]",
    # No check digit, or one that has been drawn at random since 2020: found as telephone numbers, if those are asked for.
    "078-051121 07805-1121": "078-051121 07805-1121",
    "078051121": "078051121",
    "960121-1234567": "960121-1234567",
    "000505-3637892": "000505-3637892",
    "3123:4567:8909": "3123:4567:8909",
    "3998:7654:3211": "3998:7654:3211",
}


def redacted(*texts: str | None, **raw: Any) -> list[Any]:
    step = make_step("redact_text", raw, Place("p.yaml", 1))
    return list(TREATMENT.apply(pa.array(texts, pa.string()), step.parameters, Context()).to_pylist())


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in SPANS}))
def test_finds_what_presidio_finds(kind: str) -> None:
    """Each text alone, with the one kind asked for; the differences are listed."""
    for case in (case for case in SPANS if case["kind"] == kind):
        expected = case["text"]
        for start, end in sorted(case["spans"], reverse=True):
            expected = expected[:start] + f"[{kind}]" + expected[end:]
        assert redacted(case["text"], find=[kind]) == [OURS.get(case["text"], expected)]


#: Shapes of python-stdnum that are no shape of running text: a calendar's rules, letters for digits, no check digit.
BEYOND = {"stdnum.us.ssn", "stdnum.luhn", "stdnum.kr.rrn", "RSSMRAQRCMNFNLRG"}
VALID = [case for case in NUMBERS if case["valid"] and not {case["module"], case["number"]} & BEYOND]


@pytest.mark.parametrize("module", sorted({case["module"] for case in VALID}))
def test_takes_the_numbers_that_stdnum_takes(module: str) -> None:
    """Every valid example, in a sentence; none of them is left in any part."""
    kind = "iban" if module == "stdnum.iban" else "national_id"
    for number in (case["number"].strip() for case in VALID if case["module"] == module):
        assert redacted(f"It is {number}, they say.", find=[kind]) == [f"It is [{kind}], they say."]


def test_a_changed_digit_is_no_card_and_no_account() -> None:
    """Luhn and MOD 97-10 find each change of one digit."""
    for number, kind in (
        ("4111111111111111", "card"),
        ("DE89370400440532013000", "iban"),
        ("GB29NWBK60161331926819", "iban"),
    ):
        assert redacted(number, find=[kind]) == [f"[{kind}]"]
        changed = [
            number[:at] + str((int(one) + 1) % 10) + number[at + 1 :] for at, one in enumerate(number) if one.isdigit()
        ]
        assert redacted(*changed, find=[kind]) == changed


# By hand.
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Write to a.b+c@exa-mple.co.uk, or bücher@exämple.de.", "Write to [email], or [email]."),
        ("邮箱a@b.com谢谢，手机13812345678，身份证11010519491231002x。", "邮箱[email]谢谢，手机[phone]，身份证[national_id]。"),
        ("手机：１３８１２３４５６７８", "手机:[phone]"),
        ("see https://x.example/z?q=1. or www.foo.example/bar, ok", "see [url]. or [url], ok"),
        ("card 4111 1111 1111 1111 12/26 and DE89 3704 0044 0532 0130 00 ok", "card [card] 12/26 and [iban] ok"),
        ("tel +49 30 1234567 on 2026-01-31 12:30 and 31.01.2026", "tel [phone] on 2026-01-31 12:30 and 31.01.2026"),
        ("(415) 555-0132, 12.50 and 1,234,567", "[phone], 12.50 and 1,234,567"),
        ("from 192.168.1.1 and [2001:db8::1]:443, std::cout, 12:34:56", "from [ip] and [[ip]]:443, std::cout, 12:34:56"),
        ("https://user:pw@host.example:8080/4111111111111111?x=a@b.example", "[url]"),
        ("a@b.example,c@d.example;mailto:e@f.example", "[email],[email];mailto:[email]"),
        ("SSN 078-05-1120, sha 3f2b91aa0c", "SSN [national_id], sha 3f2b91aa0c"),
        ("🙂 13812345678 🙂", "🙂 [phone] 🙂"), ("", ""), ("@", "@"), ("a@b", "a@b"), ("://", "://"), ("www.", "www."), ("1", "1"), (None, None),
    ],
)  # fmt: skip
def test_in_running_text(before: str | None, after: str | None) -> None:
    """Several in one text, in Latin and Chinese, beside what is none of them."""
    assert redacted(before) == [after]


def test_the_label_may_be_another() -> None:
    """With or without the kind."""
    assert redacted("a@b.example", **{"with": "<{kind}>"}) == ["<email>"]
    assert redacted("a@b.example", **{"with": ""}) == [""]


@given(st.lists(st.none() | st.text("0123456789 -.()/@:wax+XDE\n中é🙂", max_size=40), max_size=8))
@settings(deadline=None, max_examples=200)
def test_a_row_does_not_see_its_neighbours(texts: list[str | None]) -> None:
    """All together as each alone, however digits and signs meet at the border of two rows."""
    assert redacted(*texts) == [redacted(text)[0] for text in texts]


@given(
    st.text(max_size=20), st.sampled_from(["a.b@c.example", "+49 30 1234567", "4111 1111 1111 1111", "https://a.example/b", "10.1.2.3"]), st.text(max_size=20)
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_nothing_hides_behind_blanks(before: str, secret: str, after: str) -> None:
    """Whatever stands around it."""
    assert secret not in redacted(f"{before.strip()} \n {secret} \n {after.strip()}")[0]
