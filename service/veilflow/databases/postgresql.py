"""PostgreSQL: address, connection, errors by SQLSTATE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlunsplit

import psycopg

from veilflow.databases.addresses import parse
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret

_ALLOWED_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "options")


def address(url: Secret) -> str:
    """The URL for the drivers, with a time limit for connecting."""
    found = parse(url, _ALLOWED_PARAMETERS)
    given = {"connect_timeout": "10"} | found.parameters
    return urlunsplit(found.parts._replace(scheme="postgresql", query=urlencode(given)))


def connect(url: Secret) -> psycopg.Connection[Any]:
    """A connection in autocommit."""
    try:
        return psycopg.connect(address(url), autocommit=True)
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
            "VEIL402", "the database rejected the user or password", "check the connection's credential in its store"
        )
    if state == "42501":
        return VeilError(
            "VEIL402",
            "the database user lacks a permission",
            "it must create the schema veilflow_staging and the table, and own the table",
        )
    if state.startswith("3D") or ('database "' in text and "does not exist" in text):
        return VeilError(
            "VEIL214", "the database does not exist on this server", "check the connection's URL in secrets/names.yaml"
        )
    if state in ("53100",):
        return VeilError("VEIL101", "the database's disk is full", "free some space and run again")
    if state.startswith(("22", "23", "54")):
        return VeilError(
            "VEIL319",
            f"{_refusing(error, columns)} refuses a value (SQLSTATE {state})",
            "look at the table's checks, keys and triggers; the row is not shown",
        )
    lost = state.startswith(("08", "57P", "53")) or state in ("40001", "40P01", "55P03")
    if lost or not state or isinstance(error, psycopg.OperationalError) and not state:
        return PassingFault(
            "VEIL401",
            "the database is out of reach, or the connection was lost",
            "check host, port and network; then run again",
        )
    return VeilError(
        "VEIL102",
        f"the database refused a statement (SQLSTATE {state})",
        "look the code up in PostgreSQL's documentation; the text is not shown, it may quote rows",
    )


def _refusing(error: BaseException, columns: Sequence[str]) -> str:
    """What refused: the names of constraint, table and column stand apart from the text, which quotes rows. A column that
    does not fit its type stands only in COPY's context, from which no more is taken than one of our own names."""
    fields = {bytes(key): bytes(text).decode("utf-8", "replace") for key, text in getattr(error, "details", ())}
    diagnosis = getattr(error, "diag", None)
    table = getattr(diagnosis, "table_name", None)
    for what in ("constraint", "column"):
        name = getattr(diagnosis, f"{what}_name", None) or fields.get(f"PG_DIAG_{what.upper()}_NAME".encode())
        if name:
            return f'the {what} "{name}"' + (f' of the table "{table}"' if table else "")
    context = fields.get(b"PG_DIAG_CONTEXT", "")
    found = next((name for name in columns if context.endswith(f", column {name}")), None)
    return f'the type of the column "{found}"' if found else "a constraint or a type of the table"
