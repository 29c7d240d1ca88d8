"""The record of runs and of opened secrets in ``.veil/state.db``, and the lock that one run of a pipeline holds.

Counts, hashes and timings only: no value of a row, no secret. ``.veil`` is made with mode 0700.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

from veilflow.errors import VeilError
from veilflow.model import Access
from veilflow.redaction import redact_document

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_MOMENT_SECONDS = 0.1

_SCHEMA = """
create table if not exists runs (
    run_id text primary key,
    pipeline text not null,
    status text not null,
    started text not null,
    source text not null,
    result text not null,
    plan text,
    beginning text
)
"""
_INDEXES = """
create index if not exists runs_of_pipeline on runs (pipeline, run_id);
create index if not exists runs_that_replay on runs (json_extract(result, '$.parent_run')) where json_extract(result, '$.parent_run') is not null;
create index if not exists runs_that_hold on runs (run_id) where json_extract(result, '$.counts.quarantined') > 0;
"""
#: Of runs that changed their table.
_PUBLISHED = "status in ('succeeded', 'published_unreported') and not coalesce(json_extract(result, '$.dry_run'), 0)"
#: Who opened what and when: only ever appended to, by this program or another.
_ACCESSES = """
create table if not exists accesses (
    time text not null, name text not null, store text not null, kind text not null, version text, lease text
);
create table if not exists disclosures (
    disclosure_id text primary key, time text not null, who text not null, pipeline text not null, policy text not null,
    columns text not null, rows integer not null
);
create table if not exists events (at text not null, actor text not null, action text not null, run_id text, details text not null);
create trigger if not exists events_stay before update on events begin select raise(abort, 'append-only'); end;
create trigger if not exists events_remain before delete on events begin select raise(abort, 'append-only'); end;
create trigger if not exists disclosures_stay before update on disclosures begin select raise(abort, 'append-only'); end;
create trigger if not exists disclosures_remain before delete on disclosures begin select raise(abort, 'append-only'); end;
create trigger if not exists accesses_stay before update on accesses begin select raise(abort, 'append-only'); end;
create trigger if not exists accesses_remain before delete on accesses begin select raise(abort, 'append-only'); end;
"""


def new_run_id(milliseconds: int | None = None) -> str:
    """A ULID: 26 characters that sort by time (48 bits of milliseconds, 80 random bits)."""
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    number = (moment << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def utc_now() -> str:
    """The present moment as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def today() -> date:
    """The present date in UTC."""
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a pipeline's lock, and the run it carries out (empty: none)."""

    run_id: str
    pid: int
    host: str


