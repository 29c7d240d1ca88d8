"""`python -m benchmarks.treatments`: values a second a core of each treatment, beside the library that people use.

Seconds are the process's CPU time, so that another program on the machine, or a library's threads, do not flatter a
figure; each is the median of five, chunk by chunk as a run does it. Libraries that work one value at a time get a
tenth of the values. `fastfpe` is measured where it is installed (`uv pip install --group bench`). Memory is the peak of
Arrow's pool and tracemalloc together, as a multiple of the chunk's column.
"""

from __future__ import annotations

import argparse
import hmac
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as library_hmac
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from veilflow.errors import Place
from veilflow.keys import KeyRing
from veilflow.keys.ff1_exact import ff1_exact
from veilflow.treatments import TREATMENTS, Context, make_step

CHUNK = 25_000
REPEATS = 5
RING = KeyRing.parse(KeyRing.generate("2026-01-01T00:00:00Z"))


@dataclass(frozen=True)
class Case:
    """One line of the table: a treatment over a column; ``beside`` are other ways to do the same."""

    name: str
    treatment: str
    parameters: Mapping[str, Any]
    column: pa.Array
    target: float | None = None
    inverse: bool = False
    beside: tuple[str, ...] = ()
    reads: tuple[tuple[str, pa.Array], ...] = ()


def rate(work: Callable[[], object], values: int) -> float:
    """Million values a CPU second."""
    work()
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return values / statistics.median(seconds) / 1e6


# --- ours ------------------------------------------------------------------------------------


def chunks_of(case: Case) -> list[tuple[pa.Array, Context]]:
    """The column cut as a run cuts it, each chunk with its context."""
    step = make_step(case.treatment, case.parameters, Place("bench"))
    keys = {use: RING.derive(use, "d") for use in TREATMENTS[case.treatment].uses(step.parameters)}
    found = []
    for start in range(0, len(case.column), CHUNK):
        columns = {name: column.slice(start, CHUNK) for name, column in case.reads}
        values = case.column.slice(start, CHUNK)
        positions = np.arange(start, start + len(values))
        found.append((values, Context(keys, columns, positions, "run", date(2026, 1, 1), "direct_identifier")))
    return found


def calls_of(case: Case) -> list[Callable[[], pa.Array]]:
    """What a run does with each chunk: look for values that do not fit, then treat."""
    treatment = TREATMENTS[case.treatment]
    parameters = make_step(case.treatment, case.parameters, Place("bench")).parameters

    def call(values: pa.Array, context: Context) -> pa.Array:
        if case.inverse:
            assert treatment.inverse is not None
            return treatment.inverse(values, parameters, context)
        if treatment.unfit is not None:
            assert not treatment.unfit(values, parameters, context)
        return treatment.apply(values, parameters, context)

    chunks = chunks_of(case)
    if case.inverse:
        chunks = [(treatment.apply(values, parameters, context), context) for values, context in chunks]
    return [lambda own=own, context=context: call(own, context) for own, context in chunks]


def peak_of(case: Case) -> float:
    """The highest allocation while one chunk is treated, as a multiple of its column."""
    values, call = case.column.slice(0, CHUNK), calls_of(case)[0]
    call()
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    tracemalloc.stop()
    pa.set_memory_pool(before)
    return float(peak / values.nbytes)


# --- beside ----------------------------------------------------------------------------------


