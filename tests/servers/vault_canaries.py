"""Canaries in a Vault that fails: each round of a campaign works with two of twenty, and then all are looked for."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from canaries import canary, every_log_record, hits, needles_of, told
from vault_campaign import Field
from vault_server import POLICY

from veilflow import prefect_server
from veilflow.keys import KeyRing
from veilflow.model import RunResult, SecretRef
from veilflow.run import execute
from veilflow.run.execute import _Run
from veilflow.secret_stores.vault import VaultStore, store

LOGINS = RINGS = 10
_ALLOWED = POLICY + 'path "secret/data/canaries/*" { capabilities = ["read"] }\n'


class Canaries:
    """Ten logins of the database and ten key rings, planted in the Vault of a campaign's field.

    ``values`` and ``keys`` are what is looked for: the twenty, the login's secret id, and every token and password that
    was issued to this process. What is told of a run is kept in ``outside``.
    """

    def __init__(self, place: Field, outside: Path) -> None:
        self._place, self._kept = place, outside / "kept"
        self._kept.mkdir(parents=True)
        secret_id = outside / "secret_id"
        (place.directory / "secret_id").rename(secret_id)
        self._names = (place.directory / "secrets/names.yaml").read_text().replace("secret_id}", f"{secret_id}}}")
        self.values, self.keys = {"secret id": secret_id.read_text()}, {}  # type: tuple[dict[str, str], dict[str, bytes]]
        place.vault.write("sys/policies/acl/veilflow", policy=_ALLOWED)
        for number in range(LOGINS):
            self._plant_login(number)
            self._plant_ring(number)
        place.reader.execute("alter system set log_statement = 'all'")
        place.reader.execute("select pg_reload_conf()")
        self._data = Path(place.reader.execute("show data_directory").fetchone()[0])  # type: ignore[index]

    def _plant_login(self, number: int) -> None:
        reader, user, password = self._place.reader, f"canary_{secrets.token_hex(4)}", canary(number)
        verifier = reader.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
        reader.execute(f"create role {user} login password '{verifier}' in role etl_owner".encode())
        reader.execute(f"alter role {user} set role = 'etl_owner'".encode())
        self._place.vault.write(f"secret/data/canaries/login{number}", data={"username": user, "password": password})
        self.values[f"login {number}"] = password

    def _plant_ring(self, number: int) -> None:
        ring = KeyRing.generate("2026-01-01T00:00:00Z")
        self._place.vault.write(f"secret/data/canaries/ring{number}", data={"keyring": ring})
        root = json.loads(ring)["keys"]["1"]["key"]
        self.values[f"ring {number}"], self.keys[f"root {number}"] = root, base64.b64decode(root)

    def before(self, number: int) -> None:
        """Each round has a ring and a login of its own; every other login is one that Vault issues."""
        names = self._names.replace("path: secret/veilflow,", f"path: secret/canaries/ring{number % RINGS},")
        if number % 2:
            kept = f"engine: kv2, path: secret/canaries/login{number // 2 % LOGINS}"
            names = names.replace("engine: database, path: database/creds/loader", kept)
        (self._place.directory / "secrets/names.yaml").write_text(names)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep every log record of this process, and of each error what tools print of its frames."""
        log_in, issue, failed = store.log_in, VaultStore._issue, _Run._failed

        def logged_in(*arguments: Any) -> Any:
            token = log_in(*arguments)
            self.values[f"token {len(self.values)}"] = token.secret.reveal()
            return token

        def issued(own: VaultStore, ref: SecretRef) -> Any:
            made = issue(own, ref)
            self.values[f"issued {len(self.values)}"] = json.loads(made.secret.reveal())["password"]
            return made

        def ended(run: _Run, error: Any) -> RunResult:
            result = failed(run, error)
            with (self._kept / "told").open("a") as file:
                file.write(told(error) + repr(result) + "\n")
            return result

        store.log_in, VaultStore._issue, _Run._failed = logged_in, issued, ended  # type: ignore[method-assign]
        try:
            with every_log_record(self._kept / "records"):
                yield
        finally:
            store.log_in, VaultStore._issue, _Run._failed = log_in, issue, failed  # type: ignore[method-assign]

    @contextmanager
    def through_prefect(self) -> Iterator[None]:
        """Every fourth run is a flow of a Prefect server whose home lies in the project."""
        from veilflow.flows import run_with_prefect

        server = prefect_server.start(self._place.directory / ".veil")
        server.wait()
        runs = iter(range(1_000_000))
        self._place.carry_out = lambda request, on_progress: (
            execute(request, on_progress=on_progress) if next(runs) % 4 else run_with_prefect(request, on_progress)
        )
        try:
            yield
        finally:
            server.stop()

    def hits(self) -> list[str]:
        """Where any of it stands: the project with its state, what was told, PostgreSQL's files and its log."""
        self._place.reader.execute("checkpoint")
        needles = needles_of(self.values, self.keys)
        planted = self._kept.parent / "planted"
        planted.write_bytes(b"\n".join(needles.values()))
        # A search that finds nothing proves nothing unless it can find.
        assert len(hits(needles, [planted])) == len(needles)
        return hits(needles, [self._place.directory, self._kept, self._data, self._data.parent / "log"])
