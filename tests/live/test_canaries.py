"""Twenty secret values are driven through success and failure of every store, then looked for everywhere: no hit."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from canaries import canary, forms, told
from vault_server import VaultServer

from veilflow import prefect_server
from veilflow.errors import VeilError
from veilflow.model import SecretRef
from veilflow.secret_stores import open_store

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.live

NAMES = """\
version: 1
stores:
  files: {kind: file}
  shell: {kind: env}
  local: {kind: prefect}
  vault: {kind: vault, address: "ADDRESS", auth: {approle: {role_id: "ROLE", secret_id: {file: /SECRET_ID}}}}
secrets:
SECRETS
connections: {warehouse: {url: "URL", credential: CREDENTIAL}}
keyring: KEYRING
"""


class Sweep:
    """A project with a canary in each of twenty places, and every text that came out of it."""

    def __init__(self, project: Project, vault: VaultServer, url: str, outside: Path) -> None:
        self.project, self.vault, self.url, self.outside = project, vault, url, outside
        self.canaries = {f"c{number:02d}": canary(number) for number in range(20)}
        self.texts: list[str] = []
        self.lines: list[str] = []
        self.environment: dict[str, str] = {}
        vault.write("sys/policies/acl/canaries", policy='path "secret/*" { capabilities = ["read"] }')
        vault.write("auth/approle/role/canaries", token_policies="canaries", token_period="45s")
        role_id, secret_id = vault.approle("canaries")
        self.extra = {"secret id": secret_id}
        (outside / "secret_id").write_text(secret_id)
        (outside / "secret_id").chmod(0o600)
        for name, value in self.canaries.items():
            self.lines.append(f"  {name}: {self._put(name, value)}")
        self._names = NAMES.replace("ADDRESS", vault.address).replace("ROLE", role_id).replace("URL", url)
        self._names = self._names.replace("/SECRET_ID", str(outside / "secret_id"))

    def _put(self, name: str, value: str) -> str:
        """Keep a canary in the store whose turn it is; returns its place."""
        from prefect.blocks.system import Secret as SecretBlock
        from pydantic import SecretStr

        from veilflow.secret_stores.prefect_blocks import DatabaseCredentials

        login = json.dumps({"username": "loader", "password": value})
        match int(name[1:]) % 7:
            case 0:
                (self.outside / name).write_text(value)
                (self.outside / name).chmod(0o600)
                return f"{{store: files, path: {self.outside / name}}}"
            case 1:
                (self.outside / name).write_text(login)
                (self.outside / name).chmod(0o600)
                return f"{{store: files, path: {self.outside / name}}}"
            case 2:
                self.environment[name.upper()] = value
                return f"{{store: shell, path: {name.upper()}}}"
            case 3:
                SecretBlock(value=SecretStr(value)).save(f"block-{name}", _sync=True)  # type: ignore[call-arg]
                return f"{{store: local, path: block-{name}}}"
            case 4:
                DatabaseCredentials(username="loader", password=SecretStr(value)).save(f"login-{name}", _sync=True)  # type: ignore[call-arg]
                return f"{{store: local, path: veilflow-database-credentials/login-{name}}}"
            case 5:
                self.vault.write(f"secret/data/veilflow/{name}", data={"value": value})
                return f"{{store: vault, path: secret/veilflow/{name}, field: value}}"
            case _:
                self.vault.write(f"secret/data/veilflow/{name}", data={"username": "loader", "password": value})
                return f"{{store: vault, path: secret/veilflow/{name}}}"

    def names(self, keyring: str, credential: str) -> None:
        text = self._names.replace("SECRETS", "\n".join(self.lines))
        self.project.write("secrets/names.yaml", text.replace("KEYRING", keyring).replace("CREDENTIAL", credential))

    def told(self, error: BaseException) -> None:
        """Everything that tools print of an exception, and what logging makes of it."""
        self.texts.append(told(error))
        logging.getLogger("veilflow.canaries").error("%r", error, exc_info=error)

    def hits(self, places: list[Path]) -> list[str]:
        """Where which canary stands in which form."""
        kept = {f"text {number}": text.encode() for number, text in enumerate(self.texts)}
        for place in places:
            for path in [place, *place.rglob("*")]:
                if path.is_file():
                    kept[str(path)] = path.read_bytes()
        assert len(kept) > 60
        return [
            f"{name} as {form} in {place}"
            for name, value in (self.canaries | self.extra).items()
            for form, needle in forms(value).items()
            for place, content in kept.items()
            if needle in content
        ]


@pytest.fixture
def sweep(
    project: Project, vault: VaultServer, postgresql: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sweep]:
    """With Prefect's server up over the project's own `.veil`."""
    outside = tmp_path / "outside"
    outside.mkdir()
    from prefect._internal.concurrency.services import _QueueServiceBase

    # Prefect keeps what talks to the server of an earlier test in this process.
    _QueueServiceBase.reset_instances_for_fork()
    server = prefect_server.start(project.directory / ".veil")
    server.wait()
    try:
        made = Sweep(project, vault, postgresql.url, outside)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        pipeline = project.directory / "pipelines/people.yaml"
        pipeline.write_text(
            pipeline.read_text().replace(
                "{kind: sqlite, path: out/people.db, table: people,",
                "{kind: postgresql, connection: warehouse, table: people,",
            )
        )
        yield made
    finally:
        server.stop()


def drive(sweep: Sweep) -> None:
    """Each canary is opened, is taken for a key ring that it is not, and is rejected by the database as a password."""
    from prefect import flow
    from prefect.logging import get_run_logger

    from veilflow.flows import run_with_prefect
    from veilflow.run import Request, execute
    from veilflow.run.result import run_document

    @flow(name="a-users-own-flow")
    def users_flow(name: str) -> None:
        get_run_logger().warning("the password is %s", sweep.canaries[name])
        log_as_user(sweep.canaries[name])

    directory = sweep.project.directory
    sweep.project.write("pipelines/ring.yaml", RING)
    for name in sweep.canaries:
        sweep.names(keyring=name, credential=name)
        result = run_with_prefect(Request(directory, "dev", "people"))
        assert {error.code for error in result.errors} == {"VEIL402"}, result.errors
        sweep.texts.append(json.dumps(run_document(result)) + repr(result))
        result = execute(Request(directory, "dev", "ring"))
        assert {error.code for error in result.errors} == {"VEIL222"}, result.errors
        sweep.texts.append(json.dumps(run_document(result)) + repr(result))

        # A user's own code logs what it should not.
        users_flow(name)


RING = """\
version: 1
source: {kind: csv, path: data/people.csv}
columns:
  age: {type: integer}
