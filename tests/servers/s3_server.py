"""A store that speaks S3, on a free loopback port."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database_servers import _free_port
from pyarrow.fs import S3FileSystem

ACCESS_KEY = "loopback-only-access-key"
SECRET_KEY = "loopback/only+secret key"
BUCKET = "people"


@dataclass(frozen=True)
class S3Server:
    """A store with one bucket; ``url`` is a connection's."""

    port: int
    system: Any

    @property
    def url(self) -> str:
        return f"s3+http://127.0.0.1:{self.port}?region=eu-north-1"

    def put(self, key: str, content: bytes) -> None:
        with self.system.open_output_stream(f"{BUCKET}/{key}", compression=None) as file:
            file.write(content)

    def delete(self, key: str) -> None:
        self.system.delete_file(f"{BUCKET}/{key}")

    def empty(self) -> None:
        self.system.delete_dir_contents(BUCKET)

    @contextmanager
    def logins_are_checked(self) -> Iterator[None]:
        """Nobody is known there any more."""
        self._unchecked_requests("0")
        try:
            yield
        finally:
            self._unchecked_requests("1000000000")

    def _unchecked_requests(self, number: str) -> None:
        address = f"http://127.0.0.1:{self.port}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(address, number.encode(), {"Content-Type": "text/plain"})).close()


@contextmanager
def running_s3() -> Iterator[S3Server]:
    port = _free_port()
    program = Path(sys.executable).with_name("moto_server")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(port, process)
            system = S3FileSystem(
                access_key=ACCESS_KEY, secret_key=SECRET_KEY, region="eu-north-1", scheme="http",
                endpoint_override=f"127.0.0.1:{port}", allow_bucket_creation=True, background_writes=False,
            )  # fmt: skip
            system.create_dir(BUCKET)
            yield S3Server(port, system)
        finally:
            process.terminate()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _attempt in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/").close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError("the S3 server did not start")
