"""What the registry says of a treatment, as plain data: for the command line, the reference and the JSON Schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from veilflow.errors import Place, VeilError
from veilflow.model import FileContent, Step
from veilflow.treatments import TREATMENTS, make_step, parameter_name

_TABLE = "value,group\nflu,infection\n"
#: Parameters of an example, where a treatment needs some or says more with them.
EXAMPLES: dict[str, Mapping[str, Any]] = {
    "constant": {"value": "unknown"},
    "mask": {"keep_first": 1},
    "mask_card": {"keep_last": 4},
    "generalise": {"to": "year"},
    "age_band": {"width": 10},
    "round": {"to": 100},
    "band": {"width": 10},
    "clip": {"at_least": 18, "at_most": 90},
    "keep_prefix": {"length": 2},
    "postcode": {"keep": 2},
    "grid": {"axis": "latitude", "degrees": 0.1},
    "pseudonym": {"low": 1, "high": 9_999_999},
    "shift_date": {"subject": "patient_id", "max_days": 182},
    "noise": {"distribution": "laplace", "scale": 10},
    "fake": {"kind": "name"},
    "hierarchy": {"table": {"file": "data/groups.csv"}, "level": "group"},
    "when": {"column": "country", "in": ["DE", "FR"], "then": "token", "otherwise": "redact"},
    "structured": {"paths": {"$.name": "token", "$.tags[*]": "drop"}},
}


def describe(name: str) -> dict[str, Any]:
    """A treatment's summary, parameters with defaults and ranges, types, traits, uses of keys, and an example."""
    treatment = TREATMENTS[name]
    step = example_step(name)
    traits = treatment.traits
    return {
        "name": name,
        "summary": treatment.summary,
        "parameters": [_parameter(name, field) for field in fields(treatment.parameters) if field.init],
        "takes": sorted(treatment.takes),
        "uses": [] if step is None else list(treatment.uses(step.parameters)),
        "traits": {
            "looks_like": traits.looks_like,
            "reversible": traits.reversible,
            "unique_safe": traits.unique_safe,
            "linkable": traits.linkable,
        },
        "example": _example(name),
    }


def example_step(name: str) -> Step | None:
    """The step of the example; None for a treatment that needs parameters and has no example here."""
    try:
        return make_step(name, _with_content(EXAMPLES.get(name, {})), Place("example"))
    except VeilError:
        return None


def _with_content(raw: Any) -> Any:
    """The example's files have content, as the loader of policies gives it to them."""
    if isinstance(raw, Mapping) and raw.keys() == {"file"}:
        return FileContent(raw["file"], hashlib.sha256(_TABLE.encode()).hexdigest(), _TABLE)
    return {key: _with_content(value) for key, value in raw.items()} if isinstance(raw, Mapping) else raw


def _example(name: str) -> str:
    needed = [parameter_name(field.name) for field in fields(TREATMENTS[name].parameters) if _required(field)]
    raw = EXAMPLES.get(name, dict.fromkeys(needed, "…"))
    treatment = name if not raw else f"{{{name}: {_yaml(raw)}}}"
    reason = ", reason: reports need it" if name == "keep" else ""
    return f"column: {{class: sensitive, treatment: {treatment}{reason}}}"


def _yaml(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(one) for one in value) + "]"
    return value if isinstance(value, str) and value.replace("/", "").replace(".", "").isalnum() else json.dumps(value)


def _key(key: str) -> str:
    return key if key.isidentifier() else json.dumps(key)


# --- parameters --------------------------------------------------------------------------


def _parameter(name: str, field: Field[Any]) -> dict[str, Any]:
    default = field.default if field.default is not MISSING else None
    return {
        "name": parameter_name(field.name),
        "required": _required(field),
        "default": list(default) if isinstance(default, tuple) else default,
        "range": takes(name, parameter_name(field.name)),
    }


def takes(name: str, parameter: str) -> str | None:
    """What a parameter takes, in the words with which the treatment refuses what is none: ``a whole number from 0 to 64``.

    None where it does not say.
    """
    needed = {parameter_name(field.name) for field in fields(TREATMENTS[name].parameters) if _required(field)}
    example = _with_content(EXAMPLES.get(name, {}))
    for others in (example, {key: value for key, value in example.items() if key in needed}):
        said = _refusal(name, {**others, parameter: object()})
        if said.startswith(f"{parameter} must be "):
            return said.removeprefix(f"{parameter} must be ")
    return None


def _refusal(name: str, raw: Mapping[str, Any]) -> str:
    try:
        make_step(name, raw, Place("range"))
    except VeilError as error:
        return error.problem.partition(": ")[2]
    except Exception:  # noqa: BLE001  # it was asked with what is no value: whatever it raises, it does not say
        return ""
    return ""


def _required(field: Field[Any]) -> bool:
    return field.init and field.default is MISSING and field.default_factory is MISSING
