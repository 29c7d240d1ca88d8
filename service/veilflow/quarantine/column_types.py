"""The types that a run's columns had, kept in each container: of databases that give every value as its text, the rows
alone do not tell them."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pyarrow as pa

from veilflow.model import ColumnType

#: Under which the container's Arrow stream keeps them.
KEY = "columns"


def as_text(types: Mapping[str, ColumnType]) -> str:
    """The types as an Arrow schema in base64; each field's metadata says which of the types of one form it is."""
    fields = [pa.field(name, kind.arrow, metadata={"type": kind.name}) for name, kind in types.items()]
    return base64.b64encode(pa.schema(fields).serialize()).decode()


def recorded_types(table: pa.Table) -> dict[str, ColumnType]:
    """The inverse of ``as_text``, of what a container keeps; empty for one that keeps none."""
    text = (table.schema.metadata or {}).get(KEY.encode())
    if text is None:
        return {}
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    return {field.name: ColumnType(field.metadata[b"type"].decode(), field.type) for field in schema}
