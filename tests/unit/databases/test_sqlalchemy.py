"""Which URLs of dialects of SQLAlchemy may be used, and what their errors become."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from veilflow.databases.addresses import LOCK
from veilflow.databases.sqlalchemy import dialect_of, mapped, refuse, taken_apart
from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret, UrlTerms

NONE = UrlTerms()
LISTED = UrlTerms(("service_name", "options"), None)
TOLD = UrlTerms((), "a tunnel of our own, checked every quarter")


def refused(url: str, terms: UrlTerms = NONE) -> VeilError:
    with pytest.raises(VeilError) as caught:
        refuse(taken_apart(Secret(url)), terms)
    assert caught.value.code == "VEIL214"
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:secret-word@127.0.0.1/x", "postgresql+psycopg://u@[::1]:5432/x?connect_timeout=5",
        "postgresql+psycopg://u@db.example/x?sslmode=require", "postgresql+psycopg2://u@db.example/x?sslmode=verify-full&sslrootcert=ca.pem",
        "mysql+pymysql://u@db.example/x?ssl_ca=ca.pem", "firebird+firebird://u@localhost/x",
    ],
)  # fmt: skip
def test_an_address_on_this_machine_or_encrypted_passes(url: str) -> None:
    """With the parameters that are known of the driver."""
    refuse(taken_apart(Secret(url)), UrlTerms())


@pytest.mark.parametrize(
    "parameter",
    ["options=-csearch_path", "sslmode=prefer", "sslmode=", "init_command=x", "read_default_file=/x", "charset=latin1", "a="],
)  # fmt: skip
@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql", "oracle+oracledb"])
def test_a_parameter_that_nobody_listed_is_refused(driver: str, parameter: str) -> None:
    """By its name, and never with its value."""
    error = refused(f"{driver}://u@127.0.0.1/x?{parameter}")
    assert parameter.partition("=")[0] in error.problem and "search_path" not in str(error)


def test_a_parameter_that_the_pipeline_lists_passes() -> None:
    """And no other one."""
    refuse(taken_apart(Secret("oracle+oracledb://u@127.0.0.1/?service_name=x")), LISTED)
    refused("oracle+oracledb://u@127.0.0.1/?service_name=x&mode=SYSDBA", LISTED)


@pytest.mark.parametrize(
    "name",
    ["host", "HOST", "hostaddr", "port", "user", "password", "sslpassword", "PWD", "token", "odbc_connect", "dsn", "plugin",
     "unix_socket", "service", "passfile"],
)  # fmt: skip
def test_no_pipeline_lists_another_host_or_a_password(name: str) -> None:
    """The host decides whether a network is crossed, and passwords stand in stores."""
    error = refused(f"postgresql+psycopg://u@127.0.0.1/x?{name}=hidden-value", UrlTerms((name,), "a reason"))
    assert "hidden-value" not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u@db.example/x", "postgresql+psycopg://u@db.example/x?sslmode=disable",
        "mysql+pymysql://127.0.0.1#@db.example/x", "mysql+pymysql://u@[::ffff:10.0.0.1]/x", "postgresql+psycopg://u@127.0.0.1,db.example/x", "mysql+pymysql://u@10.0.0.1:3306/x", "oracle+oracledb://u@db.example/",
    ],
)  # fmt: skip
def test_a_network_is_crossed_encrypted_or_for_a_stated_reason(url: str) -> None:
    """Of a driver that is not known nobody knows whether it encrypts."""
    assert "unsafe_transport" in refused(url).hint
    refuse(taken_apart(Secret(url)), TOLD)


def test_a_url_without_a_driver_is_refused() -> None:
    """Which driver SQLAlchemy would choose is no decision of a person."""
    assert "dialect+driver://" in refused("mysql://u@127.0.0.1/x").hint


@pytest.mark.parametrize("url", ["oracle+oracledb://u@127.0.0.1/x", "nothing+nothing://u@127.0.0.1/x"])
def test_a_driver_that_is_not_installed_is_told(url: str) -> None:
    """By dialect and driver, with what to do."""
    with pytest.raises(VeilError) as caught:
        dialect_of(Secret(url), UrlTerms())
    assert caught.value.code == "VEIL214" and url.partition("://")[0] in caught.value.problem
    assert "install" in caught.value.hint


def test_limits_of_time_that_cannot_be_set_are_refused() -> None:
    """They would be believed to hold."""
    dialect_of(Secret(f"postgresql+psycopg://u@127.0.0.1/x?{LOCK}=3"), UrlTerms())
    with pytest.raises(VeilError, match="VEIL214"):
        dialect_of(Secret(f"sqlite+pysqlite:///x?{LOCK}=3"), UrlTerms())


def test_errors_tell_nothing_of_what_the_driver_said() -> None:
    """Their class decides whether it may help to try again."""
    told = Exception("Key (email)=(ada@example.com) exists")
    cases: list[tuple[type[DBAPIError], str]] = [
        (IntegrityError, "VEIL319"), (sa.exc.DataError, "VEIL319"), (OperationalError, "VEIL401"), (sa.exc.ProgrammingError, "VEIL102"),
    ]  # fmt: skip
    for kind, code in cases:
        error = mapped(kind("insert into people", {"v0": "ada@example.com"}, told))
        assert error.code == code and "ada" not in str(error) and isinstance(error, PassingFault) == (code == "VEIL401")
