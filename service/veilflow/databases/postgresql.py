"""PostgreSQL: address, connection, errors by SQLSTATE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlunsplit

import psycopg

from veilflow.databases.addresses import parse, took_too_long
from veilflow.databases.refusals import missing_partner, shared_key
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret

#: A peer that is gone without a word is noticed within minutes, not hours.
_ALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "6", "tcp_user_timeout": "120000"}
#: How values are written as text, and what their text means, whatever the role's own settings are.
_TEXTS: Mapping[str, str] = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}
#: What a target's connection demands whatever the role's own settings are: rows that a policy hides are an error, and a
#: commit that was answered holds.
LOADING: Mapping[str, str] = {
    "row_security": "off", "synchronous_commit": "on", "statement_timeout": "3600000", **_TEXTS
}  # fmt: skip
#: A source is read by one statement, as long as that takes unless the connection sets a limit.
READING: Mapping[str, str] = {"statement_timeout": "0", **_TEXTS}
_TOOK_TOO_LONG = {"55P03": "VEIL408", "57014": "VEIL409"}
_BETWEEN_ROWS = {"23505": shared_key, "23503": missing_partner}
_LONGEST_NAME = 63


def address(url: Secret, settings: Mapping[str, str]) -> str:
    """The URL for the drivers, with limits of time and the server's ``settings`` for the connection.

    Across a network it asks for TLS, and where it knows whom to trust for the server's name as well.
    """
    found = parse(url, "postgresql")
    limits = {"lock_timeout": found.lock_seconds, "statement_timeout": found.statement_seconds}
    wanted = {**settings, **{name: f"{limit * 1000:.0f}" for name, limit in limits.items() if limit is not None}}
    options = " ".join(f"-c {name}={value}" for name, value in wanted.items())
    name = found.name.encode()[:_LONGEST_NAME].decode(errors="ignore")
    given = {"connect_timeout": "10", "application_name": name, **_ALIVE, "options": options} | found.parameters
    if not found.local:
        given = {"sslmode": "verify-full" if "sslrootcert" in given else "require"} | given
    return urlunsplit(found.parts._replace(scheme="postgresql", query=urlencode(given, quote_via=quote)))


def connect(url: Secret, settings: Mapping[str, str]) -> psycopg.Connection[Any]:
    """A connection in autocommit."""
    try:
        return psycopg.connect(address(url, settings), autocommit=True)
    except psycopg.Error as error:
        raise mapped(error) from None


def mapped(error: BaseException, columns: Sequence[str] = ()) -> VeilError:
    """Ours for a driver's error, by SQLSTATE; the drivers' texts quote rows and addresses. ``columns`` are those of the
    rows that were sent: one of them is named where the server says which."""
    if isinstance(error, VeilError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    text = "" if state else str(error).lower()  # with a state the text may quote a row, which says anything
    if state.startswith("28") or "password authentication failed" in text or "no password supplied" in text:
        return VeilError(
            "VEIL402",
            "the database rejected the user, the password or the way of connecting",
            "check the connection's credential in its store, and whether the server wants TLS or a certificate",
        )
    if not state and any(words in text for words in ("ssl error", "does not support ssl", "certificate")):
        return VeilError(
            "VEIL401",
            "no TLS could be agreed with the server, or its certificate is not the one that is expected",
            "name the CA by `sslrootcert` and the host as in its certificate; across a network that is trusted without TLS say `sslmode=disable`",
        )
    if state == "42501":
        return VeilError(
            "VEIL402",
            "the database user lacks a permission",
            "`veil plan` says which, where the catalogue tells; a function or a policy may ask for others",
        )
    if state.startswith("3D") or ('database "' in text and "does not exist" in text):
        return VeilError(
            "VEIL214", "the database does not exist on this server", "check the connection's URL in secrets/names.yaml"
        )
    if state in ("53100",):
        return VeilError("VEIL101", "the database's disk is full", "free some space and run again")
    if state in _TOOK_TOO_LONG:
        return took_too_long(_TOOK_TOO_LONG[state])
    if state in _BETWEEN_ROWS:
        return _BETWEEN_ROWS[state](getattr(getattr(error, "diag", None), "constraint_name", None))
    if state == "54000":
        return VeilError(
            "VEIL319",
            "a row is larger than PostgreSQL's tables or indexes take (SQLSTATE 54000)",
            "drop or shorten columns in the policy: a row has 8 kB, in which a long text takes 18 bytes, and an entry of an index 2.7 kB",
        )  # fmt: skip
    if state.startswith(("22", "23", "54")):
        return VeilError(
            "VEIL319",
            f"{_refusing(error, columns)} refuses a value (SQLSTATE {state})",
            "look at the table's checks, keys and triggers; the row is not shown",
        )
    if state.startswith(("08", "57P", "53")) or state in ("40001", "40P01", "25006") or (not state and _lost(error)):
        return PassingFault(
            "VEIL401",
            "the database is out of reach, or the connection was lost",
            "check host, port and network; then run again",
        )
    return VeilError(
        "VEIL102",
        f"the database refused a statement ({f'SQLSTATE {state}' if state else type(error).__name__})",
        "look the code up in PostgreSQL's documentation; the text is not shown, it may quote rows",
    )


def _lost(error: BaseException) -> bool:
    """Whether an error without a state is the connection's, and not a driver's refusal of what it was given."""
    return not type(error).__name__.startswith(("Programming", "Data", "NotSupported", "Integrity"))


def _refusing(error: BaseException, columns: Sequence[str]) -> str:
    """What refused: the names of constraint, table and column stand apart from the text, which quotes rows. A column that
    does not fit its type stands only in COPY's context, from which no more is taken than one of our own names. The
    table to which ``columns`` were sent is a staging, whose name says nothing."""
    diagnosis = getattr(error, "diag", None)
    table = getattr(diagnosis, "table_name", None)
    for what in ("constraint", "column"):
        if name := getattr(diagnosis, f"{what}_name", None):
            return f'the {what} "{name}"' + (f' of the table "{table}"' if table and not columns else "")
    context = getattr(diagnosis, "context", None) or ""
    found = next((name for name in columns if context.endswith(f", column {name}")), None)
    return f'the type of the column "{found}"' if found else "a constraint or a type of the table"
