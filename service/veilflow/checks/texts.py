"""One text a row, so that rows are equal if, and only if, their texts are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def texts_of(columns: Sequence[pa.Array], ignore: str) -> pa.Array:
    """One text a row that is judged: different rows have different texts. Of several columns nulls are equal."""
    return joined([_text(values) for values in columns], ignore)


def joined(texts: Sequence[pa.Array], ignore: str) -> pa.Array:
    """The texts of several columns as one; of one column those that are there."""
    if len(texts) == 1:
        return texts[0].drop_null()
    missing = [values.is_null() for values in texts]
    keep = pa.array(np.ones(len(texts[0]), dtype=bool))
    if ignore in ("all_values_are_missing", "any_value_is_missing"):
        out = missing[0]
        for other in missing[1:]:
            out = pc.and_(out, other) if ignore.startswith("all") else pc.or_(out, other)
        keep = pc.invert(out)
    marked = []
    for values in texts:
        length = pc.binary_length(values).cast(pa.string())
        marked.append(pc.binary_join_element_wise(length, values, ":").fill_null("-"))
    return pc.binary_join_element_wise(*marked, ";").filter(keep)


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):
        values = pc.add(values.cast(pa.float64()), 0.0)
    return values if pa.types.is_string(values.type) else values.cast(pa.string())
