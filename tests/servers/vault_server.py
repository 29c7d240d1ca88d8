"""A Vault of our own on a free loopback port: started, sealed, killed, set up and asked by tests and benchmarks.

A `vault` or `bao` from the PATH is taken where there is one; else the test server beside this file, which `make vault`
builds. Both keep their data in a directory, so that they can be killed and started again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_BUILD = Path(__file__).parent / "vault" / "build.sh"
_PATIENCE_SECONDS = 30.0
#: The statements under which everything that a lease's user makes belongs to a role that stays.
CREATION = (
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE etl_owner; "
    "ALTER ROLE \"{{name}}\" SET role = 'etl_owner';"
)
POLICY = """\
path "secret/data/veilflow" { capabilities = ["read"] }
path "database/creds/loader" { capabilities = ["read"] }
"""


class NoVault(Exception):
    """There is no Vault to be had; the text says in one line what is missing."""


class Answer(Exception):
    """An answer of Vault that is not a success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


def find_vault() -> tuple[str, Path]:
    """The kind (`vault`, `bao` or `built`) and the binary."""
    for name in ("vault", "bao"):
        if found := shutil.which(name):
            return name, Path(found)
    done = subprocess.run([str(_BUILD)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoVault(f"no Vault: {(done.stderr.strip().splitlines() or ['the build failed'])[-1]}")
    return "built", Path(done.stdout.strip())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class VaultServer:
    """One server. ``token`` is its root token, ``audit`` the file of its audit device."""

    kind: str
    binary: Path
    directory: Path
    port: int
    tls: tuple[Path, Path] | None = None
    token: str = ""
    unseal_key: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def audit(self) -> Path:
        return self.directory / "audit.log"

    # --- life ---

    def start(self) -> None:
        """Start, or start again; a server that was killed comes back sealed."""
        log = (self.directory / "server.log").open("a")
        self.process = subprocess.Popen(self._command(), stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        if self.kind == "built":
            assert self.process.stdout is not None
            ready = json.loads(self.process.stdout.readline() or "{}")
            self.token = self.token or ready.get("root_token", "")
            self.unseal_key = self.unseal_key or ready.get("unseal_key", "")
        self._wait()
        if not self.token:
            made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
            self.token, self.unseal_key = made["root_token"], made["keys"][0]
            self.unseal()

    def _command(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        if self.kind == "built":
            secured = [] if self.tls is None else ["-tls-cert", str(self.tls[0]), "-tls-key", str(self.tls[1])]
            return [str(self.binary), "-addr", f"127.0.0.1:{self.port}", "-data", str(data), *secured]
        listener: dict[str, Any] = {"address": f"127.0.0.1:{self.port}", "tls_disable": self.tls is None}
        if self.tls is not None:
            listener |= {"tls_cert_file": str(self.tls[0]), "tls_key_file": str(self.tls[1])}
        config: dict[str, Any] = {
            "storage": {"file": {"path": str(data)}}, "listener": [{"tcp": listener}], "api_addr": self.address,
            "disable_mlock": True, "log_level": "warn",
        }  # fmt: skip
        if self.kind == "bao":
            config["unsafe_allow_api_audit_creation"] = True
        written = self.directory / "config.json"
        written.write_text(json.dumps(config))
        return [str(self.binary), "server", "-config", str(written)]

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            with suppress(OSError, Answer):
                self.ask("GET", "sys/seal-status", token="")
                return
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"Vault did not start: {(self.directory / 'server.log').read_text()[-2000:]}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        self.ask("PUT", "sys/unseal", {"key": self.unseal_key}, token="")
        self.until_active()

    def until_active(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            with suppress(OSError, Answer):
                self.ask("GET", "sys/health", token="")
                return
            time.sleep(0.05)
        raise RuntimeError("Vault did not become active")

    # --- asking ---

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, token: str | None = None, wrap: str = ""
    ) -> dict[str, Any]:
        """One request as root, or with ``token``; the answer as it is."""
        request = urllib.request.Request(f"{self.address}/v1/{path}", method=method)
        secret = self.token if token is None else token
        if secret:
            request.add_header("X-Vault-Token", secret)
        if wrap:
            request.add_header("X-Vault-Wrap-TTL", wrap)
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=20, context=self._context()) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Answer(error.code, error.read().decode(errors="replace")) from None
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def _context(self) -> Any:
        if self.tls is None:
            return None
        import ssl

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def leases(self, path: str = "database/creds/loader") -> list[str]:
        """The ids of the leases below a path that are alive."""
        try:
            return list(self.ask("LIST", f"sys/leases/lookup/{path}/")["data"]["keys"])
        except Answer as answer:
            if answer.status == 404:
                return []
            raise

    def audited(self) -> list[tuple[str, str]]:
        """Operation and path of each request in the audit log but those of root and of the health check."""
        found = []
        for line in self.audit.read_text().splitlines():
            entry = json.loads(line)
            policies = entry.get("auth", {}).get("policies") or []
            if entry["type"] == "request" and "root" not in policies and entry["request"]["path"] != "sys/audit/test":
                found.append((entry["request"]["operation"], entry["request"]["path"]))
        return found

    # --- setting up ---

    def enable(self, kind: str, path: str, engine: str, **options: Any) -> None:
        """Enable an engine (``mounts``), a login (``auth``) or an audit device (``audit``)."""
        self.ask("POST", f"sys/{kind}/{path}", {"type": engine, **options})

    def write(self, path: str, **data: Any) -> dict[str, Any]:
        """Write; an engine of KV version 2 that upgrades itself for a moment is asked again."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self.ask("POST", path, data)
            except Answer as answer:
                if "Upgrading" not in str(answer) or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def set_up(self) -> None:
        """Audit, KV 1 and 2, Transit, AppRole and a policy ``veilflow`` with the loader's rights."""
        self.ask("PUT", "sys/audit/file", {"type": "file", "options": {"file_path": str(self.audit)}})
        self.enable("mounts", "secret", "kv", options={"version": "2"})
        self.enable("mounts", "kv1", "kv", options={"version": "1"})
        self.enable("mounts", "transit", "transit")
        self.enable("auth", "approle", "approle")
        self.write("sys/policies/acl/veilflow", policy=POLICY)
        self.write("auth/approle/role/loader", token_policies="veilflow", token_period="45s")

    def approle(self, role: str = "loader") -> tuple[str, str]:
        """The role's id and a new secret id."""
        role_id = self.ask("GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]
        return role_id, self.ask("POST", f"auth/approle/role/{role}/secret-id", {})["data"]["secret_id"]

    def set_up_database(self, url: str, password: str, *, ttl: str = "30s", max_ttl: str = "1h") -> None:
        """Dynamic users of the PostgreSQL at ``url`` (which names its administrator) under the role ``loader``."""
        if "database/" not in self.ask("GET", "sys/mounts")["data"]:
            self.enable("mounts", "database", "database")
        user = urlsplit(url).username or ""
        address = url.replace(f"://{user}@", "://{{username}}:{{password}}@")
        self.write(
            "database/config/warehouse", plugin_name="postgresql-database-plugin", allowed_roles="*",
            connection_url=address, username=user, password=password,
            password_authentication="scram-sha-256",
        )  # fmt: skip
        self.database_role("loader", ttl=ttl, max_ttl=max_ttl)

    def database_role(self, name: str, *, ttl: str, max_ttl: str, creation: str = CREATION) -> None:
        self.write(
            f"database/roles/{name}", db_name="warehouse", creation_statements=[creation], default_ttl=ttl,
            max_ttl=max_ttl,
        )  # fmt: skip


@contextmanager
def running_vault(directory: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[VaultServer]:
    """A server that is set up, and gone afterwards."""
    kind, binary = find_vault()
    directory.mkdir(parents=True, exist_ok=True)
    server = VaultServer(kind, binary, directory, free_port(), tls)
    try:
        server.start()
        server.set_up()
        yield server
    finally:
        server.stop()


def clean_environment() -> dict[str, str]:
    """The environment without what would lead a client elsewhere."""
    dropped = ("VAULT_", "BAO_", "PREFECT_", "VEIL_", "GX_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
