"""A PostgreSQL of the benchmark's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Postgresql:
    """Where it listens, and its password."""

    port: int
    password: str
    directory: Path
    control: tuple[str, ...]

    @property
    def bare_url(self) -> str:
        return f"postgresql://bench@127.0.0.1:{self.port}/postgres"

    @property
    def url(self) -> str:
        return f"postgresql://bench:{self.password}@127.0.0.1:{self.port}/postgres"

    def psql(self, command: str) -> None:
        """Run one command."""
        subprocess.run(["psql", "-q", self.url, "-c", command], check=True, capture_output=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.directory}"
        self._control("-o", options, "-l", str(self.directory / "log"), "start", check=True)

    def stop_at_once(self) -> None:
        """Stop it as a crash would."""
        self._control("-m", "immediate", "stop", check=False)

    def _control(self, *arguments: str, check: bool) -> None:
        subprocess.run([*self.control, "-w", *arguments], check=check, capture_output=True, cwd=self.directory)


@contextmanager
def running() -> Iterator[Postgresql]:
    """Start PostgreSQL (Debian's package) as a non-root user on a free loopback port; stop it at the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise SystemExit("PostgreSQL is needed: apt-get install postgresql")
    binaries = found[0].parent if found else Path(str(on_path)).parent
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    directory = Path(tempfile.mkdtemp(prefix="veilflow-bench-pg-"))
    password = directory / "password"
    password.write_text("loopback-only")
    if user:
        shutil.chown(directory, "postgres")
        shutil.chown(password, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(directory / "data")
    initdb = [
        str(binaries / "initdb"),
        "-D",
        data,
        "-A",
        "scram-sha-256",
        "-U",
        "bench",
        "--pwfile",
        str(password),
        "-E",
        "UTF8",
    ]
    control = [*user, str(binaries / "pg_ctl"), "-D", data]
    try:
        subprocess.run([*user, *initdb], check=True, capture_output=True, cwd=directory)
        server = Postgresql(port, "loopback-only", directory, tuple(control))
        server.start()
        try:
            yield server
        finally:
            server.stop_at_once()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
