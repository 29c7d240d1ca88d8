"""CSV: one bad row costs one row, positions are exact, and no message holds a value."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilflow.errors import VeilError
from veilflow.model import Chunk, ColumnType, SourceConfig
from veilflow.sources import open_source

DATA = Path(__file__).parents[2] / "data"


def read(path: Path, rows: int = 100_000, **options: Any) -> list[Chunk]:
    source = open_source(SourceConfig("csv", path, path.name, **options))
    return [piece.read() for piece in source.slices(source.schema().columns, rows)]


def cells(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.raw.to_pylist()]


def rejected(chunks: list[Chunk]) -> list[tuple[int, bytes]]:
    return [(row.position, row.raw) for chunk in chunks for row in chunk.rejected]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.mark.parametrize("path", sorted((DATA / "csv-spectrum/csvs").glob("*.csv")), ids=lambda path: path.stem)
def test_csv_spectrum_reads_as_its_authors_say(path: Path) -> None:
    """Quotes, commas, newlines and CRLF in fields."""
    want = json.loads((DATA / f"csv-spectrum/json/{path.stem}.json").read_text(encoding="utf-8"))
    got = [{name: value or "" for name, value in row.items()} for row in cells(read(path))]
    # Upstream's newlines_crlf.csv has lost the CR inside its field; its JSON still has it.
    assert got == [{name: value.replace("\r\n", "\n") for name, value in row.items()} for row in want]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("test_utf8_bom", "utf-8"),
        ("test_latin1", "latin-1"),
        ("test_utf16_big", "utf-16"),
        ("test_utf16_little", "utf-16"),
    ],
)
def test_encodings_and_byte_order_marks_are_read_as_utf_8_is(name: str, encoding: str) -> None:
    """The files of csvkit hold the same kind of rows in several encodings."""
    chunks = read(DATA / f"csvkit/{name}.csv", encoding=encoding)
    with (DATA / f"csvkit/{name}.csv").open(
        encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline=""
    ) as text:
        assert [list(row.values()) for row in cells(chunks)] == list(csv.reader(text))[1:]
    assert rejected(chunks) == []


def test_gbk_reads_as_the_csv_module_reads_it() -> None:
    """Chinese in GBK; an empty field is null here."""
    chunks = read(DATA / "gbk/gbk.csv", encoding="gbk")
    with (DATA / "gbk/gbk.csv").open(encoding="gbk", newline="") as text:
        want = [row for row in csv.reader(text) if row][1:]
    assert [[value or "" for value in row.values()] for row in cells(chunks)] == want
    assert rejected(chunks) == []


def test_a_nul_byte_rejects_its_row() -> None:
    """A NUL would not fit in PostgreSQL; the row is kept as read."""
    assert rejected(read(DATA / "csvkit/null_byte.csv")) == [(0, b"\0,2,3")]


@pytest.mark.parametrize(
    "name", ["csvkit/test_header_newline", "frictionless/duplicate-headers", "frictionless/blank-headers"]
)
def test_a_header_without_a_name_for_each_column_is_refused(name: str) -> None:
    """Names that repeat, are missing or cannot be printed."""
    with pytest.raises(VeilError) as caught:
        read(DATA / f"{name}.csv")
    assert caught.value.code == "VEIL212"


def test_leading_zeros_stay() -> None:
    """There is no type inference."""
    assert [row["value"] for row in cells(read(DATA / "frictionless/leading-zeros.csv"))][:2] == ["01", "002"]


def test_ragged_rows_are_rejected_with_their_text() -> None:
    """Too few and too many fields."""
    chunks = read(DATA / "frictionless/defective-rows.csv")
    assert rejected(chunks) == [(0, b"1101,John"), (1, b"1102,Julie,26,Potatoes")]


def test_positions_are_exact_across_blocks_with_newlines_in_fields(file: Path) -> None:
    """Arrow parses a block ahead of the one it gives: each rejected row still stands where it was."""
    lines, bad = [b"id,text,end\n"], {}
    for number in range(150_000):
        if number % 9973 == 5:
            bad[number] = b"%d,x" % number
        elif number % 7919 == 7:
            bad[number] = b"%d,\xff,y" % number
        elif number % 6007 == 3:
            bad[number] = b"%d,\xff,y,z" % number
        lines.append(bad[number] + b"\n" if number in bad else b'%d,"a\n""b"" %s",c\n' % (number, b"k" * (number % 40)))
    file.write_bytes(b"".join(lines))
    chunks = read(file, rows=40_000)
    assert [chunk.rows_read for chunk in chunks] == [40_000, 40_000, 40_000, 30_000]
    assert dict(rejected(chunks)) == bad
    assert all(c.raw.column("id").to_pylist() == [str(p) for p in c.positions] for c in chunks)


@pytest.mark.parametrize(
    ("data", "options", "want"),
    [
        (b"a,b\n1,2\n\xff\n4,5\n", {}, [(1, b"\xff")]),
        (b"a,b\n1,\xff\n4,5", {}, [(0, b"1,\xff")]),
        ("a,b\n1,2\n".encode("utf-16-le") + b"\x00\xd8\n\x00", {"encoding": "utf-16-le"}, [(1, b"\x00\xd8")]),
        ("a,b\n1,中\n".encode("gbk") + b"2,\xff\n", {"encoding": "gbk"}, [(1, b"2,\xff")]),
    ],
)
def test_undecodable_bytes_cost_one_row(file: Path, data: bytes, options: dict[str, Any], want: list[Any]) -> None:
    """Also in a ragged row, whose bytes pyarrow cannot hand over; the bytes are kept as they were."""
    file.write_bytes(data)
    assert rejected(read(file, **options)) == want


@pytest.mark.parametrize("data", [b"\n\na,b\n1,2\n", b"\r\na,b\r\n1,2", b"a,b\n\n1,2\n\n", b"\xef\xbb\xbfa,b\n1,2\n"])
def test_blank_lines_and_a_byte_order_mark_are_no_rows(file: Path, data: bytes) -> None:
    """Neither before the header nor after it."""
    file.write_bytes(data)
    assert cells(read(file)) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("data", [b"a,b", b"a,b\n"])
def test_a_header_alone_is_zero_rows(file: Path, data: bytes) -> None:
    """With and without a line end."""
    file.write_bytes(data)
    assert read(file) == []


def test_only_an_unquoted_empty_field_is_null(file: Path) -> None:
    """With trimming as without it."""
    file.write_bytes(b'a,b,c\n"",, \n')
    assert cells(read(file)) == [{"a": "", "b": None, "c": " "}]
    assert cells(read(file, trim=True)) == [{"a": "", "b": None, "c": None}]


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (b"", {}, "VEIL211"),
        (b"\n \n", {}, "VEIL211"),
        (b"a,A\n1,2\n", {}, "VEIL212"),
        ("é,b\n1,2\n".encode("latin-1") + b"1,2\n" * 300_000, {}, "VEIL212"),
        (gzip.compress(b"a,b\n" + bytes(range(32, 127)) * 900, mtime=0)[:-60], {}, "VEIL210"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:12] + b"\xff" * 40, {}, "VEIL210"),
        (b"a\n1\n", {"encoding": "klingon"}, "VEIL202"),
        (b"a\n1\n", {"encoding": "base64"}, "VEIL202"),
        (b"a\n1\n", {"encoding": "unicode_escape"}, "VEIL202"),
        (b"a\n1\n", {"encoding": "UTF-7"}, "VEIL202"),
        (b'a,b\n1,"secret\n2,secret\n3,z\n', {}, "VEIL210"),
        (b'a,b\n1,"secret\n2,"secret"\n' + b"3,z\n" * 900_000, {}, "VEIL210"),
    ],
)
def test_what_cannot_be_read_has_its_code_and_shows_no_value(
    file: Path, data: bytes, options: dict[str, Any], code: str
) -> None:
    """No driver text comes along."""
    file.write_bytes(data)
    with pytest.raises(VeilError) as caught:
        read(file, **options)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_large_rows_make_smaller_chunks(file: Path) -> None:
    """A row of six megabytes is read; memory holds a few of them at a time, wherever the file's blocks end."""
    cell = b"x" * 6_000_000
    file.write_bytes(b"a,b\n" + b"".join(b"%d,%s\n" % (number, cell) for number in range(12)) + b"12,y\n")
    chunks = read(file)
    assert [chunk.rows_read for chunk in chunks] == [6, 6, 1]
    assert [row["a"] for row in cells(chunks)] == [str(number) for number in range(13)]
    assert [int(chunk.positions[0]) for chunk in chunks] == [0, 6, 12]


