"""A Vault store's options in ``secrets/names.yaml``, checked as one. What is secret is named by a file or a variable.

``VAULT_ADDR``, ``VAULT_TOKEN``, ``~/.vault-token``, proxies and certificate bundles of the environment are looked at
only where an option says so: a run does not change with the shell it was started from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from veilflow.errors import VeilError, raise_all

_KUBERNETES_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a credential for the login lies: a file or an environment variable."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that somebody else made. It is not renewed beyond its own life, not shortened and not revoked."""

    token: Place
    mount: str = "token"


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """``wrapped``: what lies in ``secret_id`` is a wrapping token, which is unwrapped once."""

    role_id: Place | str
    secret_id: Place
    wrapped: bool = False
    mount: str = "approle"


@dataclass(frozen=True, slots=True)
class UserpassLogin:
    username: str
    password: Place
    mount: str = "userpass"


@dataclass(frozen=True, slots=True)
class CertLogin:
    """By the store's client certificate; ``name`` is the role that it is for (default: any that fits)."""

    name: str | None = None
    mount: str = "cert"


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JSON Web Token for a role of Vault's jwt or kubernetes method."""

    method: str
    role: str
    token: Place
    mount: str


Login = TokenLogin | AppRoleLogin | UserpassLogin | CertLogin | JwtLogin


@dataclass(frozen=True, slots=True)
class Options:
    """A store of kind ``vault``. Paths are absolute.

    ``timeout_seconds`` is one request's limit, ``retry_for_seconds`` that of an operation with all its repetitions.
    """

    address: str
    login: Login
    namespace: str | None = None
    ca: Path | None = None
    client_certificate: tuple[Path, Path] | None = None
    proxy: str | None = None
    mounts: tuple[str, ...] = ()
    timeout_seconds: float = 10.0
    retry_for_seconds: float = 30.0


def parse_options(options: Mapping[str, Any], project: Path) -> Options:
    """Check a store's options; all problems are raised together (VEIL201, VEIL202)."""
    found = _Keys("the vault store", options, [])
    address = _address(found)
    login = _login(found)
    certificate = found.sub("client_certificate")
    pair = None
    if certificate is not None:
        files = certificate.file("cert", project, required=True), certificate.file("key", project, required=True)
        pair = (files[0], files[1]) if files[0] and files[1] else None
        certificate.end()
    parsed = Options(
        address=address, login=login, namespace=found.text("namespace") or None, ca=found.file("ca", project),
        client_certificate=pair, proxy=_proxy(found, address), mounts=found.texts("mounts"),
        timeout_seconds=found.seconds("timeout_seconds", 10.0),
        retry_for_seconds=found.seconds("retry_for_seconds", 30.0),
    )  # fmt: skip
    if isinstance(login, CertLogin) and certificate is None and not found.problems:
        found.wrong("auth.cert needs the store's client_certificate", "client_certificate: {cert: FILE, key: FILE}")
    found.end()
    raise_all(found.problems)
    return parsed


# --- the address -------------------------------------------------------------------------


def _address(found: _Keys) -> str:
    written = found.text("address", required=True)
    reason = found.text("unsafe_plain_http")
    if not written:
        return ""
    hint = "for example https://vault.example:8200"
    try:
        parts = urlsplit(written)
        host, _port = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or not host or parts.scheme not in ("http", "https") or any(ord(mark) <= 32 for mark in written):
        found.wrong("address is not an http or https URL", hint)
    elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        found.wrong("address takes no user, password, query or fragment", hint)
    elif parts.scheme == "http" and not _is_loopback(host) and not reason:
        found.wrong(
            "address is plain HTTP, and secrets would cross the network in clear",
            "use https://, or say why it is safe: `unsafe_plain_http: reason`",
        )
    return written.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(found: _Keys, address: str) -> str | None:
    proxy = found.text("proxy") or None
    if proxy is not None and not address.startswith("https://"):
        found.wrong("proxy needs an https address: the proxy would read the token", "use https://, or no proxy")
    if proxy is not None and "@" in proxy:
        found.wrong("proxy holds a password", "use a proxy that needs none")
    return proxy


# --- the login ---------------------------------------------------------------------------


def _login(found: _Keys) -> Login:
    auth = found.sub("auth", required=True)
    if auth is None:
        return CertLogin()
    methods = [name for name in _LOGINS if auth.has(name)]
    if len(methods) != 1:
        auth.wrong("must name one way to log in", "one of " + ", ".join(_LOGINS))
        return CertLogin()
    method = auth.sub(methods[0], may_be_empty=True)
    auth.end()
    if method is None:
        return CertLogin()
    login = _LOGINS[methods[0]](method)
    method.end()
    return login


def _token(keys: _Keys) -> Login:
    return TokenLogin(keys.place())


def _approle(keys: _Keys) -> Login:
    secret_id = keys.sub("secret_id", required=True)
    wrapped, place = False, Place("file", "")
    if secret_id is not None:
        wrapped = secret_id.flag("wrapped")
        place = secret_id.place()
        secret_id.end()
    return AppRoleLogin(keys.text_or_place("role_id"), place, wrapped, keys.text("mount") or "approle")


