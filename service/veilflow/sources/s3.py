"""Files in an object store that speaks S3, by the client that comes with pyarrow.

It gets address, region and login from the pipeline's connection and looks at no environment and no profile.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from glob import has_magic
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa

from veilflow.errors import PassingFault, VeilError
from veilflow.model import FileIdentity, Secret, SourceConfig
from veilflow.sources.storage import unreadable

SCHEME = "s3://"
_ALLOWED_PARAMETERS = ("region", "tls_ca_file", "unsafe_plain_http")
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 10
#: The client's own words for an error stand between these; what follows is the server's and is looked at by nobody.
_ERROR = re.compile(r"(?:^|: )AWS Error (\w+)(?: \(HTTP status (\d+)\))? during \w+ operation")
_GONE = ("NO_SUCH_KEY", "NO_SUCH_BUCKET", "RESOURCE_NOT_FOUND")
_PASSING = (
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    "SLOW_DOWN",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "THROTTLING",
)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a store answers and as whom one asks there."""

    host: str
    region: str
    encrypted: bool
    access_key: Secret = field(repr=False)
    secret_key: Secret = field(repr=False)
    tls_ca_file: str | None = None


def endpoint(url: Secret) -> Endpoint:
    """The parts of ``s3://ACCESS_KEY:SECRET_KEY@HOST[:PORT]?region=…``, or ``s3+http://…`` without TLS. VEIL214 where it
    is no such address, or an unencrypted one to another machine without ``unsafe_plain_http=REASON``."""
    parts = urlsplit(url.reveal())
    given = dict(parse_qsl(parts.query))
    other = next(iter(given.keys() - set(_ALLOWED_PARAMETERS)), None)
    if other is not None:
        raise _unusable(f"has the parameter {other}", "allowed: " + ", ".join(_ALLOWED_PARAMETERS))
    try:
        usable = (
            parts.scheme in ("s3", "s3+http") and bool(parts.hostname) and parts.path in ("", "/") and parts.port != 0
        )
    except ValueError:
        usable = False
    if not usable or "region" not in given:
        raise _unusable("is not the address of an S3 store", "write s3://HOST:PORT?region=REGION")
    encrypted = parts.scheme == "s3"
    if not encrypted and not _is_loopback(parts.hostname or "") and not given.get("unsafe_plain_http", "").strip():
        raise _unusable(
            "would send rows without TLS",
            "write s3:// for s3+http://, or say why it is safe: `&unsafe_plain_http=reason`",
        )
    if not parts.username or not parts.password:
        raise _unusable(
            "has no access key", 'name a `credential`: a secret that is {"access_key": "…", "secret_key": "…"}'
        )
    return Endpoint(
        host=parts.netloc.rpartition("@")[2], region=given["region"], encrypted=encrypted,
        access_key=Secret(unquote(parts.username)), secret_key=Secret(unquote(parts.password)),
        tls_ca_file=given.get("tls_ca_file"),
    )  # fmt: skip


def _unusable(problem: str, hint: str) -> VeilError:
    return VeilError("VEIL214", f"the connection's URL {problem}", hint)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class S3Files:
    """The objects of a store as files. A version of an object is told from others by its ETag, and by its version where
    the bucket keeps those: two of one size within a second are two."""

    read_ahead = 8 << 20

    def __init__(self, url: Callable[[], Secret]) -> None:
        self._url = url

    @cached_property
    def _system(self) -> Any:
        from pyarrow.fs import S3FileSystem

        found = endpoint(self._url())
        return S3FileSystem(
            access_key=found.access_key.reveal(), secret_key=found.secret_key.reveal(), region=found.region,
            scheme="https" if found.encrypted else "http", endpoint_override=found.host, tls_ca_file_path=found.tls_ca_file,
            connect_timeout=_CONNECT_SECONDS, request_timeout=_SILENT_SECONDS,
        )  # fmt: skip

    def is_pattern(self, config: SourceConfig) -> bool:
        return has_magic(config.shown)

    def found(self, config: SourceConfig) -> Iterator[str]:
        from pyarrow.fs import FileSelector, FileType

        pattern = _key(config).split("/")
        literal = next(place for place, part in enumerate(pattern) if has_magic(part))
        if not literal:
            raise VeilError("VEIL202", f"the bucket of {config.shown} is a pattern", "name one bucket", config.place)
        deeper = literal < len(pattern) - 1 or pattern[-1] == "**"
        base = FileSelector("/".join(pattern[:literal]), allow_not_found=True, recursive=deeper)
        try:
            listed = self._system.get_file_info(base)
        except pa.ArrowInvalid:
            raise unreadable(config) from None
        except OSError as error:
            raise self.failure(config, error) from None
        for info in listed:
            if info.type == FileType.File and _matches(info.path.split("/"), pattern):
                yield SCHEME + info.path

    def node(self, _config: SourceConfig, name: str) -> str:
        return name

    def one(self, config: SourceConfig, name: str) -> SourceConfig:
        return replace(config, shown=name, listed=())

    def identity(self, config: SourceConfig) -> FileIdentity:
        try:
            with self.open(config) as file:
                size, facts = file.size(), file.metadata()
            modified = datetime.fromisoformat(facts["Last-Modified"].decode())
            version = " ".join(facts[name].decode() for name in ("ETag", "VersionId") if name in facts)
        except OSError as error:
            raise self.failure(config, error) from None
        except (KeyError, ValueError):
            # It answers, and not as such a store does.
            raise unreadable(config) from None
        return FileIdentity(config.shown, size, int(modified.timestamp()) * _SECOND_NS, version)

    def open(self, config: SourceConfig) -> pa.NativeFile:
        try:
            return self._system.open_input_file(_key(config))
        except pa.ArrowInvalid:
            # A path that the client does not take: an empty part, for one.
            raise unreadable(config) from None

    def failure(self, config: SourceConfig, error: OSError) -> VeilError:
        found = _ERROR.search(str(error))
        if found is None or found[1] in _GONE:
            return unreadable(config)
        if found[1] in _PASSING or (found[2] or "").startswith("5"):
            return PassingFault(
                "VEIL401", f"the store of {config.shown} is out of reach, or the connection was lost",
                "check host, port and network of the connection; then run again", config.place,
            )  # fmt: skip
        return VeilError(
            "VEIL402", f"the store rejected the request for {config.shown}",
            "check the connection's credential (it may have expired), its right to list the bucket and get the object, and "
            "the region", config.place,
        )  # fmt: skip


def _key(config: SourceConfig) -> str:
    """Bucket and key."""
    return config.shown.removeprefix(SCHEME)


def _matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """As ``glob`` matches: `*` within a directory, `**` at every depth, and no hidden name but by a pattern that is."""
    if not pattern or not name:
        return not name and all(part == "**" for part in pattern)
    hidden = name[0].startswith(".") and not pattern[0].startswith(".")
    if pattern[0] == "**":
        return _matches(name, pattern[1:]) or (not hidden and _matches(name[1:], pattern))
    return not hidden and fnmatchcase(name[0], pattern[0]) and _matches(name[1:], pattern[1:])