policy: people
target: {kind: sqlite, path: out/people.db, table: people}
"""


def log_as_user(value: str) -> None:
    """What a user's own code in the process may log by mistake."""
    log = logging.getLogger("somebody.elses")
    log.error("login %s with %r", value, {"password": value})
    try:
        raise RuntimeError(f"cannot connect to postgresql://loader:{quote(value, safe='')}@db/w")
    except RuntimeError:
        log.exception("failed")


def break_stores(sweep: Sweep) -> None:
    """Each store is asked for what it cannot give, with the value at hand where there is one."""
    from prefect.blocks.system import Secret as SecretBlock

    directory = sweep.project.directory
    # In no variable: this function's frame is part of each traceback.
    SecretBlock(value={"nested": {"password": sweep.canaries["c03"]}}).save("not-text", _sync=True)  # type: ignore[call-arg,arg-type]
    SecretBlock(value=json.dumps({"password": sweep.canaries["c03"]})).save("object", _sync=True)  # type: ignore[call-arg,arg-type]
    options = {"kind": "vault", "address": sweep.vault.address,
               "auth": {"approle": {"role_id": sweep.vault.approle("canaries")[0], "secret_id": {"file": str(sweep.outside / "secret_id")}}}}  # fmt: skip
    dead = options | {"address": "http://127.0.0.1:1", "retry_for_seconds": 1}
    cases: list[tuple[str, dict[str, Any], SecretRef]] = [
        ("prefect", {}, SecretRef("not-text")), ("prefect", {}, SecretRef("object", "passwort")),
        ("prefect", {}, SecretRef("object", "password", version=2)), ("prefect", {}, SecretRef("no-such")),
        ("file", {}, SecretRef(str(sweep.outside / "c00"), "field")), ("file", {}, SecretRef(str(sweep.outside))),
        ("env", {}, SecretRef("C02", version=3)), ("env", {}, SecretRef("NO_SUCH_VARIABLE")),
        ("vault", options, SecretRef("secret/veilflow/c05", "wrong")), ("vault", options, SecretRef("secret/no-such")),
        ("vault", options, SecretRef("secret/veilflow/c05", version=9)), ("vault", options, SecretRef("sys/mounts")),
        ("vault", dead, SecretRef("secret/veilflow/c05", "value")),
    ]  # fmt: skip
    for kind, store_options, ref in cases:
        try:
            open_store(kind, store_options, directory).read(ref)
        except VeilError as error:
            sweep.told(error)
        else:
            raise AssertionError(f"{kind} gave {ref}")


def test_no_canary_is_found_anywhere(sweep: Sweep) -> None:
    """Logs of every logger, Prefect's database, `.veil/`, results, tracebacks with variables, commands, the target."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    # Not the root's: Prefect sets that up anew.
    loggers = [logging.getLogger(name) for name in ("somebody.elses", "veilflow.canaries")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        drive(sweep)
        break_stores(sweep)
        sweep.names(keyring="c00", credential="c02")
        for arguments in (["secrets", "check"], ["secrets", "check", "--json"], ["secrets", "list", "--json"],
                          ["run", "people", "--direct", "--json"], ["keys", "list"], ["runs", "list", "--json"],
                          ["report", "last", "--out", str(sweep.project.directory / "report.html")]):  # fmt: skip
            done = sweep.project.veil(*arguments, environment=prefect_environment() | sweep.environment)
            sweep.texts += [done.out, done.err]
        checked = json.loads(sweep.texts[-12])
        assert all(one["readable"] for one in checked["secrets"]), checked
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    assert text.getvalue().count("[secret]") >= 3 * len(sweep.canaries)
    sweep.texts.append(text.getvalue())
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=10)
    # A search that finds nothing proves nothing unless it can find.
    assert len(sweep.hits([sweep.outside])) >= 3
    found = sweep.hits([sweep.project.directory])
    assert not found, "\n".join(found)


def prefect_environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}
