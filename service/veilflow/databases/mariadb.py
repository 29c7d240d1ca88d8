"""MariaDB: address, connection in strict mode, errors by number."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import Cursor

from veilflow.databases.addresses import Address, parse, took_too_long
from veilflow.databases.mariadb_client import FilelessConnection
from veilflow.databases.refusals import missing_partner, shared_key
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret

#: Strict, so that a value is refused and not cut off or set to zero; quotes are escaped by doubling them alone.
_MODE = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_BACKSLASH_ESCAPES"
_DENIED = (1044, 1045, 1142, 1143, 1227, 1370, 1698)
_LOST = (1040, 1053, 1158, 1159, 1160, 1161, 1213, 1317, 1927, 2002, 2003, 2006, 2013, 2055)
_TOOK_TOO_LONG = {1205: "VEIL408", 1969: "VEIL409"}
_LOADING_SECONDS = 3600.0
_READING_SECONDS = 0.0
_ANSWER_SECONDS = 60
_FULL = (1021, 1030, 1114)
_REFUSED = (1048, 1264, 1265, 1292, 1364, 1366, 1406, 1411, 3819, 4025)
_SAME_KEY, _NO_PARTNER = (1062, 1557, 1586), (1451, 1452)
#: What stands before it may be a row's value.
_KEY = re.compile(r" for key '([^']+)'$")
#: These errors tell names and nothing else.
_CONSTRAINT = re.compile("CONSTRAINT `(.+?)` failed for ")
_FOREIGN_KEY = re.compile("CONSTRAINT `(.+?)` FOREIGN KEY ")
_TOO_WIDE = (1117, 1118)


def connect(
    url: Secret, cursor: type[Any] | None = None, as_text: bool = False, loads: bool = False
) -> FilelessConnection:
    """A connection in autocommit, in strict mode and UTC. It never sends a file, whatever the server asks for.

    ``as_text`` leaves values as the text that the server sends: so a source reads, for as long as that takes. ``loads`` is
    for one that sends rows by LOAD DATA LOCAL.
    """
    found = parse(url, "mariadb")
    parts = found.parts
    limit = found.statement_seconds
    if limit is None:
        limit = _READING_SECONDS if as_text else _LOADING_SECONDS
    more: dict[str, Any] = {"conv": {}} if as_text else {}
    try:
        return FilelessConnection(
            host=parts.hostname or "127.0.0.1", port=parts.port or 3306, user=unquote(parts.username or ""),
            password=unquote(parts.password or ""), database=unquote(parts.path.lstrip("/")), charset="utf8mb4",
            connect_timeout=int(found.parameters.get("connect_timeout", "10")), autocommit=True,
            client_flag=CLIENT.LOCAL_FILES if loads else 0,
            read_timeout=int(limit) + _ANSWER_SECONDS if limit else None, program_name=found.name, ssl=_tls(found),
            sql_mode=_MODE, init_command=_settings(found.lock_seconds, limit), cursorclass=cursor or Cursor, **more,
        )  # fmt: skip
    except ssl.SSLError:
        raise _no_tls() from None
    except (pymysql.Error, OSError, ValueError, UnicodeError) as error:
        raise mapped(error) from None


def _settings(lock_seconds: float, statement_seconds: float) -> str:
    lock = max(1, round(lock_seconds)) if lock_seconds else 31_536_000
    # Without notes the server would round decimals and cut off blanks, and count no warning.
    return (
        f"set time_zone = '+00:00', sql_notes = 1, lock_wait_timeout = {lock}, innodb_lock_wait_timeout = {lock},"
        f" max_statement_time = {statement_seconds:g}"
    )


def _tls(found: Address) -> ssl.SSLContext | None:
    """Verified where the URL asks for it; across a network at least encrypted, unless it says `ssl=false`."""
    given = found.parameters
    if given.get("ssl") == "false" or (found.local and not given.keys() & {"ssl", "ssl_ca", "ssl_cert"}):
        return None
    try:
        context = ssl.create_default_context(cafile=given.get("ssl_ca"))
        # Certificates that servers make for themselves lack what the strict check wants.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if "ssl_cert" in given:
            context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
    except OSError:
        raise VeilError("VEIL214", "a file of certificates in the connection's URL is none", "ssl_ca, ssl_cert and ssl_key name PEM files") from None  # fmt: skip
    if not given.keys() & {"ssl", "ssl_ca"}:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _no_tls() -> VeilError:
    return VeilError(
        "VEIL401", "no TLS could be agreed with the server, or its certificate is not the one that is expected",
        "name the CA by `ssl_ca` and the host as in its certificate; across a network that is trusted without TLS say `ssl=false`",
    )  # fmt: skip


def quote(name: str) -> str:
    """An identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def run(connection: FilelessConnection, sql: str, values: tuple[Any, ...] | None = None) -> Sequence[tuple[Any, ...]]:
    """A statement's rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []


def mapped(error: BaseException, columns: Sequence[str] = ()) -> VeilError:
    """Ours for a driver's error, by its number; the text quotes rows. ``columns`` are those of the rows that were sent:
    one of them is named where the server says which."""
    if isinstance(error, VeilError):
        return error
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number in _DENIED:
        return VeilError(
            "VEIL402", f"the database rejected the user, password or a permission (error {number})",
            "check the credential in its store, and that the user may create tables here and in the database "
            "veilflow_staging",
        )  # fmt: skip
    if number in _TOOK_TOO_LONG:
        return took_too_long(_TOOK_TOO_LONG[number])
    if number == 2026 or "certificate" in str(error).lower() or "ssl is required" in str(error).lower():
        return _no_tls()
    if number == 1049:
        return VeilError("VEIL214", "the database does not exist on this server", "check the connection's URL in secrets/names.yaml")  # fmt: skip
    if number in _FULL:
        return VeilError("VEIL101", "the database's disk is full", "free some space and run again")
    if number in _SAME_KEY:
        return shared_key(_found(_KEY, error))
    if number in _NO_PARTNER:
        return missing_partner(_found(_FOREIGN_KEY, error))
    if number in _REFUSED:
        return VeilError(
            "VEIL319", f"a constraint or a type of the table refuses a value{_where(error, columns)} (error {number})",
            "look at the table's checks, keys and triggers; the row is not shown",
        )  # fmt: skip
    if number in _TOO_WIDE:
        return VeilError("VEIL214", "the table has more columns than MariaDB's rows can have", "drop columns in the policy")  # fmt: skip
    if number in _LOST or not number or isinstance(error, pymysql.InterfaceError):
        return PassingFault(
            "VEIL401", "the database is out of reach, busy, or the connection was lost",
            "check host, port and network; then run again",
        )  # fmt: skip
    return VeilError(
        "VEIL102", f"the database refused a statement (error {number})",
        "look the number up in MariaDB's documentation; the text is not shown, it may quote rows",
    )  # fmt: skip


def _where(error: BaseException, columns: Sequence[str]) -> str:
    """Which constraint or column; from a text that may quote a row no more is taken than one of our own names."""
    if error.args[0] == 4025 and (constraint := _found(_CONSTRAINT, error)):
        return f': constraint "{constraint}"'
    text = _text(error)
    named = (name for name in columns if f"column '{name}' " in text or f".`{name}` at row" in text or f"Column '{name}' " in text)  # fmt: skip
    return "".join(f' of the column "{name}"' for name in list(named)[:1])


def _found(name: re.Pattern[str], error: BaseException) -> str | None:
    found = name.search(_text(error))
    return found[1] if found else None


def _text(error: BaseException) -> str:
    return str(error.args[1]) if len(error.args) > 1 else ""
