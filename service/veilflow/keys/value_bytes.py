"""The bytes of a value: one text for each value, whatever type it comes in (CONTRACT: "Bytes of a value")."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def token_bytes(values: pa.Array) -> pa.Array:
    """A string array of the same rows: text as it is, integers and decimals plain without trailing zeros,
    ``true``/``false``, ISO dates, timestamps in UTC with microseconds. Null stays null. TypeError for other types."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return token_bytes(values.cast(kind.value_type))
    if pa.types.is_string(kind):
        return values
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind):
        return values.cast(pa.string())
    if pa.types.is_decimal(kind):
        return _plain_decimals(values)
    if pa.types.is_timestamp(kind):
        return _utc_timestamps(values)
    if pa.types.is_date64(kind):
        return values.cast(pa.date32()).cast(pa.string())
    raise TypeError(f"no text form for {kind}")


def _plain_decimals(values: pa.Array) -> pa.Array:
    # By Python's Decimal: Arrow writes small numbers with an exponent.
    return pa.array(
        [None if value is None else _plain(format(value, "f")) for value in values.to_pylist()], pa.string()
    )


def _plain(text: str) -> str:
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _utc_timestamps(values: pa.Array) -> pa.Array:
    zoned = values.cast(pa.timestamp("us", values.type.tz)) if values.type.unit != "us" else values
    return pc.strftime(zoned.cast(pa.timestamp("us", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
