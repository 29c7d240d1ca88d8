"""Vault's Transit engine: keys that never leave Vault, applied to many values in one request."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import Secret
from veilflow.secret_stores.vault.client import Client
from veilflow.secret_stores.vault.faults import TRANSIT, Fault, Refused

_ITEMS, _BYTES = 10_000, 8 << 20  # of one request; Vault takes 32 MiB


class Transit:
    """One mount of the engine. Orders are kept; every method raises VEIL406 for a key that is missing or not allowed."""

    def __init__(self, client: Client, mount: str) -> None:
        self._client, self._mount = client, mount

    def encrypt(self, key: str, values: Sequence[bytes]) -> list[str]:
        """The ciphertexts, ``vault:v<version>:…``."""
        return self._batches(
            key, "encrypt", values, "plaintext", "ciphertext",
            lambda vault, batch: vault.secrets.transit.encrypt_data(key, batch_input=batch, mount_point=self._mount),
        )  # fmt: skip

    def decrypt(self, key: str, ciphertexts: Sequence[str]) -> list[bytes]:
        """The values; VEIL222 if one is not a ciphertext of this key."""
        items = [{"ciphertext": one} for one in ciphertexts]
        found: list[str] = []
        for batch in _slices(items):
            answer = self._ask(
                key, "decrypt",
                partial(self._decrypt_batch, key, batch),
            )  # fmt: skip
            found += _results(answer, "plaintext", len(batch))
        return [base64.b64decode(one) for one in found]

    def _decrypt_batch(self, key: str, batch: list[dict[str, str]], vault: Any) -> Any:
        return vault.secrets.transit.decrypt_data(key, batch_input=batch, mount_point=self._mount)

    def hmac(self, key: str, values: Sequence[bytes], algorithm: str = "sha2-256") -> list[str]:
        """The MACs, ``vault:v<version>:…``. hvac knows no batch here, so the path is written out."""
        return self._batches(
            key, "hmac", values, "input", "hmac",
            lambda vault, batch: vault.adapter.post(
                f"/v1/{self._mount}/hmac/{key}/{algorithm}", json={"batch_input": batch}
            ),
        )  # fmt: skip

    def data_key(self, key: str) -> tuple[Secret, str]:
        """A new key of 32 bytes in base64, and its ciphertext, which is what may be kept."""
        answer = self._ask(
            key,
            "datakey/plaintext",
            lambda vault: vault.secrets.transit.generate_data_key(key, "plaintext", mount_point=self._mount),
        )
        return Secret(answer["data"]["plaintext"]), str(answer["data"]["ciphertext"])

    def _batches(
        self, key: str, verb: str, values: Sequence[bytes], name: str, result: str, call: Callable[..., Any]
    ) -> list[str]:
        items = [{name: base64.b64encode(value).decode()} for value in values]
        found: list[str] = []
        for batch in _slices(items):
            answer = self._ask(key, verb, partial(call, batch=batch))
            found += _results(answer, result, len(batch))
        return found

    def _ask(self, key: str, verb: str, call: Callable[[Any], Any]) -> Any:
        try:
            return self._client.ask(TRANSIT, call, what=f"{self._mount}/{verb}/{key}")
        except Refused as refused:
            fault = refused.fault
        if fault is Fault.DENIED:
            raise denied(f"{self._mount}/{verb}/{key}", "update")
        if verb == "decrypt" and fault is Fault.REFUSED:
            raise _undecryptable(key)
        raise VeilError(
            "VEIL221", f"Vault has no usable key {key} in {self._mount}", "make it: `vault write -f MOUNT/keys/NAME`"
        )


def denied(path: str, capability: str) -> VeilError:
    """VEIL406 with the line that the token's policy misses."""
    return VeilError(
        "VEIL406", f"Vault denied {capability} on {path}",
        f'add to the policy of the login\'s role:  path "{path}" {{ capabilities = ["{capability}"] }}',
    )  # fmt: skip


def _undecryptable(key: str) -> VeilError:
    return VeilError(
        "VEIL222", f"what is stored was not encrypted by the Transit key {key}, or not by a version it still has",
        "look for `min_decryption_version` of the key, or restore the file",
    )  # fmt: skip


def _slices(items: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    batch: list[dict[str, str]] = []
    size = 0
    for item in items:
        length = sum(map(len, item.values()))
        if batch and (len(batch) == _ITEMS or size + length > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _results(answer: Any, name: str, count: int) -> list[str]:
    results = answer.get("data", {}).get("batch_results") or []
    if len(results) != count or any(name not in one or one.get("error") for one in results):
        raise VeilError(
            "VEIL222", "Vault's Transit could not treat all of a batch", "check the key's type and versions"
        )
    return [str(one[name]) for one in results]
