"""The addresses of servers: what may stand in a URL, and what is added to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from veilflow.databases.addresses import LOCK, completed, parse, refusal
from veilflow.databases.postgresql import LOADING, READING, address
from veilflow.errors import VeilError
from veilflow.model import Secret


@pytest.mark.parametrize(
    "parameter",
    [
        "options=-csearch_path%3Dx", "host=elsewhere", "hostaddr=10.0.0.1", "port=1", "user=x", "dbname=x", "service=x",
        "passfile=/etc/passwd", "sslpassword=x", "krbsrvname=x", "gssencmode=disable", "sslmode=prefer", "sslmode=allow",
        "sslmode=", "connect_timeout=0", "connect_timeout=x", "veilflow_lock_seconds=1", "OPTIONS=x", "target_session_attrs=x",
    ],
)  # fmt: skip
def test_parameters_that_are_not_on_postgresqls_list_are_refused(parameter: str) -> None:
    """Other hosts, files to read, settings of the server, an encryption that may be left out."""
    found = refusal(f"postgresql://u@db.example/x?sslrootcert=ca.pem&{parameter}")
    assert found is not None and (found.code, found.exit_status) == ("VEIL214", 2)
    assert parameter.partition("=")[0] in found.problem


@pytest.mark.parametrize(
    "parameter",
    ["local_infile=1", "allowLoadLocalInfile=true", "read_default_file=/x", "unix_socket=/x", "init_command=x", "ssl=maybe", "host=x"],
)  # fmt: skip
def test_parameters_that_are_not_on_mariadbs_list_are_refused(parameter: str) -> None:
    """Files that a server may ask for, statements to begin with, encryption that is not said clearly."""
    found = refusal(f"mariadb://u@db.example/x?{parameter}")
    assert found is not None and found.code == "VEIL214"


def test_what_is_on_the_list_passes() -> None:
    """And of databases of other kinds nothing is said."""
    assert (
        refusal("postgresql://u@a,b/x?sslmode=verify-full&sslrootcert=ca.pem&target_session_attrs=read-write") is None
    )
    assert refusal("mariadb://u@a/x?ssl=true&ssl_ca=ca.pem&connect_timeout=5") is None
    assert refusal("oracle://u@a/x?anything=1") is None
    with pytest.raises(VeilError, match="VEIL214"):
        parse(Secret("mariadb://u@a/x-address"), "postgresql")


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("db.example", "sslmode=require"), ("10.0.0.1:5432", "sslmode=require"), ("127.0.0.1,db.example", "sslmode=require"),
        ("127.0.0.1", None), ("localhost:5432", None), ("[::1]:5432", None), ("%2Fvar%2Frun", None), ("", None),
    ],
)  # fmt: skip
def test_across_a_network_tls_is_asked_for(host: str, asked: str | None) -> None:
    """With a CA the server's name is checked as well, and a person may say otherwise."""
    made = address(Secret(f"postgresql://veil@{host}/warehouse"), LOADING)
    assert (asked in made) if asked else ("sslmode" not in made)
    if asked:
        assert "sslmode=verify-full" in address(Secret(f"postgresql://veil@{host}/warehouse?sslrootcert=/ca"), LOADING)
        assert "sslmode=disable" in address(Secret(f"postgresql://veil@{host}/warehouse?sslmode=disable"), LOADING)


def test_limits_of_time_are_settings_of_the_connection() -> None:
    """A target's statements take an hour at most, a source's are not limited, unless the connection says so."""
    url = "postgresql://veil@127.0.0.1/warehouse"
    assert "statement_timeout%3D3600000" in address(Secret(url), LOADING)
    assert "statement_timeout%3D0" in address(Secret(url), READING)
    limited = Secret(url + "?veilflow_statement_seconds=1.5&veilflow_lock_seconds=0")
    assert "statement_timeout%3D1500" in address(limited, READING)
    assert "lock_timeout%3D0" in address(limited, READING) and "lock_timeout%3D30000" in address(Secret(url), READING)


def test_files_are_those_of_the_project(tmp_path: Path) -> None:
    """Relative paths begin there; one that is not there, or a key that others may read, is refused."""
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "key.pem").write_text("x")
    url = "postgresql://veil@db.example/x?sslrootcert=ca.pem"
    made = parse(Secret(completed(url, tmp_path, {LOCK: "5"})), "postgresql")
    assert (made.parameters["sslrootcert"], made.lock_seconds) == (str(tmp_path / "ca.pem"), 5)
    for wrong in ("&sslcert=gone.pem", "&sslkey=key.pem"):
        with pytest.raises(VeilError, match="VEIL214"):
            completed(url + wrong, tmp_path, {})
    (tmp_path / "key.pem").chmod(0o600)
    completed(url + "&sslkey=key.pem", tmp_path, {})
