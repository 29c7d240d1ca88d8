"""Types and values for a dialect of SQLAlchemy, and the probe that it keeps them.

Its promises are not believed: values at the ends of each column's type are written into the staging, read back and rolled
back before a row of the run is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError

from veilflow.databases.sqlalchemy import MYSQL
from veilflow.errors import VeilError
from veilflow.model import Output
from veilflow.targets.sqlalchemy_tables import parameter, unfit
from veilflow.targets.values import each_column, is_unsigned_64, refuse_longer, refuse_nan, unheld, whole_microseconds

Kind = sa.types.TypeEngine[Any]
#: Empty, alike but for case, blanks, accents and normal form, and what quoting stumbles over.
_TEXTS = ("", "a", "A", "a ", "e\u0301", "\u00e9", "\u738b", "\U0001f600", "it's \\ % ? :x\n")
#: The bytes of MySQL's smaller texts, from whose end it cuts blanks with a warning only.
_BYTES = {"TINYTEXT": 2**8 - 1, "TEXT": 2**16 - 1, "MEDIUMTEXT": 2**24 - 1}
#: Columns that are probed at once: a row of many does not fit into a page of PostgreSQL.
_PROBED = 50
_PADDED = (sa.Enum, sa.CHAR, sa.NCHAR)


# --- types -------------------------------------------------------------------------------


def column_type(field: pa.Field) -> Kind:
    """The type of a column that is made. VEIL214 for one that dialects do not have in the same way."""
    kind = field.type
    if is_unsigned_64(kind):
        return sa.Numeric(20, 0)
    if pa.types.is_integer(kind):
        return sa.BigInteger()
    if pa.types.is_decimal(kind):
        return sa.Numeric(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=kind.tz is not None).with_variant(mysql.DATETIME(fsp=6), *MYSQL)
    if pa.types.is_string(kind):
        return sa.Text().with_variant(mysql.LONGTEXT(), *MYSQL)
    if pa.types.is_binary(kind):
        return sa.LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)
    simple: Mapping[pa.DataType, type[Kind]] = {
        pa.float64(): sa.Double, pa.float32(): sa.Double, pa.bool_(): sa.Boolean, pa.date32(): sa.Date,
    }  # fmt: skip
    if kind in simple:
        return simple[kind]()
    raise _unkept(field, f"there is no type for {kind} that every dialect has")


def refuse_without_zone(dialect: Dialect, schema: pa.Schema) -> None:
    """VEIL214 for a timestamp with a zone where the dialect has no such type. MySQL gets it in UTC, as its clock stands."""
    for field in schema:
        if pa.types.is_timestamp(field.type) and field.type.tz and dialect.name not in MYSQL:
            text = column_type(field).compile(dialect=dialect).upper()
            if "ZONE" not in text and "OFFSET" not in text and "TZ" not in text:
                raise _unkept(field, f"{dialect.name} has no timestamp with a zone")


def fits(there: Kind, field: pa.Field, dialect: Dialect) -> bool:
    """Whether a column that is there takes the field's values as they are or refuses them."""
    kind = field.type
    if pa.types.is_integer(kind):
        return isinstance(there, sa.Integer) or (_exact(there) and there.scale == 0)  # type: ignore[attr-defined]
    if pa.types.is_decimal(kind):
        return _exact(there) and (there.scale is None or there.scale >= kind.scale)  # type: ignore[attr-defined]
    if pa.types.is_floating(kind):
        return isinstance(there, sa.Double)
    if pa.types.is_boolean(kind):
        return isinstance(there, sa.Boolean | sa.Integer)
    if pa.types.is_timestamp(kind):
        return _fits_moment(there, kind.tz is not None, dialect)
    if pa.types.is_date(kind):
        return isinstance(there, sa.Date)
    if pa.types.is_binary(kind):
        return isinstance(there, sa.types._Binary) and not isinstance(there, sa.BINARY)
    return isinstance(there, sa.String) and not isinstance(there, _PADDED)


def _exact(there: Kind) -> bool:
    return isinstance(there, sa.Numeric) and not isinstance(there, sa.Float)


