"""Any database that has a dialect of SQLAlchemy: what its URL may say, the connection's settings, errors without their text.

To know one driver more: a line in ``_DRIVERS``; one dialect's limits of time: a line in ``_SETTINGS``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pymysql
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import (  # fmt: skip
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from veilflow.databases import mariadb, postgresql
from veilflow.databases.addresses import (  # fmt: skip
    LOCK,
    PARAMETERS,
    STATEMENT,
    Address,
    is_local,
    names_driver,
    refused_parameter,
    taken_apart,
)
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret, UrlTerms

#: The dialects of MySQL and its kin.
MYSQL = ("mysql", "mariadb")
_LOADING_SECONDS = 3600.0
_STRICT = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"


@dataclass(frozen=True, slots=True)
class _Driver:
    """The parameters that a URL of the driver may have, and which of them with which values (any, where none is
    listed) make sure that it encrypts."""

    parameters: tuple[str, ...] = ()
    encrypts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, str]:
        return {"connect_timeout": "10"} if "connect_timeout" in self.parameters else {}


_LIBPQ = _Driver(PARAMETERS["postgresql"], {"sslmode": ("require", "verify-ca", "verify-full")})
_DRIVERS: Mapping[str, _Driver] = {
    "psycopg": _LIBPQ,
    "psycopg2": _LIBPQ,
    "pymysql": _Driver(("ssl_ca", "ssl_cert", "ssl_key", "connect_timeout"), {"ssl_ca": ()}),
}
#: Other ways to say where to connect and as whom, and what runs code of somebody else: not even a pipeline allows these.
_NEVER = re.compile(
    "host|hostaddr|port|user|username|dsn|odbc_connect|unix_socket|service|servicefile|passfile|plugin|.*(pass|pwd|secret|token).*",
    re.IGNORECASE,
)


def connect(
    url: Secret, terms: UrlTerms, isolation: str | None = None, lock_seconds: float | None = None
) -> sa.Connection:
    """A connection with its address's limits of time; ``lock_seconds`` stand in the place of one of them. MySQL is in
    strict mode and in UTC."""
    found = taken_apart(url)
    dialect_of(url, terms)
    try:
        address = sa.make_url(found.parts._replace(query="").geturl()).update_query_dict(
            _driver(found).defaults | found.parameters
        )
        more = {} if isolation is None else {"isolation_level": isolation}
        # Not reset when it is given back: it is closed, and where that fails the pool logs what the driver says.
        engine = sa.create_engine(address, poolclass=NullPool, pool_reset_on_return=None, hide_parameters=True, **more)
        lock = found.lock_seconds if lock_seconds is None else lock_seconds

        @sa.event.listens_for(engine, "connect")
        def prepare(raw: Any, _record: object) -> None:
            _say(raw, _settings(engine.dialect, lock, found.statement_seconds))

        return engine.connect()
    except (SQLAlchemyError, psycopg.Error, pymysql.Error, OSError, ValueError, TypeError) as error:
        raise mapped(error) from None


def dialect_of(url: Secret, terms: UrlTerms) -> Dialect:
    """The URL's dialect, without a connection. VEIL214 where the URL may not be used, or nothing for it is installed."""
    found = taken_apart(url)
    refuse(found, terms)
    scheme = found.parts.scheme
    try:
        dialect = sa.create_engine(f"{scheme}://").dialect
    except (ImportError, NoSuchModuleError):
        raise _wrong(
            f"no dialect and driver for {scheme}:// are installed",
            "install the driver's package beside Veilflow (`uv pip install` or `pip install`; SQLAlchemy's list of dialects names it)",
        ) from None
    except (SQLAlchemyError, ValueError, TypeError) as error:
        raise mapped(error) from None
    limits = [name for name, _seconds in parse_qsl(urlsplit(url.reveal()).query) if name in (LOCK, STATEMENT)]
    if limits and dialect.name not in (*MYSQL, "postgresql"):
        raise _wrong(
            f"nothing is known of how {dialect.name} limits the time of locks and statements",
            "leave the limits out of the connection, and set them for the database's user",
        )
    return dialect


