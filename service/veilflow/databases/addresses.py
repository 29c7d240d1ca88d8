"""The address of a database server: which parameters its URL may have, and what we add to them.

Drivers take files to read, commands to run and other hosts by the parameters of a URL, so only those of the list pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret

_KINDS = {"postgresql": "postgresql", "postgres": "postgresql", "mariadb": "mariadb", "mysql": "mariadb"}
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "postgresql": ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs", "connect_timeout", "application_name"),
    "mariadb": ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "connect_timeout"),
}  # fmt: skip
_VALUES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "require", "verify-ca", "verify-full"), "ssl": ("true", "false"),
    "target_session_attrs": ("any", "read-write", "primary"),
}  # fmt: skip
_FILES = ("sslrootcert", "sslcert", "sslkey", "ssl_ca", "ssl_cert", "ssl_key")
_PRIVATE = ("sslkey", "ssl_key")
#: What the settings of a connection become on their way to the driver; nobody writes them into a URL.
LOCK, STATEMENT, NAME = "veilflow_lock_seconds", "veilflow_statement_seconds", "veilflow_name"
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Address:
    """A connection's URL in its parts. ``parameters`` are those that were given; the limits are in seconds, and 0 is none."""

    parts: SplitResult = field(repr=False)
    parameters: dict[str, str]
    name: str
    lock_seconds: float
    statement_seconds: float | None

    @property
    def local(self) -> bool:
        """Whether it stays on this machine: loopback, or a socket's directory."""
        return is_local(self.parts.netloc.rpartition("@")[2])


def refusal(url: str) -> VeilError | None:
    """VEIL214 for a parameter that a connection's URL may not have, or a value that the parameter has not. Of a kind
    of database that is not ours nothing is known."""
    parts = urlsplit(url)
    kind = _KINDS.get(parts.scheme)
    return None if kind is None else refused_parameter(parts.query, PARAMETERS[kind])


def refused_parameter(query: str, allowed: Sequence[str], how: str = "") -> VeilError | None:
    """VEIL214 for the first parameter that is not ``allowed``, or has a value that it has not; ``how`` ends the hint."""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in allowed:
            return _wrong(
                f"the connection's URL has the parameter {name}", "allowed: " + (", ".join(allowed) or "none") + how
            )
        if value not in _VALUES.get(name, (value,)):
            return _wrong(f"the connection's URL has another {name} than there are", "there are: " + ", ".join(_VALUES[name]))  # fmt: skip
        if name == "connect_timeout" and not (value.isdecimal() and 0 < int(value) <= 3600):
            return _wrong("the connection's connect_timeout is no number of seconds", "from 1 to 3600")
    return None


def completed(url: str, project: Path, more: Mapping[str, str]) -> str:
    """The URL with paths of files from ``project`` on, and with parameters of our own. VEIL214 for a file that is not
    there, or a private key that others may read."""
    parts = urlsplit(url)
    if parts.scheme not in _KINDS and not names_driver(parts.scheme):
        return url
    given = dict(parse_qsl(parts.query))
    for name in given.keys() & set(_FILES):
        if given[name] != "system":
            given[name] = str(_usable(name, project / given[name]))
    return urlunsplit(parts._replace(query=urlencode(given | dict(more))))


def parse(url: Secret, kind: str) -> Address:
    """The address of a server of the kind. VEIL214 for one of another kind, or with a parameter that may not be there."""
    if _KINDS.get(urlsplit(url.reveal()).scheme) != kind:
        raise _wrong(f"the connection's URL is not one of {kind}", f"it begins with {kind}://")
    found = taken_apart(url)
    if (wrong := refused_parameter(found.parts.query, PARAMETERS[kind])) is not None:
        raise wrong
    return found


def taken_apart(url: Secret) -> Address:
    """The address with the settings of its connection; whether its parameters may be there is for the caller to see."""
    parts = urlsplit(url.reveal())
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    ours = {name: given.pop(name, "") for name in (LOCK, STATEMENT, NAME)}
    statement = float(ours[STATEMENT]) if ours[STATEMENT] else None
    lock = float(ours[LOCK]) if ours[LOCK] else _LOCK_SECONDS
    return Address(parts._replace(query=urlencode(given)), given, ours[NAME] or "veilflow", lock, statement)


def names_driver(scheme: str) -> bool:
    """Whether a URL's scheme is that of a dialect of SQLAlchemy, dialect+driver, and not of an object store."""
    return "+" in scheme and not scheme.startswith("s3+")


def took_too_long(code: str) -> PassingFault:
    """VEIL408 for a lock that was not given in time, VEIL409 for a statement."""
    what, setting = ("somebody else held a lock", "lock") if code == "VEIL408" else ("a statement ran", "statement")
    return PassingFault(
        code, f"{what} for longer than the connection's {setting}_timeout_seconds",
        f"look who works on the table, or raise {setting}_timeout_seconds in secrets/names.yaml; `veil runs resume` goes on",
    )  # fmt: skip


def _usable(name: str, file: Path) -> Path:
    try:
        mode = file.stat().st_mode
    except OSError:
        raise _wrong(f"{name} names a file that is not there", "paths are from the project's directory on") from None
    if name in _PRIVATE and mode & 0o077:
        raise _wrong(f"others may read the file that {name} names", "chmod 600 it")
    return file


def is_local(hosts: str) -> bool:
    """Whether all of a URL's hosts, with their ports, are on this machine: loopback, or a socket's directory."""
    return all(_is_local(unquote(host)) for host in hosts.split(","))


def _is_local(host: str) -> bool:
    name = host if host.startswith("/") else host.strip("[").partition("]")[0] if host.startswith("[") else host.partition(":")[0]  # fmt: skip
    return name in ("", "localhost", "::1") or name.startswith(("127.", "/"))


def _wrong(problem: str, hint: str) -> VeilError:
    return VeilError("VEIL214", problem, hint)
