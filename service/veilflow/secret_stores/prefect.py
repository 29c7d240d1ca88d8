"""Secrets in Prefect blocks. The one room beside ``flows`` that imports Prefect.

The path is the name of a Secret block, or ``TYPE/NAME`` for a block of another type, such as
``veilflow-database-credentials/warehouse`` (``prefect_blocks``); without a ``field`` a typed block is read as the JSON
object of its fields.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.blocks.system import Secret as SecretBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import BlockDocumentUpdate, VariableCreate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import get_current_settings
from prefect.types._datetime import now
from pydantic import SecretStr

from veilflow.errors import PassingFault, VeilError, frameless
from veilflow.model import Reading, Secret, SecretFacts, SecretRef
from veilflow.secret_stores.parts import only

_SECRET_TYPE = SecretBlock.get_block_type_slug()
_NAME = re.compile(r"[a-z0-9-]+")
_TYPED = re.compile(r"[a-z0-9-]+/[^/%&><]+")
_REJECTED = (401, 403)
#: A writer that died gives its turn up after this; one that lives writes well within it, or not at all.
_TURN_SECONDS = 60.0
_WRITE_WITHIN_SECONDS = 20.0


class PrefectStore:
    """The blocks of the server that ``PREFECT_API_URL`` names."""

    @frameless
    def read(self, ref: SecretRef) -> Reading:
        """The block's value exactly as stored; with ``field``, that entry of the JSON object in it.

        Read from the block's document: ``Secret.get()`` would turn the password "1e5" into a number. VEIL221 if
        there is no such block or field, VEIL222 if it is empty or not text, VEIL403/404 if out of reach.
        """
        only("prefect", ref, "field")
        with _reaching() as client:
            return Reading(_opened(client, ref))

    @frameless
    def facts(self, ref: SecretRef) -> SecretFacts | None:
        """When the block was last changed; None if there is no block of that name."""
        only("prefect", ref, "field")
        try:
            with _reaching() as client:
                return SecretFacts(_document(client, ref, secrets=False).updated)
        except VeilError as error:
            if error.code == "VEIL221":
                return None
            raise

    @frameless
    def write(self, ref: SecretRef, value: Secret) -> None:
        """Create a Secret block. VEIL220 if there is one, which stays as it is; VEIL202 for a name Prefect refuses."""
        only("prefect", ref)
        if not _NAME.fullmatch(ref.path):
            raise VeilError(
                "VEIL202",
                f"a Secret block cannot be called {ref.path}",
                "use lower-case letters, digits and dashes",
            )
        if self.facts(ref) is not None:
            raise _taken(ref.path)
        with _reaching():
            try:
                SecretBlock(value=SecretStr(value.reveal())).save(ref.path, overwrite=False, _sync=True)  # type: ignore[call-arg]
            except ValueError:
                # Somebody made it since: Prefect's own check of the name is the one that decides.
                raise _taken(ref.path) from None

    @frameless
    def replace(self, ref: SecretRef, old: Reading, value: Secret) -> None:
        """Put ``value`` in the place of ``old`` while no other process of Veilflow writes this block."""
        only("prefect", ref, "field")
        with _reaching() as client, _turn(client, ref.path) as ends:
            if _opened(client, ref) != old.secret:
                raise _changed(ref.path)
            if time.monotonic() > ends:
                raise PassingFault("VEIL404", "Prefect's server was too slow to write a secret", "try again")
            _update(client, ref, value)


def _document(client: SyncPrefectClient, ref: SecretRef, *, secrets: bool = True) -> BlockDocument:
    kind, name = _kind_and_name(ref.path)
    try:
        return client.read_block_document_by_name(name, kind, include_secrets=secrets)
    except ObjectNotFound:
        shown = f"Secret block {name}" if kind == _SECRET_TYPE else f"block {name} of the type {kind}"
        raise VeilError("VEIL221", f"Prefect has no {shown}", "make it on Prefect's page, or correct `path`") from None


def _kind_and_name(path: str) -> tuple[str, str]:
    if "/" not in path:
        return _SECRET_TYPE, path
    if not _TYPED.fullmatch(path):
        raise VeilError(
            "VEIL220", f"{path} names no block", "write a Secret block's name, or TYPE/NAME for a block of another type"
        )
    kind, _, name = path.partition("/")
    return kind, name


def _opened(client: SyncPrefectClient, ref: SecretRef) -> Secret:
    """The secret in a block. Where it is refused, the value is in no variable that a traceback could show."""
    found = _value(ref, _document(client, ref).data)
    if isinstance(found, Secret):
        return found
    raise VeilError(*found)


def _value(ref: SecretRef, data: dict[str, Any]) -> Secret | tuple[str, str, str]:
    typed = "/" in ref.path
    value: object = data if typed else data.get("value")
    if ref.field is not None:
        entries = value if typed else _object(value)
        if not isinstance(entries, dict):
            return "VEIL222", f"the Secret block {ref.path} is not a JSON object", "remove `field`, or store an object"
        if ref.field not in entries:
            return "VEIL221", f"the block {ref.path} has no field {ref.field}", "correct `field`"
        value = entries[ref.field]
    elif typed:
        value = json.dumps(value)
    if isinstance(value, str) and value:
        return Secret(value)
    problem = "is empty" if value in (None, "") else "does not hold text"
    hint = "store the secret as a plain string, or name the entry with `field`"
    return "VEIL222", f"the block {ref.path} {problem}", hint


def _object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None


def _update(client: SyncPrefectClient, ref: SecretRef, value: Secret) -> None:
    document = _document(client, ref)
    assert document.id is not None
    client.update_block_document(
        document.id, BlockDocumentUpdate(data=_with(ref, document, value), merge_existing_data=True)
    )


def _with(ref: SecretRef, document: BlockDocument, value: Secret) -> dict[str, Any]:
    """The changed entries of the block's data; what stands beside them stays."""
    if "/" in ref.path:
        if ref.field is None:
            raise VeilError("VEIL220", f"the block {ref.path} has several fields", "name one with `field`")
        return {ref.field: value.reveal()}
    if ref.field is None:
        return {"value": value.reveal()}
    entries = _object(document.data["value"])
    assert isinstance(entries, dict)
    changed = {**entries, ref.field: value.reveal()}
    return {"value": json.dumps(changed) if isinstance(document.data["value"], str) else changed}


