"""Rows in quarantine: whole, encrypted, bound to their run and chunk."""

from __future__ import annotations

import stat
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyrage
import pytest

from veilflow.errors import VeilError
from veilflow.model import Chunk, ColumnType, QuarantinedRow
from veilflow.quarantine import FileContainers, Held, Manifest, Quarantine, read_table, recorded_types, write_private
from veilflow.quarantine.held import matching_rows

IDENTITY = pyrage.x25519.Identity.generate()
KEYS = (b"k" * 32, b"older" * 6)
ROWS = [
    QuarantinedRow(2, 102, ("age is given", "state is one of 8 values")),
    QuarantinedRow(None, 104, ("too many fields",), b"a,b,\xff,c"),
]


def write(directory: Path, rows: list[QuarantinedRow], number: int = 7, run: str = "run-1") -> Path:
    raw = pa.RecordBatch.from_pydict({"name": ["Ada", "Bo", "Cy-secret"], "age": ["1", "2", None]})
    chunk = Chunk(number, raw, raw, np.arange(100, 103))
    Quarantine(directory, run, str(IDENTITY.to_public()), KEYS).write(chunk, rows)
    return directory / run / f"{number:06d}.arrow.age"


def held(directory: Path, rows: int = 2, *, ended: bool = True) -> Held:
    return Held(directory, KEYS, FileContainers(directory), rows_recorded=rows, ended=ended)


def broken(directory: Path, rows: int = 2) -> str:
    """What the refusal of a quarantine that is not whole says."""
    with pytest.raises(VeilError) as caught:
        held(directory, rows)
    assert caught.value.code == "VEIL503"
    assert caught.value.__cause__ is None
    return caught.value.problem


def read(path: Path, identity: str) -> pa.Table:
    return read_table(FileContainers(path.parent).read(path.name), path.parent.name, path.name, [identity])


def refused(path: Path, identity: str, code: str = "VEIL503") -> None:
    with pytest.raises(VeilError) as caught:
        read(path, identity)
    assert caught.value.code == code
    assert caught.value.__cause__ is None


def test_a_purge_removes_what_a_crash_left_half_written(tmp_path: Path) -> None:
    """Rows of persons as well, encrypted or not."""
    container = write(tmp_path, ROWS)
    half = container.with_name(".000008.arrow.age.part")
    half.write_bytes(b"half")
    assert held(container.parent).purge() == 2
    assert [path.name for path in container.parent.iterdir()] == ["manifest.jsonl"]


def test_a_file_that_is_written_touches_none_beside_it(tmp_path: Path) -> None:
    """Such as one of the same name with another ending."""
    beside = tmp_path / "rows.part"
    beside.write_text("precious")
    write_private(tmp_path / "rows.age", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.age", "rows.part"]
    assert beside.read_text() == "precious"


def test_the_types_of_the_columns_come_back_with_the_rows(tmp_path: Path) -> None:
    """JSON is told from text, and a decimal keeps its digits; also once rows were erased."""
    types = {"name": ColumnType("json", pa.string()), "age": ColumnType("decimal", pa.decimal128(18, 2))}
    raw = pa.RecordBatch.from_pydict({"name": ["Ada", "Bo"], "age": ["1", "2"]})
    chunk = Chunk(7, raw, raw, np.arange(2))
    rows = [QuarantinedRow(0, 0, ("x",)), QuarantinedRow(1, 1, ("x",))]
    Quarantine(tmp_path, "run-1", str(IDENTITY.to_public()), KEYS, types=types).write(chunk, rows)
    held(tmp_path / "run-1").erase("Ada", [str(IDENTITY)])
    ((_entry, table),) = held(tmp_path / "run-1").tables([str(IDENTITY)])
    assert recorded_types(table) == types and table.num_rows == 1


def test_rows_come_back_whole_with_position_reasons_and_bytes(tmp_path: Path) -> None:
    """A rejected row has no columns, only its bytes as read."""
    table = read(write(tmp_path / "quarantine", ROWS), str(IDENTITY))
    assert table.to_pylist() == [
        {
            "name": "Cy-secret", "age": None, "_veilflow_position": 102, "_veilflow_file": None,
            "_veilflow_reasons": ["age is given", "state is one of 8 values"], "_veilflow_raw": None,
        },
        {
            "name": None, "age": None, "_veilflow_position": 104, "_veilflow_file": None,
            "_veilflow_reasons": ["too many fields"], "_veilflow_raw": b"a,b,\xff,c",
        },
    ]  # fmt: skip
    assert table.schema.metadata.items() >= {
        b"format": b"veilflow/quarantine/1", b"run": b"run-1", b"chunk": b"7", b"rows": b"2"
    }.items()  # fmt: skip


def test_files_are_private_encrypted_and_alone(tmp_path: Path) -> None:
    """0600 in 0700, an age file, no value in clear, no temporary file left."""
    path = write(tmp_path / "quarantine", ROWS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700] * 2
    content = path.read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert b"secret" not in content
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, "manifest.jsonl"]
    assert stat.S_IMODE((path.parent / "manifest.jsonl").stat().st_mode) == 0o600


