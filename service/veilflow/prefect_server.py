"""Prefect's own server as a child of this process: no server to install, no account, nothing left running.

The client's side never imports Prefect: ``start`` returns at once and the server comes up while the caller
plans. ``serve`` is what the child runs; it ends when its parent does, however that ends.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from veilflow.errors import VeilError

LOG_BYTES_KEPT = 1_000_000
STOP_SECONDS = 5.0
_OFFLINE = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
#: What a user may have set for another server or account, and must not reach this one.
_FOREIGN = ("PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH", "PREFECT_CLOUD_API_URL")
#: Services of the server that a run by hand does not need; schedules need a server that stays up.
_IDLE_SERVICES = (
    "CANCELLATION_CLEANUP", "FOREMAN", "LATE_RUNS", "SCHEDULER", "PAUSE_EXPIRATIONS", "REPOSSESSOR", "TRIGGERS",
)  # fmt: skip

#: Finds this very package also where it is not installed; appended, so that it shadows nothing.
_CHILD = "import sys; sys.path.append(sys.argv[2]); from veilflow.prefect_server import serve; serve(int(sys.argv[1]))"


@dataclass(slots=True)
class EmbeddedServer:
    """A server that this process started, and the environment as it was before."""

    api_url: str
    log: Path
    _process: subprocess.Popen[bytes] = field(repr=False)
    _before: Mapping[str, str | None] = field(repr=False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float = 120) -> None:
        """Return once the server answers. VEIL104 if it ends before, or does not answer in ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not _healthy(self.api_url):
            status = self._process.poll()
            if status is not None:
                raise self._failed(f"ended with status {status}")
            if time.monotonic() > end:
                raise self._failed(f"did not answer within {timeout:g} seconds")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and put the environment back. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        _set_environment(self._before)
        self._before = {}

    def _failed(self, how: str) -> VeilError:
        self.stop()
        return VeilError(
            "VEIL104",
            f"Prefect's own server {how}",
            f"see {self.log}, or use `veil run --direct`, or set PREFECT_API_URL to a server that is up",
        )


def start(veil_directory: Path) -> EmbeddedServer:
    """Start the server over ``.veil/prefect`` and point this process's Prefect client at it.

    Sets PREFECT_API_URL, PREFECT_API_AUTH_STRING (new and random for each start) and PREFECT_HOME in
    ``os.environ`` until ``stop``. Does not wait and does not import Prefect. VEIL101 if a file cannot be written.
    """
    home = veil_directory / "prefect"
    log = home / "server.log"
    try:
        for directory in (veil_directory, home, veil_directory / "keys"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        key = _encryption_key(veil_directory / "keys" / "prefect-encryption.key")
        log_file = _open_log(log)
    except OSError as error:
        raise VeilError(
            "VEIL101",
            f"{home} cannot be written ({error.strerror})",
            "check the directory's owner and free space",
        ) from None
    credential = f"veil:{secrets.token_urlsafe(32)}"
    # The child inherits the bound socket: nobody can take the port between here and its start.
    with log_file, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.set_inheritable(True)
        api_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, str(listener.fileno()), str(Path(__file__).resolve().parents[1])],
            env=_server_environment(home, key, credential),
            stdin=subprocess.PIPE, stdout=log_file, stderr=log_file,
            pass_fds=(listener.fileno(),), umask=0o077, cwd=home,
            # Ctrl-C on the terminal is for the run, which stops its server itself once it has closed its books.
            start_new_session=True,
        )  # fmt: skip
    before = _set_environment(_client_environment(home, api_url, credential))
    return EmbeddedServer(api_url, log, process, before)


def _encryption_key(path: Path) -> str:
    """The Fernet key of this project's server; made on first use, mode 0600, outside the database's directory."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)))
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link never replaces: of two processes that start together, both read the first one's key.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text("ascii").strip()


def _open_log(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if path.exists() and path.stat().st_size > LOG_BYTES_KEPT:
        flags |= os.O_TRUNC
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def _server_environment(home: Path, key: str, credential: str) -> dict[str, str]:
    """The child's environment: nothing of the user's own Prefect, so that no other database is touched."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        **_OFFLINE,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": credential,
        "PREFECT_SERVER_ENCRYPTION_KEY": key,
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    return environment | {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _IDLE_SERVICES}


def _client_environment(home: Path, api_url: str, credential: str) -> dict[str, str | None]:
    logging = {
        "PREFECT_LOGGING_LEVEL": "INFO",
        # Prefect's lines go to its own records; on the terminal the command speaks for itself.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    return {
        **dict.fromkeys(_FOREIGN),
        **_OFFLINE,
        **{name: os.environ.get(name, value) for name, value in logging.items()},
        # A company's proxy must not see what goes to the loopback interface.
        **{name: _with_loopback(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
        "PREFECT_API_URL": api_url,
        "PREFECT_API_AUTH_STRING": credential,
        "PREFECT_HOME": str(home),
    }


def _with_loopback(hosts: str) -> str:
    return ",".join(filter(None, [hosts, "127.0.0.1"]))


def _set_environment(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Set (None: remove) variables and return what they were; a Prefect that is imported reads them again."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    context = sys.modules.get("prefect.context")
    if values and context is not None:
        context.refresh_global_settings_context()
    return before


def _healthy(api_url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api_url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end_with_parent(parent: int) -> None:
    """End this process when standard input closes or the parent has changed: both follow a kill -9 of it."""
    import select
    import signal

    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1024):
            break
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


def serve(descriptor: int) -> None:
    """Be the server, on a socket that the parent bound; the working directory is Prefect's home."""
    import fcntl
    import gc
    import threading

    # A start makes half a million objects and drops few: collecting them takes an eighth of its time.
    gc.disable()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    # Two commands may start together on a new database: one migrates it, the other waits.
    lock = os.open("start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    import uvicorn
    from prefect.server.api.server import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            os.close(lock)
            gc.freeze()
            gc.enable()

    config = uvicorn.Config(
        create_app, factory=True, log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    Server(config).run(sockets=[socket.socket(fileno=descriptor)])
