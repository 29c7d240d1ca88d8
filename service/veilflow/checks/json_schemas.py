"""Whether texts are JSON of a schema, by the library that Great Expectations uses; text that is no JSON is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from veilflow.checks.ambiguity import longest_for_re
from veilflow.checks.patterns import by_distinct


def schema_test(schema: Mapping[str, Any]) -> Callable[[pa.Array], pa.Array]:
    """A test of texts, each distinct one once; null for null. ValueError for a schema that is none, that refers to
    something outside of itself, or whose patterns could take forever."""
    longest = _longest(schema)
    validator = _validator(schema)

    def fits(text: str) -> bool:
        if len(text) > longest:
            raise OverflowError
        try:
            return bool(validator.is_valid(json.loads(text)))
        except (ValueError, RecursionError):
            return False

    return lambda values: by_distinct(values, fits)


def _validator(schema: Mapping[str, Any]) -> Any:
    import jsonschema

    kind = jsonschema.validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError:
        raise ValueError("its json_schema is not a JSON schema") from None
    return kind(schema)


def _longest(schema: Mapping[str, Any]) -> int:
    """The longest text that its patterns let ``re`` judge in bounded time."""
    limits = [1 << 30]
    for key, value in _members(schema):
        if key in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
            raise ValueError(
                "its json_schema refers to another document: only references that begin with # are followed"
            )
        patterns = {"pattern": [value], "patternProperties": value}.get(key, [])
        for pattern in (one for one in patterns if isinstance(one, str)):
            try:
                limits.append(longest_for_re(pattern))
            except re.error:
                raise ValueError("its json_schema has a pattern that is no regular expression") from None
    return min(limits)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key), one
            yield from _members(one)
    elif isinstance(value, list):
        for one in value:
            yield from _members(one)
