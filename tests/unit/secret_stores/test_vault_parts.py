"""The parts of the Vault store that need no Vault: its options, its table of repetition, its leases, its breaker."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybreaker
import pytest

from veilflow.errors import PassingFault, Problems, VeilError
from veilflow.secret_stores.vault import faults, leases
from veilflow.secret_stores.vault.breaker import FAILURES_THAT_OPEN, machine_directory, shared_breaker
from veilflow.secret_stores.vault.faults import RULES, Fault, Refused, fault_of, may_repeat
from veilflow.secret_stores.vault.leases import LEASE_SECONDS, Lease
from veilflow.secret_stores.vault.options import AppRoleLogin, CertLogin, JwtLogin, Place, TokenLogin, parse_options

GOOD: dict[str, Any] = {"address": "https://vault.test:8200", "auth": {"token": {"env": "TOKEN"}}}


# --- options -----------------------------------------------------------------------------


def test_options_become_one_frozen_object(tmp_path: Path) -> None:
    """With defaults where nothing is said."""
    options = parse_options({**GOOD, "namespace": "team", "mounts": ["team/kv/"]}, tmp_path)
    assert (options.address, options.namespace, options.mounts) == ("https://vault.test:8200", "team", ("team/kv",))
    assert options.login == TokenLogin(Place("env", "TOKEN"))


@pytest.mark.parametrize(
    ("auth", "login"),
    [
        ({"approle": {"role_id": "r", "secret_id": {"file": "s"}}}, AppRoleLogin("r", Place("file", "s"))),
        (
            {"approle": {"role_id": {"env": "R"}, "secret_id": {"env": "S", "wrapped": True}, "mount": "m"}},
            AppRoleLogin(Place("env", "R"), Place("env", "S"), True, "m"),
        ),
        ({"jwt": {"role": "r", "token": {"file": "j"}}}, JwtLogin("jwt", "r", Place("file", "j"), "jwt")),
        (
            {"kubernetes": {"role": "r"}},
            JwtLogin(
                "kubernetes", "r", Place("file", "/var/run/secrets/kubernetes.io/serviceaccount/token"), "kubernetes"
            ),
        ),
    ],
)
def test_each_way_to_log_in_has_its_keys(auth: dict[str, Any], login: object, tmp_path: Path) -> None:
    """As the reference lists them."""
    assert parse_options({**GOOD, "auth": auth}, tmp_path).login == login


def test_a_certificate_login_may_say_nothing_more(tmp_path: Path) -> None:
    """The files stand beside it, for TLS needs them too."""
    for name in ("c", "k"):
        (tmp_path / name).write_text("x")
    options = {**GOOD, "auth": {"cert": None}, "client_certificate": {"cert": "c", "key": "k"}}
    assert parse_options(options, tmp_path).login == CertLogin()


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "no address": ("VEIL201", {"address": None}),
    "not a URL": ("VEIL202", {"address": "vault.test"}),
    "a port that is none": ("VEIL202", {"address": "https://vault.test:port"}),
    "a blank in it": ("VEIL202", {"address": "https://vault test"}),
    "a password in it": ("VEIL202", {"address": "https://user:marker@vault.test"}),
    "plain HTTP": ("VEIL202", {"address": "http://vault.test"}),
    "no auth": ("VEIL201", {"auth": None}),
    "two ways at once": ("VEIL202", {"auth": {"token": {"env": "A"}, "cert": {}}}),
    "a token in clear": ("VEIL202", {"auth": {"token": "hvs.marker"}}),
    "a secret id in clear": ("VEIL202", {"auth": {"approle": {"role_id": "r", "secret_id": "marker"}}}),
    "file and env": ("VEIL202", {"auth": {"token": {"env": "A", "file": "B"}}}),
    "a certificate without files": ("VEIL202", {"auth": {"cert": {}}}),
    "a CA that is not there": ("VEIL202", {"ca": "nowhere"}),
    "a proxy with a password": ("VEIL202", {"proxy": "http://u:marker@proxy.test"}),
    "no seconds": ("VEIL202", {"timeout_seconds": 0}),
    "an unknown key": ("VEIL201", {"adress": "x"}),
    "an unknown key inside": ("VEIL201", {"auth": {"token": {"env": "A", "fiel": "B"}}}),
}


@pytest.mark.parametrize("case", BAD)
def test_an_option_that_does_not_fit_is_refused_without_its_value(case: str, tmp_path: Path) -> None:
    """It may be a secret that somebody wrote there."""
    code, changes = BAD[case]
    given = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(VeilError) as caught:
        parse_options(given, tmp_path)
    assert code in {part.code for part in caught.value.parts}
    assert "marker" not in str(caught.value)


def test_all_that_is_wrong_is_told_together(tmp_path: Path) -> None:
    """Not one mistake a run."""
    with pytest.raises(Problems) as caught:
        parse_options({"address": "x", "auth": {"token": {}}, "typo": 1}, tmp_path)
    assert len(caught.value.parts) == 3


def test_plain_http_needs_a_loopback_address_or_a_reason(tmp_path: Path) -> None:
    """Secrets would cross the network in clear."""
    for address in ("http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200"):
        assert parse_options({**GOOD, "address": address}, tmp_path).address == address
    parse_options({**GOOD, "address": "http://vault.test", "unsafe_plain_http": "inside of a mesh"}, tmp_path)


# --- what may be repeated ----------------------------------------------------------------

ISSUING = (faults.LOGIN, faults.UNWRAP, faults.ISSUE, faults.WRITE)
READING = (faults.READ, faults.RENEW, faults.REVOKE, faults.TRANSIT, faults.LOOK_UP)


@pytest.mark.parametrize("operation", ISSUING, ids=lambda operation: operation.words)
def test_what_issues_something_is_repeated_only_if_it_was_surely_not_processed(operation: faults.Operation) -> None:
    """An answer that was lost may have been a credential."""
    repeated = {fault for fault in Fault if may_repeat(fault, operation)}
    assert repeated == {
        Fault.UNREACHABLE, Fault.LEFT_ALONE, Fault.SEALED, Fault.STANDBY, Fault.BEHIND, Fault.LIMITED,
    }  # fmt: skip


@pytest.mark.parametrize("operation", READING, ids=lambda operation: operation.words)
def test_what_only_reads_is_repeated_after_every_passing_fault(operation: faults.Operation) -> None:
    """And after no refusal."""
    not_repeated = {fault for fault in Fault if not may_repeat(fault, operation)}
    assert not_repeated == {fault for fault, rule in RULES.items() if not rule.passing}
    assert {Fault.DENIED, Fault.DEAD_TOKEN, Fault.MISSING, Fault.UNTRUSTED, Fault.SECONDARY} <= not_repeated


@pytest.mark.parametrize(
    ("status", "errors", "fault"),
    [
        (200, (), None),
        (204, (), None),
        (307, (), Fault.REDIRECTED),
        (400, ("invalid role or secret ID",), Fault.REFUSED),
        (403, ("1 error occurred:\n\t* permission denied\n\n",), Fault.DENIED),
        (403, ("2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n",), Fault.DEAD_TOKEN),
        (404, (), Fault.MISSING),
        (412, (), Fault.BEHIND),
        (429, (), Fault.LIMITED),
        (472, (), Fault.SECONDARY),
        (473, (), Fault.STANDBY),
        (500, ("internal error",), Fault.FAILED),
        (500, ("local node not active but active cluster node not found",), Fault.STANDBY),
        (501, (), Fault.UNINITIALISED),
        (502, (), Fault.GATEWAY),
        (503, ("Vault is sealed",), Fault.SEALED),
        (503, (), Fault.GATEWAY),
        (504, (), Fault.GATEWAY),
    ],
)
def test_a_status_is_told_by_what_vault_says_with_it(status: int, errors: tuple[str, ...], fault: Fault | None) -> None:
    """The texts are those of Vault 1.21."""
    assert fault_of(status, errors) == fault


def test_every_fault_has_a_rule_with_words_that_can_be_filled() -> None:
    """A hint is not optional."""
    assert set(RULES) == set(Fault)
    for rule in RULES.values():
        assert rule.problem.format(address="a", seconds=1, detail="d") and rule.hint


# --- leases ------------------------------------------------------------------------------


class Clock:
    """Time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(leases.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def granting(clock: Clock, maximum: float) -> tuple[Callable[[float], float], list[float]]:
    """A server's renewal with a maximum from now on, and what it was asked for."""
    asked, end = [], clock.now + maximum

    def renew(seconds: float) -> float:
        asked.append(seconds)
        return min(seconds, end - clock.now)

    return renew, asked


def test_a_long_lease_is_shortened_at_once(clock: Clock) -> None:
    """So that it dies soon after this process was killed."""
    renew, asked = granting(clock, 7200)
    lease = Lease(3600, renew)
    lease.shorten()
    assert asked == [LEASE_SECONDS] and lease.remaining() == LEASE_SECONDS


def test_a_lease_is_renewed_until_its_maximum_and_then_told_to_be_near_its_end(clock: Clock) -> None:
    """Early enough to change to another one."""
    renew, _ = granting(clock, 100)
    lease = Lease(30, renew)
    for _ in range(20):
        clock.now = min(lease.next, 1085)
        lease.extend()
    assert lease.final and lease.expires == 1100
    clock.now = 1084
    assert not lease.near_its_end
    clock.now = 1086
    assert lease.near_its_end and not lease.lost
    clock.now = 1100
    lease.extend()
    assert lease.lost is not None


def test_a_fault_is_survived_until_the_lease_is_over(clock: Clock) -> None:
    """Vault may be sealed for a while."""

    def renew(_seconds: float) -> float:
        raise PassingFault("VEIL404", "sealed", "wait")

    lease = Lease(30, renew)
    for _ in range(50):
        clock.now = min(lease.next, 1029.9)
        lease.extend()
    assert lease.lost is None
    clock.now = 1030
    lease.extend()
    assert lease.lost is not None and lease.remaining() == 0


def test_vaults_own_no_ends_a_lease(clock: Clock) -> None:
    """Somebody revoked it."""

    def renew(_seconds: float) -> float:
        raise VeilError("VEIL406", "gone", "run again")

    lease = Lease(30, renew)
    clock.now += 10
    lease.extend()
    assert lease.lost is not None


# --- the breaker -------------------------------------------------------------------------


def failing() -> None:
    raise Refused(Fault.SEALED)


def failing_often(directory: Path) -> None:
    for _ in range(FAILURES_THAT_OPEN):
        with pytest.raises(Refused):
            shared_breaker(directory, "https://vault.test").call(failing)


def denied() -> None:
    raise Refused(Fault.DENIED)


def test_a_failing_server_is_left_alone_by_every_process(tmp_path: Path) -> None:
    """The second breaker is that of another run."""
    failing_often(tmp_path / "own")
    with pytest.raises(pybreaker.CircuitBreakerError):
        shared_breaker(tmp_path / "own", "https://vault.test").call(lambda: "asked")
    assert shared_breaker(tmp_path / "own", "https://other.test").call(lambda: "asked") == "asked"


def test_refusals_are_answers_and_open_nothing(tmp_path: Path) -> None:
    """A policy that misses a line is no failing server."""
    for _ in range(FAILURES_THAT_OPEN + 1):
        with pytest.raises(Refused):
            shared_breaker(tmp_path / "own", "https://vault.test").call(denied)
    assert shared_breaker(tmp_path / "own", "https://vault.test").call(lambda: "asked") == "asked"


def test_after_a_while_one_probes_and_the_others_wait(tmp_path: Path) -> None:
    """And what the probe finds out holds for all."""
    failing_often(tmp_path / "own")
    file = next((tmp_path / "own").glob("*.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"opened_at": 0.0}))
    others: list[str] = []

    def probe() -> str:
        try:
            shared_breaker(tmp_path / "own", "https://vault.test").call(lambda: "asked")
        except pybreaker.CircuitBreakerError:
            others.append("waited")
        return "probed"

    assert shared_breaker(tmp_path / "own", "https://vault.test").call(probe) == "probed"
    assert others == ["waited"]
    assert shared_breaker(tmp_path / "own", "https://vault.test").call(lambda: "asked") == "asked"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "[" * 4000,
        '{"state": "ajar"}',
        '{"state": []}',
        '{"failures": "many"}',
        '{"failures": null}',
        '{"successes": Infinity}',
        '{"state": "open", "opened_at": "today"}',
        '{"state": "open", "opened_at": NaN}',
        '{"state": "open", "opened_at": 1e300}',
        '{"state": "open", "opened_at": 99999999999}',
    ],
)
def test_a_damaged_state_is_no_reason_to_fail(content: str, tmp_path: Path) -> None:
    """It protects a server, and is none of the run's business."""
    shared_breaker(tmp_path / "own", "https://vault.test").call(lambda: "asked")
    with pytest.raises(Refused):
        shared_breaker(tmp_path / "own", "https://vault.test").call(failing)
    next((tmp_path / "own").glob("*.json")).write_text(content)
    assert shared_breaker(tmp_path / "own", "https://vault.test").call(lambda: "asked") == "asked"


@pytest.mark.parametrize("attack", ["a link to another directory", "open to others"])
def test_a_directory_that_others_could_have_made_is_not_believed(tmp_path: Path, attack: str) -> None:
    """Nothing is read from it or written into it, and the run goes on without the state."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    failing_often(other)
    own = tmp_path / "own"
    if attack == "a link to another directory":
        own.symlink_to(other)
    else:
        other.rename(own)
        own.chmod(0o777)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*.json"))
    assert shared_breaker(own, "https://vault.test").call(lambda: "asked") == "asked"
    failing_often(own)
    assert shared_breaker(own, "https://vault.test").call(lambda: "asked") == "asked"
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*.json")) == before


def test_the_state_is_one_for_all_projects_of_a_user() -> None:
    """In a directory of the user's own among the machine's temporary ones."""
    assert machine_directory() == Path(tempfile.gettempdir()) / f"veilflow-{os.geteuid()}"
