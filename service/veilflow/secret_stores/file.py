"""Secrets in files: the path is absolute or relative to the project; one trailing line end is not the secret's.

A file that others than its owner and group can read is refused: who can read a key ring can undo the
pseudonyms. The group stays allowed, because mounted secrets of containers are often 0440.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from veilflow.errors import VeilError
from veilflow.model import Secret


class FileStore:
    """Files below or outside a project."""

    def __init__(self, project: Path) -> None:
        self._project = project

    def read(self, path: str, field: str | None) -> Secret:
        """The file's text without one trailing line end.

        VEIL221 if there is none, VEIL222 if it is empty, not UTF-8, not a file, or readable by everybody, VEIL404
        if it cannot be opened.
        """
        if field is not None:
            raise VeilError(
                "VEIL222",
                f"the secret file {path} has no field {field}",
                "remove `field` in secrets/names.yaml",
            )
        try:
            text = _read_private(self._project / path, path).decode("utf-8")
        except UnicodeDecodeError:
            raise VeilError("VEIL222", f"the secret file {path} is not UTF-8 text", "save it as UTF-8") from None
        except FileNotFoundError:
            raise VeilError(
                "VEIL221", f"there is no secret file {path}", "create it with mode 0600, or correct `path`"
            ) from None
        except OSError as error:
            raise VeilError(
                "VEIL404",
                f"the secret file {path} cannot be read ({error.strerror})",
                "check its owner and mode",
            ) from None
        value = text.removesuffix("\n").removesuffix("\r")
        if not value:
            raise VeilError("VEIL222", f"the secret file {path} is empty", "write the secret into it")
        return Secret(value)

    def write(self, path: str, value: Secret) -> None:
        """Create the file with mode 0600; directories on the way are made 0700. VEIL220 if it exists."""
        file = self._project / path
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create_durably(file, value.reveal().encode("utf-8"))
        except OSError as error:
            if isinstance(error, FileExistsError) and self.exists(path):
                raise VeilError(
                    "VEIL220",
                    f"the secret file {path} exists already",
                    "it is never replaced; move it away first",
                ) from None
            raise VeilError(
                "VEIL101",
                f"the secret file {path} cannot be written ({error.strerror})",
                "check the directory's owner and free space",
            ) from None

    def exists(self, path: str) -> bool:
        """Whether there is something at the path, readable or not."""
        return os.path.lexists(self._project / path)


def _read_private(file: Path, shown: str) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        # Judged on the open file: a name can be swapped between a check and the reading.
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise VeilError("VEIL222", f"{shown} is not a regular file", "name a file that holds the secret")
        if status.st_mode & stat.S_IROTH:
            raise VeilError("VEIL222", f"the secret file {shown} can be read by everybody", f"run: chmod 600 {shown}")
        return opened.read()


def _create_durably(file: Path, content: bytes) -> None:
    """All of the content under its final name, or nothing; a name that exists is left alone."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        try:
            os.link(draft, file)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
                raise
            _copy_exclusively(content, file)
    finally:
        draft.unlink()


def _copy_exclusively(content: bytes, file: Path) -> None:
    """For file systems without hard links."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
