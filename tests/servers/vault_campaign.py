"""Runs of a pipeline through a Vault that fails in every way it can, with a seed; what each came to is judged.

A round writes new rows, runs the pipeline into PostgreSQL with credentials of Vault and lets one fault happen before,
in the middle of, or at the end of it. It either ends with exactly its rows in the table, or with status 4 and the rows
of the last round that succeeded; of a fault while publishing, exactly one of both.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from fault_proxy import FAIR, FaultProxy, Weather
from vault_server import Answer, VaultServer, clean_environment

from veilflow.keys import KeyRing
from veilflow.model import Progress, RunResult
from veilflow.run import Request, execute
from veilflow.secret_stores.vault.breaker import machine_directory, shared_breaker

ROWS, CHUNK_ROWS = 600, 30
PIPELINE = f"""\
version: 1
source: {{kind: csv, path: data/people.csv}}
policy: people
target: {{kind: postgresql, connection: warehouse, table: people, mode: replace}}
chunk_rows: {CHUNK_ROWS}
"""
POLICY = """\
version: 1
purpose: faults
columns:
  id: {class: non_personal, treatment: keep, reason: counted by the campaign}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
  round: {class: non_personal, treatment: keep, reason: tells the rounds apart}
"""
NAMES = """\
version: 1
stores:
  vault:
    kind: vault
    address: "ADDRESS"
    timeout_seconds: 1.5
    retry_for_seconds: 6
    auth: {approle: {role_id: "ROLE_ID", secret_id: {file: secret_id}}}
secrets:
  keyring: {store: vault, engine: kv2, path: secret/veilflow, field: keyring}
  warehouse_login: {store: vault, engine: database, path: database/creds/loader}
connections:
  warehouse: {url: "URL", credential: warehouse_login}
