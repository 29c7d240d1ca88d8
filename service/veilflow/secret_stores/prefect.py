"""Secrets in Prefect Secret blocks: the path is the block's name. The one room beside ``flows`` that imports Prefect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.blocks.system import Secret as SecretBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from pydantic import SecretStr

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret

_NAME = re.compile(r"[a-z0-9-]+")
_REJECTED = (401, 403)


class PrefectStore:
    """The Secret blocks of the server that ``PREFECT_API_URL`` names."""

    def read(self, path: str, field: str | None) -> Secret:
        """The block's value exactly as stored; with ``field``, that entry of the JSON object in it.

        Read from the block's document: ``Secret.get()`` would turn the password "1e5" into a number. VEIL221 if
        there is no such block or field, VEIL222 if it is empty or not text, VEIL403/404 if out of reach.
        """
        value = self._document(path).get("value")
        if field is not None:
            value = _field(path, value, field)
        if not isinstance(value, str) or not value:
            raise VeilError(
                "VEIL222",
                f"the Secret block {path} {'is empty' if value in (None, '') else 'does not hold text'}",
                "store the secret as a plain string, or name the entry with `field`",
            )
        return Secret(value)

    def write(self, path: str, value: Secret) -> None:
        """Create the block. VEIL220 if there is one, which stays as it is; VEIL202 for a name Prefect refuses."""
        if not _NAME.fullmatch(path):
            raise VeilError(
                "VEIL202",
                f"a Secret block cannot be called {path}",
                "use lower-case letters, digits and dashes",
            )
        if self.exists(path):
            raise _taken(path)
        with _reaching():
            try:
                SecretBlock(value=SecretStr(value.reveal())).save(path, overwrite=False, _sync=True)  # type: ignore[call-arg]
            except ValueError:
                # Somebody made it since: Prefect's own check of the name is the one that decides.
                raise _taken(path) from None

    def exists(self, path: str) -> bool:
        """Whether there is a Secret block of that name."""
        try:
            self._document(path, secrets=False)
        except VeilError as error:
            if error.code == "VEIL221":
                return False
            raise
        return True

    def _document(self, path: str, *, secrets: bool = True) -> dict[str, Any]:
        with _reaching() as client:
            try:
                document = client.read_block_document_by_name(path, "secret", include_secrets=secrets)
            except ObjectNotFound:
                raise VeilError(
                    "VEIL221",
                    f"Prefect has no Secret block {path}",
                    "make it with `veil init`, or correct `path`",
                ) from None
        return dict(document.data)


def _field(path: str, value: object, field: str) -> object:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict):
        raise VeilError(
            "VEIL222", f"the Secret block {path} is not a JSON object", "remove `field`, or store an object"
        )
    if field not in value:
        raise VeilError("VEIL221", f"the Secret block {path} has no field {field}", "correct `field`")
    return value[field]


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
