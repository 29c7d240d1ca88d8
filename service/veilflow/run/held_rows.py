"""Opening what runs held back: the key ring for the manifest, a private key for the rows; and what is listed without any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilflow.config import QUARANTINE_DAYS, NamesConfig, load_names, load_pipeline
from veilflow.errors import VeilError
from veilflow.keys import KeyRing, age_identity
from veilflow.model import Containers, KeepsContainers, Wrapped
from veilflow.plan import secrets_needed
from veilflow.quarantine import Entry, FileContainers, Held, Manifest, make_private
from veilflow.run.keyring import open_ring
from veilflow.run.prepare import manifest_keys, target_of
from veilflow.run.wrapping import unwrapped_identity
from veilflow.secret_stores.session import Session
from veilflow.state import State

_FINAL = ("succeeded", "published_unreported")


@dataclass(frozen=True)
class OpenedQuarantine:
    """One run's rows with the keys that open them."""

    held: Held
    document: Mapping[str, Any]
    _own: tuple[str, ...] = field(repr=False)
    _unwrap: Callable[[Wrapped], str] = field(repr=False)

    @cached_property
    def identities(self) -> tuple[str, ...]:
        """The private keys that are at hand; those that a store wrapped are asked of it now. VEIL406 if it refuses."""
        wrapped = dict.fromkeys(entry.wrapped for entry in self.held.kept if entry.wrapped is not None)
        return (*map(self._unwrap, wrapped), *self._own)


@dataclass(frozen=True, slots=True)
class ListedQuarantine:
    """What is known of a run's rows without a key."""

    run_id: str
    pipeline: str
    started: str
    rows: int
    files: int
    erased: int
    expires: str
    status: str
    reasons: tuple[Mapping[str, Any], ...]
    #: The check that the run lets pass which has loaded the rows, if that was a release.
    waived: Mapping[str, Any] | None


def open_quarantine(
    project: Path, environment: str, run_id: str, identity: Path | None, session: Session
) -> OpenedQuarantine:
    """The quarantine of a run (an id, a unique beginning of one, or ``last``), held against its manifest.

    ``identity`` is a file with age private keys, for a pipeline that names a recipient of its own.
    """
    state = State(project)
    document, _plan = state.run(run_id)
    names = load_names(project, environment)
    ring = open_ring(session, names, names.keyring)
    pipeline, directory = document["pipeline"], state.directory / "quarantine" / document["run_id"]
    in_target = _lies_in_target(Manifest(directory, ()).entries())
    containers = _of_target(project, environment, document, names, session) if in_target else FileContainers(directory)
    held = Held(
        directory, manifest_keys(ring, pipeline), containers, rows_recorded=document["counts"]["quarantined"],
        ended=document["status"] in _FINAL, with_chunks=in_target,
    )  # fmt: skip
    own = _identities(ring, pipeline, identity)
    return OpenedQuarantine(held, document, own, lambda wrapped: unwrapped_identity(session, names, wrapped))


def give_up(project: Path, environment: str, run_id: str, session: Session) -> tuple[str, int]:
    """Remove what is left of a run's rows that are not whole, and list them as purged; returns the run's id and how many
    its record says they were. VEIL200 for a run whose rows are whole."""
    state = State(project)
    document, _plan = state.run(run_id)
    _refuse_whole(project, environment, document["run_id"], session)
    names, directory = load_names(project, environment), state.directory / "quarantine" / document["run_id"]
    places: list[Containers] = [FileContainers(directory)]
    if _held_in_target(project, environment, document):
        places.append(_of_target(project, environment, document, names, session))
    for containers in places:
        for name in containers.names():
            containers.remove(name)
    manifest = Manifest(directory, manifest_keys(open_ring(session, names, names.keyring), document["pipeline"]))
    make_private(directory)
    manifest.path.unlink(missing_ok=True)
    rows = document["counts"]["quarantined"]
    manifest.append(Entry("(given up)", 0, rows, "", "", purged=True))
    return document["run_id"], rows


def _refuse_whole(project: Path, environment: str, run_id: str, session: Session) -> None:
    try:
        open_quarantine(project, environment, run_id, None, session)
    except VeilError as error:
        if error.code == "VEIL503":
            return
        raise
    raise VeilError("VEIL200", f"the rows of run {run_id} are whole", f"veil quarantine purge {run_id}")


def secrets_to_open(project: Path, environment: str, run_ids: Sequence[str]) -> tuple[str, ...]:
    """The names of the secrets that opening these runs takes: the key ring's, and the login of a target in which rows
    lie."""
    state, names = State(project), load_names(project, environment)
    wanted = [] if names.keyring is None else [names.keyring]
    for run_id in run_ids:
        with suppress(VeilError):  # what is wrong with a run is told when it is opened
            document, _plan = state.run(run_id)
            if _held_in_target(project, environment, document):
                wanted += secrets_needed(load_pipeline(project, document["pipeline"], environment), names)
    return tuple(dict.fromkeys(wanted))


