"""``veil keys``: the life of the key ring's versions. No key is ever shown, and none is an argument."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output, aligned
from veilflow.errors import VeilError

if TYPE_CHECKING:
    from veilflow.config import NamesConfig
    from veilflow.keys import KeyRing
    from veilflow.secret_stores.session import Session

keys = App(
    name="keys", help="List the key ring's versions; add, promote, retire, rotate or destroy one; re-key a table."
)

Out = Annotated[
    Path | None, Parameter(help="Write the new ring to this new file instead of its store, for one that is read-only.")
]


@keys.command(name="list")
def list_keys(*, common: Common = HERE) -> int:
    """List the versions of the key ring: state, age, and how many runs used each."""
    from veilflow.run.keyring import open_ring

    output, names = _begin(common)
    with _store(common, names, output) as session:
        ring = open_ring(session, names, names.keyring)
    _show(output, common, ring, names, "listed", None)
    return 0


@keys.command
def add(*, out: Out = None, common: Common = HERE) -> int:
    """Add a new version, ready to be promoted. Runs go on with the active one."""
    from veilflow.keys import lifecycle, random_root

    root = random_root()
    return _change(common, "added", None, out, lambda ring, now: lifecycle.add(ring, root, now))


@keys.command
def promote(version: int, *, out: Out = None, common: Common = HERE) -> int:
    """Make a version that is ready the active one: runs make pseudonyms under it from now on."""
    from veilflow.keys import lifecycle

    return _change(common, "promoted", version, out, lambda ring, now: lifecycle.promote(ring, version, now))


@keys.command
def retire(version: int, *, out: Out = None, common: Common = HERE) -> int:
    """Let a version only open what was made with it: no run can use it any more."""
    from veilflow.keys import lifecycle

    return _change(common, "retired", version, out, lambda ring, now: lifecycle.retire(ring, version, now))


@keys.command
def rotate(*, out: Out = None, common: Common = HERE) -> int:
    """Add a version and promote it, in one step."""
    from veilflow.keys import lifecycle, random_root

    root = random_root()
    return _change(common, "rotated", None, out, lambda ring, now: lifecycle.rotate(ring, root, now))


@keys.command
def destroy(version: int, *, confirm: str | None = None, out: Out = None, common: Common = HERE) -> int:
    """Take the key of a retired version out of the ring, for ever: what it encrypted can never be opened again.

    Pseudonyms that it made stay where they are.

    Parameters
    ----------
    confirm
        The version's full name, RING/VERSION; asked for on a terminal.
    """
    from veilflow.keys import lifecycle

    _output, names = _begin(common)
    _confirm(f"{names.keyring}/{version}", confirm, common)
    return _change(common, "destroyed", version, out, lambda ring, now: lifecycle.destroy(ring, version, now))


@keys.command
def rekey(
    pipeline: str,
    *,
    to: Annotated[int | None, Parameter(help="The version to take (default: the active one).")] = None,
    direct: bool = False,
    common: Common = HERE,
) -> int:
    """Take a pipeline's table to another key version: open its pseudonyms and make them anew, as a run of its own.

    Only where the key opens every treatment with a key. The source's rows are not read; until all rows are staged and
    verified the table stays as it is.

    Parameters
    ----------
    pipeline
        The pipeline that loads the table.
    direct
        The same plan and code without Prefect.
    """
    from veilflow.cli.commands import _known, _orchestrator, _stopping
    from veilflow.run import Request
    from veilflow.run.rekey import Rekey

    output, project = Output(common.json, common.quiet), common.directory
    _known(project, pipeline)
    request = Request(project, common.environment, pipeline, key_version=to)
    with _stopping(), _orchestrator(project, common.environment, (pipeline,), direct, output) as carry_out:
        result = carry_out(request, Rekey(to))
    output.runs_done(project, [result])
    return result.exit_status


# --- what they share ---------------------------------------------------------------------


def _begin(common: Common) -> tuple[Output, NamesConfig]:
    from veilflow.config import load_names
    from veilflow.run.secrets import check_kinds

    names = check_kinds(load_names(common.directory, common.environment))
    return Output(common.json, common.quiet), names


@contextmanager
def _store(common: Common, names: NamesConfig, output: Output) -> Iterator[Session]:
    """A session, with Prefect's embedded server if the key ring lies in one of its blocks."""
    from veilflow.cli.commands import _stopping, secrets_session

    wanted = () if names.keyring is None else (names.keyring,)
    with _stopping(), secrets_session(common.directory, names, wanted, output) as session:
        yield session


