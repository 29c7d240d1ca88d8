"""Environment and file stores: what is missing, empty or open to everybody is refused by name."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from veilflow.errors import VeilError
from veilflow.model import Reading, Secret, SecretRef, SecretStore
from veilflow.secret_stores import EnvStore, FileStore, kinds, open_store

MARKER = "marker-value-7f3a"


def refusal(code: str) -> pytest.RaisesExc[VeilError]:
    """An expected VeilError of that code whose text holds no secret."""
    return pytest.RaisesExc(VeilError, check=lambda error: error.code == code and MARKER not in str(error))


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_an_unknown_kind_names_the_nearest_one(tmp_path: Path) -> None:
    """A misspelt kind is answered with the right one."""
    with pytest.raises(VeilError, match="did you mean prefect") as caught:
        open_store("perfect", {}, tmp_path)
    assert caught.value.code == "VEIL220"


def test_an_option_that_a_store_does_not_take_is_refused(tmp_path: Path) -> None:
    """A silently dropped option could be a protection."""
    with refusal("VEIL201"):
        open_store("file", {"kind": "file", "mode": "0644"}, tmp_path)


def test_the_kinds_are_known() -> None:
    """The kinds that the documentation lists."""
    assert set(kinds()) == {"env", "file", "prefect", "vault"}


def test_an_environment_variable_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trimming and no parsing."""
    monkeypatch.setenv("VEIL_TEST_SECRET", " 1e5\n")
    assert EnvStore().facts(SecretRef("VEIL_TEST_SECRET")) is not None
    assert EnvStore().read(SecretRef("VEIL_TEST_SECRET")).secret.reveal() == " 1e5\n"


def test_an_environment_variable_that_is_missing_or_empty_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two faults have codes of their own."""
    monkeypatch.delenv("VEIL_TEST_SECRET", raising=False)
    with refusal("VEIL221"):
        EnvStore().read(SecretRef("VEIL_TEST_SECRET"))
    monkeypatch.setenv("VEIL_TEST_SECRET", "")
    with refusal("VEIL222"):
        EnvStore().read(SecretRef("VEIL_TEST_SECRET"))


@pytest.mark.parametrize("part", [{"field": "password"}, {"engine": "kv2"}, {"version": 2}])
@pytest.mark.parametrize("make", [lambda _path: EnvStore(), FileStore], ids=["env", "file"])
def test_a_part_that_a_kind_does_not_take_is_refused(
    make: Callable[[Path], SecretStore], part: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A version that is ignored would be another secret, unseen."""
    monkeypatch.setenv("VEIL_TEST_SECRET", MARKER)
    private(tmp_path / "VEIL_TEST_SECRET", MARKER.encode())
    ref = SecretRef("VEIL_TEST_SECRET", **part)
    for use in (make(tmp_path).read, make(tmp_path).facts):
        with refusal("VEIL220"):
            use(ref)


def test_the_environment_cannot_be_written() -> None:
    """What is set in a process is gone with it."""
    with refusal("VEIL224"):
        EnvStore().write(SecretRef("VEIL_TEST_SECRET"), Secret(MARKER))
    with refusal("VEIL224"):
        EnvStore().replace(SecretRef("VEIL_TEST_SECRET"), Reading(Secret(MARKER)), Secret(MARKER))


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"plain", "plain"),
        (b"line\n", "line"),
        (b"dos\r\n", "dos"),
        (b"two\n\n", "two\n"),
        (b" blanks \n", " blanks "),
        ("密码".encode(), "密码"),
    ],
)
def test_one_trailing_line_end_of_a_file_is_not_the_secret(tmp_path: Path, content: bytes, value: str) -> None:
    """Editors add it; everything else belongs to the secret."""
    private(tmp_path / "secret", content)
    assert FileStore(tmp_path).read(SecretRef("secret")).secret.reveal() == value


def test_a_path_may_be_absolute(tmp_path: Path) -> None:
    """Container platforms mount secrets outside the project."""
    file = private(tmp_path / "secret", b"x")
    assert FileStore(tmp_path / "elsewhere").read(SecretRef(str(file))).secret.reveal() == "x"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe" + MARKER.encode()])
