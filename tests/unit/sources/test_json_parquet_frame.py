"""JSON keeps literal numbers and refuses unknown keys; Parquet and frames keep their types."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from veilflow.errors import VeilError
from veilflow.model import Chunk, ColumnType, SourceColumn, SourceConfig
from veilflow.sources import frame_source, open_source
from veilflow.sources.casting import cast_values

JSON = ColumnType("json", pa.string())


def read(path: Path, data: bytes, kind: str = "jsonl", **options: Any) -> list[Chunk]:
    path.write_bytes(data)
    source = open_source(SourceConfig(kind, path, path.name, **options))
    assert not source.schema().closed
    return [piece.read() for piece in source.slices(source.schema().columns, 100)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.jsonl"


def test_numbers_keep_their_literal_text(file: Path) -> None:
    """Also inside nested values."""
    (chunk,) = read(file, b'{"a": 1.10, "n": {"x": [1.10, "1", null, true]}}\n', expected=("a",), types={"n": JSON})
    assert chunk.raw.to_pylist() == [{"n": '{"x": [1.10, "1", null, true]}', "a": "1.10"}]


def test_each_line_that_is_no_object_with_keys_of_its_own_is_rejected(file: Path) -> None:
    """Blank lines are no rows; a missing key is null."""
    lines = [
        b'{"a": "x"}',
        b"",
        b"[1]",
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b"{}",
    ]
    (chunk,) = read(file, b"\n".join(lines), expected=("a",))
    assert [row.position for row in chunk.rejected] == [1, 2, 3, 4, 5]
    assert [row.raw for row in chunk.rejected] == lines[2:7]
    assert chunk.raw.to_pylist() == [{"a": "x"}, {"a": None}]


@pytest.mark.parametrize("line", [b'{"b": "secret"}', b'{"a": {"x": "secret"}}'])
def test_an_uncovered_key_or_nested_value_refuses_and_shows_no_value(file: Path, line: bytes) -> None:
    """The key is named."""
    with pytest.raises(VeilError) as caught:
        read(file, line, expected=("a",))
    assert caught.value.code == "VEIL301"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": NaN}', "has NaN or Infinity, which JSON does not know"),
        (b'{"a": [-Infinity]}', "has NaN or Infinity, which JSON does not know"),
        (b'{"a": 1, "a": 2}', "has a key twice"),
        (b'{"a": 1, " a ": 2}', "has a key twice"),
        (b'{"a": 1', "is not JSON"),
        (b"[1]", "is not a JSON object"),
    ],
)
def test_a_line_that_is_held_back_says_why(file: Path, line: bytes, reason: str) -> None:
    """What Python writes and JSON does not know is told apart from what is no JSON at all."""
    (chunk,) = read(file, line + b"\n", expected=("a",))
    assert [row.reason for row in chunk.rejected] == [reason]


def test_an_array_is_read_as_its_lines_are(file: Path) -> None:
    """Over several blocks."""
    objects = [b'{"a": "%d, ]}\xc3\xa9"}' % number for number in range(90_000)]
    chunks = read(file, b"[" + b" ,\n".join(objects) + b"]\n", kind="json", expected=("a",))
    got = [value for chunk in chunks for value in chunk.raw.column("a").to_pylist()]
    assert got == [f"{number}, ]}}é" for number in range(90_000)]


@pytest.mark.parametrize("data", [b"[", b'[{"a": 1}', b'[{"a": 1}] x', b'{"a": 1}', b'[{"a": 1},]'])
def test_a_broken_array_cannot_be_read(file: Path, data: bytes) -> None:
    """A file that was not written whole is not half loaded."""
    with pytest.raises(VeilError) as caught:
        read(file, data, kind="json", expected=("a",))
    assert caught.value.code == "VEIL210"


def test_parquet_and_frames_keep_types_and_turn_nested_values_into_json(tmp_path: Path) -> None:
    """Dictionaries are text."""
    table = pa.table({
        "i": pa.array([1, None], pa.int32()), "d": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
        "t": pa.array(["x", "y"]).dictionary_encode(), "n": pa.array([{"k": 1}, None]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "people.parquet")
    file = open_source(SourceConfig("parquet", tmp_path / "people.parquet", "people.parquet"))
    for source in (file, frame_source(table)):
        columns = source.schema().columns
        assert [column.type.name for column in columns] == ["integer", "decimal", "text", "json"]
        first, second = (piece.read() for piece in source.slices(columns, 1))
        assert first.values.to_pylist() == [{"i": 1, "d": Decimal("1.10"), "t": "x", "n": '{"k": 1}'}]
        assert second.positions.tolist() == [1]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ColumnType("integer", pa.int64()), ["+1", "007", "-9223372036854775808"], ["9223372036854775808", "1.0", " 1", ""]),
        (ColumnType("decimal", pa.decimal128(38, 2)), ["1.230", "9" * 30 + ".12"], ["1.234", "9" * 37, "1e3", "NaN"]),
        (ColumnType("float", pa.float64()), ["+.5", "1e3"], ["1e999", "nan", "inf", "1_0", "0x1"]),
        (ColumnType("boolean", pa.bool_()), ["true", "0"], ["yes", ""]),
        (ColumnType("date", pa.date32()), ["0999-01-01"], ["2021-02-29", "2021-04-31", "2021-1-1", "0000-01-01"]),
        (ColumnType("date", pa.date32(), "%Y%m%d"), ["20000229"], ["19000229", "19000230", "2000022"]),
        (ColumnType("timestamp", pa.timestamp("us")), ["2020-01-01T10:11:12.123456"], ["2020-02-30 00:00:00", "2020-01-01 00:00:00.1234567", "2020-01-01T00:00:00Z"]),
    ],
)  # fmt: skip
def test_a_value_fits_or_not_whatever_stands_beside_it(kind: ColumnType, good: list[str], bad: list[str]) -> None:
    """Alone and together: the slow path decides as the kernels do, and nothing is rounded."""
    together = cast_values(pa.array([*good, *bad]), kind)
    alone = [cast_values(pa.array([text]), kind)[0] for text in (*good, *bad)]
    assert together.to_pylist() == [value.as_py() for value in alone]
    assert together.is_valid().to_pylist() == [True] * len(good) + [False] * len(bad)


def test_a_type_that_the_file_cannot_give_is_a_mistake_of_the_pipeline() -> None:
    """Numbers are cast exactly or not at all; a boolean is no date."""
    table = pa.table({"f": [1.5, 2.0], "b": [True, False]})
    (piece,) = frame_source(table.select(["f"])).slices([SourceColumn("f", ColumnType("integer", pa.int64()))], 9)
    chunk = piece.read()
    assert chunk.values.to_pylist() == [{"f": None}, {"f": 2}]
    with pytest.raises(VeilError) as caught:
        next(frame_source(table).slices([SourceColumn("b", ColumnType("date", pa.date32()))], 9)).read()
    assert caught.value.code == "VEIL202"
