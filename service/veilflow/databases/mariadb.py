"""MariaDB: address, connection in strict mode, errors by number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from veilflow.databases.addresses import parse
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret

_ALLOWED_PARAMETERS = ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "connect_timeout")
#: Strict, so that a value is refused and not cut off or set to zero; quotes are escaped by doubling them alone.
_MODE = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_BACKSLASH_ESCAPES"
_DENIED = (1044, 1045, 1142, 1143, 1227, 1370, 1698)
_LOST = (1040, 1053, 1158, 1159, 1160, 1161, 1205, 1213, 1317, 1927, 2002, 2003, 2006, 2013, 2055)
_FULL = (1021, 1030, 1114)
_REFUSED = (1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 1411, 1451, 1452, 1557, 1586, 3819, 4025)
#: Error 4025 tells names and nothing else.
_CONSTRAINT = re.compile("CONSTRAINT `(.+?)` failed for ")
_TOO_WIDE = (1117, 1118)


def connect(url: Secret, cursor: type[Any] | None = None, as_text: bool = False) -> Connection:
    """A connection in autocommit, in strict mode and UTC. It never sends a file, whatever the server asks for.

    ``as_text`` leaves values as the text that the server sends.
    """
    more: dict[str, Any] = {"conv": {}} if as_text else {}
    found = parse(url, _ALLOWED_PARAMETERS)
    parts, given = found.parts, found.parameters
    tls: dict[str, Any] = {name: given[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in given}
    if tls:
        tls |= {"ssl_verify_cert": True, "ssl_verify_identity": True}
    elif given.get("ssl") == "true":
        tls = {"ssl": {"check_hostname": True}}
    try:
        return pymysql.connect(
            host=parts.hostname or "127.0.0.1", port=parts.port or 3306, user=unquote(parts.username or ""),
            password=unquote(parts.password or ""), database=unquote(parts.path.lstrip("/")), charset="utf8mb4",
            connect_timeout=int(given.get("connect_timeout", "10")), autocommit=True, local_infile=False,
            sql_mode=_MODE, init_command="set time_zone = '+00:00'", cursorclass=cursor or Cursor,
            **tls, **more,
        )  # fmt: skip
    except (pymysql.Error, OSError, ValueError, UnicodeError) as error:
        raise mapped(error) from None


def quote(name: str) -> str:
    """An identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


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
    if number == 1049:
        return VeilError("VEIL214", "the database does not exist on this server", "check the connection's URL in secrets/names.yaml")  # fmt: skip
    if number in _FULL:
        return VeilError("VEIL101", "the database's disk is full", "free some space and run again")
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
    number, text = error.args[0], str(error.args[1]) if len(error.args) > 1 else ""
    if number == 4025 and (constraint := _CONSTRAINT.match(text)):
        return f': constraint "{constraint[1]}"'
    named = (name for name in columns if f"column '{name}' " in text or f".`{name}` at row" in text or f"Column '{name}' " in text)  # fmt: skip
    return "".join(f' of the column "{name}"' for name in list(named)[:1])
