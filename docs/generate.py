"""Write docs/reference and schemas/ from the registries; with --check, say whether it is up to date."""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path

from veilflow.checks import (
    COLUMN_EXPECTATIONS,
    COMPILED_EXPECTATIONS,
    CROSS_EXPECTATIONS,
    REFUSED_EXPECTATIONS,
    ROW_EXPECTATIONS,
    TABLE_EXPECTATIONS,
)
from veilflow.errors import CODES, EXIT_STATUS
from veilflow.plan.schemas import schemas
from veilflow.policies.lint import FINDINGS
from veilflow.treatments import TREATMENTS, parameter_name

REFERENCE = Path(__file__).parent / "reference"
SCHEMAS = Path(__file__).parent.parent / "schemas"


def errors() -> str:
    """One section a status, one entry a code."""
    lines = ["# Error codes", "", "The first digit is the exit status. `veil explain CODE` tells the same offline.", ""]
    for status, meaning in EXIT_STATUS.items():
        lines += [f"## {status}: {meaning}", ""]
        for code, entry in CODES.items():
            if code.startswith(f"VEIL{status}"):
                lines += [f"**{code}** {entry.title}. {entry.text}", ""]
    return "\n".join(lines)


def treatments() -> str:
    """One row a treatment."""
    lines = ["# Treatments", "", "| treatment | what it does | parameters | takes |", "|---|---|---|---|"]
    for treatment in TREATMENTS.values():
        parameters = ", ".join(
            f"`{parameter_name(field.name)}`" + ("" if field.default is MISSING else f" = `{field.default!r}`")
            for field in fields(treatment.parameters)
            if field.init
        )
        lines.append(
            f"| `{treatment.name}` | {treatment.summary} | {parameters or '-'} | {', '.join(sorted(treatment.takes))} |"
        )
    return "\n".join([*lines, ""])


def expectations() -> str:
    """The row expectations."""
    lines = [
        "# Expectations",
        "",
        "Of Great Expectations 1.x, judged on every row; other types are refused by the plan. Those marked compiled run as",
        "Arrow kernels with the same verdicts; `veil plan` shows each check's engine.",
        "",
    ]
    lines += [
        f"- `{name}`{' (compiled)' if name in COMPILED_EXPECTATIONS else ''}" for name in sorted(ROW_EXPECTATIONS)
    ]
    lines += [
        "",
        "## About the whole table",
        "",
        "Counted over the stream, every row that was read; they refuse or warn, and hold no row back.",
        "",
    ]
    lines += [f"- `{name}`" for name in sorted(TABLE_EXPECTATIONS.keys() - COLUMN_EXPECTATIONS.keys())]
    lines += ["", "## About the columns", "", "Decided by the plan, before a row is read.", ""]
    lines += [f"- `{name}`" for name in sorted(COLUMN_EXPECTATIONS)]
    lines += ["", "## Across tables", "", "The output beside another table, in the transaction that publishes.", ""]
    lines += [f"- `{name}`" for name in sorted(CROSS_EXPECTATIONS)]
    lines += ["", "## Refused", "", "Great Expectations has them; the plan refuses them by name (VEIL305).", ""]
    lines += [f"- `{name}`: {reason}" for name, reason in sorted(REFUSED_EXPECTATIONS.items())]
    return "\n".join([*lines, ""])


def commands() -> str:
    """Every command with its options, as its ``--help`` says."""
    from veilflow.cli.commands import app

    statuses = [f"- {status}: {meaning}" for status, meaning in ({0: "done"} | EXIT_STATUS).items()]
    ends = "Exit status, the same for all:\n\n" + "\n".join([*statuses, "- 130, 143: stopped by a signal"])
    return f"{app.generate_docs().strip()}\n\n{ends}\n"


def findings() -> str:
    """One entry a finding of the linter."""
    lines = ["# Findings of `veil policy lint`", ""]
    lines += ["Errors refuse plans and runs (VEIL311). Warnings are shown, and a policy may acknowledge them.", ""]
    for severity in ("error", "warning"):
        lines += [f"## {severity}s", ""]
        for code, kind in FINDINGS.items():
            if kind.severity == severity:
                lines += [f"**{code}** {kind.title}. {kind.text}", ""]
    return "\n".join(lines)


PAGES = {
    "errors.md": errors,
    "findings.md": findings,
    "treatments.md": treatments,
    "expectations.md": expectations,
    "commands.md": commands,
}


def documents() -> dict[Path, str]:
    """Every generated file with its text: the reference, and the schemas of the sample project."""
    pages = {REFERENCE / name: page() for name, page in PAGES.items()}
    return pages | {
        SCHEMAS / f"{name}.schema.json": json.dumps(schema, ensure_ascii=False, indent=1) + "\n"
        for name, schema in schemas().items()
    }


def main() -> int:
    """Write the files, or compare them."""
    stale = []
    for path, text in documents().items():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
