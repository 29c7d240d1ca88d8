"""A seeded table of persons, written in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

_BLOCK = 250_000
_FIRST = ["ada", "bo", "chen", "dora", "emil", "fatou", "gus", "hana", "ivo", "june"]
_LAST = ["abel", "brandt", "castro", "dupont", "eriksen", "fischer", "garcia", "hansen", "ito", "jones"]
_WORDS = "the customer asked to be called back about the invoice and a new address "


def write_people(path: Path, rows: int) -> None:
    """Ten columns: id, name, email, phone, national_id, card, birth_date, postcode, note (60 characters), amount."""
    random = np.random.default_rng(20261124)
    with path.open("wb") as file:
        for start in range(0, rows, _BLOCK):
            block = _block(random, start, min(_BLOCK, rows - start))
            pcsv.write_csv(block, file, pcsv.WriteOptions(include_header=start == 0, quoting_style="none"))


def _block(random: np.random.Generator, start: int, count: int) -> pa.Table:
    ids = pa.array(np.arange(start, start + count))
    text = ids.cast(pa.string())
    first = pa.array(_FIRST).take(pa.array(random.integers(0, 10, count)))
    last = pa.array(_LAST).take(pa.array(random.integers(0, 10, count)))
    days = pa.array(random.integers(-15_000, 13_000, count), pa.int32()).cast(pa.date32())
    note = (_WORDS * 2)[:60]
    return pa.table(
        {
            "id": ids,
            "name": pc.binary_join_element_wise(first, last, " "),
            "email": pc.binary_join_element_wise(pc.binary_join_element_wise(first, text, "."), "example.com", "@"),
            "phone": _digits(random, 10, count, "+49"),
            "national_id": _digits(random, 11, count, ""),
            "card": _digits(random, 15, count, "4"),
            "birth_date": pc.strftime(days, format="%Y-%m-%d"),
            "postcode": _digits(random, 5, count, ""),
            "note": pa.repeat(note, count),
            "amount": pc.binary_join_element_wise(
                pa.array(random.integers(0, 100_000, count)).cast(pa.string()), _digits(random, 2, count, ""), "."
            ),
        }
    )


def _digits(random: np.random.Generator, length: int, count: int, prefix: str) -> pa.Array:
    numbers = pa.array(random.integers(0, 10**length, count)).cast(pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(numbers, length, "0"), "")
