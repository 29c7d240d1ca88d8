"""Secrets in files: the path is absolute or relative to the project; one trailing line end is not the secret's.

A file that others than its owner and group can read is refused: who can read a key ring can undo the
pseudonyms. The group stays allowed, because mounted secrets of containers are often 0440. Nothing is kept between two
readings: a mounted secret that was exchanged is the new one from the next reading on.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from veilflow.errors import PassingFault, VeilError, frameless
from veilflow.model import Reading, Secret, SecretFacts, SecretRef
from veilflow.secret_stores.parts import only


class FileStore:
    """Files below or outside a project."""

    always_fresh = True

    def __init__(self, project: Path) -> None:
        self._project = project

    @frameless
    def read(self, ref: SecretRef) -> Reading:
        """The file's text without one trailing line end.

        VEIL221 if there is none, VEIL222 if it is empty, not UTF-8, not a file, or readable by everybody, VEIL404
        if it cannot be opened.
        """
        only("file", ref)
        path = ref.path
        try:
            return Reading(_secret(path, _read_private(self._file(path), path)))
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

    @frameless
    def facts(self, ref: SecretRef) -> SecretFacts | None:
        """The time of the file's last change; None if there is nothing at the path, readable or not."""
        only("file", ref)
        file = self._file(ref.path)
        try:
            changed = file.stat().st_mtime
        except OSError:
            return SecretFacts() if os.path.lexists(file) else None
        return SecretFacts(datetime.fromtimestamp(changed, UTC))

    @frameless
    def write(self, ref: SecretRef, value: Secret) -> None:
        """Create the file with mode 0600; directories on the way are made 0700. VEIL220 if it exists."""
        only("file", ref)
        file = self._file(ref.path)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create_durably(file, value)
        except OSError as error:
            if isinstance(error, FileExistsError) and os.path.lexists(file):
                raise VeilError(
                    "VEIL220",
                    f"the secret file {ref.path} exists already",
                    "it is never replaced by this; move it away first",
                ) from None
            raise _unwritable(ref.path, error) from None

    @frameless
    def replace(self, ref: SecretRef, old: Reading, value: Secret) -> None:
        """Exchange the file's content under a lock of its directory; VEIL405 if it no longer holds ``old``.

        Its mode and, where that is allowed, its owner stay. VEIL224 on a file system that is mounted read-only.
        """
        only("file", ref)
        file = self._file(ref.path).resolve()
        try:
            with _locked(file.parent):
                if self.read(ref).secret != old.secret:
                    raise PassingFault(
                        "VEIL405",
                        f"the secret file {ref.path} was changed by somebody else meanwhile",
                        "nothing was overwritten; run the command again",
                    )
                _exchange(file, value)
        except OSError as error:
            raise _unwritable(ref.path, error) from None

    def _file(self, path: str) -> Path:
        if not path.isprintable():
            raise VeilError("VEIL220", "the path of a secret file has characters that no path has", "correct `path`")
        return self._project / path


def _unwritable(shown: str, error: OSError) -> VeilError:
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return VeilError(
            "VEIL224",
            f"the secret file {shown} cannot be written ({error.strerror})",
            "write it where it comes from: a mounted secret is changed in its platform",
        )
    return VeilError(
        "VEIL101",
        f"the secret file {shown} cannot be written ({error.strerror})",
        "check the directory's owner and free space",
    )


def _secret(shown: str, content: bytes) -> Secret:
    try:
        secret = Secret(content.decode("utf-8").removesuffix("\n").removesuffix("\r"))
    except UnicodeDecodeError:
        raise VeilError("VEIL222", f"the secret file {shown} is not UTF-8 text", "save it as UTF-8") from None
    if not secret:
        raise VeilError("VEIL222", f"the secret file {shown} is empty", "write the secret into it")
    return secret


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


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The kernel's lock on the directory, which it gives back when the process dies; leaves no file behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_durably(file: Path, value: Secret) -> None:
    """All of the content under its final name, or nothing; a name that exists is left alone."""
    with _draft(file, value, 0o600) as draft:
        try:
            os.link(draft, file)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
                raise
            _write_new(file, value, 0o600)


def _exchange(file: Path, value: Secret) -> None:
    """The new content under the old name: a reader sees the one or the other."""
    status = file.stat()
    for left in file.parent.glob(f".{glob.escape(file.name)}.*.draft"):
        left.unlink(missing_ok=True)  # under the lock it is of a writer that was killed, and holds a secret
    with _draft(file, value, stat.S_IMODE(status.st_mode)) as draft:
        with suppress(PermissionError):  # the file is then its writer's, as an editor would leave it
            os.chown(draft, status.st_uid, status.st_gid)
        draft.replace(file)
        _sync_directory(file.parent)


@contextmanager
def _draft(file: Path, value: Secret, mode: int) -> Iterator[Path]:
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        _write_new(draft, value, mode)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _write_new(file: Path, value: Secret, mode: int) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        os.fchmod(opened.fileno(), mode)
        opened.write(value.reveal().encode("utf-8"))
        opened.flush()
        os.fsync(opened.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
