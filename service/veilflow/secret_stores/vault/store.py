"""The store of kind ``vault``: one login, one read per secret, one revocation at the end.

A secret's ``engine`` is kv2 (the default), kv1, database or transit; its ``path`` is that of Vault's command line.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from veilflow.errors import PassingFault, VeilError, frameless
from veilflow.model import Reading, Secret, SecretFacts, SecretRef
from veilflow.secret_stores.vault.breaker import machine_directory, shared_breaker
from veilflow.secret_stores.vault.client import Client
from veilflow.secret_stores.vault.faults import ISSUE, READ, RENEW, REVOKE, WRITE, Fault, Operation, Refused
from veilflow.secret_stores.vault.leases import Lease, Renewer
from veilflow.secret_stores.vault.logins import Token, log_in
from veilflow.secret_stores.vault.options import Options
from veilflow.secret_stores.vault.references import (
    as_text,
    changed,
    chosen_field,
    clean_path,
    engine_of,
    field_to_write,
    missing_in_kv,
    refuse_version,
    taken,
    unknown_role,
    wrapped_name,
    wrong_engine,
)
from veilflow.secret_stores.vault.transit import Transit, denied
from veilflow.secret_stores.vault.wrapped import WrappedFiles

_LAST_WORDS_SECONDS = 5.0
_RENEWAL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Right:
    """What a policy must allow: a path of Vault's API and capabilities on it."""

    path: str
    capabilities: tuple[str, ...]

    @property
    def hcl(self) -> str:
        listed = ", ".join(f'"{one}"' for one in self.capabilities)
        return f'path "{self.path}" {{ capabilities = [{listed}] }}'


@dataclass(frozen=True, slots=True)
class _Issued:
    """A dynamic credential that is in use."""

    secret: Secret
    lease: Lease
    lease_id: str


