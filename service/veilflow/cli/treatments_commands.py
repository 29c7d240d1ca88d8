"""``veil treatments``: what can be done to a column, from the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclopts import App

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output, aligned
from veilflow.errors import VeilError

treatments = App(name="treatments", help="List what can be done to a column, or show one treatment.")


@treatments.command(name="list")
def list_treatments(*, common: Common = HERE) -> int:
    """List the treatments: what each does, which types it takes, and whether it can be reversed."""
    from veilflow.treatments import TREATMENTS
    from veilflow.treatments.catalogue import describe

    output = Output(common.json, common.quiet)
    found = [describe(name) for name in TREATMENTS]
    if common.json:
        output.document({"schema": "veilflow/treatments/1", "treatments": found})
        return 0
    rows = [("treatment", "takes", "key", "what it does")]
    rows += [(one["name"], _takes(one), ", ".join(one["uses"]) or "-", one["summary"]) for one in found]
    for line in aligned(rows):
        output.result(line)
    return 0


@treatments.command(name="show")
def show_treatment(name: str, *, common: Common = HERE) -> int:
    """Show a treatment: parameters with defaults and ranges, types, what may be said of its output, an example."""
    from difflib import get_close_matches

    from veilflow.treatments import TREATMENTS
    from veilflow.treatments.catalogue import describe

    output = Output(common.json, common.quiet)
    if name not in TREATMENTS:
        near = get_close_matches(name, TREATMENTS, n=1)
        raise VeilError(
            "VEIL205", f'there is no treatment "{name}"',
            (f"did you mean {near[0]}? " if near else "") + "`veil treatments list` shows them",
        )  # fmt: skip
    found = describe(name)
    if common.json:
        output.document({"schema": "veilflow/treatment/1", **found})
        return 0
    for line in _lines(found):
        output.result(line)
    return 0


def _lines(found: Mapping[str, Any]) -> list[str]:
    traits = found["traits"]
    lines = [f"{found['name']}  {found['summary']}", ""]
    rows = [(one["name"], _default(one), one["range"] or "-") for one in found["parameters"]]
    lines += aligned([("parameter", "default", "takes"), *rows]) if rows else ["no parameters"]
    yes = {True: "yes", False: "no"}
    lines += [
        "",
        f"types       {_takes(found)}",
        f"output      {traits['looks_like']}",
        f"key         {', '.join(found['uses']) or 'none'}",
        f"reversible  {yes[traits['reversible']]}",
        f"unique-safe {yes[traits['unique_safe']]}",
        f"linkable    {yes[traits['linkable']]}",
        "",
        "example",
        *(f"  {line}" for line in found["example"].splitlines()),
    ]
    return lines


def _default(parameter: Mapping[str, Any]) -> str:
    return "required" if parameter["required"] else repr(parameter["default"])


def _takes(found: Mapping[str, Any]) -> str:
    return ", ".join(found["takes"])