@contextmanager
def _turn(client: SyncPrefectClient, path: str) -> Iterator[float]:
    """Be the only writer of a block; yields the moment (``time.monotonic``) after which not to write any more.

    Prefect has no conditional write, but a variable's name is unique: who makes the variable has the turn. One that
    is older than a minute was left by a process that died, and is removed by its id, which works once.
    """
    name = "veilflow_writes_" + re.sub(r"[^a-z0-9_]", "_", path.lower())
    made = time.monotonic()
    try:
        turn = client.create_variable(VariableCreate(name=name, value="a process of Veilflow is writing this secret"))
    except ObjectAlreadyExists:
        _remove_if_dead(client, name)
        raise _changed(path) from None
    try:
        yield made + _WRITE_WITHIN_SECONDS
    finally:
        _remove(client, str(turn.id))


def _remove_if_dead(client: SyncPrefectClient, name: str) -> None:
    turn = client.read_variable_by_name(name)
    if turn is not None and turn.created and (now("UTC") - turn.created).total_seconds() > _TURN_SECONDS:
        _remove(client, str(turn.id))


def _remove(client: SyncPrefectClient, variable: str) -> None:
    try:
        client.request("DELETE", "/variables/{id}", path_params={"id": variable})
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 404:
            raise


@contextmanager
def _reaching() -> Iterator[SyncPrefectClient]:
    """A client; what Prefect or httpx raise becomes an error without their text, which may quote a request."""
    # Without an address Prefect would start a server of its own over the user's home.
    if not get_current_settings().api.url:
        raise VeilError(
            "VEIL403",
            "no Prefect server is known",
            "set PREFECT_API_URL, or keep the secret in a store of kind env or file",
        )
    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPStatusError as error:
        raise _from_status(error.response.status_code) from None
    except httpx.TimeoutException:
        raise PassingFault(
            "VEIL404", "Prefect's server did not answer in time", "try again, or look at its log"
        ) from None
    except (httpx.HTTPError, RuntimeError):
        raise PassingFault(
            "VEIL403",
            "Prefect's server is out of reach",
            "check that it runs and that PREFECT_API_URL is right",
        ) from None


def _from_status(status: int) -> VeilError:
    if status in _REJECTED:
        return VeilError(
            "VEIL403", f"Prefect's server rejected the credential ({status})", "check PREFECT_API_AUTH_STRING"
        )
    kind = PassingFault if status >= 500 or status == 429 else VeilError
    return kind("VEIL404", f"Prefect's server answered {status}", "look at the server's log")


def _taken(path: str) -> VeilError:
    return VeilError("VEIL220", f"the Secret block {path} exists already", "it is never replaced; choose another name")


def _changed(path: str) -> PassingFault:
    return PassingFault(
        "VEIL405",
        f"the block {path} was changed by somebody else meanwhile, or is being changed",
        "nothing was overwritten; run the command again",
    )
