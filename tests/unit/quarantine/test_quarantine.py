"""Rows in quarantine: whole, encrypted, bound to their run and chunk."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyrage
import pytest

from veilflow.errors import VeilError
from veilflow.model import Chunk, QuarantinedRow
from veilflow.quarantine import Quarantine, read_file

IDENTITY = pyrage.x25519.Identity.generate()
ROWS = [
    QuarantinedRow(2, 102, ("age is given", "state is one of 8 values")),
    QuarantinedRow(None, 104, ("too many fields",), b"a,b,\xff,c"),
]


def write(directory: Path, rows: list[QuarantinedRow], number: int = 7, run: str = "run-1") -> Path:
    raw = pa.RecordBatch.from_pydict({"name": ["Ada", "Bo", "Cy-secret"], "age": ["1", "2", None]})
    chunk = Chunk(number, raw, raw, np.arange(100, 103))
    Quarantine(directory, run, str(IDENTITY.to_public())).write(chunk, rows)
    return directory / run / f"{number:06d}.arrow.age"


def refused(path: Path, identity: str) -> None:
    with pytest.raises(VeilError) as caught:
        read_file(path, identity)
    assert caught.value.code == "VEIL503"
    assert caught.value.__cause__ is None


def test_rows_come_back_whole_with_position_reasons_and_bytes(tmp_path: Path) -> None:
    """A rejected row has no columns, only its bytes as read."""
    table = read_file(write(tmp_path / "quarantine", ROWS), str(IDENTITY))
    assert table.to_pylist() == [
        {
            "name": "Cy-secret", "age": None, "_veilflow_position": 102,
            "_veilflow_reasons": ["age is given", "state is one of 8 values"], "_veilflow_raw": None,
        },
        {
            "name": None, "age": None, "_veilflow_position": 104,
            "_veilflow_reasons": ["too many fields"], "_veilflow_raw": b"a,b,\xff,c",
        },
    ]  # fmt: skip
    assert table.schema.metadata == {
        b"format": b"veilflow/quarantine/1", b"run": b"run-1", b"chunk": b"7", b"rows": b"2"
    }  # fmt: skip


def test_files_are_private_encrypted_and_alone(tmp_path: Path) -> None:
    """0600 in 0700, an age file, no value in clear, no temporary file left."""
    path = write(tmp_path / "quarantine", ROWS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700] * 2
    content = path.read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert b"secret" not in content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_same_chunk_again_replaces_its_file(tmp_path: Path) -> None:
    """A resumed run writes a chunk again and does not keep its rows twice."""
    write(tmp_path, ROWS)
    assert read_file(write(tmp_path, ROWS[:1]), str(IDENTITY)).num_rows == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.99])
def test_refuses_a_flipped_byte(tmp_path: Path, share: float) -> None:
    """Wherever it is: in the header, the stanza, the body or the tag."""
    path = write(tmp_path, ROWS)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    refused(path, str(IDENTITY))


def test_refuses_a_file_cut_short(tmp_path: Path) -> None:
    """Half a file, and an empty one."""
    path = write(tmp_path, ROWS)
    for content in (path.read_bytes()[:-20], b""):
        path.write_bytes(content)
        refused(path, str(IDENTITY))


def test_refuses_another_identity_and_a_malformed_one(tmp_path: Path) -> None:
    """The error does not quote the identity."""
    path = write(tmp_path, ROWS)
    refused(path, str(pyrage.x25519.Identity.generate()))
    refused(path, "AGE-SECRET-KEY-1NOT")


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
