"""Pseudonyms that the key opens: which steps can be taken back, and their values again."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from veilflow.model import Step
from veilflow.treatments import TREATMENTS, key_uses
from veilflow.treatments.interface import Context


def keyed_part(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps from the first that uses a key on: what depends on the key version."""
    first = next((number for number, step in enumerate(steps) if key_uses([step])), len(steps))
    return tuple(steps[first:])


def why_closed(steps: Sequence[Step]) -> str | None:
    """Why the key does not open what the keyed part made, in words; None if it does."""
    for step in keyed_part(steps):
        treatment = TREATMENTS[step.treatment]
        if treatment.inverse is None:
            return f"{step.treatment} is one-way"
        if "token" in treatment.uses(step.parameters):
            return f"{step.treatment} makes one-way tokens of the values that it does not take"
        if others := treatment.reads(step.parameters):
            return f"{step.treatment} needs {', '.join(others)} as the source has it"
    return None


def opened(values: pa.Array, steps: Sequence[Step], context: Context) -> pa.Array:
    """What the keyed part was given, or its text. ValueError for a value that it did not make under these keys."""
    for step in reversed(keyed_part(steps)):
        treatment = TREATMENTS[step.treatment]
        assert treatment.inverse is not None
        values = treatment.inverse(values, step.parameters, context)
        if treatment.unfit is not None and treatment.unfit(values, step.parameters, context):
            raise ValueError("a value that the treatment would not have taken")
    return values