keyring: keyring
"""
#: The role that stays: to it belongs what Vault's users make.
OWNER = """\
drop schema if exists veilflow_staging cascade; drop table if exists people, _veilflow;
do $$ begin if to_regrole('etl_owner') is null then create role etl_owner; end if; end $$;
grant create on database postgres to etl_owner; grant create on schema public to etl_owner
"""
MOMENTS = ("before", "early", "late", "publish", "end")
KILLED = 137
_PAUSE_SECONDS = 0.08


@dataclass
class Field:
    """The servers, the network between them, and the project."""

    vault: VaultServer
    proxy: FaultProxy
    reader: psycopg.Connection[Any]
    directory: Path
    healing: threading.Thread | None = None
    carry_out: Callable[[Request, Callable[[Progress], None]], RunResult] = field(
        default=lambda request, on_progress: execute(request, on_progress=on_progress)
    )
    last: str = ""

    def set_up(self, url: str, password: str) -> None:
        """A token and users with short lives, so that renewals and changes fall into every run."""
        self.reader.execute(OWNER)
        self.vault.set_up_database(url, password, ttl="2s", max_ttl="3s")
        self.vault.write("auth/approle/role/loader", token_policies="veilflow", token_period="5s")
        self.vault.write("secret/data/veilflow", data={"keyring": KeyRing.generate("2026-01-01T00:00:00Z")})
        role_id, secret_id = self.vault.approle()
        for name, text in {
            "pipelines/people.yaml": PIPELINE, "policies/people.yaml": POLICY, "secret_id": secret_id,
            "secrets/names.yaml": NAMES.replace("ADDRESS", self.proxy.address).replace("ROLE_ID", role_id).replace(
                "URL", re.sub("//.*@", "//", url)
            ),
        }.items():  # fmt: skip
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600)

    def write_rows(self, number: int) -> None:
        path = self.directory / "data" / "people.csv"
        path.parent.mkdir(exist_ok=True)
        lines = [f"{row},Name {row},{number}" for row in range(ROWS)]
        path.write_text("id,name,round\n" + "\n".join(lines) + "\n")

    def loaded(self) -> int | None:
        """The round whose rows stand in the table, all of them and once each; -1 if they are not, None without one."""
        if not self.reader.execute("select to_regclass('people') is not null").fetchone()[0]:  # type: ignore[index]
            return None
        row = self.reader.execute(
            "select count(*), count(distinct id), count(distinct round), min(round), min(id::int), max(id::int) from people"
        ).fetchone()
        assert row is not None
        exact = row[:3] == (ROWS, ROWS, 1) and row[4:] == (0, ROWS - 1)
        return int(row[3]) if exact else -1

    def users(self) -> int:
        row = self.reader.execute("select count(*) from pg_roles where rolname like 'v-%'").fetchone()
        return int(row[0]) if row else 0

    # --- faults ---

    def heal_after(self, seconds: float, heal: Callable[[], None]) -> None:
        def later() -> None:
            time.sleep(seconds)
            heal()

        self.healing = threading.Thread(target=later)
        self.healing.start()

    def healed(self) -> None:
        """Wait for the fault to be over, and let the next round begin without its memory."""
        if self.healing is not None:
            self.healing.join()
            self.healing = None
        self.vault.until_active()
        shared_breaker(machine_directory(), self.proxy.address).close()

    def weather(self, weather: Weather, seconds: float) -> None:
        self.proxy.weather = weather

        def clear() -> None:
            self.proxy.weather = FAIR

        self.heal_after(seconds, clear)


def _seconds(dice: random.Random) -> float:
    """How long a fault lasts: mostly less, sometimes more than a run waits and a token lives."""
    return dice.choice((0.3, 1.0, 3.0, 9.0))


def sealed(field: Field, dice: random.Random) -> None:
    field.vault.seal()
    field.heal_after(_seconds(dice), field.vault.unseal)


def killed_and_restarted(field: Field, dice: random.Random) -> None:
    field.vault.kill()

    def restart() -> None:
        field.vault.start()
        field.vault.unseal()

    field.heal_after(_seconds(dice), restart)


def token_revoked(field: Field, _dice: random.Random) -> None:
    with suppress(Answer):
        for accessor in field.vault.ask("LIST", "auth/token/accessors")["data"]["keys"]:
            with suppress(Answer):
                found = field.vault.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
                if "root" not in found["policies"]:
                    field.vault.ask("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def lease_revoked(field: Field, _dice: random.Random) -> None:
    field.vault.ask("PUT", "sys/leases/revoke-prefix/database/creds/loader")


def rate_limited(field: Field, dice: random.Random) -> None:
    field.vault.ask("POST", "sys/quotas/rate-limit/storm", {"rate": 0.4})
    field.heal_after(_seconds(dice), lambda: _quietly_delete(field.vault, "sys/quotas/rate-limit/storm"))


def _quietly_delete(vault: VaultServer, path: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(Answer):  # root's own request falls under the quota too
            vault.ask("DELETE", path)
            return
        time.sleep(0.2)


def status(number: int) -> Callable[[Field, random.Random], None]:
    return lambda field, dice: field.weather(Weather(status=number), _seconds(dice))


def network_cut(field: Field, dice: random.Random) -> None:
    field.weather(Weather(cut=True), _seconds(dice))


def answers_lost(field: Field, dice: random.Random) -> None:
    field.weather(Weather(lose_answers=True), _seconds(dice))


def slow_answers(field: Field, dice: random.Random) -> None:
    field.weather(Weather(delay_seconds=dice.uniform(0.3, 3)), _seconds(dice))


def nothing(_field: Field, _dice: random.Random) -> None:
    """A control."""


FAULTS: dict[str, Callable[[Field, random.Random], None]] = {
    "sealed": sealed, "killed and restarted": killed_and_restarted, "token revoked": token_revoked,
    "lease revoked": lease_revoked, "rate limited": rate_limited, "412": status(412), "472": status(472),
    "473": status(473), "500": status(500), "502": status(502), "network cut": network_cut,
    "answers lost": answers_lost, "slow answers": slow_answers, "none": nothing, "run killed": nothing,
}  # fmt: skip


@dataclass
class Outcome:
    """What a campaign came to; ``wrong`` lists the rounds that broke a promise."""

    rounds: int = 0
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    orphan_leases: int = -1
    orphan_users: int = -1
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds, "wrong": self.wrong, "orphan_leases": self.orphan_leases,
            "orphan_users": self.orphan_users, "seconds": round(self.seconds),
            "statuses": {fault: dict(sorted(count.items())) for fault, count in sorted(self.statuses.items())},
        }  # fmt: skip


def campaign(
    place: Field, rounds: int, seed: int, tell: Callable[[str], None] = lambda _line: None,
    before_round: Callable[[int], None] = lambda _number: None,
) -> Outcome:  # fmt: skip
    """Run the rounds, then wait up to a minute for Vault to have taken everything back."""
    outcome, dice, began = Outcome(), random.Random(seed), time.monotonic()
    faults = [name for _ in range(rounds // len(FAULTS) + 1) for name in dice.sample(sorted(FAULTS), len(FAULTS))]
    before = place.loaded()
    for number, fault in enumerate(faults[:rounds], start=1):
        moment = dice.choice(MOMENTS)
        place.write_rows(number)
        before_round(number)
        status = _killed(place, dice) if fault == "run killed" else _struck(place, fault, moment, dice)
        place.healed()
        after = place.loaded()
        line = f"{number:4d} {fault:22s} {moment:8s} status {status:3d}  rows of round {after}  {place.last}"
        tell(line)
        if after not in _promised(status, moment, number, before):
            outcome.wrong.append(f"{line}, before it {before}")
        outcome.statuses.setdefault(fault, Counter())[status] += 1
        before, outcome.rounds = after, number
    end = time.monotonic() + 60
    while time.monotonic() < end and (place.users() or place.vault.leases()):
        time.sleep(0.5)
    outcome.orphan_leases, outcome.orphan_users = len(place.vault.leases()), place.users()
    outcome.seconds = time.monotonic() - began
    return outcome


def _promised(status: int, moment: str, number: int, before: int | None) -> set[int | None]:
    """The rounds whose rows may stand in the table after a run that ended so."""
    if status == 0:
        return {number}
    if status == KILLED or (status == 4 and moment == "publish"):
        return {before, number}
    return {before} if status == 4 else set()


def _struck(place: Field, fault: str, moment: str, dice: random.Random) -> int:
    """Run in this process, and let the fault strike at its moment."""
    struck = threading.Event()

    def on_progress(progress: Progress) -> None:
        if progress.stage == "stage" and progress.read:
            time.sleep(_PAUSE_SECONDS)
        if not struck.is_set() and _come(moment, progress):
            struck.set()
            FAULTS[fault](place, dice)

    if moment == "before":
        struck.set()
        FAULTS[fault](place, dice)
    result = place.carry_out(Request(place.directory, "dev", "people"), on_progress)
    place.last = ", ".join(f"{error.code} {error.problem}" for error in result.errors)
    return result.exit_status


def _come(moment: str, progress: Progress) -> bool:
    if moment in ("early", "late"):
        return progress.stage == "stage" and progress.read >= {"early": CHUNK_ROWS, "late": ROWS * 0.8}[moment]
    return progress.stage == {"publish": "publish", "end": "report"}.get(moment)


def _killed(place: Field, dice: random.Random) -> int:
    """Run in a process of its own and kill it somewhere; the status if it was quicker."""
    place.last = ""
    command = [sys.executable, "-m", "veilflow.cli", "run", "people", "--direct", "--quiet"]
    with (place.directory / "killed.log").open("ab") as told:
        run = subprocess.Popen(command, cwd=place.directory, env=clean_environment(), stdout=told, stderr=told)
    try:
        return run.wait(dice.uniform(1.0, 6.0))
    except subprocess.TimeoutExpired:
        # The second would leave a core file where the process allowed one.
        run.send_signal(dice.choice((signal.SIGKILL, signal.SIGABRT)))
        run.wait()
        return KILLED