def _fits_moment(there: Kind, zoned: bool, dialect: Dialect) -> bool:
    if dialect.name not in MYSQL:
        whole = getattr(there, "precision", None) in (None, 6)
        return isinstance(there, sa.DateTime) and bool(there.timezone) == zoned and whole
    return isinstance(there, mysql.DATETIME | (mysql.TIMESTAMP if zoned else mysql.DATETIME)) and there.fsp == 6


# --- values ------------------------------------------------------------------------------


def storable(rows: pa.Table, table: sa.Table) -> list[dict[str, Any]]:
    """The rows as the driver takes them, by ``parameter``. VEIL319 for a value that would be changed on the way."""

    def change(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        refuse_nan(name, column, infinite_too=True)
        _refuse_longer(name, column, table.c[name].type)
        if pa.types.is_boolean(column.type) and not isinstance(table.c[name].type, sa.Boolean):
            return column.cast(pa.int8())
        if not pa.types.is_timestamp(column.type):
            return column
        zone = None if isinstance(table.c[name].type, mysql.DATETIME | mysql.TIMESTAMP) else column.type.tz
        return whole_microseconds(column).cast(pa.timestamp("us", zone))

    changed = each_column(rows, change)
    columns = [changed.column(index).to_pylist() for index in range(changed.num_columns)]
    keys = [parameter(index) for index in range(changed.num_columns)]
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]


def _refuse_longer(name: str, column: pa.ChunkedArray, there: Kind) -> None:
    if not pa.types.is_string(column.type):
        return
    if (length := getattr(there, "length", None)) is not None:
        refuse_longer(name, column, length)
    most = (
        _BYTES.get(there.__visit_name__) if isinstance(there, mysql.TINYTEXT | mysql.TEXT | mysql.MEDIUMTEXT) else None
    )
    if most is not None and pc.any(pc.greater(pc.binary_length(column), most)).as_py():
        raise unheld(name, f"it has more than {most} bytes")


def refuse_larger(rows: pa.Table, most: int) -> None:
    """VEIL319 for a row whose texts and bytes do not fit into a statement of ``most`` bytes, however they are quoted."""
    large = [column for column in rows.columns if pa.types.is_string(column.type) or pa.types.is_binary(column.type)]
    if rows.nbytes * 2 < most or not large:
        return
    sizes = [pc.fill_null(pc.binary_length(column).cast(pa.int64()), 0) for column in large]
    for total in zip(*(size.to_pylist() for size in sizes), strict=True):
        if sum(total) * 2 >= most:
            raise VeilError(
                "VEIL319", "a row is larger than the server takes in one statement",
                "raise its max_allowed_packet, or shorten the text in the policy",
            )  # fmt: skip


# --- the probe ---------------------------------------------------------------------------


def probe(connection: sa.Connection, staging: sa.Table, output: Output, made: bool) -> None:
    """VEIL214 where an empty staging does not give values back as they were written, does not roll back, or takes
    different texts of the merge key for the same. A column that was ``made`` for the run refuses none of its type's; one
    of somebody else's type may refuse, and not change."""
    schema = output.schema
    values = {field.name: _extremes(field, staging.c[field.name].type) for field in schema}
    for start in range(0, len(schema), _PROBED):
        names = schema.names[start : start + _PROBED]
        if not _keeps(connection, staging, {name: values[name] for name in names}, values, output):
            for name, value in ((column, one) for column in names for one in values[column]):
                if not _keeps(connection, staging, {name: [value]}, values, output) and made:
                    raise _unkept(schema.field(name), "the database refuses a value of its type")
    if connection.scalar(sa.select(sa.func.count()).select_from(staging)):
        raise unfit("it does not roll back")
    connection.rollback()