def _change(
    common: Common, done: str, version: int | None, out: Path | None, step: Callable[[KeyRing, str], KeyRing]
) -> int:
    from veilflow.run.keyring import change_ring, open_ring, write_ring
    from veilflow.state import utc_now

    output, names = _begin(common)
    now = utc_now()
    try:
        with _store(common, names, output) as session:
            if out is None:
                _before, ring = change_ring(session, names, names.keyring, lambda ring: step(ring, now))
            else:
                ring = step(open_ring(session, names, names.keyring), now)
                write_ring(ring, out)
    except VeilError as error:
        raise (_with_steps(error, done, version, names) if error.code == "VEIL224" else error) from None
    changed = version or (ring.active if done == "rotated" else max(ring.keys))
    _show(output, common, ring, names, done, changed, out)
    return 0


def _with_steps(error: VeilError, done: str, version: int | None, names: NamesConfig) -> VeilError:
    """What to do by hand where the store cannot be written from here; no step shows a key."""
    command = {"added": "add", "promoted": "promote", "retired": "retire", "rotated": "rotate", "destroyed": "destroy"}
    again = f"veil keys {command[done]}" + ("" if version is None else f" {version}") + " --out ring.json"
    place = names.secrets[names.keyring or ""].ref.path
    return VeilError(
        error.code, error.problem,
        f"1. `{again}` writes the new ring to a file that only you can read. 2. Put its content in the place of {place}, "
        "by the means of that store. 3. `veil keys list` shows whether it is there. 4. Delete ring.json. Or give this "
        "command the right to write there",
        error.place,
    )  # fmt: skip


def _confirm(name: str, given: str | None, common: Common) -> None:
    """VEIL200 unless a person wrote the version's full name, on the terminal or as --confirm."""
    if given is None and sys.stdin.isatty() and not common.no_input:
        print(f"destroy {name}: what it encrypted can never be opened again. Its name, to confirm: ",
              end="", file=sys.stderr, flush=True)  # fmt: skip
        given = sys.stdin.readline().strip()
    if given != name:
        raise VeilError(
            "VEIL200", f"destroying {name} is not confirmed", f"`--confirm {name}` says that you mean this very version"
        )


def _show(
    output: Output, common: Common, ring: KeyRing, names: NamesConfig, done: str, version: int | None,
    out: Path | None = None,
) -> None:  # fmt: skip
    document = _document(ring, names, _runs_by_version(common), done, version, out)
    if output.as_json:
        output.document(document)
        return
    rows = [("version", "state", "created", "changed", "runs")]
    rows += [
        (str(key["version"]), key["state"], key["created"], key["changed"] or "-", str(key["runs"]))
        for key in document["keys"]
    ]
    print("\n".join(aligned(rows)))
    if document["rotation_due"]:
        print(f"rotation of version {ring.active} is due {document['rotation_due'][:10]}")
    if out is not None:
        print(f"next    put {out} in the place of the key ring, then delete it")
    elif version is not None:
        print(f"{done}  version {version}; active is version {ring.active}")


def _document(
    ring: KeyRing, names: NamesConfig, runs: Mapping[int, int], done: str, version: int | None, out: Path | None
) -> dict[str, Any]:
    return {
        "schema": "veilflow/keys/1",
        "keyring": names.keyring,
        "action": done,
        "version": version,
        "written_to": None if out is None else str(out),
        "active": ring.active,
        "rotation_due": _due(ring, names),
        "keys": [
            {"version": number, "state": key.state, "created": key.created, "changed": key.changed,
             "runs": runs.get(number, 0)}
            for number, key in ring.keys.items()
        ],
    }  # fmt: skip


def _due(ring: KeyRing, names: NamesConfig) -> str | None:
    """When the active version should be followed by another: ``rotate_after`` counts from its promotion."""
    from datetime import datetime

    after = names.secrets[names.keyring or ""].rotate_after
    active = ring.keys[ring.active]
    try:
        since = datetime.fromisoformat(active.changed or active.created)
    except ValueError:
        return None
    return None if after is None else (since + after).isoformat(timespec="seconds").replace("+00:00", "Z")


def _runs_by_version(common: Common) -> dict[int, int]:
    """How many runs of this project's record used each version."""
    from collections import Counter

    from veilflow.state import State

    counts: Counter[int] = Counter()
    for run in State(common.directory).runs(limit=-1):
        counts.update(set(run["key_versions"].values()))
    return dict(counts)