class VaultStore:
    """Vault or OpenBao. Reaches nothing until it is first asked; ``close`` gives back what it was given."""

    def __init__(self, options: Options, project: Path) -> None:
        self._options, self._project = options, project
        directory = project / ".veil"
        self._client = Client(options, lambda: shared_breaker(machine_directory(), options.address))
        self._wrapped = WrappedFiles(directory / "keys")
        self._renewer = Renewer()
        self._token: Token | None = None
        self._life: Lease | None = None
        self._issued: dict[SecretRef, _Issued] = {}
        self._lock = threading.RLock()
        self._closed = False

    # --- the protocol ---

    @frameless
    def read(self, ref: SecretRef, /) -> Reading:
        """The value as stored: with ``field`` that entry, without the whole as JSON (a login has `username` and
        `password`). A dynamic credential is issued once and stays the same until it nears its end."""
        return {"kv2": self._read_kv2, "kv1": self._read_kv1, "database": self._read_login, "transit": self._unwrap}[
            engine_of(ref)
        ](ref)

    @frameless
    def facts(self, ref: SecretRef, /) -> SecretFacts | None:
        if engine_of(ref) == "kv2":
            return self._facts_kv2(ref)
        if engine_of(ref) == "transit":
            return self._wrapped.facts(wrapped_name(ref))
        return None

    @frameless
    def write(self, ref: SecretRef, value: Secret, /) -> None:
        """Create the secret in KV 2 (VEIL220 if it is there), or encrypt it by a Transit key into `.veil/keys`."""
        if engine_of(ref) == "transit":
            self._wrapped.create(wrapped_name(ref), self._encrypt(ref, value))
            return
        self._put(ref, {field_to_write(ref): value.reveal()}, cas=0)

    @frameless
    def replace(self, ref: SecretRef, old: Reading, value: Secret, /) -> None:
        """A new version of a secret in KV 2, its other fields kept, if ``old`` is still the newest."""
        if engine_of(ref) == "transit":
            self._wrapped.replace(wrapped_name(ref), old.version, self._encrypt(ref, value))
            return
        name = field_to_write(ref)
        document = self._kv2_document(ref)
        version = int(document["metadata"]["version"])
        if str(version) != old.version:
            raise changed(ref)
        self._put(ref, {**document["data"], name: value.reveal()}, cas=version)

    def close(self) -> None:
        """Revoke the token, and all that it issued with it; of a token that is not ours the leases alone. What cannot
        be revoked now dies by itself within a minute."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self._renewer.stop()
        if self._token is not None and self._token.ours:
            self._finally(lambda vault: vault.auth.token.revoke_self())
        else:
            for issued in self._issued.values():
                self._end_lease(issued)
        self._client.token = None
        self._client.close()

    # --- what others ask of Vault ---

    @frameless
    def longest_life(self, ref: SecretRef, wanted_seconds: float) -> float:
        """How long the credential behind ``ref`` may live from now, up to ``wanted_seconds``: the shorter of its own
        maximum and the token's. Infinite for what is no lease."""
        self.read(ref)
        issued = self._issued.get(ref)
        if issued is None:
            return float("inf")
        return min(self._could_live(issued.lease, wanted_seconds), self._token_could_live(wanted_seconds))

    def rights(self, ref: SecretRef, /) -> tuple[Right, ...]:
        """What a policy must allow so that the secret can be read; asks nothing."""
        engine, (mount, rest) = engine_of(ref), self._split(ref)
        if engine == "kv2":
            return (Right(f"{mount}/data/{rest}", ("read",)),)
        if engine == "transit":
            return (Right(f"{mount}/decrypt/{rest.rpartition('/')[2]}", ("update",)),)
        return (Right(f"{mount}/{rest}", ("read",)),)

    @frameless
    def wrap(self, ref: SecretRef, value: Secret, /) -> str:
        """``value`` encrypted by a Transit key: needs the right to encrypt, and not to decrypt."""
        return self._encrypt(ref, value)

    @frameless
    def unwrap(self, ref: SecretRef, wrapped: str, /) -> Secret:
        mount, rest = self._split(ref)
        return as_text(self.transit(mount).decrypt(rest.rpartition("/")[2], [wrapped])[0], ref)

    def wrapping_rights(self, ref: SecretRef, /) -> tuple[Right, ...]:
        """What a policy must allow so that the key wraps; asks nothing."""
        mount, rest = self._split(ref)
        return (Right(f"{mount}/encrypt/{rest.rpartition('/')[2]}", ("update",)),)

    def own_rights(self, *, leases: bool) -> tuple[Right, ...]:
        """What the login itself needs: to be kept alive, asked about and given back; none is on a secret."""
        own = {"renew-self": "update", "lookup-self": "read", "revoke-self": "update"}
        rights = tuple(Right(f"auth/token/{name}", (capability,)) for name, capability in own.items())
        return (*rights, Right("sys/leases/renew", ("update",))) if leases else rights

    def capabilities(self, paths: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        """What the store's own token may do on each path, as Vault says it."""
        answer = self._ask(READ, lambda vault: vault.sys.get_capabilities(list(paths)), "sys/capabilities-self")
        data = answer.get("data", answer)
        return {path: tuple(data.get(path, ())) for path in paths}

    def transit(self, mount: str) -> Transit:
        self._log_in()
        return Transit(self._client, mount)

    # --- the token ---

    def _log_in(self) -> None:
        with self._lock:
            if self._closed:
                raise VeilError("VEIL404", "the Vault store is closed", "open it again")
            if self._token is None:
                token = log_in(self._client, self._options.login, self._project)
                self._client.token, self._token = token.secret, token
                self._keep_token(token)
            elif self._life is not None and self._life.lost:
                # Never a second login: whoever revoked the token meant it.
                lost = self._life.lost
                raise VeilError(lost.code, lost.problem, lost.hint)

    def _keep_token(self, token: Token) -> None:
        if token.seconds is None or not token.renewable:
            return
        if token.ours:
            self._life = Lease(token.seconds, self._renew_token)
            self._life.shorten()
        else:
            self._life = Lease(token.seconds, self._renew_token, each=token.seconds)
        self._renewer.keep(self._life)

    def _renew_token(self, seconds: float) -> float:
        answer = self._asked_in_background(lambda vault: vault.auth.token.renew_self(increment=f"{seconds:.0f}s"))
        return float(answer["auth"]["lease_duration"])

    def _token_could_live(self, wanted_seconds: float) -> float:
        if self._life is None or self._token is None or not self._token.ours:
            return float("inf")
        granted = self._could_live(self._life, wanted_seconds)
        if granted >= wanted_seconds:
            return granted
        found = self._ask(READ, lambda vault: vault.auth.token.lookup_self(), "auth/token/lookup-self")["data"]
        endless = found.get("period") and not found.get("explicit_max_ttl")
        return float("inf") if endless else granted

    @staticmethod
    def _could_live(lease: Lease, wanted_seconds: float) -> float:
        if lease.final:
            return lease.remaining()
        granted = lease.ask(wanted_seconds)
        lease.shorten()
        return granted

    # --- KV ---

    def _read_kv2(self, ref: SecretRef) -> Reading:
        document = self._kv2_document(ref)
        return Reading(chosen_field(document["data"], ref), version=str(document["metadata"]["version"]))

    def _kv2_document(self, ref: SecretRef) -> dict[str, Any]:
        mount, rest = self._split(ref)
        answer = self._ask(
            READ,
            lambda vault: vault.secrets.kv.v2.read_secret_version(
                rest, version=ref.version, mount_point=mount, raise_on_deleted_version=True
            ),
            f"{mount}/data/{rest}",
            missing=partial(missing_in_kv, ref),
        )
        document = answer.get("data") or {}
        if not isinstance(document.get("data"), dict) or "metadata" not in document:
            raise wrong_engine(ref)
        return dict(document)

    def _read_kv1(self, ref: SecretRef) -> Reading:
        refuse_version(ref)
        mount, rest = self._split(ref)
        answer = self._ask(
            READ,
            lambda vault: vault.secrets.kv.v1.read_secret(rest, mount_point=mount),
            f"{mount}/{rest}",
            missing=partial(missing_in_kv, ref),
        )
        return Reading(chosen_field(answer.get("data") or {}, ref))

    def _facts_kv2(self, ref: SecretRef) -> SecretFacts | None:
        mount, rest = self._split(ref)
        try:
            answer = self._ask(
                READ,
                lambda vault: vault.secrets.kv.v2.read_secret_metadata(rest, mount_point=mount),
                f"{mount}/metadata/{rest}",
            )
        except VeilError as error:
            if error.code == "VEIL221":
                return None
            raise
        versions = answer["data"]["versions"]
        number = str(ref.version or answer["data"]["current_version"])
        version = versions.get(number)
        if version is None or version["destroyed"] or version["deletion_time"]:
            return None
        return SecretFacts(changed=datetime.fromisoformat(version["created_time"]), version=number)

    def _put(self, ref: SecretRef, data: dict[str, Any], cas: int) -> None:
        if engine_of(ref) != "kv2":
            raise VeilError(
                "VEIL224", f"{ref.path} cannot be written from here",
                "only KV version 2 compares before it writes; write the secret with Vault's own command",
            )  # fmt: skip
        mount, rest = self._split(ref)
        self._log_in()
        try:
            self._client.ask(
                WRITE,
                lambda vault: vault.secrets.kv.v2.create_or_update_secret(rest, data, cas=cas, mount_point=mount),
                what=f"{mount}/data/{rest}",
            )
            return
        except Refused as refused:
            fault = refused.fault
        if fault is Fault.DENIED:
            raise VeilError(
                "VEIL224", f"Vault's policy does not let {ref.path} be written",
                "the policy that reads stays read-only; write it with Vault's own command, or allow: "
                + Right(f"{mount}/data/{rest}", ("create", "update")).hcl,
            )  # fmt: skip
        if fault is Fault.REFUSED:
            raise changed(ref) if cas else taken(ref)
        raise VeilError("VEIL221", f"Vault has no KV 2 engine at {mount}", "correct `path` or `engine`")

    # --- dynamic credentials ---

    def _read_login(self, ref: SecretRef) -> Reading:
        refuse_version(ref)
        if "/creds/" not in ref.path:
            return self._read_static(ref)
        with self._lock:
            self._log_in()
            issued = self._issued.get(ref)
            if issued is None or issued.lease.lost or issued.lease.near_its_end:
                issued = self._issue(ref)
            return Reading(
                issued.secret,
                seconds_to_live=issued.lease.remaining(),
                lease=hashlib.sha256(issued.lease_id.encode()).hexdigest(),
            )

    def _issue(self, ref: SecretRef) -> _Issued:
        answer = self._ask(
            ISSUE, lambda vault: vault.adapter.get(f"/v1/{ref.path}"), ref.path, missing=partial(unknown_role, ref)
        )
        lease_id = str(answer["lease_id"])
        lease = Lease(
            float(answer["lease_duration"]), partial(self._renew_lease, lease_id), final=not answer["renewable"]
        )
        issued = _Issued(chosen_field(answer["data"], ref), lease, lease_id)
        # Kept before it is shortened: whatever happens now, the end of the run gives it back.
        self._issued[ref] = issued
        lease.shorten()
        self._renewer.keep(lease)
        return issued

    def _renew_lease(self, lease_id: str, seconds: float) -> float:
        answer = self._asked_in_background(
            lambda vault: vault.sys.renew_lease(lease_id=lease_id, increment=int(seconds))
        )
        return float(answer["lease_duration"])

    def _read_static(self, ref: SecretRef) -> Reading:
        """A static role's password, which Vault changes on its own schedule: read like a stored secret."""
        answer = self._ask(
            READ, lambda vault: vault.adapter.get(f"/v1/{ref.path}"), ref.path, missing=partial(unknown_role, ref)
        )
        data = {name: answer["data"].get(name) for name in ("username", "password")}
        return Reading(chosen_field(data, ref))

    def _end_lease(self, issued: _Issued) -> None:
        """Revoke a lease; a policy that does not allow it allows at least to let it live one more second."""
        if not self._finally(lambda vault: vault.sys.revoke_lease(issued.lease_id)):
            self._finally(lambda vault: vault.sys.renew_lease(lease_id=issued.lease_id, increment=1))

    # --- Transit ---

    def _unwrap(self, ref: SecretRef) -> Reading:
        ciphertext, version = self._wrapped.read(wrapped_name(ref))
        mount, rest = self._split(ref)
        value = self.transit(mount).decrypt(rest.rpartition("/")[2], [ciphertext])[0]
        return Reading(as_text(value, ref), version=version)

    def _encrypt(self, ref: SecretRef, value: Secret) -> str:
        mount, rest = self._split(ref)
        return self.transit(mount).encrypt(rest.rpartition("/")[2], [value.reveal().encode()])[0]

    # --- asking ---

    def _ask(
        self,
        operation: Operation,
        call: Callable[[Any], Any],
        path: str,
        *,
        missing: Callable[[Refused], VeilError] | None = None,
    ) -> Any:
        self._log_in()
        try:
            return self._client.ask(operation, call, what=path)
        except Refused as refused:
            found = refused
        if found.fault is Fault.DENIED:
            raise denied(path, "read")
        if missing is not None and found.fault in (Fault.MISSING, Fault.REFUSED):
            raise missing(found)
        raise self._client.told(operation, found, path)

    def _asked_in_background(self, call: Callable[[Any], Any]) -> Any:
        """A renewal. One that Vault refuses is for a lease that is gone."""
        try:
            return self._client.ask(RENEW, call, patience_seconds=_RENEWAL_SECONDS)
        except Refused:
            pass
        raise VeilError("VEIL406", "Vault no longer knows a lease: it expired or was revoked", "run again")

    def _finally(self, call: Callable[[Any], Any]) -> bool:
        """A last request, for which nobody waits long; whether Vault did it."""
        with suppress(VeilError, PassingFault, Refused):
            self._client.ask(REVOKE, call, patience_seconds=_LAST_WORDS_SECONDS)
            return True
        return False

    def _split(self, ref: SecretRef) -> tuple[str, str]:
        """Mount and the rest. A mount of several segments is named in the store's ``mounts``, or ends before `creds`,
        `static-creds` or `keys`."""
        path = clean_path(ref)
        for mount in sorted(self._options.mounts, key=len, reverse=True):
            if path.startswith(mount + "/"):
                return mount, path[len(mount) + 1 :]
        marks = {"database": ("/creds/", "/static-creds/"), "transit": ("/keys/",)}.get(engine_of(ref), ("/",))
        for mark in marks:
            mount, found, rest = path.partition(mark)
            if found and rest:
                return mount, (mark + rest).lstrip("/")
        raise VeilError(
            "VEIL220", f"the path {ref.path} does not fit the engine {engine_of(ref)}",
            {"database": "for example database/creds/loader", "transit": "for example transit/keys/veilflow"}.get(
                engine_of(ref), "mount first: for example secret/veilflow"
            ),
        )  # fmt: skip
