"""Steps inside a step: read from what a policy says, and applied to some of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.model import Step, type_name
from veilflow.treatments.interface import Context, Make, Treatment, Unfit

Steps = tuple[Step, ...]


def treatment_of(step: Step) -> Treatment:
    from veilflow.treatments import TREATMENTS  # the registry holds the treatments that ask here

    return TREATMENTS[step.treatment]


def parse_steps(name: str, raw: Any, make: Make) -> Steps:
    """A treatment's name, ``{name: {parameters}}``, or a list of these. ValueError for anything else."""
    if raw is None:
        return (make("null", {}),)
    if isinstance(raw, str):
        return (make(raw, {}),)
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((treatment, parameters),) = raw.items()
        if parameters is None or isinstance(parameters, Mapping):
            return (make(treatment, parameters or {}),)
    if isinstance(raw, list) and raw:
        return tuple(step for entry in raw for step in parse_steps(name, entry, make))
    raise ValueError(f"{name} must be a treatment's name, {{name: {{parameters}}}}, or a list of these")


def uses(steps: Steps) -> tuple[str, ...]:
    """The uses of keys that the steps need, each once."""
    return tuple(dict.fromkeys(use for step in steps for use in treatment_of(step).uses(step.parameters)))


def reads(steps: Steps) -> tuple[str, ...]:
    """The columns that the steps read, each once."""
    return tuple(dict.fromkeys(name for step in steps for name in treatment_of(step).reads(step.parameters)))


def output(steps: Steps, kind: pa.DataType, name: str | None = None) -> pa.DataType:
    """The type after all steps. TypeError where one does not take what the one before it makes."""
    name = name or type_name(kind, str(kind))
    for step in steps:
        treatment = treatment_of(step)
        if name not in treatment.takes:
            raise TypeError(f"{step.treatment} takes {', '.join(sorted(treatment.takes))}, not {name}")
        kind = treatment.output(kind, step.parameters)
        name = type_name(kind, name)
    return kind


def apply(steps: Steps, values: pa.Array, context: Context) -> pa.Array:
    """The values through the steps in order; rows that do not fit are null already."""
    for step in steps:
        values = treatment_of(step).apply(values, step.parameters, context)
    return values


def unfit(steps: Steps, values: pa.Array, context: Context) -> tuple[Unfit, ...]:
    """The rows that one of the steps does not take; each step sees what the ones before it make."""
    found: list[Unfit] = []
    last = max((n for n, step in enumerate(steps) if treatment_of(step).unfit), default=-1)
    for n, step in enumerate(steps[: last + 1]):
        treatment = treatment_of(step)
        for one in treatment.unfit(values, step.parameters, context) if treatment.unfit else ():
            found.append(one)
            values = without(values, one.rows)
        if n < last:
            values = treatment.apply(values, step.parameters, context)
    return tuple(found)


def without(values: pa.Array, rows: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    """The values with null in some of the rows."""
    fits = np.ones(len(values), dtype=bool)
    fits[rows] = False
    return pc.if_else(pa.array(fits), values, pa.scalar(None, values.type))
