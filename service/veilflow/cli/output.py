"""What a person reads on the terminal, and the one JSON document that says the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veilflow.errors import Code, VeilError
from veilflow.redaction import redact_document

if TYPE_CHECKING:
    from veilflow.model import RunResult
    from veilflow.plan import Decision
    from veilflow.policies.lint import FindingKind
    from veilflow.run.on_demand import Anonymized, Preview
    from veilflow.run.stage import OnProgress


class Output:
    """stdout takes results, stderr words and progress; with ``as_json`` stdout gets exactly one document."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.as_json, self.quiet = as_json, quiet
        self._warnings: list[dict[str, Any]] | None = None

    def document(self, document: Mapping[str, Any]) -> None:
        warned = {} if self._warnings is None else {"warnings": self._warnings}
        print(json.dumps(redact_document({**document, **warned}), ensure_ascii=False, indent=1))

    def warnings(self, found: Sequence[VeilError]) -> None:
        """Words on stderr, and ``warnings`` in the document; they change no exit status."""
        from veilflow.run.result import error_document

        self._warnings = [error_document(one) for one in found]
        for one in found:
            self.say(f"warning {one.code}: {one.place}: {one.problem}\nhint: {one.hint}")

    def say(self, words: str) -> None:
        """A word for a person on stderr; silent with --quiet."""
        if not self.quiet:
            print(words, file=sys.stderr, flush=True)

    def result(self, words: str) -> None:
        """A result on stdout, unless stdout belongs to a JSON document."""
        if not self.as_json:
            print(words)

    # --- errors ---

    def errors(self, error: VeilError) -> int:
        """Print an error, or all of several, and return its exit status."""
        if self.as_json:
            from veilflow.run.result import error_document

            self.document(
                {
                    "schema": "veilflow/error/1",
                    "exit_status": error.exit_status,
                    "errors": [error_document(one) for one in error.parts],
                }
            )
        self.problems(error.parts)
        return error.exit_status

    def problems(self, errors: Sequence[Any]) -> None:
        """Errors and their hints on stderr, also with --quiet."""
        for error in errors:
            where = f"{error.place}: " if error.place else ""
            print(f"{red('error')} {error.code}: {where}{error.problem}", file=sys.stderr)
            print(f"hint: {error.hint}", file=sys.stderr)

    # --- commands ---

    def init(self, directory: Path, made: Sequence[str]) -> None:
        if self.as_json:
            self.document({"schema": "veilflow/init/1", "directory": str(directory), "made": list(made)})
            return
        if not self.quiet:
            print(f"made: {', '.join(made)}" if made else "nothing to do: the project and its key ring are there")
            print("next  veil plan people · veil run people")

    def plan(self, decision: Decision, document: Mapping[str, Any]) -> None:
        if self.as_json:
            self.document(document)
        else:
            for line in plan_lines(document, decision):
                print(line)
        self.problems(decision.errors)
        if decision.errors and not self.as_json:
            count = len(decision.errors)
            print(f"blocked by {count} problem{'s' if count > 1 else ''}; veil run would exit {document['would_exit']}")

    def preview(self, shown: Preview) -> None:
        if self.as_json:
            self.document(
                {
                    "schema": "veilflow/preview/1",
                    "columns": list(shown.columns),
                    "treatments": list(shown.treatments),
                    "rows": [
                        {"before": list(before), "after": list(after)}
                        for before, after in zip(shown.before, shown.after, strict=True)
                    ],
                    "held": shown.held,
                    "values": "shapes" if shown.disclosure is None else "originals",
                    "disclosure": shown.disclosure,
                }
            )
            return
        for before, after in zip(shown.before, shown.after, strict=True):
            rows = [("column", "before (shape)" if shown.disclosure is None else "before", "after", "treatment")]
            rows += zip(shown.columns, map(printable, before), map(printable, after), shown.treatments, strict=True)
            print("\n".join(aligned(rows)) + "\n")
        if shown.disclosure:
            self.say(f"originals were shown: recorded as {shown.disclosure}; veil runs disclosures lists them")
        if shown.held:
            print(f"{shown.held} of the first rows cannot be read and are not shown")

    def disclosures(self, found: Sequence[Mapping[str, Any]]) -> None:
        if self.as_json:
            self.document({"schema": "veilflow/disclosures/1", "disclosures": list(found)})
            return
        if not found:
            print("nobody was shown original values")
            return
        rows = [("time", "who", "pipeline", "policy", "rows", "columns")]
        for one in found:
            rows.append(
                (one["time"], one["who"], one["pipeline"], one["policy"], str(one["rows"]), ", ".join(one["columns"]))
            )
        print("\n".join(aligned(rows)))

    def anonymized(self, source: Path, out: Path, done: Anonymized) -> None:
        if self.as_json:
            self.document(
                {
                    "schema": "veilflow/anonymize/1",
                    "out": str(out),
                    "counts": {"read": done.counts.read, "loaded": done.counts.loaded,
                               "quarantined": done.counts.quarantined, "filtered": done.counts.filtered},
                    "left_out": [
                        {"column": left.column, "reason": left.reason, "rows": left.rows} for left in done.left_out
                    ],
                    "columns": [
                        {"name": name, "class": classification, "treatment": treatment}
                        for name, classification, treatment in done.columns
                    ],
                }
            )  # fmt: skip
            return
        from veilflow.run.on_demand import left_out_words

        print(f"{source}  {done.counts.read:,} read · {done.counts.loaded:,} written to {out}")
        for left in done.left_out:
            print(f"LEFT OUT  {rows_of(left.rows)}: {left_out_words(left)}")
        print("\n".join(aligned([("column", "class", "treatment"), *done.columns])))
        print("key     made for this call and forgotten: these pseudonyms match no other run's")

    def deployed(self, name: str, work_pool: str, cron: str) -> None:
        if self.as_json:
            self.document({"schema": "veilflow/deployment/1", "deployment": name, "work_pool": work_pool, "cron": cron})
            return
        print(f"{name} runs at {cron} (UTC)")
        print(f"next  prefect worker start --pool {work_pool} --type process")

    def explained(self, code: str, entry: Code) -> None:
        if self.as_json:
            self.document({"schema": "veilflow/explain/1", "code": code, "title": entry.title, "text": entry.text})
            return
        from veilflow.errors import EXIT_STATUS

        status = int(code.removeprefix("VEIL")[0])
        print(f"{code}  {entry.title}\n\n{entry.text}\n\nexit status {status}: {EXIT_STATUS[status]}")

    def finding_explained(self, code: str, kind: FindingKind) -> None:
        if self.as_json:
            entry = {"code": code, "severity": kind.severity, "title": kind.title, "text": kind.text}
            self.document({"schema": "veilflow/explain/1", **entry})
            return
        print(f"{code}  {kind.title} ({kind.severity})\n\n{kind.text}")

    def codes(self, codes: Mapping[str, Code]) -> None:
        if self.as_json:
            listed = [{"code": code, "title": entry.title} for code, entry in codes.items()]
            self.document({"schema": "veilflow/codes/1", "codes": listed})
            return
        print("\n".join(aligned([(code, entry.title) for code, entry in codes.items()])))

    # --- runs ---

    def runs_done(self, project: Path, results: Sequence[RunResult]) -> None:
        from veilflow.run import run_document

        documents = [run_document(result) for result in results]
        if self.as_json:
            self.document(documents[0] if len(documents) == 1 else {"schema": "veilflow/runs/1", "runs": documents})
        for result, document in zip(results, documents, strict=True):
            if not self.as_json:
                print("\n".join(run_lines(document, _plan_of(project, result.run_id))))
            self.problems(result.errors)

    def run_list(self, documents: Sequence[Mapping[str, Any]]) -> None:
        if self.as_json:
            self.document({"schema": "veilflow/run_list/1", "runs": list(documents)})
            return
        if not documents:
            print("no run yet; `veil run people` makes one")
            return
        rows = [("run", "pipeline", "status", "started", "read", "loaded", "quarantined", "filtered")]
        for run in documents:
            counts = [f"{run['counts'][name]:,}" for name in ("read", "loaded", "quarantined", "filtered")]
            status = run["status"] + (" (dry run)" if run.get("dry_run") else "")
            rows.append((run["run_id"], run["pipeline"], status, run["started"], *counts))
        print("\n".join(aligned(rows)))

    def run_shown(self, document: Mapping[str, Any], plan: Mapping[str, Any] | None) -> None:
        if self.as_json:
            self.document(document)
            return
        print(f"run     {document['run_id']} · {document['status']} · {document['started']}")
        print("\n".join(run_lines(document, plan)))
        for line in access_lines(document):
            print(line)
        for error in document["errors"]:
            print(f"error   {error['code']}: {error['problem']}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], OnProgress]]:
        """Yield a function that makes a pipeline's progress display: live on a terminal, lines elsewhere."""
        from veilflow.cli.progress import Lines, Live

        if self.quiet:
            yield lambda _pipeline: lambda _progress: None
        elif sys.stderr.isatty():
            with Live() as live:
                yield live.pipeline
        else:
            yield Lines().pipeline


def _plan_of(project: Path, run_id: str) -> Mapping[str, Any] | None:
    from veilflow.state import State

    try:
        return State(project).run(run_id)[1]
    except VeilError:
        return None


# --- words -------------------------------------------------------------------------------


def run_lines(document: Mapping[str, Any], plan: Mapping[str, Any] | None) -> list[str]:
    """A run's summary: what was read, what happened to it, where it is, what to try next."""
    counts, seconds = document["counts"], document["seconds"]
    work = sum(value for name, value in seconds.items() if name != "start_up")
    timing = f"{work:.1f} s of work"
    if "start_up" in seconds:
        timing += f", {seconds['start_up']:.1f} s to start"
    lines = [
        f"{document['pipeline']}  {counts['read']:,} read · {counts['loaded']:,} loaded · "
        f"{counts['quarantined']:,} quarantined · {counts['filtered']:,} filtered      {timing}"
    ]
    if plan:
        lines.append(f"        {_treatment_counts(plan)}       policy {plan['policy']} ({plan['policy_hash'][:15]}…)")
    lines += [f"rows    held back by run {document['parent_run']}"] if document["parent_run"] else []
    lines += [f"waived  {waiver_words(waived)}"] if (waived := document.get("waived")) else []
    held = [
        ("FAIL", row["reason"] if row["column"] is None or row["expectation"] else f"{row['column']} {row['reason']}",
         rows_of(row["rows"]), "quarantined", _place_text(row["place"]))
        for row in document["quarantine"]
    ]  # fmt: skip
    warned = [
        ("WARN", check["title"], rows_of(check["failed"]) if check["failed"] else "", "loaded", _place_text(check["place"]))
        for check in document.get("checks", ()) if check["on_fail"] == "warn" and check["evaluated"] and (check["failed"] or not check["passed"])
    ]  # fmt: skip
    lines += aligned(held + warned)
    target = document["target"]
    lines += [f"reads   {words}" for words in _window(document.get("incremental"))]
    if document.get("incremental") and document["status"] == "succeeded" and not counts["read"]:
        lines.append("nothing new")
    if document.get("resumed_chunks") is not None:
        lines.append(f"resumed {document['resumed_chunks']:,} of {document['chunks']:,} chunks were staged before")
    if left := document.get("left_key_versions"):
        moves = [
            f"{domain} {version} -> {document['key_versions'].get(domain, '?')}" for domain, version in left.items()
        ]
        lines.append(f"re-keyed  {', '.join(moves)}")
    if document.get("dry_run") and document["status"] == "succeeded":
        lines.append("dry run: nothing was published; the target was left as it was")
        lines.append(f"next    veil run {document['pipeline']}")
    elif document["status"] == "succeeded":
        lines.append(f"target  {target['location']}, table {target['table']}")
        lines.append(f"next    {_next(document)}")
    elif document["status"] == "published_unreported":
        lines.append(f"target  {target['location']}, table {target['table']}: run {document['run_id']} had published "
                     "before its process died; its record is closed now and nothing was loaded again")  # fmt: skip
    else:
        untouched = " · the target was left as it was" if target["table"] else ""
        lines.append(f"{document['status']}{untouched}")
        if document.get("resumable"):
            lines.append(f"next    veil runs resume {document['run_id']}")
        elif counts["quarantined"]:
            lines.append(f"next    veil quarantine show {document['run_id']}")
    return lines


def waiver_words(waived: Mapping[str, Any]) -> str:
    """Which check a release lets pass, who says so, and why."""
    column = f" of {waived['column']}" if waived["column"] else ""
    stage = f", stage {waived['stage']}" if waived["stage"] else ""
    return printable(f"{waived['expectation']}{column}{stage}, by {waived['by']}: {waived['reason']}")


def _window(found: Mapping[str, Any] | None) -> list[str]:
    """What an incremental run read, and where its watermark stands."""
    if found is None:
        return []
    if found["files"] is not None:
        return [f"{found['files']['read']:,} new files · {found['files']['skipped']:,} were read before"]
    window, mark, column = found["window"], found["watermark"], found["column"]
    low = "" if window["low"] is None else f"{window['low']} {'<=' if window['low_included'] else '<'} "
    high = "" if window["high"] is None else f" {'<=' if window['high_included'] else '<'} {window['high']}"
    rows = f"{low}{column}{high}" if low or high else f"every {column}"
    stays = mark["before"] == mark["after"]
    moved = f"stays at {mark['after']}" if stays else f"moved from {mark['before'] or 'nothing'} to {mark['after']}"
    return [f"{rows} · watermark {'not set' if stays and mark['after'] is None else moved}"]


def access_lines(document: Mapping[str, Any]) -> list[str]:
    """The secrets that a run opened: name, store, version, hash of the lease's id, time."""
    return aligned([
        ("opened", one["name"], f"{one['store']} ({one['kind']})", f"version {one['version']}" if one["version"] else "",
         f"lease {one['lease'][:12]}…" if one["lease"] else "", one["time"])
        for one in document.get("accesses", ())
    ])  # fmt: skip


def _treatment_counts(plan: Mapping[str, Any]) -> str:
    columns = plan["columns"]
    undecided = sum(1 for column in columns if column["treatment"] == "undecided")
    dropped = sum(1 for column in columns if column["outcome"] == "drop")
    kept = sum(1 for column in columns if column["treatment"] == "keep")
    treated = len(columns) - dropped - kept - undecided
    words = f"{treated} columns treated · {kept} kept with a reason · {dropped} dropped"
    return f"{words} · {undecided} undecided" if undecided else words


def _next(document: Mapping[str, Any]) -> str:
    pipeline, target = document["pipeline"], document["target"]
    steps = [f"veil preview {pipeline}", f"veil report {document['run_id']}"]
    if document["counts"]["quarantined"]:
        steps.append(f"veil quarantine show {document['run_id']}")
    if target["kind"] == "sqlite":
        steps.append(f"sqlite3 {target['location']} 'select * from \"{target['table']}\" limit 3'")
    return " · ".join(steps)


def plan_lines(document: Mapping[str, Any], decision: Decision) -> list[str]:
    """One line a column, undecided first; then checks, publishing and secrets."""
    columns = sorted(document["columns"], key=lambda column: column["rule"] is not None)
    rows = [("column", "type", "class", "treatment", "key domain", "decided by")]
    for column in columns:
        undecided = column["rule"] is None and column["treatment"] == "undecided"
        rows.append(
            (
                column["name"], column["type"], column["class"] or "-", column["treatment"],
                column["key_domain"] or "-",
                "no rule" if undecided else _place_text(column["rule"]) or "unlisted_columns",
            )
        )  # fmt: skip
    lines = aligned(rows)
    lines = [red(line) if row[5] == "no rule" else line for line, row in zip(lines, rows, strict=True)]
    plan = decision.plan
    lines += [
        f"check   {check.title}  {check.stage}, {check.kind}, {check.engine}, {check.on_fail}  {check.place}"
        for check in plan.checks
    ]
    lines += [f"filter  {rule.name}: {rule.column} {rule.op}  {rule.place}" for rule in plan.filters]
    source, target = plan.source, plan.target
    files = f": {source.files:,} file{'s' * (source.files > 1)}" if source.files else ""
    workers = f", {source.workers} worker{'s' * (source.workers > 1)}" if source.workers else ""
    lines.append(f"source  {source.kind} {source.location}{files}{workers}")
    how = f" by {target.publish}" if target.publish else ""
    lines.append(
        f"target  {target.kind} {target.location}, table {target.table}: {target.mode}{how}; "
        f"rows that it refuses: {target.on_refused_row}"
    )
    lines += [f"hint    {hint}" for hint in decision.hints]
    if target.added:
        lines.append(f"adds    {', '.join(target.added)}: null in the rows that are there")
    lines += ["holds   rows in quarantine: in the target, beside its staging"] if plan.held_in == "target" else []
    lines += [f"reads   {words}" for words in _reads(document)]
    lines.append(f"secrets {', '.join(document['secrets']) or 'none'}")
    lines += [
        f"exempt  {_place_text(one['place'])} is said to be no secret: {one['reason']}"
        for one in document["unsafe_not_a_secret"]
    ]
    return lines + finding_lines(document["findings"])


def _reads(document: Mapping[str, Any]) -> list[str]:
    """What an incremental pipeline would read."""
    by, checkpoint = document["incremental"], document.get("checkpoint")
    if by is None:
        return []
    lag = "" if by["lag"] == "0" else f", less {by['lag']}"
    if checkpoint is not None and not checkpoint["current"]:
        return ["nothing: the checkpoint is one of another source, policy or filter; veil run --full reads everything"]
    if by["files"] == "new":
        whole = checkpoint is None
        return ["every file, and from then on new ones" if whole else "the files that were not read before"]
    if checkpoint is None:
        return [f"everything, and from then on what is new by {by['column']}{lag}"]
    return [f"what is new by {by['column']}: from its watermark {checkpoint['watermark']}{lag}"]


def finding_lines(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The linter's warnings, a line each; those that somebody answers for are counted. Errors stand among the errors."""
    warnings = [finding for finding in findings if finding["severity"] == "warning"]
    open_ones = [finding for finding in warnings if not finding["acknowledged"]]
    lines = [f"warning {one['code']} {one['problem']}  {_place_text(one['place'])}" for one in open_ones]
    agreed = len(warnings) - len(open_ones)
    return lines + ([f"agreed  {agreed} warnings are acknowledged: veil policy lint"] if agreed else [])


def _place_text(place: Mapping[str, Any] | None) -> str:
    if not place:
        return ""
    return f"{place['file']}:{place['line']}" if place["line"] else str(place["file"])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with their cells under each other."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def rows_of(count: int) -> str:
    """A count of rows in words."""
    return f"{count:,} row{'s' * (count != 1)}"


def printable(text: str) -> str:
    """A value as a terminal may have it: what would steer the terminal, or begin a line of its own, is escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def red(words: str) -> str:
    """Red on a terminal that wants colour; NO_COLOR and pipes get the plain words."""
    from veilflow.config import settings

    return f"\x1b[31m{words}\x1b[0m" if sys.stderr.isatty() and not settings().no_color else words
