"""JSON Schemas of a project's files, from the same words that the loaders take.

A schema tells an editor what may stand where; the loaders stay the judges: what depends on two keys at once, or on another
file, is theirs alone. Every key of a loader stands here (a test compares both).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilflow.config.files import (
    CONNECTED,
    DATABASES,
    LONGEST_SECONDS,
    MOST_WORKERS,
    OPERATORS,
    SERVERS,
    SOURCE_KINDS,
    TARGET_KINDS,
    TYPES,
)
from veilflow.config.policies import FACTS, UNLISTED
from veilflow.model import CLASSIFICATIONS

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": LONGEST_SECONDS}
_NAMED: Schema = {"type": "string", "minLength": 1}
_REASON: Schema = {"type": "string", "pattern": r"\S"}
_FLAG: Schema = {"type": "boolean"}
_DATE: Schema = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_CHARACTER: Schema = {"type": "string", "minLength": 1, "maxLength": 1}
_VERSION: Schema = {"const": 1, "description": "The format of this file."}


def _mapping(keys: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    """A mapping of these keys and no others."""
    return {
        "type": "object", "properties": dict(keys), "required": list(required), "additionalProperties": False, **more
    }  # fmt: skip


def _named(value: Schema) -> Schema:
    """A mapping whose keys a person chooses."""
    return {"type": "object", "additionalProperties": value}


def _list(of: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": of, "minItems": least}


def _choice(*options: str) -> Schema:
    return {"enum": list(options)}


def _or_empty(value: Schema) -> Schema:
    """Also the key with nothing behind it."""
    return {"anyOf": [value, {"type": "null"}]}


# --- pipelines ---------------------------------------------------------------------------


def pipeline_schema() -> Schema:
    """``pipelines/<name>.yaml``."""
    return _file(
        "A pipeline of Veilflow",
        {
            "version": _VERSION, "source": _source(), "columns": _named(_column()), "filters": _list(_filter()),
            "policy": _NAMED, "expectations": _TEXT, "target": _target(), "limits": _limits(),
            "quarantine": _quarantine(),
            "chunk_rows": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
            "workers": {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}, "allow_empty": _FLAG, "as_of": _DATE,
            "on_overlap": _choice("refuse", "wait"), "incremental": _incremental(),
        },
        "version", "source", "policy", "target",
    )  # fmt: skip


def _source() -> Schema:
    return {"anyOf": [_file_source(), *(_database_source(kind) for kind in DATABASES)]}


def _database_source(kind: str) -> Schema:
    where = "connection" if kind in SERVERS else "path"
    keys = {"kind": {"const": kind}, where: _NAMED, "table": _TEXT, "query": _TEXT, "order_by": _list(_TEXT),
            "on_bad_row": _choice("refuse", "quarantine")}  # fmt: skip
    return _mapping(keys, "kind", where, oneOf=[{"required": ["table"]}, {"required": ["query"]}])


def _file_source() -> Schema:
    return _mapping(
        {
            "kind": _choice(*SOURCE_KINDS), "path": _NAMED, "on_bad_row": _choice("refuse", "quarantine"), "trim": _FLAG,
            "null_values": _list(_TEXT), "delimiter": _CHARACTER, "quote": {"type": "string", "maxLength": 1},
            "encoding": _TEXT, "connection": _TEXT,
        },
        "path",
    )  # fmt: skip


def _column() -> Schema:
    keys = {
        "type": _choice(*TYPES), "tags": _list({"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"}),
        "class": _choice(*CLASSIFICATIONS), "format": _TEXT, "timezone": _TEXT,
        "precision": {"type": "integer", "minimum": 1, "maximum": 38},
        "scale": {"type": "integer", "minimum": 0, "maximum": 38},
    }  # fmt: skip
    return _mapping(keys, anyOf=[{"required": [key]} for key in ("type", "tags", "class")])


def _filter() -> Schema:
    keep = _mapping({"column": _NAMED, "op": _choice(*OPERATORS), "value": {}}, "column", "op")
    return _mapping({"name": _NAMED, "keep": keep}, "name", "keep")


def _target() -> Schema:
    shared: Mapping[str, Schema] = {
        "table": _NAMED, "mode": _choice("replace", "append", "merge"), "key": _list(_TEXT), "delete": _FLAG,
        "on_refused_row": _choice("refuse", "quarantine"), "columns": _choice("freeze", "evolve"),
    }  # fmt: skip
    on_disk = [kind for kind in TARGET_KINDS if kind not in CONNECTED]
    merges = {
        "if": {"properties": {"mode": {"const": "merge"}}, "required": ["mode"]},
        "then": {"properties": {"key": {"minItems": 1}}, "required": ["key"]},
        "else": {"properties": {"key": {"maxItems": 0}, "delete": {"const": False}}},
    }
    files = _mapping({"kind": _choice(*on_disk), "path": _TEXT, **shared}, "kind", "path", **merges)
    database = _mapping({"kind": _choice(*SERVERS), "connection": _TEXT, **shared}, "kind", "connection", **merges)
    own = {"columns": _choice("freeze"), "url_parameters": _list(_NAMED), "unsafe_transport": _REASON}
    dialect = _mapping({"kind": _choice("sqlalchemy"), "connection": _TEXT, **shared, **own}, "kind", "connection", **merges)  # fmt: skip
    return {"anyOf": [files, database, dialect]}


def _quarantine() -> Schema:
    recipient = {"type": "string", "pattern": "^age1[02-9ac-hj-np-z]{58}$"}
    days = {"type": "integer", "minimum": 1, "maximum": 36_500}
    wrapped_by = _mapping({"store": _TEXT, "path": _TEXT}, "store", "path")
    one = {"not": {"required": ["recipient", "wrapped_by"]}}
    store = _choice("files", "target")
    return _mapping({"store": store, "recipient": recipient, "wrapped_by": wrapped_by, "retention_days": days}, **one)


def _incremental() -> Schema:
    lag = {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?( ?(s|min|h|d))?$"},
        ]
    }
    by_column = _mapping({"column": _NAMED, "lag": lag}, "column")
    by_files = _mapping({"files": _choice("new"), "changed_files": _choice("refuse", "load")}, "files")
    return {"anyOf": [by_column, by_files]}


def _limits() -> Schema:
    share = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$"}
    return _mapping(
        {
            "max_quarantined": {"anyOf": [{"type": "integer", "minimum": 0}, share]},
            "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SECONDS},
        }
    )


# --- policies ----------------------------------------------------------------------------


def policy_schema(treatments: Mapping[str, Schema], alone: list[str]) -> Schema:
    """``policies/<name>.yaml``; ``treatments`` are the parameters of each treatment, ``alone`` those that need none."""
    fact = {"anyOf": [_TEXT, {"type": "number"}, {"type": "array"}]}
    rules = _or_empty(_named({"$ref": "#/$defs/rule"}))
    keys: dict[str, Schema] = {
        "version": _VERSION, "extends": _NAMED, **dict.fromkeys(FACTS, fact), "review_date": _DATE,
        "unlisted_columns": {"anyOf": [_choice(*UNLISTED), _mapping({"unsafe_keep": _named(_REASON)}, "unsafe_keep")]},
        "columns": rules, "tags": rules, "classes": _or_empty(_class_defaults()),
        "acknowledge": _list(_acknowledgement()), "show_values": _choice("record", "refuse"),
    }  # fmt: skip
    return _file("A policy of Veilflow", keys, "version") | {
        "anyOf": [{"required": [key]} for key in ("columns", "tags", "classes", "extends")],
        "$defs": {"rule": _rule(), **_treatment(treatments, alone)},
    }


def _rule() -> Schema:
    return _mapping(
        {
            "class": _choice(*CLASSIFICATIONS), "treatment": {"$ref": "#/$defs/treatment"}, "key_domain": _TEXT,
            "reason": _TEXT, "match": _choice("exact", "glob"), "unsafe_weaken": _REASON,
        },
        "class",
    )  # fmt: skip


def _class_defaults() -> Schema:
    default = _mapping({"treatment": {"$ref": "#/$defs/treatment"}, "key_domain": _TEXT, "reason": _TEXT}, "treatment")
    return _mapping(dict.fromkeys(CLASSIFICATIONS, default))


def _acknowledgement() -> Schema:
    keys = {"finding": _NAMED, "column": _TEXT, "reason": _NAMED, "owner": _NAMED, "expires": _DATE}
    return _mapping(keys, "finding", "reason", "owner", "expires")


def _treatment(treatments: Mapping[str, Schema], alone: list[str]) -> dict[str, Schema]:
    """A name, ``{name: {parameters}}``, or a list of these."""
    with_parameters = _mapping(treatments, minProperties=1, maxProperties=1)
    step = {"anyOf": [_choice(*alone), with_parameters, {"type": "null"}]}
    return {"step": step, "treatment": {"anyOf": [{"$ref": "#/$defs/step"}, _list({"$ref": "#/$defs/step"}, 1)]}}


# --- names of secrets and environments ---------------------------------------------------


def names_schema() -> Schema:
    """``secrets/names.yaml``."""
    keys = {"version": _VERSION, **_places(), "keyring": _TEXT}
    return _file("Places of secrets of Veilflow, never values", keys, "version")


def environment_schema() -> Schema:
    """``environments/<name>.yaml``."""
    return _file("What holds in one environment", {"version": _VERSION, **_places(), "limits": _limits()}, "version")


def _places() -> dict[str, Schema]:
    secret = _mapping(
        {
            "store": _NAMED, "path": _NAMED, "field": _TEXT, "engine": _TEXT, "version": {"type": "integer", "minimum": 1},
            "owner": _TEXT, "rotate_after": _TEXT, "unsafe_short": _REASON,
        },
        "store", "path",
    )  # fmt: skip
    store = {"type": "object", "properties": {"kind": _NAMED}, "required": ["kind"]}
    connection = _mapping({"url": _NAMED, "credential": _TEXT, **dict.fromkeys(("lock_timeout_seconds", "statement_timeout_seconds"), _SECONDS)},
        "url",
    )  # fmt: skip
    return {"stores": _named(store), "secrets": _named(secret), "connections": _named(connection)}


def _file(title: str, keys: Mapping[str, Schema], *required: str) -> Schema:
    return {"$schema": _DIALECT, "title": title, **_mapping(keys, *required)}
