"""Locks that end with their connection, of a dialect of SQLAlchemy: rows that a transaction holds.

They have a table of their own. Among the rows of ``_veilflow`` a statement that reads past them would wait for them.
"""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import CompileError, DBAPIError, IntegrityError

from veilflow.errors import VeilError
from veilflow.targets.metadata import locked_out
from veilflow.targets.sqlalchemy_tables import table_options, unfit

TABLE = "veilflow_staging_locks"
#: What is locked of a target: by its run, by a chunk that is loaded, by publishing.
RUN, LOADING, PUBLISHING = 0, 1, 2


def refuse_without(dialect: Dialect) -> None:
    """VEIL214 where no row can be locked, or none be tried without waiting."""
    try:
        text = str(_select(_table(dialect), "", RUN, nowait=True).compile(dialect=dialect)).upper()
    except CompileError:
        text = ""
    if "FOR UPDATE" not in text or "NOWAIT" not in text:
        raise unfit(
            f"{dialect.name} has no lock of a row that can be tried without waiting (SELECT … FOR UPDATE NOWAIT)"
        )


def prepare(connection: sa.Connection, target: str) -> None:
    """Make the rows that are locked; a second call changes nothing. Commits."""
    table = _table(connection.dialect)
    try:
        table.create(connection, checkfirst=True)
    except DBAPIError:  # another run made it meanwhile
        connection.rollback()
        if not sa.inspect(connection).has_table(TABLE):
            raise
    connection.commit()
    # Not by inserting what may be there: that waits for whoever holds the row.
    there = set(connection.scalars(sa.select(table.c.number).where(table.c.target == target)))
    connection.rollback()
    for number in sorted({RUN, LOADING, PUBLISHING} - there):
        with suppress(IntegrityError):
            connection.execute(sa.insert(table).values(target=target, number=number))
            connection.commit()
        connection.rollback()


def hold(connection: sa.Connection, target: str, number: int, nowait: bool = False) -> None:
    """Lock until the transaction ends. VEIL308 if ``nowait`` and somebody else holds it."""
    try:
        found = connection.execute(_select(_table(connection.dialect), target, number, nowait)).all()
    except DBAPIError as error:
        if nowait and not error.connection_invalidated:
            raise locked_out(target) from None
        raise
    if not found:
        raise VeilError(
            "VEIL502", f"a row of {TABLE} that runs lock is gone", "run again; nobody may change that table"
        )


def _select(table: sa.Table, target: str, number: int, nowait: bool) -> sa.Select[tuple[int]]:
    where = (table.c.target == target, table.c.number == number)
    return sa.select(table.c.number).where(*where).with_for_update(nowait=nowait)


def _table(dialect: Dialect) -> sa.Table:
    key = (sa.Column("target", sa.String(190), primary_key=True),
           sa.Column("number", sa.Integer, primary_key=True, autoincrement=False))  # fmt: skip
    return sa.Table(TABLE, sa.MetaData(), *key, **table_options(dialect))
