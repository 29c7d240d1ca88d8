"""Known answers of treatments that use a key: NIST's samples, the library one value at a time, and plain Python.

Each expected value is computed here from the definition, by other code than the product's columns.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from veilflow.errors import Place, VeilError
from veilflow.keys import derive
from veilflow.keys.ff1_exact import ff1_exact
from veilflow.model import DerivedKey
from veilflow.treatments import TREATMENTS, Context, make_step

ROOT = bytes(range(32))
PLACE = Place("p.yaml", 1)


def key(use: str) -> bytes:
    """The key of the domain ``person``, version 1, under the root key 00 01 … 1f."""
    return derive(ROOT, use, "person", 1)


def treated(name: str, raw: Mapping[str, Any], values: pa.Array, keys: Mapping[str, bytes] | None = None, inverse: bool = False, **columns: pa.Array) -> list[Any]:  # fmt: skip
    """The treatment's output under the keys of the domain, or under ``keys``."""
    step = make_step(name, raw, PLACE)
    treatment = TREATMENTS[name]
    given = keys or {use: key(use) for use in treatment.uses(step.parameters)}
    context = Context({use: DerivedKey(value, 1) for use, value in given.items()}, columns, np.arange(len(values)) + 100, "run-1")  # fmt: skip
    assert not (treatment.unfit and not inverse and treatment.unfit(values, step.parameters, context))
    call = treatment.inverse if inverse else treatment.apply
    assert call is not None
    return list(call(values, step.parameters, context).to_pylist())


def unfit(name: str, raw: Mapping[str, Any], values: pa.Array, **columns: pa.Array) -> list[tuple[list[int], str]]:
    """Rows that the treatment does not take, and what happens to them."""
    step = make_step(name, raw, PLACE)
    found = TREATMENTS[name].unfit
    assert found is not None
    return [(one.rows.tolist(), one.then) for one in found(values, step.parameters, Context({}, columns))]


# --- keys and tokens -------------------------------------------------------------------------


def test_the_published_keys_of_the_documentation() -> None:
    """docs/how-to/recompute-a-token.md: anybody can compute these with HKDF and HMAC alone."""
    page = (Path(__file__).parents[2] / "docs/how-to/recompute-a-token.md").read_text(encoding="utf-8")
    for use in ("token", "siv", "ff1", "permute", "shift", "noise"):
        assert key(use).hex() in page
    assert treated("token", {}, pa.array(["anna@example.com"]))[0] in page
    assert treated("token", {"form": "uuid"}, pa.array(["anna@example.com"]))[0] in page
    code = page.split("```python\n")[1].split("```")[0]
    printed: list[str] = []
    exec(code, {"print": lambda *words: printed.extend(map(str, words))})
    assert printed == treated("token", {}, pa.array(["anna@example.com"]))


