"""``veil profile``: a suite proposed from a sample, for a person to edit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output
from veilflow.errors import VeilError

if TYPE_CHECKING:
    from veilflow.run.profile import Profile


def profile(source: str, *, rows: int = 100_000, out: Path | None = None, common: Common = HERE) -> int:
    """Propose a suite from a sample of a source: null shares, sets, ranges, lengths and patterns, and no value of a person.

    Read it and edit it before you use it: it says what the rows are like, not what they should be like.

    Parameters
    ----------
    source
        A pipeline's name, whose policy then says which columns are about people, or a file.
    rows
        The most rows that are sampled, evenly over the whole source.
    out
        The file to write, such as pipelines/expectations/people.yaml (default: stdout). It must not exist.
    """
    output = Output(common.json, common.quiet)
    if rows < 1:
        raise VeilError("VEIL200", "--rows must be at least 1", "`veil profile people --rows 10000`")
    if out is not None and out.exists():
        raise VeilError("VEIL200", f"{out} exists", "name a file that does not")
    found = _profile(source, rows, common, output)
    output.say(f"proposed from {found.sampled:,} of {found.rows:,} rows of {found.source}")
    text = "".join(_lines(found))
    if out is not None:
        _write(out, text)
        output.say(f"written to {out}; edit it, then name it in a pipeline: expectations: {out.stem}")
    if common.json:
        output.document(_document(found))
    elif out is None:
        print(text, end="")
    return 0


def _profile(source: str, rows: int, common: Common, output: Output) -> Profile:
    from veilflow.cli.commands import _prefect_for_secrets
    from veilflow.config import pipeline_names
    from veilflow.run.profile import profile_file, profile_pipeline

    if Path(source).is_file():
        return profile_file(Path(source), rows)
    project = common.directory
    names = pipeline_names(project)
    if source not in names:
        raise VeilError(
            "VEIL204", f'there is no file and no pipeline "{source}"', "this project has: " + (", ".join(names) or "none")
        )  # fmt: skip
    with _prefect_for_secrets(project, common.environment, source, output, keyring=False):
        return profile_pipeline(project, common.environment, source, rows)


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError:
        raise VeilError("VEIL101", f"{out} cannot be written", "name a place with --out where you may write") from None


_WHOLE = "; all are whole numbers: declare {type: integer} in the pipeline's columns and profile again for a range"


def _document(found: Profile) -> dict[str, Any]:
    return {
        "schema": "veilflow/profile/1",
        "source": found.source,
        "sampled": found.sampled,
        "rows": found.rows,
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "null_share": round(column.nulls, 2),
                "whole_numbers": column.whole_numbers,
            }
            for column in found.columns
        ],
        "suite": {
            "name": Path(found.source).stem,
            "expectations": [dict(one) for column in found.columns for one in column.expectations],
        },
    }


def _lines(found: Profile) -> Iterator[str]:
    """The suite as YAML whose scalars are JSON, so that no name can break out of its place."""
    yield f"# Proposed from {found.sampled:,} of {found.rows:,} rows. It says what they are like; say what they should be like.\n"
    yield f"name: {_scalar(Path(found.source).stem)}\n"
    yield "expectations:\n"
    for column in found.columns:
        yield f"  # {_scalar(column.name)}: {column.type}, {column.nulls:.0%} null{_WHOLE * column.whole_numbers}\n"
        for one in column.expectations:
            yield f"  - type: {one['type']}\n    kwargs: {_mapping(one['kwargs'])}\n"


def _mapping(arguments: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in arguments.items()) + "}"


def _scalar(value: Any) -> str:
    """JSON, with what YAML does not print written as its number."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)