def others(distinct: list[str], digits: list[str]) -> dict[str, Callable[[], object]]:
    """Each library, one value at a time; two entries for fastfpe if it is there."""
    key = bytes(range(32))
    state = library_hmac.HMAC(key, hashes.SHA256())
    siv = AESSIV(bytes(range(64)))
    raw = [value.encode() for value in distinct]
    sealed = [siv.encrypt(value, None) for value in raw]

    def cryptography_hmac() -> None:
        for value in raw:
            own = state.copy()
            own.update(value)
            own.finalize().hex()

    found: dict[str, Callable[[], object]] = {
        "hmac.digest": lambda: [hmac.digest(key, value, "sha256").hex() for value in raw],
        "cryptography HMAC": cryptography_hmac,
        "AESSIV.encrypt": lambda: [siv.encrypt(value, None).hex() for value in raw],
        "AESSIV.decrypt": lambda: [siv.decrypt(value, None) for value in sealed],
        "FF1 by integers": lambda: [
            ff1_exact(key, 10, [int(c) for c in value], b"", inverse=False) for value in digits[: len(digits) // 20]
        ],
    }
    try:
        from fastfpe import ff1
    except ImportError:
        print("fastfpe is not installed: `uv pip install --group bench` to measure it")
        return found
    alphabet = "0123456789"
    found["fastfpe.encrypt"] = lambda: [ff1.encrypt(key.hex(), "", alphabet, value) for value in digits]
    found["fastfpe.decrypt"] = lambda: [ff1.decrypt(key.hex(), "", alphabet, value) for value in digits]
    return found


# --- the columns -----------------------------------------------------------------------------


def cases(rows: int) -> list[Case]:
    """What is measured; targets in million values a second."""
    random = np.random.default_rng(20261124)
    ids = pa.array(random.permutation(rows)).cast(pa.string())
    people = pc.binary_join_element_wise("person-", pc.utf8_lpad(ids, 9, "0"), "")
    few = people.slice(0, max(1, rows // 100)).take(pa.array(random.integers(0, max(1, rows // 100), rows)))
    emails = pc.binary_join_element_wise(people, "@example.com", "")
    digits = pa.array([f"{number:016d}" for number in random.integers(0, 10**16, rows).tolist()])
    grouped = pa.array([f"{v[:4]} {v[4:8]} {v[8:12]} {v[12:]}" for v in digits.to_pylist()])
    cards = pa.array([body + _luhn(body) for body in (value[:15] for value in digits.to_pylist())])
    mixed = pa.array([value[: 6 + index % 11] for index, value in enumerate(digits.to_pylist())])
    numbers = pa.array(random.integers(0, 10**9, rows))
    dates = pa.array(random.integers(-10_000, 15_000, rows).astype(np.int32)).cast(pa.date32())
    small = {"too_small": "token"}
    return [
        Case("token, all distinct", "token", {}, people, 3, beside=("hmac.digest", "cryptography HMAC")),
        Case("token, 1 % distinct", "token", {}, few, 10, beside=("hmac.digest",)),
        Case("token as UUID, all distinct", "token", {"form": "uuid"}, people),
        Case("siv", "siv", {}, people, beside=("AESSIV.encrypt",)),
        Case("siv, opened", "siv", {}, people, inverse=True, beside=("AESSIV.decrypt",)),
        Case("siv_per_row", "siv_per_row", {}, people, beside=("AESSIV.encrypt",)),
        Case("siv_per_row, opened", "siv_per_row", {}, people, inverse=True, beside=("AESSIV.decrypt",)),
        Case("ff1, 16 digits", "ff1", {}, digits, 6, beside=("fastfpe.encrypt", "FF1 by integers")),
        Case("ff1, 16 digits, opened", "ff1", {}, digits, 6, inverse=True, beside=("fastfpe.decrypt",)),
        Case("ff1, digits in groups of 4", "ff1", {}, grouped),
        Case("ff1, cards with Luhn", "ff1", {"luhn": True}, cards),
        Case("ff1, 6 to 16 digits", "ff1", small, mixed),
        Case(
            "ff1, alphanumeric, tweak column",
            "ff1",
            {"alphabet": "alphanumeric", "tweak": "id"},
            people,
            reads=(("id", ids),),
        ),  # fmt: skip
        Case("pseudonym, numbers", "pseudonym", {"low": 0, "high": 10**9}, numbers),
        Case("pseudonym, numbers, opened", "pseudonym", {"low": 0, "high": 10**9}, numbers, inverse=True),
        Case(
            "shift_date, a subject a row",
            "shift_date",
            {"subject": "id", "max_days": 90},
            dates,
            reads=(("id", people),),
        ),
        Case("shift_date, 1 % subjects", "shift_date", {"subject": "id", "max_days": 90}, dates, reads=(("id", few),)),
        Case("noise, Laplace on integers", "noise", {"distribution": "laplace", "scale": 9}, numbers),
        Case("mask, last 4 of 16", "mask", {"keep_last": 4}, digits, 30),
        Case("mask_email", "mask_email", {}, emails, 4),
        Case("generalise to the year", "generalise", {"to": "year"}, dates, 30),
        Case("band of integers", "band", {"width": 10}, numbers, 30),
        Case("round integers", "round", {"to": 10}, numbers, 30),
        *plain_cases(rows, random),
    ]


#: Free text of 60 characters on average: seven in ten hold nothing to be found.
_TEXTS = (
    "The customer called about the delivery of her new kitchen ok", "Please write to anna.schmidt@example.com about the order xx",
    "Call me back at +49 30 1234567 tomorrow morning after nine am", "My card 4111 1111 1111 1111 was charged twice, please refund",
)  # fmt: skip


def plain_cases(rows: int, random: np.random.Generator) -> list[Case]:
    """Masks, places, dates, text and structure: what needs no key, and invented names."""
    texts = pa.array(_TEXTS).take(pa.array(np.maximum(random.integers(-6, 4, rows), 0)))
    hits = pa.array(_TEXTS).take(pa.array(random.integers(1, 4, rows)))
    octets = [pa.array(random.integers(0, 256, rows)).cast(pa.string()) for _ in range(4)]
    number = pa.array(random.integers(0, 10**9, rows)).cast(pa.string())
    cards = pc.binary_join_element_wise("4111 1111 1", pc.utf8_lpad(number, 9, "0"), "")
    names = pa.array(["Ada Lovelace", "Jean-Luc Picard", "Anna Schmidt"]).take(pa.array(random.integers(0, 3, rows)))
    documents = pc.binary_join_element_wise('{"name":"', names, '","tags":["a","b"],"n":', number, "}", "")
    births = pa.array(random.integers(-10_000, 15_000, rows).astype(np.int32)).cast(pa.date32())
    money = pa.array(random.integers(0, 10**9, rows)).cast(pa.decimal128(38, 2))
    zips = pc.utf8_lpad(pa.array(random.integers(0, 10**5, rows)).cast(pa.string()), 5, "0")
    urls = pc.binary_join_element_wise("https://www.example.com/orders/", number, "?user=7", "")
    country = pa.array(["DE", "FR", "US"]).take(pa.array(random.integers(0, 3, rows)))
    when = {"column": "c", "in": ["DE", "FR"], "then": {"mask": {"keep_first": 1}}, "otherwise": "redact"}
    paths = {"$.name": {"mask": {"keep_first": 1}}, "$.tags[*]": "redact", "$.n": {"generalise": {"width": 10}}}
    return [
        Case("mask_card", "mask_card", {"keep_first": 6}, cards, 4),
        Case("mask_phone", "mask_phone", {}, cards, 4),
        Case("mask_name", "mask_name", {}, names, 4),
        Case("mask_ip", "mask_ip", {}, pc.binary_join_element_wise(*octets, "."), 4),
        Case("url_host", "url_host", {}, urls, 4),
        Case("postcode", "postcode", {}, zips, 30),
        Case("zip3", "zip3", {}, zips, 4),
        Case("age", "age", {}, births, 30),
        Case("age_band", "age_band", {}, births, 30),
        Case("round decimals", "round", {"to": 0.5}, money, 30),
        Case("clip decimals", "clip", {"at_most": 10**6}, money, 30),
        Case("grid", "grid", {"axis": "latitude", "degrees": 0.1}, pa.array(random.random(rows) * 90), 30),
        Case("redact_text, 30 % with a hit", "redact_text", {}, texts, 2),
        Case("redact_text, all with a hit", "redact_text", {}, hits),
        Case("fake names", "fake", {"kind": "name"}, number),
        Case("fake e-mail addresses", "fake", {"kind": "email"}, number),
        Case("when", "when", when, names, reads=(("c", country),)),
        Case("structured, 4 leaves", "structured", {"paths": paths}, documents),
    ]


def _luhn(body: str) -> str:
    total = sum(int(c) if i % 2 else sum(divmod(2 * int(c), 10)) for i, c in enumerate(reversed(body)))
    return str(-total % 10)


def main() -> None:
    """Print the table, and the figures as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = cases(options.rows)
    tenth = options.rows // 10
    distinct, digits = (measured[index].column.slice(0, tenth).to_pylist() for index in (0, 7))
    slow = others(distinct, digits)
    sizes = dict.fromkeys(slow, tenth) | {"FF1 by integers": tenth // 20}
    rates = {name: rate(work, sizes[name]) for name, work in slow.items()}
    document = []
    for case in measured:
        calls = calls_of(case)
        ours = rate(lambda calls=calls: [call() for call in calls], options.rows)
        beside = {name: ours / rates[name] for name in case.beside if name in rates}
        document.append({"case": case.name, "million_per_second": round(ours, 2), "target": case.target,
                         "times": {name: round(times, 1) for name, times in beside.items()},
                         "peak": round(peak_of(case), 1)})  # fmt: skip
    if options.json:
        print(
            json.dumps({"libraries": {name: round(value, 3) for name, value in rates.items()}, "treatments": document})
        )
        return
    for name, value in rates.items():
        print(f"{name:36} {value:8.3f} M/s")
    for line in document:
        times = ", ".join(f"{value} x {name}" for name, value in line["times"].items())
        wanted = f"target {line['target']}" if line["target"] else ""
        print(f"{line['case']:36} {line['million_per_second']:8.2f} M/s {wanted:12} peak {line['peak']:4} x  {times}")


if __name__ == "__main__":
    main()
