"""``veil policy``: what a person who answers for a policy asks before anybody runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output, aligned
from veilflow.errors import VeilError

if TYPE_CHECKING:
    from veilflow.config import PolicyConfig
    from veilflow.run.review import Linted

policy = App(
    name="policy", help="Check a policy, explain a column, show coverage, compare two versions, write schemas."
)


# --- lint --------------------------------------------------------------------------------


@policy.command
def lint(name: str | None = None, *, common: Common = HERE) -> int:
    """Find what is weak: errors refuse plans and runs, warnings may be acknowledged in the policy.

    A pipeline's policy is held against the source's columns and its first rows (for typical lengths; no value is shown).

    Parameters
    ----------
    name
        A pipeline, a policy, or a policy's file (default: every policy of the project).
    """
    from veilflow.cli.commands import worst_status
    from veilflow.run.review import lint_named

    output = Output(common.json, common.quiet)
    linted = lint_named(common.directory, common.environment, name)
    document = _lint_document(linted)
    if common.json:
        output.document(document)
    else:
        for line in _lint_lines(document):
            output.result(line)
    statuses = [3 for one in linted for finding in one.findings if finding.severity == "error"]
    return worst_status(statuses + [error.exit_status for one in linted for error in one.errors])


def _lint_document(linted: Sequence[Linted]) -> dict[str, Any]:
    from veilflow.plan import finding_document
    from veilflow.policies.lint import FINDINGS
    from veilflow.run.result import error_document

    findings = [
        {"policy": one.policy, "pipeline": one.pipeline, **finding_document(found), "hint": FINDINGS[found.code].text}
        for one in linted
        for found in one.findings
    ]
    return {
        "schema": "veilflow/policy_lint/1",
        "policies": [
            {"policy": one.policy, "pipeline": one.pipeline, "source_read": one.source_read} for one in linted
        ],
        "findings": findings,
        "counts": {
            "errors": sum(found["severity"] == "error" for found in findings),
            "warnings": sum(found["severity"] == "warning" and not found["acknowledged"] for found in findings),
            "acknowledged": sum(bool(found["acknowledged"]) for found in findings),
        },
        "errors": [error_document(error) for one in linted for error in one.errors],
    }


def _lint_lines(document: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in document["policies"]:
        used = f"used by {one['pipeline']}" if one["pipeline"] else "used by no pipeline"
        unread = "" if one["source_read"] else ": the source was not read, so only named columns are looked at"
        lines.append(f"policy {one['policy']}, {used}{unread}")
        for finding in document["findings"]:
            if (finding["policy"], finding["pipeline"]) == (one["policy"], one["pipeline"]):
                lines += _finding_lines(finding)
    for error in document["errors"]:
        lines += [f"  error    {error['code']}  {error['problem']}", f"           {error['hint']}"]
    counts = document["counts"]
    lines.append(f"{counts['errors']} errors · {counts['warnings']} warnings · {counts['acknowledged']} acknowledged")
    return lines


def _finding_lines(finding: Mapping[str, Any]) -> list[str]:
    place = finding["place"]
    where = f"  {place['file']}:{place['line']}" if place and place["line"] else f"  {place['file']}" if place else ""
    agreed = finding["acknowledged"]
    if agreed:
        line = f"  agreed   {finding['code']}  {finding['problem']}{where}"
        return [line, f"           {agreed['owner']} until {agreed['expires']}: {agreed['reason']}"]
    return [
        f"  {finding['severity']:<8} {finding['code']}  {finding['problem']}{where}",
        f"           {finding['hint']}",
    ]


# --- explain and coverage ----------------------------------------------------------------


@policy.command
def explain(column: str, *, policy: str | None = None, pipeline: str | None = None, common: Common = HERE) -> int:
    """Tell which rule decides a column, why, and which rules lost.

    Parameters
    ----------
    column
        The column's name.
    policy
        A policy, or its file: tags are not known then.
    pipeline
        A pipeline: its policy with the tags of its `columns:` (default: the only pipeline of the project).
    """
    from veilflow.plan.review import explain_document

    output = Output(common.json, common.quiet)
    rules, labels, known = _policy_of(policy, pipeline, common)
    in_source = None if known is None else column in known
    document = explain_document(column, rules, labels, in_source)
    if common.json:
        output.document(document)
        return 0
    for line in _explain_lines(document, known or list(rules.columns)):
        output.result(line)
    return 0


def _policy_of(
    policy: str | None, pipeline: str | None, common: Common
) -> tuple[PolicyConfig, Mapping[str, Any], list[str] | None]:
    """The policy, the pipeline's labels, and the source's columns where a pipeline was meant."""
    from veilflow.config import load_policy, pipeline_names
    from veilflow.run.prepare import look

    if policy is not None and pipeline is None:
        by_path = Path(policy).suffix in (".yaml", ".yml")
        return load_policy(None if by_path else common.directory, policy), {}, None
    names = pipeline_names(common.directory)
    if pipeline is None and len(names) != 1:
        raise VeilError(
            "VEIL200", "neither --policy nor --pipeline is given, and the project has not exactly one pipeline",
            "name one of: " + (", ".join(names) or "none"),
        )  # fmt: skip
    loaded, schema = look(common.directory, common.environment, pipeline or names[0])
    rules = loaded.policy if policy is None else load_policy(common.directory, policy)
    return rules, loaded.pipeline.labels, [column.name for column in schema.columns]


def _explain_lines(document: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    from difflib import get_close_matches

    column, winner = document["column"], document["decided_by"]
    lines = []
    if document["in_source"] is False:
        near = get_close_matches(column, known, n=1)
        lines.append(f"{column} is not in the source" + (f"; did you mean {near[0]}?" if near else ""))
    if winner:
        place = winner["place"]
        lines.append(f"{column}: {winner['treatment']}, by {winner['matched_by']}  {place['file']}:{place['line']}")
        if winner["treatment_from"]:
            default = winner["treatment_from"]
            lines.append(f"  treatment of its class {winner['class']}  {default['file']}:{default['line']}")
        lines.append(f"  {winner['why']}")
        lines += [f"  reason: {winner['reason']}"] if winner["reason"] else []
    elif document["outcome"] == "tie":
        lines.append(f"{column}: nothing decides it, two rules claim it with equal right")
    else:
        lines.append(f"{column}: no rule matches; unlisted_columns says {document['outcome']}")
    for loser in document["losers"]:
        place = loser["place"]
        lines.append(
            f"  not {loser['matched_by']} ({loser['treatment']})  {place['file']}:{place['line']}: {loser['why']}"
        )
    return lines


@policy.command
def coverage(pipeline: str, *, common: Common = HERE) -> int:
    """Show each column's class, treatment and rule, undecided ones first, and the share that is treated.

    Exits as a run would where a column is undecided or a rule is wrong. Reads no row.
    """
    from veilflow.cli.commands import worst_status
    from veilflow.plan.review import coverage_document
    from veilflow.run.prepare import decide_loaded, look
    from veilflow.run.result import error_document

    output = Output(common.json, common.quiet)
    loaded, schema = look(common.directory, common.environment, pipeline)
    decision = decide_loaded(loaded, schema)
    errors = [error_document(error) for error in decision.errors]
    document = {**coverage_document(decision), "errors": errors}
    if common.json:
        output.document(document)
    else:
        for line in _coverage_lines(document):
            output.result(line)
    return worst_status([error.exit_status for error in decision.errors])


def _coverage_lines(document: Mapping[str, Any]) -> list[str]:
    rows = [("column", "type", "class", "state", "treatment", "decided by")]
    for column in document["columns"]:
        rule = column["rule"]
        by = f"{rule['file']}:{rule['line']}" if rule and rule["line"] else "unlisted_columns" if rule else "no rule"
        words = f"{column['matched_by']}  {by}" if column["matched_by"] else by
        rows.append(
            (column["name"], column["type"], column["class"] or "-", column["state"], column["treatment"], words)
        )
    counts = " · ".join(f"{number} {state}" for state, number in document["counts"].items())
    lines = [*aligned(rows), f"{counts} · {document['share_treated']:.0%} treated or dropped"]
    return lines + [f"error {error['code']}: {error['problem']}" for error in document["errors"]]


# --- diff --------------------------------------------------------------------------------


@policy.command
def diff(old: str, new: str, *, common: Common = HERE) -> int:
    """Compare two policies column by column; exit 3 where the new one is weaker, or not known to be as strict.

    Parameters
    ----------
    old
        A policy's name, or its file.
    new
        The policy that would take its place.
    """
    from veilflow.config import load_policy
    from veilflow.plan.review import diff_document

    output = Output(common.json, common.quiet)

    def load(name: str) -> PolicyConfig:
        return load_policy(None if Path(name).suffix in (".yaml", ".yml") else common.directory, name)

    document = diff_document(load(old), load(new))
    if common.json:
        output.document(document)
    else:
        for line in _diff_lines(document):
            output.result(line)
    return 3 if document["counts"]["weaker"] or document["counts"]["incomparable"] else 0


def _diff_lines(document: Mapping[str, Any]) -> list[str]:
    changed = [change for change in document["changes"] if change["change"] != "same"]
    rows = [(one["change"], one["kind"], one["name"], f"{one['old']} -> {one['new']}") for one in changed]
    lines = aligned(rows)
    lines += [f"fact {one['fact']}: {one['old'] or 'none'} -> {one['new'] or 'none'}" for one in document["facts"]]
    return [*lines, " · ".join(f"{number} {change}" for change, number in document["counts"].items())]


# --- schemas -----------------------------------------------------------------------------


@policy.command
def schema(name: str | None = None, *, out: Path | None = None, common: Common = HERE) -> int:
    """Print the JSON Schemas of pipelines, policies, names and environments, or write them for editors.

    Parameters
    ----------
    name
        One of pipeline, policy, names, environment (default: all of them).
    out
        A directory to write them to; files of the same name are replaced. `veil init` writes them to schemas/.
    """
    from veilflow.plan.schemas import NAMES, schemas

    output = Output(common.json, common.quiet)
    if name is not None and name not in NAMES:
        raise VeilError("VEIL200", f"there is no schema {name}", "there are: " + ", ".join(NAMES))
    found = {one: document for one, document in schemas().items() if name in (None, one)}
    if out is None:
        output.document(found[name] if name else {"schema": "veilflow/schemas/1", "schemas": found})
        return 0
    written = write_schemas(out, found, replace=True)
    if common.json:
        output.document({"schema": "veilflow/schemas_written/1", "directory": str(out), "files": written})
    else:
        output.result(f"written to {out}: {', '.join(written)}")
    return 0


def write_schemas(directory: Path, found: Mapping[str, Any], *, replace: bool) -> list[str]:
    """Write ``NAME.schema.json`` files; returns the names of those that were written. VEIL101 where it cannot."""
    import json

    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, document in found.items():
            path = directory / f"{name}.schema.json"
            if replace or not path.exists():
                path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
                written.append(path.name)
    except OSError:
        raise VeilError(
            "VEIL101", f"{directory} cannot be written", "name a directory where you may write"
        ) from None  # fmt: skip
    return written
