"""What is said of keys that refuse rows: their name, and nothing that stands in a row."""

from __future__ import annotations

import pymysql
import pytest

from veilflow.databases.mariadb import mapped


@pytest.mark.parametrize(
    ("number", "text", "named"),
    [
        (1062, "Duplicate entry 'Ada' for key 'PRIMARY'", '"PRIMARY"'),
        (1062, "Duplicate entry 'x' for key 'Ada Secret' for key 'by_name'", '"by_name"'),
        (1586, "Duplicate entry 'Ada Secret' for key 'by_name", "unique key:"),
        (1452, "Cannot add or update a child row: a foreign key constraint fails (`w`.`p`, CONSTRAINT `lives_in` FOREIGN KEY (`city`) REFERENCES `town` (`name`))", '"lives_in"'),
    ],
)  # fmt: skip
def test_a_key_of_mariadb_is_named_and_no_value(number: int, text: str, named: str) -> None:
    """A value may look like the words of the server."""
    error = mapped(pymysql.err.IntegrityError(number, text), ["Ada", "Secret"])
    assert error.code == "VEIL319" and named in error.problem and "Secret" not in str(error)