def test_the_same_chunk_again_replaces_its_file(tmp_path: Path) -> None:
    """A resumed run writes a chunk again and does not keep its rows twice."""
    write(tmp_path, ROWS)
    path = write(tmp_path, ROWS[:1])
    assert read(path, str(IDENTITY)).num_rows == 1
    assert [entry.rows for entry in held(path.parent, 1).entries] == [1]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.99])
def test_refuses_a_flipped_byte(tmp_path: Path, share: float) -> None:
    """Wherever it is: in the header, the stanza, the body or the tag."""
    path = write(tmp_path, ROWS)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    assert "was changed" in broken(path.parent)


def test_refuses_a_file_cut_short(tmp_path: Path) -> None:
    """Half a file, and an empty one."""
    path = write(tmp_path, ROWS)
    for content in (path.read_bytes()[:-20], b""):
        path.write_bytes(content)
        refused(path, str(IDENTITY))


def test_refuses_another_identity_and_a_malformed_one(tmp_path: Path) -> None:
    """The error does not quote the identity."""
    path = write(tmp_path, ROWS)
    refused(path, str(pyrage.x25519.Identity.generate()), "VEIL221")
    refused(path, "AGE-SECRET-KEY-1NOT", "VEIL222")


def test_refuses_a_file_of_another_run_or_chunk(tmp_path: Path) -> None:
    """Names are bound to what is inside, so files cannot be swapped."""
    path = write(tmp_path, ROWS)
    renamed = path.rename(path.with_name("000008.arrow.age"))
    refused(renamed, str(IDENTITY))
    (tmp_path / "run-2").mkdir()
    refused(renamed.rename(tmp_path / "run-2" / "000007.arrow.age"), str(IDENTITY))


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A removed file is damage, too."""
    refused(tmp_path / "run-1" / "000001.arrow.age", str(IDENTITY))


def test_refuses_a_quarantine_of_which_files_are_missing_added_or_exchanged(tmp_path: Path) -> None:
    """The manifest lists each file with its digest; rows are counted against the run's record."""
    first, second = write(tmp_path, ROWS, 1), write(tmp_path, ROWS[:1], 2)
    assert held(first.parent, 3).kept[1].rows == 1
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    assert "000001.arrow.age was changed" in broken(first.parent, 3)
    first.unlink()
    assert "000001.arrow.age is missing" in broken(first.parent, 3)
    first.write_bytes(content[0])
    (first.parent / "000003.arrow.age").write_bytes(content[1])
    assert "000003.arrow.age does not belong" in broken(first.parent, 3)


def test_refuses_a_manifest_that_was_changed_cut_or_made_with_another_key(tmp_path: Path) -> None:
    """Each line is bound to the one before it; a tail that is cut off is missed by the run's record."""
    write(tmp_path, ROWS, 1)
    directory = write(tmp_path, ROWS[:1], 2).parent
    manifest = directory / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text(lines[1] + lines[0])
    assert "manifest" in broken(directory, 3)
    manifest.write_text(lines[0].replace('"rows": 2', '"rows": 1') + lines[1])
    assert "manifest" in broken(directory, 3)
    manifest.write_text(lines[0])
    (directory / "000002.arrow.age").unlink()
    assert "the run's record says 3" in broken(directory, 3)
    manifest.write_text("".join(lines))
    with pytest.raises(VeilError):
        Manifest(directory, [b"another" * 5]).entries()


