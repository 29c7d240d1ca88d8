"""``veil quarantine``: look at rows that were held back, give them back to their pipeline, or remove them for good."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output, aligned, printable, rows_of, waiver_words
from veilflow.errors import VeilError

if TYPE_CHECKING:
    from veilflow.model import Waived
    from veilflow.quarantine import Match
    from veilflow.run.held_rows import ListedQuarantine, OpenedQuarantine
    from veilflow.secret_stores.session import Session

_BEGAN = time.monotonic()

quarantine = App(name="quarantine", help="List, show, export, replay, release or remove rows that were held back.")

Stage = Literal["source", "output", "both"]
Parameters = Annotated[
    tuple[str, ...], Parameter(help="A parameter of the suite, name=value; may be given several times.")
]
Identity = Annotated[
    Path | None, Parameter(help="File with age private keys, where the pipeline names a recipient of its own.")
]


@quarantine.command(name="list")
def list_rows(*, common: Common = HERE) -> int:
    """List the runs that hold rows back: how many, why, until when. Opens no key and shows no value."""
    from veilflow.run.held_rows import list_quarantine

    listed = list_quarantine(common.directory, common.environment)
    if common.json:
        _document(common, "quarantine_list", runs=[{**asdict(one), "reasons": list(one.reasons)} for one in listed])
    elif not listed:
        print("no run holds a row back")
    else:
        print("\n".join(aligned([("run", "pipeline", "rows", "files", "expires", "state"), *map(_listed, listed)])))
    return 0


def _listed(one: ListedQuarantine) -> tuple[str, ...]:
    waived = f"waived: {waiver_words(one.waived)}" if one.waived else ""
    state = ", ".join(part for part in (one.status, f"{one.erased:,} erased" if one.erased else "", waived) if part)
    return one.run_id, one.pipeline, f"{one.rows:,}", f"{one.files:,}", one.expires, state


@quarantine.command
def show(
    run_id: str, *, show_values: bool = False, limit: int = 20, identity: Identity = None, common: Common = HERE
) -> int:
    """Show why a run held rows back; with --show-values the rows themselves, which is recorded.

    Parameters
    ----------
    run_id
        A run's id, a unique beginning of it, or `last`.
    show_values
        Decrypt the rows and print them. Who did so, and when, is written into the project's state first.
    limit
        How many rows.
    """
    with _opened(common, run_id, identity) as opened:
        if not show_values:
            return _show_reasons(opened, common)
        rows, total = _rows(opened, limit), sum(entry.rows for entry in opened.held.kept)
        _record(common, "quarantine show", opened, rows=len(rows))
    if common.json:
        _document(common, "quarantine_rows", run_id=opened.held.run_id, rows=rows, total=total)
        return 0
    for row in rows:
        place = f" of {row['file']}" if row["file"] else ""
        print(printable(f"row {row['position'] + 1}{place}: {'; '.join(row['reasons'])}"))
        for name, value in row["values"].items():
            print(printable(f"    {name} is null" if value is None else f"    {name} = {value}"))
    if len(rows) < total:
        Output(common.json, common.quiet).say(f"{len(rows):,} of {rows_of(total)}: --limit {total} shows all")
    return 0


def _show_reasons(opened: OpenedQuarantine, common: Common) -> int:
    from veilflow.state import State

    reasons, held = opened.document["quarantine"], opened.held
    rows, events = sum(entry.rows for entry in held.kept), State(common.directory).events(held.run_id)
    erased = sum(entry.erased for entry in held.entries)
    if common.json:
        _document(common, "quarantine", run_id=held.run_id, rows=rows, erased=erased, reasons=reasons, events=events)
        return 0
    print(f"run {held.run_id}: {rows_of(rows)} held back, files whole" + (f", {erased:,} erased" if erased else ""))
    for line in aligned([(rows_of(one["rows"]), one["column"] or "", one["reason"]) for one in reasons]):
        print(line)
    for event in events:
        print(_event(event))
    return 0


def _event(event: Mapping[str, Any]) -> str:
    """Who did what and when, with all that was recorded of it: counts, a recipient, what was waived and why."""
    known = ("at", "actor", "action")
    details = ", ".join(f"{name} {value}" for name, value in event.items() if name not in known)
    return printable(f"{event['at']} {event['actor']}: {event['action']}" + (f" ({details})" if details else ""))


def _rows(opened: OpenedQuarantine, limit: int) -> list[dict[str, Any]]:
    from veilflow.model import ROWS_A_FILE
    from veilflow.quarantine import FILE, POSITION, RAW, REASONS

    found: list[dict[str, Any]] = []
    for _entry, table in opened.held.tables(opened.identities):
        for row in table.slice(0, max(limit - len(found), 0)).to_pylist():
            position, file, reasons, raw = row.pop(POSITION), row.pop(FILE), row.pop(REASONS), row.pop(RAW)
            values = row if raw is None else {"(row as read)": raw.decode("utf-8", "backslashreplace")}
            found.append(
                {
                    "position": position % ROWS_A_FILE,
                    "file": file,
                    "reasons": reasons,
                    "values": {n: _plain(v) for n, v in values.items()},
                }
            )
    return found


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


@quarantine.command
def export(run_id: str, *, recipient: str, out: Path, identity: Identity = None, common: Common = HERE) -> int:
    """Write a run's rows to one file that only the named age recipient can open; recorded.

    Parameters
    ----------
    recipient
        An age public key, age1….
    out
        The file to write: an Arrow stream in the age format. It must not exist.
    """
    from veilflow.quarantine import parse_recipient, write_private

    parse_recipient(recipient)
    if out.exists():
        raise VeilError("VEIL200", f"{out} exists", "name a file that does not")
    with _opened(common, run_id, identity) as opened:
        data, rows = opened.held.export(opened.identities, recipient)
        _record(common, "quarantine export", opened, rows=rows, recipient=recipient)
        write_private(out.resolve(), data)
    _say(common, "quarantine_export", f"{rows_of(rows)} in {out}", run_id=opened.held.run_id, rows=rows, out=str(out))
    return 0


@quarantine.command
def replay(
    run_id: str, *, direct: bool = False, param: Parameters = (), identity: Identity = None, common: Common = HERE
) -> int:
    """Give a run's rows to the pipeline as it is now: checked, treated and added to its table, as a run of its own.

    Parameters
    ----------
    run_id
        A run's id, a unique beginning of it, or `last`.
    direct
        The same plan and code without Prefect.
    """
    return _replay(run_id, identity, common, None, param, direct=direct)


@quarantine.command
def release(
    run_id: str, *, waive: str, reason: str, column: str | None = None, stage: Stage | None = None, direct: bool = False,
    param: Parameters = (), identity: Identity = None, common: Common = HERE,
) -> int:  # fmt: skip
    """Replay a run's rows with one check waived; treatment never is.

    Parameters
    ----------
    waive
        The expectation's type, such as expect_column_values_to_be_in_set.
    reason
        Why; recorded with your name.
    column
        The check's column, where several checks have this expectation.
    stage
        The check of the source, which is meant where there is one, of the output, or both.
    direct
        The same plan and code without Prefect.
    """
    from veilflow.model import Waived
    from veilflow.state import login_name

    if not reason.strip():
        raise VeilError("VEIL200", "--reason is empty", "say why the check may be waived for these rows")
    return _replay(run_id, identity, common, Waived(waive, column, reason, stage, login_name()), param, direct=direct)


def _replay(
    run_id: str, identity: Path | None, common: Common, waived: Waived | None, param: tuple[str, ...], *, direct: bool
) -> int:
    from veilflow.cli.commands import _orchestrator, _stopping
    from veilflow.config import parse_parameters
    from veilflow.run import Request
    from veilflow.run.replay import Replay, version_to_join
    from veilflow.state import State

    output, project, parameters = Output(common.json, common.quiet), common.directory, parse_parameters(param)
    with _stopping(), _opened(common, run_id, identity) as opened:
        parent, pipeline = opened.held.run_id, str(opened.document["pipeline"])
        _record(common, "quarantine release" if waived else "quarantine replay", opened, **_recorded(waived))
        version = version_to_join(State(project), opened.document)
        request = Request(project, common.environment, pipeline, _BEGAN, parameters, version)
        with _orchestrator(project, common.environment, (pipeline,), direct, output) as carry_out:
            result = carry_out(request, Replay(parent, opened.held, opened.identities, waived))
    output.runs_done(project, [result])
    return result.exit_status


def _recorded(waived: Waived | None) -> dict[str, str]:
    """What a record says of a waiver; what was not given is not said."""
    if waived is None:
        return {}
    said = {"waived": waived.expectation, "column": waived.column, "stage": waived.stage, "reason": waived.reason}
    return {name: value for name, value in said.items() if value is not None}


@quarantine.command
def purge(*run_ids: str, expired: bool = False, lost: bool = False, common: Common = HERE) -> int:
    """Remove rows for good: of the named runs, or of all whose retention is over; recorded.

    Parameters
    ----------
    expired
        All runs whose rows are older than their pipeline's quarantine.retention_days (default 30).
    lost
        Of runs that are not whole and that no backup restores: remove what is left, and record that the rows are lost.
    """
    from veilflow.run.held_rows import expired as is_over
    from veilflow.run.held_rows import list_quarantine

    if bool(run_ids) == expired or (lost and expired):
        raise VeilError("VEIL200", "name runs, or say --expired", "`veil quarantine list` shows runs and dates")
    if lost:
        return _give_up(common, run_ids)
    if expired:
        listed = list_quarantine(common.directory, common.environment)
        run_ids = tuple(one.run_id for one in listed if (one.rows or one.files) and is_over(one, datetime.now(UTC)))
    purged = {}

    def remove(opened: OpenedQuarantine) -> None:
        purged[opened.held.run_id] = opened.held.purge()
        _record(common, "quarantine purge", opened, rows=purged[opened.held.run_id])

    closed = _each_opened(common, run_ids, None, remove)
    words = ", ".join(f"{run_id}: {rows_of(rows)} removed" for run_id, rows in purged.items()) or "nothing was removed"
    return _told(common, "quarantine_purge", words, closed, purged=purged)


def _give_up(common: Common, run_ids: Sequence[str]) -> int:
    from veilflow.run.held_rows import give_up
    from veilflow.state import State

    lost = {}
    with _session(common, run_ids) as session:
        for one in run_ids:
            run_id, rows = give_up(common.directory, common.environment, one, session)
            State(common.directory).record("quarantine purge --lost", run_id, {"rows": rows})
            lost[run_id] = rows
    words = ", ".join(f"{run_id}: {rows_of(rows)} lost" for run_id, rows in lost.items())
    _say(common, "quarantine_purge", words, purged={}, lost=lost)
    return 0


@quarantine.command
def find(*, subject: bool, column: str | None = None, identity: Identity = None, common: Common = HERE) -> int:
    """Find a person's rows: the value (an e-mail address, an id) is read from stdin, and places are told, no values.

    Parameters
    ----------
    subject
        Read the value from stdin.
    column
        Look in this column only.
    """
    value, names = _subject(subject), set[str]()
    matches: list[Match] = []

    def look(opened: OpenedQuarantine) -> None:
        names.update(opened.held.columns(opened.identities) if column else ())
        found = opened.held.find(value, opened.identities, column)
        _record(common, "quarantine find", opened, rows=len(found))
        matches.extend(found)

    closed = _each_opened(common, _holding(common), identity, look)
    _refuse_unknown(column, names, closed)
    places = [f"row {one.position + 1}" + (f" of {one.source_file}" if one.source_file else "") for one in matches]
    lines = [f"{one.run_id}  {place}  {', '.join(one.columns)}" for one, place in zip(matches, places, strict=True)]
    words = "\n".join(lines) or "no row"
    return _told(common, "quarantine_matches", words, closed, matches=[asdict(one) for one in matches])


@quarantine.command
def erase(*, subject: bool, column: str | None = None, identity: Identity = None, common: Common = HERE) -> int:
    """Erase a person's rows from every quarantine: the value is read from stdin; counts are recorded, never the value.

    Parameters
    ----------
    subject
        Read the value from stdin.
    column
        Look in this column only.
    """
    value, names = _subject(subject), set[str]()
    erased = {}

    def remove(opened: OpenedQuarantine) -> None:
        names.update(opened.held.columns(opened.identities) if column else ())
        rows = opened.held.erase(value, opened.identities, column)
        if rows:
            erased[opened.held.run_id] = rows
            _record(common, "quarantine erase", opened, rows=rows)

    closed = _each_opened(common, _holding(common), identity, remove)
    _refuse_unknown(column, names, closed)
    words = ", ".join(f"{run_id}: {rows_of(rows)} erased" for run_id, rows in erased.items()) or "no row"
    return _told(common, "quarantine_erase", words, closed, erased=erased)


# --- what they share -----------------------------------------------------------------------------


def _subject(asked: bool) -> str:
    if not asked or sys.stdin.isatty():
        raise VeilError("VEIL200", "the value to look for is read from stdin", "veil quarantine find --subject < FILE")
    value = sys.stdin.read().strip()
    if not value:
        raise VeilError("VEIL200", "stdin holds no value", "veil quarantine find --subject < FILE")
    return value


def _refuse_unknown(column: str | None, names: Set[str], closed: Mapping[str, VeilError]) -> None:
    """VEIL200 for a column that no row has: a name that is misspelt would pass for a person who is not there."""
    if column is not None and column not in names and not closed:
        listed = ", ".join(sorted(names)) or "none"
        raise VeilError("VEIL200", f'no row in quarantine has the column "{column}"', f"there are: {listed}")


@contextmanager
def _opened(common: Common, run_id: str, identity: Path | None) -> Iterator[OpenedQuarantine]:
    from veilflow.run.held_rows import open_quarantine

    with _session(common, [run_id]) as session:
        yield open_quarantine(common.directory, common.environment, run_id, identity, session)


def _holding(common: Common) -> tuple[str, ...]:
    """The runs that hold rows."""
    from veilflow.run.held_rows import list_quarantine

    listed = list_quarantine(common.directory, common.environment)
    return tuple(one.run_id for one in listed if one.rows or one.files)


def _each_opened(
    common: Common, run_ids: Sequence[str], identity: Path | None, act: Callable[[OpenedQuarantine], None]
) -> dict[str, VeilError]:
    """Act on each of the runs; returns those that could not be opened, by run. One of them hides no other."""
    from veilflow.run.held_rows import open_quarantine

    closed = {}
    with _session(common, run_ids) as session:
        for run_id in run_ids:
            try:
                act(open_quarantine(common.directory, common.environment, run_id, identity, session))
            except VeilError as error:
                closed[run_id] = error
    return closed


def _told(common: Common, kind: str, words: str, closed: Mapping[str, VeilError], **facts: Any) -> int:
    """What was found or removed, and the runs that could not be opened, of which the command does not say that it did."""
    from veilflow.cli.commands import worst_status
    from veilflow.run.result import error_document

    errors = [{**error_document(error), "run_id": run_id} for run_id, error in closed.items()]
    _say(common, kind, words, **facts, errors=errors)
    if closed and not common.json:
        print(f"not looked into: {', '.join(closed)}", file=sys.stderr)
    Output(common.json, common.quiet).problems(list(closed.values()))
    return worst_status([error.exit_status for error in closed.values()])


@contextmanager
def _session(common: Common, run_ids: Sequence[str]) -> Iterator[Session]:
    """The secret stores, to open the key ring and the targets in which rows of these runs lie."""
    from veilflow.cli.commands import secrets_session
    from veilflow.config import load_names
    from veilflow.run.held_rows import secrets_to_open

    names = load_names(common.directory, common.environment)
    wanted = secrets_to_open(common.directory, common.environment, run_ids)
    with secrets_session(common.directory, names, wanted, Output(common.json, common.quiet)) as session:
        yield session


def _record(common: Common, action: str, opened: OpenedQuarantine, **details: Any) -> None:
    from veilflow.state import State

    State(common.directory).record(action, opened.held.run_id, details)


def _say(common: Common, kind: str, words: str, **facts: Any) -> None:
    if common.json:
        _document(common, kind, **facts)
    else:
        print(words)


def _document(common: Common, kind: str, **facts: Any) -> None:
    Output(common.json, common.quiet).document({"schema": f"veilflow/{kind}/1", **facts})