def test_gzip_is_known_by_its_first_bytes(file: Path) -> None:
    """Whatever its name."""
    file.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert cells(read(file)) == [{"a": "1", "b": "2"}]


FIELD = st.text(st.sampled_from('ab,"\n\r é中'), max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(FIELD, FIELD, FIELD), max_size=8), size=st.integers(1, 4))
def test_quoting_and_newlines_agree_with_the_csv_module(file: Path, rows: list[tuple[str, ...]], size: int) -> None:
    """What Python's csv module writes is read as it was."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("x", "y", "z"), *rows])
    file.write_bytes(text.getvalue().encode())
    chunks = read(file, rows=size)
    assert [tuple(row.values()) for row in cells(chunks)] == rows
    assert all(chunk.rows_read == size for chunk in chunks[:-1])


def test_a_cell_that_does_not_fit_is_null_and_named(file: Path) -> None:
    """An impossible day is a bad cell, and the raw text stays."""
    file.write_bytes(b"id,born\n1,19000230\n2,19000228\n")
    (chunk,) = read(file, types={"born": ColumnType("date", pa.date32(), "%Y%m%d")})
    (bad,) = chunk.bad_cells
    assert (bad.column, bad.rows.tolist()) == ("born", [0])
    assert chunk.values.column("born").null_count == 1
    assert chunk.raw.column("born").to_pylist() == ["19000230", "19000228"]