class State:
    """The directory ``.veil`` of a project."""

    def __init__(self, project: Path) -> None:
        self.directory = project / ".veil"
        self._database = self.directory / "state.db"
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self._database.touch(mode=0o600)
        except OSError:
            raise _unwritable() from None
        with self._connect() as connection:
            connection.execute(_SCHEMA)
            connection.executescript(_ACCESSES)
            if "beginning" not in {row[1] for row in connection.execute("pragma table_info(runs)")}:
                connection.execute("alter table runs add column beginning text")
            connection.executescript(_INDEXES)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection whose work is committed at the end. VEIL101 where the disk is full or the file is damaged."""
        try:
            with closing(sqlite3.connect(self._database, timeout=30)) as connection, connection:
                connection.execute("pragma synchronous = full")
                yield connection
        except sqlite3.Error:
            raise _unwritable() from None

    def save(
        self,
        result: Mapping[str, Any],
        source: str,
        plan: Mapping[str, Any] | None,
        beginning: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a run's document (``veilflow/run/1``); ``source`` is the fingerprint of its input, ``beginning`` what
        was fixed when it began."""
        with self._connect() as connection:
            connection.execute(
                "insert into runs values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (run_id) do update set "
                "status = excluded.status, source = excluded.source, result = excluded.result, "
                "plan = excluded.plan, beginning = excluded.beginning",
                (
                    result["run_id"], result["pipeline"], result["status"], result["started"], source,
                    json.dumps(redact_document(result)), None if plan is None else json.dumps(redact_document(plan)),
                    None if beginning is None else json.dumps(redact_document(beginning)),
                ),
            )  # fmt: skip

    def beginning(self, run_id: str) -> dict[str, Any] | None:
        """What was fixed when the run began; None if it ended before."""
        with self._connect() as connection:
            row = connection.execute("select beginning from runs where run_id = ?", (run_id,)).fetchone()
        return None if row is None or row[0] is None else json.loads(row[0])

    def published_since(self, pipeline: str, moment: str) -> list[dict[str, Any]]:
        """Documents of the pipeline's runs that published and ended after ``moment``."""
        with self._connect() as connection:
            rows = connection.execute(
                f"select result from runs where pipeline = ? and json_extract(result, '$.ended') > ? and {_PUBLISHED}",
                (pipeline, moment),
            ).fetchall()
        return [json.loads(result) for (result,) in rows]

    def next_published(self, pipeline: str, run_id: str) -> str | None:
        """The newest run after ``run_id`` that published rows of the pipeline's source, neither a replay nor a re-key."""
        with self._connect() as connection:
            row = connection.execute(
                f"select run_id from runs where pipeline = ? and run_id > ? and {_PUBLISHED} and json_extract(result, '$.parent_run') is null "
                "and json_extract(result, '$.left_key_versions') is null order by run_id desc limit 1",
                (pipeline, run_id),
            ).fetchone()
        return None if row is None else str(row[0])

    def replays(self) -> dict[str, str]:
        """Which run has published the rows that another one held back, by that one's id; the newest of several."""
        with self._connect() as connection:
            rows = connection.execute(
                "select json_extract(result, '$.parent_run'), run_id from runs "
                f"where json_extract(result, '$.parent_run') is not null and {_PUBLISHED} order by run_id"
            ).fetchall()
        return dict(rows)

    def unfinished(self, pipeline: str) -> list[tuple[dict[str, Any], str]]:
        """Documents and source fingerprints of runs that still say ``running``, newest first.

        Whoever holds the pipeline's lock knows that they are dead.
        """
        with self._connect() as connection:
            rows = connection.execute(
                "select result, source from runs where pipeline = ? and status = 'running' order by run_id desc",
                (pipeline,),
            ).fetchall()
        return [(json.loads(result), source) for result, source in rows]

    def set_status(self, document: Mapping[str, Any], status: str) -> dict[str, Any]:
        """Close a run whose process is dead; returns its document as it is now."""
        changed = {**document, "status": status, "ended": utc_now()}
        with self._connect() as connection:
            connection.execute(
                "update runs set status = ?, result = ? where run_id = ?",
                (status, json.dumps(redact_document(changed)), document["run_id"]),
            )
        return changed

    def record(self, action: str, run_id: str | None, details: Mapping[str, Any]) -> None:
        """Write down who did what with a run's rows, and when; ``details`` hold names and counts, never a value."""
        with self._connect() as connection:
            connection.execute(
                "insert into events values (?, ?, ?, ?, ?)",
                (utc_now(), login_name(), action, run_id, json.dumps(details)),
            )

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """What was recorded of a run, oldest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "select at, actor, action, details from events where run_id = ? order by at", (run_id,)
            ).fetchall()
        return [{"at": at, "actor": actor, "action": action, **json.loads(text)} for at, actor, action, text in rows]

    def runs(self, limit: int) -> list[dict[str, Any]]:
        """The newest runs' documents, newest first."""
        with self._connect() as connection:
            rows = connection.execute("select result from runs order by run_id desc limit ?", (limit,))
            return [json.loads(row[0]) for row in rows]

    def runs_among(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The documents of those runs that are on record, newest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "select result from runs where run_id in (select value from json_each(?)) order by run_id desc",
                (json.dumps(list(run_ids)),),
            )
            return [json.loads(row[0]) for row in rows]

    def runs_holding(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The documents of those runs, and of all that say that they held rows back, newest first."""
        with self._connect() as connection:
            rows = connection.execute(
                "select result from runs where run_id in (select value from json_each(?) union select run_id from runs "
                "where json_extract(result, '$.counts.quarantined') > 0) order by run_id desc",
                (json.dumps(list(run_ids)),),
            )
            return [json.loads(row[0]) for row in rows]

    def run(self, run_id: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """A run's document and its plan's, by id, by a unique beginning of it, or ``last``."""
        with self._connect() as connection:
            if run_id == "last":
                rows = connection.execute("select result, plan from runs order by run_id desc limit 1").fetchall()
            else:
                rows = connection.execute(
                    "select result, plan from runs where substr(run_id, 1, ?) = ?",
                    (len(run_id), run_id.upper()),
                ).fetchall()
        if len(rows) != 1:
            raise VeilError(
                "VEIL204", "no run has this id" if not rows else "several runs begin like this",
                "`veil runs list` shows the runs of this project; `last` names the newest",
            )  # fmt: skip
        result, plan = rows[0]
        return json.loads(result), None if plan is None else json.loads(plan)

    def accessed(self, access: Access) -> None:
        """Record that a secret was opened: its name and place, and the SHA-256 of its lease's id; never a value."""
        facts = (access.time, access.name, access.store, access.kind, access.version, access.lease)
        with self._connect() as connection:
            connection.execute("insert into accesses values (?, ?, ?, ?, ?, ?)", facts)

    def accesses(self, limit: int) -> list[dict[str, Any]]:
        """The newest accesses, newest first."""
        names = ("time", "name", "store", "kind", "version", "lease")
        with self._connect() as connection:
            rows = connection.execute(
                f"select {', '.join(names)} from accesses order by rowid desc limit ?", (limit,)
            ).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def record_disclosure(self, pipeline: str, policy: str, columns: Sequence[str], rows: int) -> str:
        """Write that the user of this process is about to be shown original values; returns the record's id."""
        disclosure = new_run_id()
        facts = (disclosure, utc_now(), login_name(), pipeline, policy, json.dumps(list(columns)), rows)
        with self._connect() as connection:
            connection.execute("insert into disclosures values (?, ?, ?, ?, ?, ?, ?)", facts)
        return disclosure

    def disclosures(self, limit: int) -> list[dict[str, Any]]:
        """The newest showings of original values, newest first."""
        names = ("disclosure_id", "time", "who", "pipeline", "policy", "columns", "rows")
        with self._connect() as connection:
            rows = connection.execute(
                f"select {', '.join(names)} from disclosures order by disclosure_id desc limit ?", (limit,)
            ).fetchall()
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [{**one, "columns": json.loads(one["columns"])} for one in found]

    @contextmanager
    def lock(self, pipeline: str, run_id: str = "", *, wait_until: float | None = None) -> Iterator[None]:
        """Hold the pipeline's lock; the kernel gives it back when the process dies.

        VEIL308 if it is taken, or still is at ``wait_until`` (a ``time.monotonic()`` moment).
        """
        with self._lock_file(pipeline).open("a+") as file:
            # Who asks for the holder takes the lock for a moment: one more try tells it from a run.
            end = max(wait_until or 0.0, time.monotonic() + _MOMENT_SECONDS)
            while not _locked(file, fcntl.LOCK_EX):
                if time.monotonic() > end:
                    raise VeilError(
                        "VEIL308", f"another run of the pipeline {pipeline} is active",
                        "wait until it has ended; `veil runs list` shows it; `on_overlap: wait` in the pipeline waits",
                    )  # fmt: skip
                time.sleep(_MOMENT_SECONDS)
            file.truncate(0)
            file.write(json.dumps({"run_id": run_id, "pid": os.getpid(), "host": os.uname().nodename}))
            file.flush()
            yield

    def holder(self, pipeline: str) -> Holder | None:
        """Who holds the pipeline's lock now."""
        with self._lock_file(pipeline).open("a+") as file:
            if _locked(file, fcntl.LOCK_SH):
                return None
            file.seek(0)
            written = file.read()
        return Holder(**json.loads(written)) if written else None

    def _lock_file(self, pipeline: str) -> Path:
        locks = self.directory / "locks"
        locks.mkdir(mode=0o700, exist_ok=True)
        return locks / f"{pipeline}.lock"


def _locked(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def login_name() -> str:
    """The name of the process's user, by the system and not by a variable that anybody may set."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _unwritable() -> VeilError:
    return VeilError(
        "VEIL101", "the project's directory .veil cannot be written",
        "give the user that runs veil write access to the project, or free some space",
    )  # fmt: skip


def source_fingerprint(files: object) -> str:
    """The text by which a later run knows that its input is the same files (name, size, time, version)."""
    return json.dumps(files, default=lambda value: [value.name, *value.state])


def peak_memory_bytes() -> int:
    """The highest resident size of this process so far (Linux reports kibibytes, macOS bytes)."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else peak * 1024
