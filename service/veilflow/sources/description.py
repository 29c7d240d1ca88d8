"""A source's schema as text and back, for an orchestrator that keeps it: names and types, no value of a row."""

from __future__ import annotations

import base64
import json

import pyarrow as pa

from veilflow.model import ColumnType, SourceColumn, SourceSchema, UnevenColumn

FORMAT = "veilflow/source_schema/1"


def describe(schema: SourceSchema) -> str:
    """The schema as JSON text."""
    fields = pa.schema([pa.field(str(number), column.type.arrow) for number, column in enumerate(schema.columns)])
    return json.dumps(
        {
            "format": FORMAT,
            "closed": schema.closed,
            "files": schema.files,
            "uneven": [[column.name, column.difference] for column in schema.uneven],
            "columns": [[column.name, column.type.name, column.type.format, column.file] for column in schema.columns],
            "arrow": base64.b64encode(fields.serialize().to_pybytes()).decode("ascii"),
        }
    )


def parse_description(text: str) -> SourceSchema:
    """The inverse of ``describe``. ValueError if the text is not one."""
    document = json.loads(text)
    if document.get("format") != FORMAT:
        raise ValueError("not the description of a source")
    fields = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(document["arrow"])))
    columns = tuple(
        SourceColumn(name, ColumnType(kind, field.type, pattern), file)
        for (name, kind, pattern, file), field in zip(document["columns"], fields, strict=True)
    )
    uneven = tuple(UnevenColumn(name, difference) for name, difference in document["uneven"])
    return SourceSchema(columns, document["closed"], document["files"], uneven)