def _keeps(
    connection: sa.Connection,
    staging: sa.Table,
    some: Mapping[str, Sequence[Any]],
    all_values: Mapping[str, Sequence[Any]],
    output: Output,
) -> bool:
    """Whether the database takes rows of these values; raises if it takes them and gives others back. Columns that must
    have one get one."""
    given = {name: values[:1] for name, values in all_values.items() if not staging.c[name].nullable} | dict(some)
    most = max(map(len, given.values()))
    arrays = {
        name: pa.array([values[row % len(values)] for row in range(most)], _probed_type(output.schema.field(name).type))
        for name, values in given.items()
    }
    rows = pa.table(arrays)
    try:
        insert(connection, staging, rows)
        found = connection.execute(sa.select(*(staging.c[name] for name in given))).all()
    except DBAPIError:
        return False
    else:
        for index, field in enumerate(rows.schema):
            if _counted(field, rows[field.name].to_pylist()) != _counted(field, [row[index] for row in found]):
                raise _unkept(field, "the database gives a value back changed")
        for name in output.key:
            if name in some:
                _refuse_alike(connection, staging.c[name], rows[name])
        return True
    finally:
        connection.rollback()


def _probed_type(kind: pa.DataType) -> pa.DataType:
    """Nanoseconds reach no year far enough away."""
    return pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else kind


def insert(connection: sa.Connection, staging: sa.Table, rows: pa.Table, batch: int = 1000) -> None:
    """Batches of rows with the statement that SQLAlchemy makes for the driver."""
    cells: dict[Any, Any] = {
        staging.c[name]: sa.bindparam(parameter(index)) for index, name in enumerate(rows.column_names)
    }
    values = storable(rows, staging)
    for start in range(0, len(values), batch):
        connection.execute(sa.insert(staging).values(cells), values[start : start + batch])


def _refuse_alike(connection: sa.Connection, column: sa.Column[Any], written: pa.ChunkedArray) -> None:
    if not pa.types.is_string(written.type):
        return
    for value, times in Counter(written.to_pylist()).items():
        if connection.scalar(sa.select(sa.func.count()).where(column == value)) != times:
            raise unfit(f'it takes texts of the key "{column.name}" for the same that are not')


def _extremes(field: pa.Field, there: Kind) -> list[Any]:
    """Values at the ends of a type, which a database that cuts, rounds, shifts or converts would change."""
    kind = field.type
    if pa.types.is_integer(kind):
        bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
        return [1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [1, 0, 2**bits - 1]
    if pa.types.is_decimal(kind):
        largest = Decimal((0, (9,) * kind.precision, -kind.scale))
        return [Decimal((0, (1,), -kind.scale)), largest, largest.copy_negate()]
    if pa.types.is_timestamp(kind):
        zone = UTC if kind.tz else None
        return [datetime(2024, 2, 29, 2, 30, 1, 123457, zone), datetime(1908, 3, 31, 23, 59, 59, 999999, zone), datetime(9998, 12, 31, 1, tzinfo=zone)]  # fmt: skip
    if pa.types.is_date(kind):
        return [date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31)]
    if pa.types.is_floating(kind):
        return [0.5, 0.1, -1.7976931348623157e308, 2.2250738585072014e-308] if kind == pa.float64() else [0.5, -0.25]
    if pa.types.is_boolean(kind):
        return [True, False]
    if pa.types.is_binary(kind):
        return [b"a", b"", b"\x00'\\\xff"]
    length = getattr(there, "length", None)
    return [text for text in _TEXTS if length is None or len(text) <= length]


def _counted(field: pa.Field, values: Sequence[Any]) -> Counter[Any]:
    """How often each value is there."""
    return Counter(_compared(field.type, value) for value in values)


def _compared(kind: pa.DataType, value: Any) -> Any:
    """A value with its Python type; what several types hold exactly is of one."""
    if isinstance(value, int | Decimal) and (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        return ("number", value + 0)
    if isinstance(value, datetime) and pa.types.is_timestamp(kind) and kind.tz:
        return ("moment", value.replace(tzinfo=value.tzinfo or UTC))
    if isinstance(value, bytearray | memoryview):
        return (bytes, bytes(value))
    return (type(value), value)


# --- refusals ----------------------------------------------------------------------------


def _unkept(field: pa.Field, problem: str) -> VeilError:
    return VeilError(
        "VEIL214", f'the column "{field.name}" cannot be kept exactly: {problem}',
        "change its type or drop it in the policy, or load into a kind of database of its own",
    )  # fmt: skip
