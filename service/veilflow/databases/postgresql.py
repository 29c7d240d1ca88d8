"""PostgreSQL: address, connection, errors by SQLSTATE."""

from __future__ import annotations

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


def mapped(error: BaseException) -> VeilError:
    """Ours for a driver's error, by SQLSTATE; the drivers' texts quote rows and addresses."""
    if isinstance(error, VeilError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    text = str(error).lower()
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
            f"{_refusing(error)} refuses a value (SQLSTATE {state})",
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


def _refusing(error: BaseException) -> str:
    """What refused: the names of constraint, table and column stand apart from the text, which quotes rows."""
    diagnosis = getattr(error, "diag", None)
    for what in ("constraint", "column"):
        if name := getattr(diagnosis, f"{what}_name", None):
            return f'the {what} "{name}" of the table "{getattr(diagnosis, "table_name", "")}"'
    return "a constraint or a type of the table"