def _held_in_target(project: Path, environment: str, document: Mapping[str, Any]) -> bool:
    """Whether a run's rows lie in its target: by its manifest, and where that is gone by its pipeline."""
    entries = _entries(State(project).directory / "quarantine" / document["run_id"])
    if entries:
        return _lies_in_target(entries)
    return load_pipeline(project, document["pipeline"], environment).quarantine_store == "target"


def _lies_in_target(entries: Sequence[Entry]) -> bool:
    return any(entry.store == "target" for entry in entries)


def _of_target(
    project: Path, environment: str, document: Mapping[str, Any], names: NamesConfig, session: Session
) -> Containers:
    """The containers in the target of a run. VEIL322 where its pipeline names another one now."""
    pipeline = load_pipeline(project, document["pipeline"], environment)
    config, target = pipeline.target, document["target"]
    if (config.kind, config.table, config.shown) != (target["kind"], target["table"], target["location"]):
        raise VeilError(
            "VEIL322", f"the rows lie in the target of run {document['run_id']}, and its pipeline names another one now",
            "name the target again with which the run was made, for as long as its rows are kept",
        )  # fmt: skip
    opened = target_of(project, pipeline, names, pa.schema([]), session)
    assert isinstance(opened, KeepsContainers)
    return opened.containers(document["run_id"])


def list_quarantine(project: Path, environment: str) -> tuple[ListedQuarantine, ...]:
    """Every run that holds rows back, newest first; opens no key, so nothing is held against the manifests.

    A run is ``not whole`` if its record says that it held rows back and its manifest is gone, or is none.
    """
    state = State(project)
    place = state.directory / "quarantine"
    replays, days = state.replays(), cache(partial(_days, project, environment))
    waived = {run["parent_run"]: run.get("waived") for run in state.runs_among(replays.values())}
    found = []
    for document in state.runs_holding(path.name for path in place.glob("*")):
        directory, recorded = place / document["run_id"], document["counts"]["quarantined"]
        entries = _entries(directory)
        if not entries and not recorded:
            continue
        rows = sum(entry.rows for entry in entries if not entry.purged) if entries else recorded
        files = sum(not entry.purged for entry in entries) if _lies_in_target(entries) else _files(directory)
        found.append(
            ListedQuarantine(
                run_id=document["run_id"], pipeline=document["pipeline"], started=document["started"], rows=rows,
                files=files, erased=sum(entry.erased for entry in entries),
                expires=_expires(document, days(document["pipeline"])), status=_status(document, rows, replays) if entries else "not whole",
                reasons=tuple(document["quarantine"]), waived=waived.get(document["run_id"]),
            )
        )  # fmt: skip
    return tuple(found)


def _entries(directory: Path) -> tuple[Entry, ...]:
    """What the manifest lists; nothing where it cannot be read, which whoever opens the run is told."""
    try:
        return Manifest(directory, ()).entries()
    except VeilError:
        return ()


def _files(directory: Path) -> int:
    return len(FileContainers(directory).names())


def expired(listed: ListedQuarantine, now: datetime) -> bool:
    """Whether the retention of a run's rows is over."""
    return datetime.fromisoformat(listed.expires) <= now


def _days(project: Path, environment: str, pipeline: str) -> int:
    """By the pipeline as it is now; a pipeline that is gone keeps the default."""
    with suppress(VeilError):
        return load_pipeline(project, pipeline, environment).quarantine_days
    return QUARANTINE_DAYS


def _expires(document: Mapping[str, Any], days: int) -> str:
    until = datetime.fromisoformat(document["started"]).astimezone(UTC) + timedelta(days=days)
    return until.isoformat(timespec="seconds").replace("+00:00", "Z")


def _status(document: Mapping[str, Any], rows: int, replays: Mapping[str, str]) -> str:
    if not rows:
        return "empty"
    replay = replays.get(document["run_id"])
    return f"replayed by {replay}" if replay else "held"


def _identities(ring: KeyRing, pipeline: str, identity: Path | None) -> tuple[str, ...]:
    own = [
        age_identity(ring.derive("quarantine", pipeline, version, opening=True).value)[0] for version in ring.versions
    ]
    if identity is None:
        return tuple(own)
    try:
        lines = identity.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise VeilError("VEIL221", "the file of --identity cannot be read", "name a file as `age-keygen` writes it") from None  # fmt: skip
    given = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not given:
        raise VeilError("VEIL222", "the file of --identity holds no key", "name a file as `age-keygen` writes it")
    return (*given, *own)
