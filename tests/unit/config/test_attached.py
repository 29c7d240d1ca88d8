"""Files that a policy's parameters name."""

from __future__ import annotations

from pathlib import Path

import pytest

from veilflow.config import load_policy
from veilflow.errors import VeilError
from veilflow.model import FileContent

POLICY = "version: 1\ncolumns:\n  a: {{class: sensitive, treatment: {{x: {{table: {{file: {file}}}, y: [{{file: t.csv}}]}}}}}}\n"


def write(directory: Path, file: str = "t.csv") -> None:
    (directory / "policies").mkdir()
    (directory / "policies" / "p.yaml").write_text(POLICY.format(file=file))
    (directory / "t.csv").write_text("\ufeffa,b\n")


def test_a_named_file_is_read_once_and_known_by_its_digest(tmp_path: Path) -> None:
    """Wherever it stands among the parameters; its text stands in no `repr`."""
    write(tmp_path)
    raw = load_policy(tmp_path, "p").columns["a"].treatments[0][1]
    found = raw["table"]
    assert found == raw["y"][0]
    assert isinstance(found, FileContent) and found.text == "a,b\n" and len(found.sha256) == 64
    assert "a,b" not in repr(found)


@pytest.mark.parametrize(
    ("file", "code"),
    [("../t.csv", "VEIL202"), ("/etc/hostname", "VEIL202"), ("link.csv", "VEIL202"), ("none.csv", "VEIL204"), ("bytes.csv", "VEIL204"),
     ("policies", "VEIL204"), ("big.csv", "VEIL204")],
)  # fmt: skip
def test_refuses_a_file_that_is_outside_or_unreadable(tmp_path: Path, file: str, code: str) -> None:
    """Also by a link; missing, no UTF-8, a directory, too large."""
    project = tmp_path / "project"
    project.mkdir()
    write(project, file)
    (tmp_path / "out.csv").write_text("a")
    (project / "link.csv").symlink_to(tmp_path / "out.csv")
    (project / "bytes.csv").write_bytes(b"\xff\xfe\xff")
    with (project / "big.csv").open("wb") as big:
        big.truncate((16 << 20) + 1)
    with pytest.raises(VeilError) as caught:
        load_policy(project, "p")
    assert caught.value.code == code and caught.value.place is not None and caught.value.place.line == 3