def test_an_empty_or_undecodable_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty key must never become a key."""
    private(tmp_path / "secret", content)
    with refusal("VEIL222"):
        FileStore(tmp_path).read(SecretRef("secret"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path stands in the error as it was written."""
    with pytest.raises(VeilError, match="keys/none") as caught:
        FileStore(tmp_path).read(SecretRef("keys/none"))
    assert caught.value.code == "VEIL221"


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    """The group may read it, as mounted secrets need; others may not."""
    file = private(tmp_path / "secret", MARKER.encode())
    file.chmod(0o440)
    assert FileStore(tmp_path).read(SecretRef("secret")).secret.reveal() == MARKER
    file.chmod(0o604)
    with refusal("VEIL222"):
        FileStore(tmp_path).read(SecretRef("secret"))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path, make: object) -> None:
    """A pipe without a writer would hang."""
    assert callable(make)
    make(tmp_path / "secret")
    with pytest.raises(VeilError) as caught:
        FileStore(tmp_path).read(SecretRef("secret"))
    assert caught.value.code in {"VEIL222", "VEIL404"}


def test_a_written_file_is_private_and_complete(tmp_path: Path) -> None:
    """Mode 0600, its directory 0700, and no draft left beside it."""
    store = FileStore(tmp_path)
    store.write(SecretRef("keys/ring.json"), Secret(MARKER))
    file = tmp_path / "keys" / "ring.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file stands where the directory should be."""
    private(tmp_path / "keys", b"x")
    with refusal("VEIL101"):
        FileStore(tmp_path).write(SecretRef("keys/ring.json"), Secret(MARKER))


def test_a_mounted_secret_that_is_exchanged_is_read_anew(tmp_path: Path) -> None:
    """As container platforms do it: a link to a directory of the new version takes the place of the old one."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        private(tmp_path / version / "password", f"password-{version}".encode())
    (tmp_path / "..data").symlink_to("one")
    store = FileStore(tmp_path)
    assert store.read(SecretRef("..data/password")).secret.reveal() == "password-one"
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert store.read(SecretRef("..data/password")).secret.reveal() == "password-two"


def test_replacing_keeps_the_files_mode_and_leaves_no_draft(tmp_path: Path) -> None:
    """Group and rights are the platform's business."""
    file = private(tmp_path / "ring", b"old-content")
    file.chmod(0o640)
    store = FileStore(tmp_path)
    store.replace(SecretRef("ring"), store.read(SecretRef("ring")), Secret("new-content"))
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new-content", 0o640)
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    """It holds a secret; the next writer may have the killed one's number, as in a container."""
    file = private(tmp_path / "ring", b"old-content")
    other = private(tmp_path / ".other.1.draft", b"of another secret")
    for number in (os.getpid(), os.getpid() + 1):
        private(tmp_path / f".ring.{number}.draft", b"half of a ring")
    store = FileStore(tmp_path)
    store.replace(SecretRef("ring"), store.read(SecretRef("ring")), Secret("new-content"))
    assert file.read_text() == "new-content" and sorted(tmp_path.iterdir()) == [other, file]


def test_a_write_that_fails_midway_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps no half of a secret."""
    file = private(tmp_path / "ring", b"old-content")
    store = FileStore(tmp_path)
    old = store.read(SecretRef("ring"))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refusal("VEIL101"):
        store.replace(SecretRef("ring"), old, Secret("new-content"))
    assert file.read_text() == "old-content" and list(tmp_path.iterdir()) == [file]


APPEND = """
import sys
from pathlib import Path
from veilflow.errors import PassingFault
from veilflow.model import Secret, SecretRef
from veilflow.secret_stores import FileStore
store, ref = FileStore(Path(sys.argv[1])), SecretRef("ring")
for number in range(20):
    while True:
        old = store.read(ref)
        try:
            store.replace(ref, old, Secret(f"{old.secret.reveal()} {sys.argv[2]}{number}"))
            break
        except PassingFault:
            pass
"""


def test_two_processes_that_write_never_lose_what_the_other_wrote(tmp_path: Path) -> None:
    """Forty writes side by side are forty entries."""
    private(tmp_path / "ring", b"beginning")
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, str(tmp_path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    written = (tmp_path / "ring").read_text().split()
    assert sorted(written[1:]) == sorted(f"{name}{number}" for name in "ab" for number in range(20))


def test_a_path_with_a_character_that_no_path_has_is_refused(tmp_path: Path) -> None:
    """A NUL would end in a defect of the standard library."""
    with refusal("VEIL220"):
        FileStore(tmp_path).read(SecretRef("ring\0"))