def test_a_line_that_a_crash_cut_is_written_over_and_an_older_key_goes_on(tmp_path: Path) -> None:
    """The file is durable before its line, so the chunk comes again; a rotated ring keeps the chain."""
    directory = write(tmp_path, ROWS, 1).parent
    with (directory / "manifest.jsonl").open("a") as file:
        file.write('{"format": "veil')
    rotated = (b"new" * 11, *KEYS)
    raw = pa.RecordBatch.from_pydict({"name": ["Ada"], "age": ["1"]})
    chunk = Chunk(2, raw, raw, np.arange(1))
    Quarantine(tmp_path, "run-1", str(IDENTITY.to_public()), rotated).write(chunk, [QuarantinedRow(0, 0, ("x",))])
    assert [
        entry.rows for entry in Held(directory, rotated, FileContainers(directory), rows_recorded=3, ended=True).entries
    ] == [2, 1]


def test_finds_and_erases_a_subject_in_cells_and_unreadable_rows(tmp_path: Path) -> None:
    """Places are told, never values; what is erased is gone from the files, and counted."""
    path = write(tmp_path, [*ROWS, QuarantinedRow(0, 100, ("x",))])
    quarantine = held(path.parent, 3)
    matches = quarantine.find(" Cy-secret\n", [str(IDENTITY)])
    assert [(match.position, match.columns) for match in matches] == [(102, ("name",))]
    assert [match.position for match in quarantine.find("a,b", [str(IDENTITY)])] == [104]
    assert quarantine.erase("Cy-secret", [str(IDENTITY)]) == 1
    again = held(path.parent, 3)
    assert (again.entries[0].rows, again.entries[0].erased) == (2, 1)
    assert again.find("Cy-secret", [str(IDENTITY)]) == []
    assert "Cy" not in repr(matches)


def test_exports_to_a_named_recipient_only(tmp_path: Path) -> None:
    """The pipeline's own key does not open the export."""
    quarantine, reader = held(write(tmp_path, ROWS).parent), pyrage.x25519.Identity.generate()
    data, rows = quarantine.export([str(IDENTITY)], str(reader.to_public()))
    assert rows == pa.ipc.open_stream(pyrage.decrypt(data, [reader])).read_all().num_rows == 2
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(data, [IDENTITY])


def test_purged_rows_are_gone_and_the_manifest_says_so(tmp_path: Path) -> None:
    """The quarantine stays whole: what is listed as purged is not missing."""
    path = write(tmp_path, ROWS)
    assert held(path.parent).purge() == 2
    assert not path.exists()
    assert held(path.parent).kept == ()


@pytest.mark.parametrize(
    ("held_value", "asked"),
    [("Ana@Mail.org", "ana@mail.ORG "), ("Jose\u0301", "Jos\u00e9"), (" Bo ", "bo"), ("Stra\u00dfe", "STRASSE")],
)
def test_a_subject_is_found_however_it_was_typed(held_value: str, asked: str) -> None:
    """Case, composition and blanks around it are no other person."""
    table = pa.table({"mail": [held_value, "another"]})
    assert matching_rows(table, asked, None) == {0: ("mail",)}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
def test_a_subject_is_found_in_a_row_that_could_not_be_read(encoding: str) -> None:
    """Whatever its encoding; and as JSON escapes it."""
    raw = ["1;JosÉ@mail.org;x".replace("É", "é").encode(encoding), b'{"m": "jos\\u00e9@mail.org"']
    table = pa.table({"_veilflow_raw": pa.array(raw, pa.binary())})
    assert matching_rows(table, "José@mail.org", None) == {0: ("(unreadable row)",), 1: ("(unreadable row)",)}


def test_columns_that_are_no_text_are_looked_into_as_well() -> None:
    """Numbers, dates, decimals, bytes and lists: none of them stops the search."""
    table = pa.table({
        "n": [17], "day": pa.array([10_000], pa.int32()).cast(pa.date32()), "b": [b"\xffBo"], "many": [["Bo", "Cy"]],
        "sum": [Decimal("1.50")],
    })  # fmt: skip
    for subject, column in (("17", "n"), ("1997-05-19", "day"), ("1.50", "sum"), ("\ufffdbo", "b")):
        assert matching_rows(table, subject, None) == {0: (column,)}


def test_a_purge_that_was_cut_off_is_completed_by_who_looks_next(tmp_path: Path) -> None:
    """The line says that the rows are gone; a file that a crash left behind goes with it."""
    path = write(tmp_path, ROWS)
    content = path.read_bytes()
    assert held(path.parent).purge() == 2
    path.write_bytes(content)
    assert held(path.parent).kept == ()
    assert not path.exists()
