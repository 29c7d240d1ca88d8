"""Repeated values treated once: dictionary first, where that pays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SAMPLE = 2_048
#: Share of different values in the sample above which encoding costs more than it saves.
_MOST = 0.6


def once_per_value(values: pa.Array, treat: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """``treat(values)``, for a function of each value alone that keeps order and nulls: called with each different
    value once where many are equal, which a sample of the column tells."""
    if not _repeats(values):
        return treat(values)
    encoded = values.dictionary_encode()
    return treat(encoded.dictionary).take(encoded.indices)


def _repeats(values: pa.Array) -> bool:
    step = len(values) // _SAMPLE
    if step < 2 or pa.types.is_boolean(values.type):
        return step >= 2
    sample = values.take(pa.array(np.arange(0, len(values), step)))
    return bool(pc.count_distinct(sample).as_py() <= _MOST * len(sample))
