"""Treatments at paths inside a column of JSON. Closed: a path that no rule covers is not let through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from veilflow.treatments import nested
from veilflow.treatments.interface import Context, Make, Traits, Treatment, Unfit, one_of, text_type
from veilflow.treatments.json_tree import Found, Leaf, Tree, dump, parse_json, parse_path
from veilflow.treatments.nested import Steps

OnBad = Literal["refuse", "quarantine"]
#: The kinds of a JSON value, as ``takes`` names them, and the Arrow type in which treatments see them.
_KINDS = {"text": pa.string(), "integer": pa.int64(), "float": pa.float64(), "boolean": pa.bool_(), "json": pa.string()}
_BROKEN = "is not JSON that can be read without loss"


@dataclass(frozen=True, slots=True)
class Structured:
    """``paths``: treatments by path: ``$.name``, ``$.tags[*]``, ``$['a b'].c``. What no path covers follows
    ``unlisted`` (refuse, quarantine or drop); what does not parse follows ``broken`` (refuse or quarantine)."""

    paths: Mapping[str, Steps]
    unlisted: Literal["refuse", "quarantine", "drop"] = "refuse"
    broken: OnBad = "refuse"
    tree: Tree = field(default_factory=Tree, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        one_of("unlisted", self.unlisted, "refuse", "quarantine", "drop")
        one_of("broken", self.broken, *get_args(OnBad))
        if not self.paths:
            raise ValueError("paths must name at least one path")
        for path, steps in self.paths.items():
            if len(steps) > 1 and any(step.treatment in ("keep", "drop") for step in steps):
                raise ValueError(f"{path}: keep and drop stand alone")
            self.tree.add(parse_path(path), path, drop=steps[0].treatment == "drop")


def _parse(raw: Mapping[str, Any], make: Make) -> Structured:
    paths = raw["paths"]
    if not isinstance(paths, Mapping):
        raise ValueError('paths must be a mapping, {"$.name": treatment}')
    return Structured(**{**raw, "paths": {path: nested.parse_steps(path, one, make) for path, one in paths.items()}})


def _all_steps(parameters: Structured) -> Steps:
    return tuple(step for steps in parameters.paths.values() for step in steps)


def _takes(steps: Steps, kind: str) -> bool:
    try:
        nested.output(steps, _KINDS[kind], kind)
    except TypeError:
        return False
    return True


def _output(kind: pa.DataType, parameters: Structured) -> pa.DataType:
    for path, steps in parameters.paths.items():
        if not any(_takes(steps, one) for one in _KINDS):
            raise TypeError(f"the treatments at {path} take nothing that stands in JSON")
    return text_type(kind, parameters)


class _Documents:
    """The parsed rows of a chunk and their leaves under each rule, by kind."""

    def __init__(self, values: pa.Array, parameters: Structured) -> None:
        self.roots: list[list[Any] | None] = []
        self.broken: list[int] = []
        found = Found(parameters.unlisted == "drop")
        self.leaves, self.uncovered = found.leaves, found.uncovered
        for row, text in enumerate(values.cast(pa.string()).to_pylist()):
            root = None if text is None else parse_json(text)
            self.roots.append(root)
            if root is not None:
                parameters.tree.walk(root, 0, row, found)
            elif text is not None:
                self.broken.append(row)


def _column(leaves: list[Leaf], kind: str) -> pa.Array:
    return pa.array([dump(leaf.value) if kind == "json" else leaf.value for leaf in leaves], _KINDS[kind])


def _rows(leaves: list[Leaf]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.fromiter((leaf.row for leaf in leaves), np.int64, len(leaves))


def _apply(values: pa.Array, parameters: Structured, context: Context) -> pa.Array:
    documents = _Documents(values, parameters)
    for (path, kind), leaves in documents.leaves.items():
        # Each rule sees its leaves of the whole chunk at once.
        treated = nested.apply(parameters.paths[path], _column(leaves, kind), context.take(_rows(leaves)))
        for leaf, value in zip(leaves, treated.to_pylist(), strict=True):
            leaf.holder[leaf.key] = value
    return pa.array([None if root is None else dump(root[0]) for root in documents.roots], pa.string())


def _unfit(values: pa.Array, parameters: Structured, context: Context) -> tuple[Unfit, ...]:
    documents = _Documents(values, parameters)
    found = [Unfit(np.array(documents.broken, np.int64), _BROKEN, parameters.broken)]
    then: OnBad = "quarantine" if parameters.unlisted == "quarantine" else "refuse"
    for path, rows in documents.uncovered.items():
        found.append(Unfit(np.unique(rows), f"holds something under {path} that no rule covers", then))
    for (path, kind), leaves in documents.leaves.items():
        steps, rows_ = parameters.paths[path], _rows(leaves)
        if not _takes(steps, kind):
            found.append(Unfit(np.unique(rows_), f"holds {kind} at {path}, which its treatments do not take", then))
            continue
        for one in nested.unfit(steps, _column(leaves, kind), context.take(rows_)):
            found.append(Unfit(np.unique(rows_[one.rows]), f"{one.reason} at {path}", one.then))
    return tuple(one for one in found if len(one.rows))


STRUCTURED = Treatment(
    "structured",
    "Treatments at paths inside JSON, in objects and arrays alike; a path that no rule covers refuses the row.",
    Structured,
    frozenset({"json", "text"}),
    _output,
    _apply,
    Traits("JSON of the same shape"),
    uses=lambda parameters: nested.uses(_all_steps(parameters)),
    reads=lambda parameters: nested.reads(_all_steps(parameters)),
    unfit=_unfit,
    parse=_parse,
    steps=_all_steps,
)
