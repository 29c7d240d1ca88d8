"""A source that goes on where a run stopped gives the very slices that were left."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilflow.errors import VeilError
from veilflow.model import TEXT, Source, SourceColumn, SourceConfig, Start
from veilflow.sources import files, frame_source, open_source

COLUMNS = [SourceColumn("a", TEXT), SourceColumn("b", TEXT)]
Slices = list[tuple[int, int | None, list[object], list[int], list[tuple[int, bytes]]]]

cells = st.text(st.sampled_from(["x", ",", '"', "\n", "\r", "é", "王", "1", " "]), max_size=6)
rows = st.lists(st.tuples(cells, cells), max_size=30)


def read(source: Source, chunk_rows: int, start: Start | None = None) -> Slices:
    """All that is in the slices from ``start`` on."""
    slices = source.slices(COLUMNS, chunk_rows) if start is None else source.slices(COLUMNS, chunk_rows, start)
    found = []
    for piece in slices:
        if start is not None and piece.number < start.number:
            continue
        chunk = piece.read()
        rejected = [(row.position, row.raw) for row in chunk.rejected]
        found.append((piece.number, piece.bookmark, chunk.values.to_pylist(), chunk.positions.tolist(), rejected))
    return found


def every_start(whole: Slices) -> list[Start]:
    starts, position = [Start()], 0
    for number, bookmark, values, _positions, rejected in whole:
        position += len(values) + len(rejected)
        starts.append(Start(number + 1, position, bookmark))
    return starts


def goes_on_anywhere(source: Source, chunk_rows: int) -> Slices:
    whole = read(source, chunk_rows)
    for start in every_start(whole):
        assert read(source, chunk_rows, start) == whole[start.number :]
    return whole


def quoted(row: tuple[str, str]) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in row)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.integers(1, 7), st.integers(1, 50), st.sampled_from(["\n", "\r\n", "\n\n", "\r"]), st.booleans())
def test_csv_goes_on_at_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: list[tuple[str, str]], chunk_rows: int, block: int,
    end: str, marked: bool,
) -> None:  # fmt: skip
    """Whatever stands in quotes, wherever the blocks end that are read, with a byte order mark or without."""
    path = tmp_path / "a.csv"
    text = "a,b" + end + "".join(quoted(row) + end for row in data)
    path.write_bytes(text.encode("utf-8-sig" if marked else "utf-8"))
    monkeypatch.setattr(files, "_BLOCK", block)
    whole = goes_on_anywhere(open_source(SourceConfig("csv", path, "a.csv")), chunk_rows)
    if block < 4 and len(whole) > 1:
        assert whole[0][1] is not None


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_csv_of_another_encoding_is_cut_again_from_its_beginning(tmp_path: Path, encoding: str) -> None:
    """Its bytes are not those of the file, so there is no bookmark; the slices are the same."""
    path = tmp_path / "a.csv"
    path.write_bytes(("a,b\n" + "é,2\n" * 50).encode(encoding))
    whole = goes_on_anywhere(open_source(SourceConfig("csv", path, "a.csv", encoding=encoding)), 7)
    assert {bookmark for _number, bookmark, *_rest in whole} == {None}


def test_csv_in_gzip_or_with_undecodable_bytes_goes_on_too(tmp_path: Path) -> None:
    """From the byte before the first bad one, behind it from the beginning."""
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 50))
    assert len(goes_on_anywhere(open_source(SourceConfig("csv", path, "a.csv")), 7)) == 8
    path.write_bytes(b"a,b\n" + b"1,2\n" * 20 + b"\xff,2\n1\n" + b"3,4\n" * 20)
    whole = goes_on_anywhere(open_source(SourceConfig("csv", path, "a.csv")), 7)
    assert sum(len(rejected) for *_others, rejected in whole) == 2


def test_a_quote_that_does_not_match_is_told_with_the_line_of_the_file(tmp_path: Path) -> None:
    """Also where reading began in its middle."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 20 + b'"3,4\n')
    source = open_source(SourceConfig("csv", path, "a.csv"))
    begun = next(iter(source.slices(COLUMNS, 7)))
    assert begun.bookmark == 4 + 7 * 4
    with pytest.raises(VeilError, match="line 22"):
        list(source.slices(COLUMNS, 7, Start(1, 7, begun.bookmark)))


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_other_files_go_on_at_the_row(tmp_path: Path, kind: str) -> None:
    """JSON skips objects without parsing them, Parquet skips row groups."""
    path = tmp_path / f"a.{kind}"
    objects = [f'{{"a": "{n}", "b": null}}' for n in range(53)]
    if kind == "parquet":
        pq.write_table(pa.table({"a": [str(n) for n in range(53)], "b": ["x"] * 53}), path, row_group_size=10)
    else:
        path.write_text("\n".join(objects) if kind == "jsonl" else f"[{','.join(objects)}]")
    config = SourceConfig(kind, path, path.name, expected=("a", "b"), on_bad_row="quarantine")
    assert len(goes_on_anywhere(open_source(config), 7)) == 8


def test_a_table_in_memory_goes_on_at_the_row() -> None:
    """As files do."""
    assert len(goes_on_anywhere(frame_source(pa.table({"a": ["1"] * 20, "b": ["2"] * 20})), 7)) == 3


def test_the_fingerprint_is_keyed_and_sees_a_change_that_size_and_time_do_not_show(tmp_path: Path) -> None:
    """Of a small file every byte counts, of a large one its start, its end and places between."""
    path = tmp_path / "a.csv"
    source = open_source(SourceConfig("csv", path, "a.csv"))
    path.write_bytes(b"a,b\n1,2\n")
    before = source.fingerprints(b"k" * 32)
    assert source.fingerprints(b"k" * 32) == before != source.fingerprints(b"l" * 32)
    path.write_bytes(b"a,b\n1,3\n")
    assert source.fingerprints(b"k" * 32) != before
    for changed in (0, 5_000_000, 9_999_999):
        content = bytearray(10_000_000)
        path.write_bytes(content)
        before = source.fingerprints(b"k" * 32)
        content[max(0, changed - 400_000) : changed + 400_000] = b"x" * len(
            content[max(0, changed - 400_000) : changed + 400_000]
        )
        path.write_bytes(content)
        assert source.fingerprints(b"k" * 32) != before
