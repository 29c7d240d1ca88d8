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

    @property
    def bare_url(self) -> str:
        return f"postgresql://bench@127.0.0.1:{self.port}/postgres"

    @property
    def url(self) -> str:
        return f"postgresql://bench:{self.password}@127.0.0.1:{self.port}/postgres"

    def psql(self, command: str) -> None:
        """Run one command."""
        subprocess.run(["psql", "-q", self.url, "-c", command], check=True, capture_output=True)


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
        options = f"-p {port} -h 127.0.0.1 -k {directory}"
        subprocess.run(
            [*control, "-o", options, "-w", "-l", str(directory / "log"), "start"],
            check=True,
            capture_output=True,
            cwd=directory,
        )
        try:
            yield Postgresql(port, "loopback-only")
        finally:
            subprocess.run([*control, "-m", "immediate", "-w", "stop"], check=False, capture_output=True, cwd=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
