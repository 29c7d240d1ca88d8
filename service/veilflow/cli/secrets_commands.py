"""``veil secrets``: where secrets lie, how old they are, and whether they can be read. No value is ever shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from veilflow.cli.options import HERE, Common
from veilflow.cli.output import Output, aligned

if TYPE_CHECKING:
    from veilflow.errors import VeilError
    from veilflow.run.secret_report import Checked, Listed
    from veilflow.run.store_policy import Difference, StorePolicy

secrets = App(
    name="secrets", help="List secrets, check that they can be read, or print the policy that a pipeline needs."
)


@secrets.command(name="list")
def list_secrets(*, accesses: bool = False, limit: int = 50, common: Common = HERE) -> int:
    """List the secrets by name: store, age, owner, and when each should be changed. Opens none.

    Parameters
    ----------
    accesses
        Instead, the newest openings of secrets in this project: when, which, from which store, which version.
    limit
        How many of them.
    """
    from veilflow.cli.commands import _stopping, secrets_session
    from veilflow.config import load_names
    from veilflow.run.secret_report import list_secrets as look
    from veilflow.run.secrets import check_kinds
    from veilflow.state import State

    output, project = Output(common.json, common.quiet), common.directory
    if accesses:
        _show_accesses(output, State(project).accesses(limit))
        return 0
    names = check_kinds(load_names(project, common.environment))
    with _stopping(), secrets_session(project, names, names.secrets, output) as session:
        found = look(session, names)
    _show_list(output, [listed_document(one, datetime.now(UTC)) for one in found])
    return 0


@secrets.command
def check(*names: str, common: Common = HERE) -> int:
    """Open each secret (or the named ones) and tell its length and time to live; what that issued is revoked.

    The project's files are searched for texts that look like secrets as well.

    Parameters
    ----------
    names
        Names of secrets/names.yaml.
    """
    from veilflow.cli.commands import _stopping, secrets_session, worst_status
    from veilflow.config import load_names, suspicious
    from veilflow.run.secret_report import check_secrets
    from veilflow.run.secrets import check_kinds

    output, project = Output(common.json, common.quiet), common.directory
    output.warnings(suspicious(project))
    known = check_kinds(load_names(project, common.environment))
    with _stopping(), secrets_session(project, known, names or known.secrets, output) as session:
        found = check_secrets(session, known, names)
    _show_checks(output, found)
    return worst_status([one.error.exit_status for one in found if one.error])


@secrets.command
def policy(pipeline: str, *, check: bool = False, common: Common = HERE) -> int:
    """Print the least-privilege policy, in HCL for Vault or OpenBao, for the secrets that a pipeline's run opens.

    Parameters
    ----------
    check
        Log in, and tell where the present login's policy allows less or more than that.
    """
    from veilflow.cli.commands import _stopping, secrets_session
    from veilflow.config import load_names, load_pipeline
    from veilflow.run.secrets import check_kinds
    from veilflow.run.store_policy import differences, policies_for, refused

    output, project = Output(common.json, common.quiet), common.directory
    config = load_pipeline(project, pipeline, common.environment)
    names = check_kinds(load_names(project, common.environment))
    with _stopping(), secrets_session(project, names, (), output) as session:
        found = policies_for(session, names, config)
        differing = tuple(one for each in found for one in differences(session, names, each)) if check else ()
    error = refused(differing)
    _show_policy(output, pipeline, found, differing if check else None, error)
    return error.exit_status if error else 0


# --- words and documents -----------------------------------------------------------------


def listed_document(one: Listed, now: datetime) -> dict[str, Any]:
    """One secret of the ``veilflow/secrets/1`` document."""
    from veilflow.run.result import error_document

    age, due = one.age(now), one.due
    return {
        "name": one.name, "store": one.config.store, "kind": one.kind, "path": one.config.ref.path,
        "field": one.config.ref.field, "engine": one.config.ref.engine, "version": one.config.ref.version,
        "owner": one.config.owner, "presence": one.presence,
        "changed": None if one.changed is None else _iso(one.changed),
        "age_days": None if age is None else age.days,
        "rotate_after_days": None if one.config.rotate_after is None else one.config.rotate_after.days,
        "rotation_due": None if due is None else _iso(due), "overdue": due is not None and due <= now,
        "unsafe_short": one.config.unsafe_short, "error": None if one.error is None else error_document(one.error),
    }  # fmt: skip


def _show_list(output: Output, documents: list[dict[str, Any]]) -> None:
    if output.as_json:
        output.document({"schema": "veilflow/secrets/1", "secrets": documents})
        return
    rows = [("name", "store", "place", "is", "age", "owner", "rotation")]
    for one in documents:
        rows.append((
            one["name"], f"{one['store']} ({one['kind']})", one["path"] + (f" [{one['field']}]" if one["field"] else ""),
            _presence(one),
            "-" if one["age_days"] is None else f"{one['age_days']} d", one["owner"] or "-", _rotation(one),
        ))  # fmt: skip
    print("\n".join(aligned(rows)))
    for one in documents:
        if one["error"]:
            output.say(f"{one['name']}: {one['error']['problem']}\nhint: {one['error']['hint']}")


def _presence(one: dict[str, Any]) -> str:
    """A login that may only read secrets is not told how old they are, and that is as it should be."""
    if one["error"] is None:
        return str(one["presence"])
    return "-" if one["error"]["code"] == "VEIL406" else str(one["error"]["code"])


def _rotation(one: dict[str, Any]) -> str:
    if one["rotate_after_days"] is None:
        return "-"
    if one["rotation_due"] is None:
        return f"every {one['rotate_after_days']} d, age unknown"
    return f"{'OVERDUE since' if one['overdue'] else 'due'} {one['rotation_due'][:10]}"


def _show_checks(output: Output, found: tuple[Checked, ...]) -> None:
    from veilflow.run.result import error_document

    if output.as_json:
        output.document({
            "schema": "veilflow/secrets_check/1",
            "secrets": [
                {"name": one.name, "store": one.config.store, "kind": one.kind, "readable": one.error is None,
                 "length": one.length, "version": one.version, "seconds_to_live": one.seconds_to_live,
                 "error": None if one.error is None else error_document(one.error)}
                for one in found
            ],
        })  # fmt: skip
    else:
        rows = [("name", "store", "readable", "length", "version", "lives")]
        rows += [
            (one.name, f"{one.config.store} ({one.kind})", one.error.code if one.error else "yes",
             "-" if one.length is None else str(one.length), one.version or "-",
             "-" if one.seconds_to_live is None else f"{one.seconds_to_live:.0f} s")
            for one in found
        ]  # fmt: skip
        print("\n".join(aligned(rows)))
    output.problems([one.error for one in found if one.error])


def _show_policy(
    output: Output, pipeline: str, found: Sequence[StorePolicy], differing: Sequence[Difference] | None,
    error: VeilError | None,
) -> None:  # fmt: skip
    from veilflow.run.result import error_document

    if output.as_json:
        output.document({
            "schema": "veilflow/secrets_policy/1",
            "pipeline": pipeline,
            "policies": [
                {"store": one.store, "secrets": list(one.secrets), "hcl": one.hcl,
                 "paths": [{"path": right.path, "capabilities": list(right.capabilities)} for right in one.rights]}
                for one in found
            ],
            "differences": None if differing is None else [
                {"store": one.store, "path": one.path, "missing": list(one.missing), "beyond": list(one.beyond)}
                for one in differing
            ],
            "errors": [] if error is None else [error_document(error)],
        })  # fmt: skip
    else:
        print(
            "\n".join(one.hcl for one in found).rstrip("\n")
            or f"# no secret of {pipeline} lies in a store with policies"
        )
        for one in differing or ():
            if one.beyond:
                output.say(f"more than needed on {one.path}: {', '.join(one.beyond)}")
        if differing is not None and error is None:
            output.say("the login has every right that the plan needs")
    output.problems([error] if error else [])


def _show_accesses(output: Output, accesses: list[dict[str, Any]]) -> None:
    if output.as_json:
        output.document({"schema": "veilflow/secret_accesses/1", "accesses": accesses})
        return
    rows = [("time", "name", "store", "version", "lease")]
    rows += [
        (one["time"], one["name"], f"{one['store']} ({one['kind']})", one["version"] or "-", (one["lease"] or "-")[:12])
        for one in accesses
    ]
    print("\n".join(aligned(rows)))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
