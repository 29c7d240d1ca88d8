"""The ways to log in. Each answers with the token and how long it lives; none is repeated blindly (see ``faults``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from veilflow.errors import VeilError
from veilflow.model import Secret, SecretRef
from veilflow.secret_stores.env import EnvStore
from veilflow.secret_stores.file import FileStore
from veilflow.secret_stores.vault.client import Client
from veilflow.secret_stores.vault.faults import LOGIN, LOOK_UP, UNWRAP, Fault, Refused
from veilflow.secret_stores.vault.options import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    Login,
    Place,
    TokenLogin,
    UserpassLogin,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that Vault gave or that was given. ``seconds`` is None for one that does not die by itself; ``ours`` says
    that it was made for this process, which may shorten and revoke it."""

    secret: Secret
    seconds: float | None
    renewable: bool
    ours: bool


def log_in(client: Client, login: Login, project: Path) -> Token:
    """Log in once. VEIL406 if Vault rejects it or the token cannot be kept alive, VEIL221/222 if the credential for the
    login is not there or not usable."""
    token = _METHODS[type(login)](client, login, project)
    if not token.renewable and token.seconds is not None:
        raise VeilError(
            "VEIL406", "Vault's token cannot be renewed, so it could die while the run lives",
            "use a renewable service token: give the login's role `token_type: service` and `token_period: 45s`",
        )  # fmt: skip
    return token


def _by_token(client: Client, login: TokenLogin, project: Path) -> Token:
    secret = _opened(login.token, project)
    try:
        found = client.ask(LOOK_UP, lambda vault: vault.auth.token.lookup_self(), token=secret)["data"]
    except Refused as refused:
        problem = _rejected("token", refused)
    else:
        return Token(secret, float(found["ttl"]) or None, bool(found.get("renewable")), ours=False)
    raise problem


def _by_approle(client: Client, login: AppRoleLogin, project: Path) -> Token:
    role_id = login.role_id if isinstance(login.role_id, str) else _opened(login.role_id, project).reveal()
    secret_id = _opened(login.secret_id, project)
    if login.wrapped:
        secret_id = _unwrapped(client, secret_id, login.mount)
    return _answered(
        client,
        "AppRole",
        lambda vault: vault.auth.approle.login(role_id, secret_id.reveal(), use_token=False, mount_point=login.mount),
    )


def _unwrapped(client: Client, wrapping: Secret, mount: str) -> Secret:
    """The secret id out of its response wrapping, after a look at who wrapped it: a token that somebody else has opened
    and wrapped again was not made by the AppRole method."""
    try:
        looked = client.ask(
            LOOK_UP, lambda vault: vault.adapter.post("/v1/sys/wrapping/lookup", json={"token": wrapping.reveal()})
        )
        path = str(looked.get("data", {}).get("creation_path", ""))
        if not fnmatchcase(path, f"auth/{mount}/role/*/secret-id"):
            raise Refused(Fault.REFUSED)
        found = client.ask(UNWRAP, lambda vault: vault.sys.unwrap(), token=wrapping)
        return Secret(str(found["data"]["secret_id"]))
    except (Refused, KeyError):
        pass
    raise VeilError(
        "VEIL406", "the wrapped secret id cannot be unwrapped: it expired, was used, or was wrapped by somebody else",
        "wrap a new one; if nobody of yours used it, treat the old secret id as stolen",
    )  # fmt: skip


def _by_userpass(client: Client, login: UserpassLogin, project: Path) -> Token:
    password = _opened(login.password, project)
    return _answered(
        client,
        "userpass",
        lambda vault: vault.auth.userpass.login(
            login.username, password.reveal(), use_token=False, mount_point=login.mount
        ),
    )


def _by_certificate(client: Client, login: CertLogin, _project: Path) -> Token:
    # hvac's own cert login wants the files a second time; the session has them.
    body = {"name": login.name} if login.name else {}
    return _answered(
        client,
        "certificate",
        lambda vault: vault.adapter.login(f"/v1/auth/{login.mount}/login", use_token=False, json=body),
    )


def _by_jwt(client: Client, login: JwtLogin, project: Path) -> Token:
    jwt = _mounted_token(login.token, project)
    return _answered(
        client,
        login.method,
        lambda vault: vault.adapter.login(
            f"/v1/auth/{login.mount}/login", use_token=False, json={"role": login.role, "jwt": jwt.reveal()}
        ),
    )


_METHODS: Mapping[type, Callable[[Client, Any, Path], Token]] = {
    TokenLogin: _by_token,
    AppRoleLogin: _by_approle,
    UserpassLogin: _by_userpass,
    CertLogin: _by_certificate,
    JwtLogin: _by_jwt,
}


def _answered(client: Client, method: str, call: Callable[[Any], Any]) -> Token:
    try:
        auth = client.ask(LOGIN, call)["auth"]
        return Token(
            Secret(auth["client_token"]), float(auth["lease_duration"]) or None, bool(auth["renewable"]), ours=True
        )
    except Refused as refused:
        problem = _rejected(method, refused)
    except (KeyError, TypeError):
        problem = VeilError("VEIL404", "what answered the login is not Vault", "check the store's address")
    raise problem


def _rejected(method: str, refused: Refused) -> VeilError:
    if refused.fault is Fault.MISSING:
        return VeilError("VEIL406", f"Vault has no {method} login there", "enable the method, or correct `mount`")
    return VeilError(
        "VEIL406", f"Vault rejected the {method} login",
        "check that the credential is current, the role exists and the mount is right (`mount:` under auth)",
    )  # fmt: skip


# --- credentials for the login -----------------------------------------------------------


def _opened(place: Place, project: Path) -> Secret:
    """What lies at a place, by the rules of the stores `file` and `env`; it goes into a header, so one line."""
    if place.kind == "env":
        secret = EnvStore().read(SecretRef(place.name)).secret
    else:
        secret = FileStore(project).read(SecretRef(os.path.expanduser(place.name))).secret  # noqa: PTH111
    return _one_line(secret, place)


def _mounted_token(place: Place, project: Path) -> Secret:
    """A platform mounts its short-lived tokens readable by everybody in the container: their mode says nothing."""
    if place.kind == "env":
        return _opened(place, project)
    try:
        text = (project / Path(place.name).expanduser()).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text:
        raise VeilError("VEIL221", f"there is no token in {place.name}", "correct `token: {file: …}` of the login")
    return _one_line(Secret(text), place)


def _one_line(secret: Secret, place: Place) -> Secret:
    value = secret.reveal()
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise VeilError(
            "VEIL222", f"the credential in {place.kind} {place.name} is not one line of plain text",
            "it holds a line end, a NUL, a blank or another character that no token has: write it again",
        )  # fmt: skip
    return secret
