"""Real databases for the tests: started on free loopback ports in temporary directories, stopped by their own pid."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymysql.connections import Connection

PASSWORD = "loopback-only-secret"


class NoServer(Exception):
    """The server's programs are not on this machine; the text says how to get them."""


@dataclass(frozen=True)
class DatabaseServer:
    """A server of our own; ``url`` has no password, ``password`` stands beside it."""

    scheme: str
    port: int
    database: str
    password: str = PASSWORD
    #: Stops it as a crash would, and starts it again.
    restart: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://veil@127.0.0.1:{self.port}/{self.database}"

    @property
    def full_url(self) -> str:
        return f"{self.scheme}://veil:{self.password}@127.0.0.1:{self.port}/{self.database}"


def _find(*programs: str, beside: Sequence[Path] = ()) -> dict[str, Path] | None:
    """The programs, all from one directory of ``beside`` or of the PATH."""
    directories = [*beside, *(Path(part) for part in os.environ.get("PATH", "").split(os.pathsep))]
    for directory in (*directories, Path("/usr/sbin"), Path("/usr/bin")):
        if all((directory / program).exists() for program in programs):
            return {program: directory / program for program in programs}
    return None


def _install(package: str) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Tests run in several processes, and apt-get in one at a time.
    with (Path(tempfile.gettempdir()) / "veilflow-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", package]):
            subprocess.run(["apt-get", *command], check=False, capture_output=True, env=environment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as(user: str) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if os.geteuid() == 0 else []


@contextmanager
def _directory_of(user: str, name: str) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=f"veilflow-{name}-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, user)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _postgresql_programs() -> dict[str, Path] | None:
    return _find("initdb", "pg_ctl", beside=sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))


@contextmanager
def running_postgresql(settings: Mapping[str, str | Path] | None = None, clients: str = "") -> Iterator[DatabaseServer]:
    """PostgreSQL as a non-root user, with ``settings`` of its own (files are copied to it) and lines for ``clients`` before
    those of pg_hba.conf. NoServer if it is not installed and cannot be."""
    if _postgresql_programs() is None:
        _install("postgresql")
    programs = _postgresql_programs()
    if programs is None:
        raise NoServer("PostgreSQL is not installed (apt-get install postgresql)")
    user = _as("postgres")
    with _directory_of("postgres", "pg") as directory:
        password, data, port = directory / "password", directory / "data", _free_port()
        password.write_text(PASSWORD)
        if user:
            shutil.chown(password, "postgres")
        make = [*user, str(programs["initdb"]), "-D", str(data), "-A", "scram-sha-256", "-U", "veil"]
        control = [*user, str(programs["pg_ctl"]), "-D", str(data)]
        run = {"check": True, "capture_output": True, "cwd": directory}
        subprocess.run([*make, "--pwfile", str(password), "-E", "UTF8"], **run)  # type: ignore[call-overload]
        access = data / "pg_hba.conf"
        access.write_text(clients + access.read_text())
        with (data / "postgresql.conf").open("a") as written:
            written.writelines(f"{name} = '{_own(value, data)}'\n" for name, value in (settings or {}).items())
        options = f"-p {port} -h 127.0.0.1 -k {directory}"
        start = [*control, "-o", options, "-w", "-l", str(directory / "log"), "start"]

        def restart() -> None:
            subprocess.run([*control, "-m", "immediate", "-w", "stop"], **run)  # type: ignore[call-overload]
            subprocess.run(start, **run)  # type: ignore[call-overload]

        subprocess.run(start, **run)  # type: ignore[call-overload]
        try:
            yield DatabaseServer("postgresql", port, "postgres", restart=restart)
        finally:
            subprocess.run([*control, "-m", "immediate", "-w", "stop"], check=False, capture_output=True, cwd=directory)


def _own(value: str | Path, directory: Path) -> str | Path:
    """A file as the server's own, to whom the directory belongs: it refuses keys that others may read."""
    if isinstance(value, str):
        return value
    copy = directory / value.name
    shutil.copyfile(value, copy)
    copy.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(copy, directory.owner())
    return copy


def _mariadb_programs() -> dict[str, Path] | None:
    server, make = _find("mariadbd"), _find("mariadb-install-db")
    return None if server is None or make is None else server | make


@dataclass(frozen=True)
class MariadbServer(DatabaseServer):
    """A MariaDB that may be killed and started again; ``data`` is where its files lie."""

    data: Path = Path()
    command: tuple[str, ...] = ()
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    def start(self) -> None:
        """Start it and wait until it answers."""
        import pymysql

        process = subprocess.Popen(
            self.command, cwd=self.data.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=_own_temporary_directory(self.data.parent),
        )  # fmt: skip
        self._processes.append(process)
        end = time.monotonic() + 60
        while True:
            try:
                return self.as_root().close()
            except pymysql.Error:
                if time.monotonic() > end or process.poll() is not None:
                    raise
                time.sleep(0.05)

    def as_root(self) -> Connection:
        """A connection that may do everything, in autocommit."""
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)

    @property
    def pid(self) -> int:
        return self._processes[-1].pid

    def alive(self) -> bool:
        """Whether its process lives."""
        return self._processes[-1].poll() is None

    def kill(self) -> None:
        """kill -9."""
        self._processes[-1].send_signal(signal.SIGKILL)
        self._processes[-1].wait()


def _own_temporary_directory(directory: Path) -> dict[str, str]:
    """A server that starts removes what lies in its temporary directory, also what another server has there."""
    return os.environ | {"TMPDIR": str(directory)}


@contextmanager
def running_mariadb(
    lay_disk: Callable[[Path], AbstractContextManager[object]] = nullcontext,
    settings: Mapping[str, str | Path] | None = None,
) -> Iterator[MariadbServer]:
    """MariaDB as a non-root user, with a database ``warehouse`` and ``settings`` of its own (files are copied to it).
    NoServer if it is not installed and cannot be.

    ``lay_disk`` may lay another file system under the directory of its data.
    """
    if _mariadb_programs() is None:
        _install("mariadb-server")
    programs = _mariadb_programs()
    if programs is None:
        raise NoServer("MariaDB is not installed (apt-get install mariadb-server)")
    user = _as("mysql")
    with _directory_of("mysql", "maria") as directory, lay_disk(directory / "data"):
        data, port = directory / "data", _free_port()
        make = [str(programs["mariadb-install-db"]), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        subprocess.run(
            [*user, *make, "--auth-root-authentication-method=normal"], check=True, capture_output=True, cwd=directory,
            env=_own_temporary_directory(directory),
        )  # fmt: skip
        serve = [str(programs["mariadbd"]), "--no-defaults", f"--datadir={data}", f"--port={port}", "--local-infile=1"]
        places = ["--bind-address=127.0.0.1", f"--socket={directory}/s.sock", f"--pid-file={directory}/p.pid"]

        options = [f"--{name}={_own(value, directory)}" for name, value in (settings or {}).items()]

        def restart() -> None:
            server.kill()
            server.start()

        server = MariadbServer(
            "mariadb", port, "warehouse", restart=restart, data=data, command=(*user, *serve, *places, *options)
        )
        try:
            server.start()
            with server.as_root() as root, root.cursor() as cursor:
                cursor.execute("create database warehouse character set utf8mb4")
                cursor.execute(f"create user veil@'%' identified by '{PASSWORD}'")
                cursor.execute("grant all on *.* to veil@'%'")
            yield server
        finally:
            server.kill()