def refuse(found: Address, terms: UrlTerms) -> None:
    """VEIL214 where the URL names no driver, has a parameter that nobody allowed, or would cross a network and nobody
    said that the driver encrypts."""
    scheme = found.parts.scheme
    if not names_driver(scheme):
        raise _wrong(
            "the connection's URL names no driver", "it begins with dialect+driver://, such as mysql+pymysql://"
        )
    driver = _driver(found)
    forbidden = next((name for name in found.parameters if _NEVER.fullmatch(name)), None)
    if forbidden is not None:
        raise _wrong(
            f"the connection's URL has the parameter {forbidden}",
            "host and port stand in the URL itself, user and password in the secret that `credential` names",
        )
    allowed = (*driver.parameters, *terms.parameters)
    wrong = refused_parameter(found.parts.query, allowed, "; others, if the target's `url_parameters` lists them")
    if wrong is not None:
        raise wrong
    if not (is_local(_hosts(found)) or _encrypts(driver, found.parameters) or terms.unsafe_transport):
        ways = [f"{name}={values[0] if values else '…'}" for name, values in driver.encrypts.items()]
        raise _wrong(
            "the connection crosses a network, and nothing says that it is encrypted",
            (f"say {' or '.join(ways)} in its URL" if ways else "nothing is known of this driver's TLS")
            + "; where it is safe all the same: `unsafe_transport: reason` in the target",
        )


def _driver(found: Address) -> _Driver:
    return _DRIVERS.get(found.parts.scheme.partition("+")[2], _Driver())


def _hosts(found: Address) -> str:
    """As SQLAlchemy reads them, which connects: others may read another host out of the same URL."""
    try:
        host = sa.make_url(found.parts._replace(query="").geturl()).host or ""
    except (SQLAlchemyError, ValueError):
        raise _wrong("the connection's URL cannot be read", "dialect+driver://host:port/database") from None
    return f"[{host}]" if ":" in host else host


def _encrypts(driver: _Driver, given: Mapping[str, str]) -> bool:
    return any(name in given and (not values or given[name] in values) for name, values in driver.encrypts.items())


# --- settings ----------------------------------------------------------------------------


def _settings(dialect: Dialect, lock_seconds: float, statement_seconds: float | None) -> Sequence[str]:
    """The statements that a new connection begins with."""
    limit = _LOADING_SECONDS if statement_seconds is None else statement_seconds
    if dialect.name == "postgresql":
        # The lock of a run is a transaction that waits for the run's end.
        server = {"idle_in_transaction_session_timeout": "0", **postgresql.LOADING}
        server |= {"lock_timeout": f"{lock_seconds * 1000:.0f}", "statement_timeout": f"{limit * 1000:.0f}"}
        return [f"set {name} = '{value}'" for name, value in server.items()]
    if dialect.name in MYSQL:
        own = f", max_statement_time = {limit:g}" if getattr(dialect, "is_mariadb", False) else ""
        lock = max(1, round(lock_seconds)) if lock_seconds else 31_536_000
        return [
            f"set time_zone = '+00:00', sql_mode = '{_STRICT}', lock_wait_timeout = {lock}, innodb_lock_wait_timeout = {lock}{own}"
        ]
    return []


def _say(raw: Any, statements: Sequence[str]) -> None:
    """On the driver's own connection, before it is in anybody's hands."""
    cursor = raw.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
        raw.commit()
    finally:
        cursor.close()


# --- errors ------------------------------------------------------------------------------


def mapped(error: BaseException, columns: Sequence[str] = ()) -> VeilError:
    """Ours for an error of SQLAlchemy or its driver, without its text: by the code of the drivers that are known, else
    by its class. ``columns`` are those of the rows that were sent."""
    if isinstance(error, VeilError):
        return error
    own = _by_code(getattr(error, "orig", None) or error, columns)
    if own is not None and own.code == "VEIL402":
        return VeilError(
            "VEIL402", own.problem,
            "check the credential in its store; the user must be allowed to make tables in its default schema, and to "
            "select, insert, update and delete there",
        )  # fmt: skip
    if own is not None and own.code != "VEIL102":
        return own
    if isinstance(error, IntegrityError | DataError):
        return VeilError("VEIL319", "a constraint or a type of the table refuses a value", "look at the table's checks, keys and triggers; the row is not shown")  # fmt: skip
    if own is not None:
        return own
    if isinstance(error, OperationalError | InterfaceError | OSError) or getattr(
        error, "connection_invalidated", False
    ):
        return PassingFault("VEIL401", "the database is out of reach, busy, or the connection was lost", "check host, port and network; then run again")  # fmt: skip
    if isinstance(error, DBAPIError):
        return VeilError("VEIL102", "the database refused a statement", "its log tells which; the text is not shown, it may quote rows")  # fmt: skip
    return _wrong(
        "the dialect or its driver does not take the connection's URL", "compare it with the driver's documentation"
    )


def _by_code(cause: BaseException, columns: Sequence[str]) -> VeilError | None:
    """Ours for an error of the drivers whose codes are known."""
    if isinstance(cause, psycopg.Error):
        return postgresql.mapped(cause, columns)
    return mariadb.mapped(cause, columns) if isinstance(cause, pymysql.Error) else None


def _wrong(problem: str, hint: str) -> VeilError:
    return VeilError("VEIL214", problem, hint)
