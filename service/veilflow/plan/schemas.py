"""The JSON Schemas of all files of a project: the loaders' words joined with the registry of treatments."""

from __future__ import annotations

import re
from typing import Any

from veilflow.config.schemas import Schema, environment_schema, names_schema, pipeline_schema, policy_schema
from veilflow.treatments import TREATMENTS
from veilflow.treatments.catalogue import describe

#: By the name of the file in a project's ``schemas/``.
NAMES = ("pipeline", "policy", "names", "environment")


def schemas() -> dict[str, Schema]:
    """The schemas by name, in the order of ``NAMES``."""
    described = [describe(name) for name in TREATMENTS]
    parameters = {one["name"]: _parameters(one) for one in described}
    alone = [one["name"] for one in described if not any(each["required"] for each in one["parameters"])]
    return {
        "pipeline": pipeline_schema(),
        "policy": policy_schema(parameters, alone),
        "names": names_schema(),
        "environment": environment_schema(),
    }


def _parameters(described: dict[str, Any]) -> Schema:
    return {
        "type": "object",
        "description": described["summary"],
        "properties": {one["name"]: _parameter(one) for one in described["parameters"]},
        "required": [one["name"] for one in described["parameters"] if one["required"]],
        "additionalProperties": False,
    }


def _parameter(described: dict[str, Any]) -> Schema:
    """What the words of the treatment say of a value; anything where they say it in another way."""
    words = described["range"] or ""
    schema = _of_words(words)
    if described["default"] is None and not described["required"] and schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return schema | ({"description": words} if words else {})


def _of_words(words: str) -> Schema:
    if found := re.fullmatch(r"a whole number from (-?\d+) to (-?\d+)", words):
        return {"type": "integer", "minimum": int(found[1]), "maximum": int(found[2])}
    if re.fullmatch(r"one of \w+(, \w+)*", words):
        return {"enum": words.removeprefix("one of ").split(", ")}
    if words.startswith("a treatment's name"):
        return {"$ref": "#/$defs/treatment"}
    return {"text": {"type": "string"}, "true or false": {"type": "boolean"}}.get(words, {})