def _userpass(keys: _Keys) -> Login:
    return UserpassLogin(
        keys.text("username", required=True), keys.sub_place("password"), keys.text("mount") or "userpass"
    )


def _cert(keys: _Keys) -> Login:
    return CertLogin(keys.text("name") or None, keys.text("mount") or "cert")


def _kubernetes(keys: _Keys) -> Login:
    token = keys.sub_place("token", Place("file", _KUBERNETES_TOKEN))
    return JwtLogin("kubernetes", keys.text("role", required=True), token, keys.text("mount") or "kubernetes")


def _jwt(keys: _Keys) -> Login:
    return JwtLogin("jwt", keys.text("role", required=True), keys.sub_place("token"), keys.text("mount") or "jwt")


_LOGINS: Mapping[str, Callable[[_Keys], Login]] = {
    "token": _token, "approle": _approle, "userpass": _userpass, "cert": _cert, "kubernetes": _kubernetes, "jwt": _jwt,
}  # fmt: skip


# --- reading a mapping -------------------------------------------------------------------


class _Keys:
    """Takes the keys of a plain mapping and collects what is wrong; no value is shown, it may be a secret."""

    def __init__(self, what: str, values: Mapping[str, Any], problems: list[VeilError]) -> None:
        self._what, self._values, self.problems, self._taken = what, values, problems, ["kind"]

    def has(self, key: str) -> bool:
        self._taken.append(key)
        return key in self._values

    def wrong(self, problem: str, hint: str) -> None:
        self.problems.append(VeilError("VEIL202", f"{self._what}: {problem}", hint))

    def _take(self, key: str, required: bool, hint: str) -> Any:
        if not self.has(key) and required:
            self.problems.append(VeilError("VEIL201", f'{self._what} needs the key "{key}"', hint))
        return self._values.get(key)

    def text(self, key: str, *, required: bool = False) -> str:
        value = self._take(key, required, f"add `{key}:` to it")
        if value is None:
            return ""
        if not isinstance(value, str) or not value or "\0" in value or "\n" in value:
            self.wrong(f"{key} must be text of one line", f"`{key}: …`")
            return ""
        return value

    def file(self, key: str, project: Path, *, required: bool = False) -> Path | None:
        """The path of a file that is there; relative to the project."""
        written = self.text(key, required=required)
        if not written:
            return None
        path = project / Path(written).expanduser()
        if not path.is_file():
            self.wrong(f"{key} names a file that is not there", "correct the path; it is relative to the project")
        return path

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._take(key, False, "")
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip("/") for one in value):
            self.wrong(f"{key} must be a list of texts", f"`{key}: [team/kv]`")
            return ()
        return tuple(one.strip("/") for one in value)

    def flag(self, key: str) -> bool:
        value = self._take(key, False, "")
        if value is not None and not isinstance(value, bool):
            self.wrong(f"{key} must be true or false", f"`{key}: true`")
        return value is True

    def seconds(self, key: str, default: float) -> float:
        value = self._take(key, False, "")
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
            self.wrong(f"{key} must be a number of seconds up to 3600", f"`{key}: {default:g}`")
            return default
        return float(value)

    def sub(self, key: str, *, required: bool = False, may_be_empty: bool = False) -> _Keys | None:
        value = self._take(key, required, f"add `{key}:` to it")
        if value is None and not (may_be_empty and key in self._values):
            return None
        if not isinstance(value or {}, dict):
            self.wrong(f"{key} must be a mapping of keys to values", f"`{key}: {{…}}`")
            return None
        return _Keys(f"{self._what}.{key}", value or {}, self.problems)

    def place(self) -> Place:
        """This mapping's ``file`` or ``env``: one of them."""
        given = [key for key in ("file", "env") if self.has(key)]
        if len(given) != 1:
            self.wrong("must name where the credential lies", "`{file: PATH}` or `{env: NAME}`; never the value itself")
            return Place("file", "")
        return Place(given[0], self.text(given[0]))

    def sub_place(self, key: str, default: Place | None = None) -> Place:
        found = self.sub(key, required=default is None)
        if found is None:
            return default or Place("file", "")
        place = found.place()
        found.end()
        return place

    def text_or_place(self, key: str) -> Place | str:
        if isinstance(self._values.get(key), dict):
            return self.sub_place(key)
        return self.text(key, required=True)

    def end(self) -> None:
        """Every key that nobody took is unknown."""
        for key in self._values:
            if key not in self._taken:
                near = get_close_matches(str(key), self._taken, n=1)
                taken = ", ".join(dict.fromkeys(self._taken[1:]))
                hint = (f"did you mean {near[0]}? " if near else "") + f"it takes: {taken}"
                self.problems.append(VeilError("VEIL201", f'{self._what} has the unknown key "{key}"', hint))