def test_tokens_of_other_lengths_and_forms() -> None:
    """The first bits of the same HMAC; a UUID with its version and variant."""
    full = hmac.new(key("token").hex().encode(), b"123", hashlib.sha256).hexdigest()
    for bits in (64, 96, 128, 256):
        assert treated("token", {"bits": bits}, pa.array([123, None])) == ["v1." + full[: bits // 4], None]
    number = int(full[:32], 16) & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62
    expected = uuid.UUID(int=number)
    assert treated("token", {"form": "uuid"}, pa.array(["123"])) == [str(expected)]
    assert expected.version == 8 and expected.variant == uuid.RFC_4122


# --- AES-SIV ---------------------------------------------------------------------------------

TEXTS = ["", "a", "Zoë", "王小明", "x" * 16, "🙂" * 20, None, "a"]


def test_siv_is_the_librarys() -> None:
    """RFC 5297 with two AES-256 keys and no associated data."""
    library = AESSIV(key("siv"))
    expected = [None if v is None else "v1." + library.encrypt(v.encode(), None).hex() for v in TEXTS]
    assert treated("siv", {}, pa.array(TEXTS)) == expected
    assert treated("siv", {}, pa.array(expected), inverse=True) == TEXTS


def test_siv_per_row_binds_a_value_to_its_run_and_row() -> None:
    """The associated data is AES-256 of the position under a key of the run; it stands before the sealed value."""
    run_key = hmac.digest(hmac.digest(key("siv"), b"veilflow/1 nonce", "sha256"), b"run-1", "sha256")
    encrypt = Cipher(algorithms.AES(run_key), modes.ECB()).encryptor().update
    library, expected = AESSIV(key("siv")), []
    for position, value in enumerate(TEXTS, start=100):
        nonce = encrypt(position.to_bytes(16, "big"))
        sealed = None if value is None else library.encrypt(value.encode(), [nonce])
        expected.append(None if sealed is None else "v1." + (nonce + sealed).hex())
    assert treated("siv_per_row", {}, pa.array(TEXTS)) == expected
    assert expected[1] != expected[-1]
    assert treated("siv_per_row", {}, pa.array(expected), inverse=True) == TEXTS


@pytest.mark.parametrize("name", ["siv", "siv_per_row"])
@pytest.mark.parametrize("forged", ["v1.00", "v2." + "00" * 40, "v1." + "00" * 40, "v1.zz", "", "MARKER"])
def test_what_another_key_made_is_not_opened(name: str, forged: str) -> None:
    """Neither a changed token, nor one of another version, nor any text; the message shows nothing of it."""
    with pytest.raises(ValueError, match=r"^a value is (not sealed under this key|too short)"):
        treated(name, {}, pa.array([forged]), inverse=True)


# --- FF1 -------------------------------------------------------------------------------------

NIST_128 = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")


@pytest.mark.parametrize(
    ("raw", "value", "tweak", "expected"),
    [
        ({}, "0123456789", None, "2433477484"),
        ({}, "(012) 345-6789", None, "(243) 347-7484"),
        ({"tweak": "t"}, "0123456789", "9876543210", "6124200773"),
        ({"alphabet": "0123456789abcdefghijklmnopqrstuvwxyz", "tweak": "t"}, "01.23456789abcdefghi", "7777pqrs777", "a9.tv40mll9kdu509eum"),
    ],
)  # fmt: skip
def test_ff1_gives_nists_samples(raw: dict[str, Any], value: str, tweak: str | None, expected: str) -> None:
    """Samples 1 to 3 of SP 800-38G, with separators in their places."""
    columns = {} if tweak is None else {"t": pa.array([tweak])}
    assert treated("ff1", raw, pa.array([value]), {"ff1": NIST_128}, **columns) == [expected]
    assert treated("ff1", raw, pa.array([expected]), {"ff1": NIST_128}, inverse=True, **columns) == [value]


def luhn(body: str) -> str:
    """The check digit, as every textbook has it."""
    digits = [int(c) for c in reversed(body)]
    total = sum(sum(divmod(2 * d, 10)) for d in digits[::2]) + sum(digits[1::2])
    return str(-total % 10)


def test_ff1_keeps_cards_valid() -> None:
    """The digits before the check digit are encrypted, and a new one is computed; schemes' test numbers."""
    cards = ["4111 1111 1111 1111", "378282246310005", None, "5555-5555-5555-4444"]
    found = treated("ff1", {"luhn": True}, pa.array(cards))
    for card, made in zip(cards, found, strict=True):
        if card is None:
            assert made is None
            continue
        body = [int(c) for c in card if c.isdigit()][:-1]
        expected = "".join(map(str, ff1_exact(key("ff1"), 10, body, b"", inverse=False)))
        assert "".join(c for c in made if c.isdigit()) == expected + luhn(expected)
        assert [c for c in made if not c.isdigit()] == [c for c in card if not c.isdigit()]
    assert treated("ff1", {"luhn": True}, pa.array(found), inverse=True) == cards


def test_ff1_refuses_what_it_is_not_for_value_by_value() -> None:
    """Too few characters, foreign ones, a wrong check digit; the empty string and null are none of these."""
    values = pa.array(["12345", "123456", "12345x", "", None, "-/-", "+1 23456"])
    assert unfit("ff1", {}, values) == [([2], "refuse"), ([0, 5], "refuse")]
    assert unfit("ff1", {"outside": "token", "too_small": "quarantine"}, values) == [([0, 5], "quarantine")]
    assert unfit("ff1", {"luhn": True, "outside": "quarantine"}, pa.array(["4111111111111111", "4111111111111112"])) == [([1], "quarantine")]  # fmt: skip
    assert unfit("ff1", {"luhn": True}, pa.array(["0000000", "000000"])) == [([1], "refuse")]
    both = {"outside": "token", "too_small": "token"}
    token = treated("token", {}, pa.array(["12345", "12345x"]))
    found = treated("ff1", both, pa.array(["12345", "", "12345x", "123456", None]))
    assert [found[0], found[2]] == token and found[1] == "" and found[4] is None
    assert found[3] == "".join(map(str, ff1_exact(key("ff1"), 10, [1, 2, 3, 4, 5, 6], b"", inverse=False)))


# --- pseudonyms ------------------------------------------------------------------------------


def walked(number: int, size: int, radix: int, width: int) -> int:
    """Cycle walking over FF1, one step at a time."""
    while True:
        digits = [number // radix**place % radix for place in range(width - 1, -1, -1)]
        number = 0
        for digit in ff1_exact(key("permute"), radix, digits, b"", inverse=False):
            number = number * radix + digit
        if number < size:
            return number


@pytest.mark.parametrize(
    ("low", "high", "radix", "width"),
    [(0, 999_999, 1000, 2), (-5, 1_500_000, 1225, 2), (1, 2**33, 305, 4), (-(2**62), 2**62 - 1, 55109, 4)],
)
def test_pseudonyms_of_numbers_are_a_walk_over_ff1(low: int, high: int, radix: int, width: int) -> None:
    """Two numerals up to 2^32 values and four beyond, in the smallest radix that holds the range."""
    size = high - low + 1
    assert (radix - 1) ** width < size <= radix**width
    values = [low, low + 1, high, (low + high) // 2]
    found = treated("pseudonym", {"low": low, "high": high}, pa.array(values, pa.int64()))
    assert found == [low + walked(value - low, size, radix, width) for value in values]
    assert treated("pseudonym", {"low": low, "high": high}, pa.array(found), inverse=True) == values


def test_pseudonyms_are_one_to_one_on_the_whole_space() -> None:
    """Every number of a small range, and every text of a small alphabet, comes out exactly once."""
    numbers = {"low": 10, "high": 5009, "unsafe_small_space": "counted in this test"}
    assert sorted(treated("pseudonym", numbers, pa.array(range(10, 5010)))) == list(range(10, 5010))
    texts = [a + b + c for a in "xyé" for b in ["", *"xyé"] for c in (["", *"xyé"] if b else [""])]
    small = {"alphabet": "xyé", "length": 3, "unsafe_small_space": "counted in this test"}
    assert len(texts) == 39 and sorted(treated("pseudonym", small, pa.array(texts))) == sorted(texts)
    codes = treated("pseudonym", {"low": 1, "high": 10**6, "alphabet": "letters", "length": 4}, pa.array(range(1, 3000)))  # fmt: skip
    assert len(set(codes)) == 2999 and {len(code) for code in codes} == {4}


def test_pseudonyms_hold_only_what_they_can_keep_apart() -> None:
    """Values outside are told by row; the empty text stays as it is."""
    assert unfit("pseudonym", {"low": 1, "high": 10**7}, pa.array([0, 1, None, 10**7, 10**7 + 1])) == [
        ([0, 4], "refuse")
    ]
    raw = {"alphabet": "digits", "length": 7, "outside": "quarantine"}
    assert unfit("pseudonym", raw, pa.array(["1234567", "12345678", "12x", "", None])) == [([1, 2], "quarantine")]
    assert treated("pseudonym", raw, pa.array(["", None])) == ["", None]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("pseudonym", {"low": 1, "high": 999_999}), ("pseudonym", {"alphabet": "digits", "length": 5}),
        ("pseudonym", {"low": 1, "high": 999, "unsafe_small_space": " "}), ("pseudonym", {"low": 5, "high": 1}),
        ("pseudonym", {}), ("pseudonym", {"low": 1}), ("pseudonym", {"alphabet": "digits", "length": 19}),
        ("pseudonym", {"low": 1, "high": 10**7, "alphabet": "digits", "length": 6}),
        ("pseudonym", {"alphabet": "aa", "length": 63}), ("ff1", {"alphabet": "1"}), ("ff1", {"alphabet": "aab"}),
        ("ff1", {"luhn": True, "alphabet": "letters"}), ("ff1", {"too_small": "keep"}), ("ff1", {"separators": "1"}),
        ("ff1", {"tweak": ""}), ("token", {"bits": 60}), ("token", {"bits": 130}), ("token", {"form": "base64"}),
        ("token", {"form": "uuid", "bits": 64}), ("shift_date", {"subject": "id", "max_days": 0}),
        ("shift_date", {"subject": "", "max_days": 9}), ("noise", {"distribution": "uniform", "scale": 1}),
        ("noise", {"distribution": "laplace", "scale": 0}), ("noise", {"distribution": "laplace", "scale": True}),
        ("noise", {"distribution": "laplace", "scale": 1, "low": 2, "high": 1}),
        ("noise", {"distribution": "laplace", "scale": float("nan")}),
    ],
)  # fmt: skip
def test_weak_or_impossible_parameters_are_refused(name: str, raw: dict[str, Any]) -> None:
    """VEIL205 before a row is read."""
    with pytest.raises(VeilError) as caught:
        make_step(name, raw, PLACE)
    assert caught.value.code == "VEIL205"


# --- dates and numbers -----------------------------------------------------------------------


def days(subject: str, most: int, allow_zero: bool) -> int:
    """The first 64 bits of the subject's HMAC, folded into the possible shifts."""
    drawn = int(hmac.new(key("shift").hex().encode(), subject.encode(), hashlib.sha256).hexdigest()[:16], 16)
    if allow_zero:
        return drawn % (2 * most + 1) - most
    found = drawn % (2 * most) - most
    return found + 1 if found >= 0 else found


@pytest.mark.parametrize("allow_zero", [True, False])
def test_dates_move_by_the_days_of_their_subject(allow_zero: bool) -> None:
    """Dates and timestamps alike, so that intervals of a person stay."""
    raw = {"subject": "id", "max_days": 180, "allow_zero": allow_zero}
    subjects = ["p1", "p2", "p1", "7"]
    dates = [date(1999, 12, 31), date(1899, 1, 1), None, date(2024, 2, 29)]
    moves = [timedelta(days(subject, 180, allow_zero)) for subject in subjects]
    expected = [None if day is None else day + move for day, move in zip(dates, moves, strict=True)]
    assert treated("shift_date", raw, pa.array(dates), id=pa.array(subjects)) == expected
    times = [datetime(1999, 12, 31, 23, 59, 59, 7), datetime(1899, 1, 1), datetime(2000, 1, 1), datetime(2024, 2, 29)]
    for unit in ("us", "ns"):
        found = treated("shift_date", raw, pa.array(times).cast(pa.timestamp(unit)), id=pa.array(subjects))
        assert [datetime.fromisoformat(str(one)[:26]) for one in found] == [
            t + m for t, m in zip(times, moves, strict=True)
        ]


def test_every_shift_is_as_likely_and_none_is_zero() -> None:
    """Over 20,000 subjects and 6 possible shifts: each within 5 standard deviations of a sixth."""
    ids = pa.array(range(20_000))
    found = treated("shift_date", {"subject": "id", "max_days": 3}, pa.array([0] * 20_000, pa.int32()).cast(pa.date32()), id=ids)  # fmt: skip
    counts = dict.fromkeys((-3, -2, -1, 1, 2, 3), 0)
    for day in found:
        counts[(day - date(1970, 1, 1)).days] += 1
    assert all(abs(count - 20_000 / 6) < 5 * math.sqrt(20_000 * 5 / 36) for count in counts.values())


def test_dates_without_a_subject_or_at_the_end_of_time_are_told() -> None:
    """They would stay in clear, or leave the calendar."""
    values = pa.array([date(2000, 1, 1), date(2000, 1, 1), date(9999, 12, 30), date(1, 1, 2), None])
    subjects = pa.array(["a", None, "c", "d", None])
    raw = {"subject": "id", "max_days": 10, "outside": "quarantine"}
    assert unfit("shift_date", raw, values, id=subjects) == [([1], "quarantine"), ([2, 3], "quarantine")]


def noise(seed: str, distribution: str, scale: float) -> float:
    """Laplace by inversion, Gaussian by Box and Muller, from the HMAC's first words."""
    full = hmac.new(key("noise").hex().encode(), seed.encode(), hashlib.sha256).hexdigest()
    first, second = int(full[:16], 16), int(full[16:32], 16)
    uniform = ((first >> 11) + 0.5) / 2**53
    if distribution == "laplace":
        return math.copysign(scale * math.log(uniform), 1 if second >> 63 else -1)
    return scale * math.sqrt(-2 * math.log(uniform)) * math.cos(2 * math.pi * (second >> 11) / 2**53)


@pytest.mark.parametrize("distribution", ["laplace", "gaussian"])
@pytest.mark.parametrize("keyed", [True, False])
def test_noise_is_what_the_key_draws(distribution: str, keyed: bool) -> None:
    """Of key, row and value; whole numbers and decimals exactly, floats on their grid."""
    raw = {"distribution": distribution, "scale": 10, **({"row_key": "id"} if keyed else {})}
    columns = {"id": pa.array(["a", "b", None])} if keyed else {}
    rows = ["a", "b", "#102"] if keyed else ["#100", "#101", "#102"]
    found = treated("noise", raw, pa.array([7, -1, 10**12]), **columns)
    assert found == [
        v + round(noise(f"{r}\x1f{v}", distribution, 10)) for r, v in zip(rows, [7, -1, 10**12], strict=True)
    ]
    amounts = [Decimal("7.25"), Decimal("-0.50"), Decimal("99999999.99")]
    for kind in (pa.decimal128(18, 2), pa.decimal128(30, 2)):
        made = treated("noise", raw, pa.array(amounts, kind), **columns)
        texts = ["7.25", "-0.5", "99999999.99"]
        assert made == [a + Decimal(round(noise(f"{r}\x1f{t}", distribution, 10) * 100)).scaleb(-2) for a, r, t in zip(amounts, rows, texts, strict=True)]  # fmt: skip
    floats = treated("noise", raw, pa.array([0.1, 2.0, float("nan")]), **columns)
    assert floats[0] == pytest.approx(0.1 + noise(f"{rows[0]}\x1f0.1", distribution, 10), abs=16 / 1024)
    assert (floats[0] * 1024 / 16).is_integer() and math.isnan(floats[2])


@pytest.mark.parametrize(("distribution", "deviation"), [("laplace", 10 * math.sqrt(2)), ("gaussian", 10.0)])
def test_noise_has_its_mean_and_its_spread(distribution: str, deviation: float) -> None:
    """Over 20,000 rows: mean 0 and the standard deviation of the distribution."""
    found = np.array(treated("noise", {"distribution": distribution, "scale": 10}, pa.array([0.0] * 20_000)))
    assert abs(found.mean()) < 5 * deviation / math.sqrt(20_000)
    assert found.std() == pytest.approx(deviation, rel=0.05)


def test_noise_stays_within_its_bounds_and_its_type() -> None:
    """Clipped to low and high, and never beyond what the type holds."""
    raw = {"distribution": "laplace", "scale": 1000}
    assert all(0 <= v <= 50 for v in treated("noise", {**raw, "low": 0, "high": 50}, pa.array([25] * 500)))
    for kind in (pa.int8(), pa.int64(), pa.uint64()):
        ends = [int(np.iinfo(kind.to_pandas_dtype()).min), int(np.iinfo(kind.to_pandas_dtype()).max)] * 50
        found = pa.array(treated("noise", raw, pa.array(ends, kind)), kind)
        assert found.null_count == 0
    assert len(treated("noise", raw, pa.array([Decimal("9.99")] * 50, pa.decimal128(3, 2)))) == 50
