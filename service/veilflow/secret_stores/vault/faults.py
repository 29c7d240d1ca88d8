"""What may go wrong between Veilflow and Vault, and what may be repeated then. Pure.

A request is repeated by what it does, not by its HTTP verb. Reading a secret twice gives the same secret; ``creds``,
``unwrap`` and a login issue something each time, so they are repeated only where Vault surely did not process them:
an answer that was lost may have been a credential.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request is for. ``words`` end the sentence "… while"; ``issues`` if each one makes something new."""

    words: str
    issues: bool = False


LOGIN = Operation("logging in", issues=True)
UNWRAP = Operation("unwrapping the secret id", issues=True)
ISSUE = Operation("issuing a credential", issues=True)
WRITE = Operation("writing a secret", issues=True)
READ = Operation("reading a secret")
LOOK_UP = Operation("looking the token up")
RENEW = Operation("renewing a lease")
REVOKE = Operation("revoking a lease")
TRANSIT = Operation("using a Transit key")


class Fault(Enum):
    """Each is a state in which a caller or a person acts differently."""

    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    TLS = "TLS"
    LOST = "lost"
    TIMED_OUT = "timed out"
    LEFT_ALONE = "left alone"
    SEALED = "sealed"
    UNINITIALISED = "uninitialised"
    STANDBY = "standby"
    SECONDARY = "secondary"
    BEHIND = "behind"
    LIMITED = "limited"
    FAILED = "failed"
    GATEWAY = "gateway"
    REDIRECTED = "redirected"
    NOT_VAULT = "not Vault"
    DENIED = "denied"
    DEAD_TOKEN = "dead token"  # noqa: S105
    REFUSED = "refused"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a fault is treated.

    ``unprocessed``: Vault surely did nothing. ``passing``: it may go away by itself. ``trips``: it counts towards
    leaving the server alone. ``problem`` may name {address}, {seconds} and {detail}.
    """

    code: str
    unprocessed: bool
    passing: bool
    trips: bool
    problem: str
    hint: str


RULES: dict[Fault, Rule] = {
    # fault: code, unprocessed, passing, trips, words, hint
    Fault.UNREACHABLE: Rule("VEIL404", True, True, True, "nothing answers at {address}",
        "check the address, the network and that Vault runs"),
    Fault.UNTRUSTED: Rule("VEIL404", True, False, False, "the certificate of {address} is not trusted",
        "name the CA that signed it: `ca: FILE` in the store's options"),
    Fault.TLS: Rule("VEIL404", True, False, False, "no TLS connection with {address} can be made",
        "check that it speaks TLS, and the files of `ca` and `client_certificate`"),
    Fault.LOST: Rule("VEIL404", False, True, True, "the connection to {address} was lost before the answer came",
        "check the network; then run again"),
    Fault.TIMED_OUT: Rule("VEIL404", False, True, True, "{address} did not answer within {seconds:g} s",
        "check the server's load and the network, or raise `timeout_seconds` in the store's options"),
    Fault.LEFT_ALONE: Rule("VEIL404", True, True, False, "{address} failed repeatedly a moment ago and is left alone for a while",
        "run again in half a minute; `veil secrets check` tells what is wrong"),
    Fault.SEALED: Rule("VEIL404", True, True, True, "{address} is sealed",
        "an operator must unseal it: `vault operator unseal`"),
    Fault.UNINITIALISED: Rule("VEIL404", True, False, False, "{address} is not initialised",
        "an operator must initialise it: `vault operator init`"),
    Fault.STANDBY: Rule("VEIL404", True, True, False, "{address} is a standby without an active node",
        "wait for the cluster to elect one, or look at its nodes"),
    Fault.SECONDARY: Rule("VEIL404", True, False, False, "{address} is a disaster recovery secondary, which serves no secrets",
        "name the primary's address"),
    Fault.BEHIND: Rule("VEIL404", True, True, False, "{address} is a standby that lags behind its primary",
        "run again, or name the active node's address"),
    Fault.LIMITED: Rule("VEIL404", True, True, False, "{address} limits its requests (429)",
        "run again later, or ask for a higher rate limit quota"),
    Fault.FAILED: Rule("VEIL404", False, True, True, "{address} failed ({detail})",
        "look into Vault's own log; for a database credential also at that database"),
    Fault.GATEWAY: Rule("VEIL404", False, True, True, "what stands before {address} answered {detail}",
        "look at the load balancer and whether Vault runs"),
    Fault.REDIRECTED: Rule("VEIL404", True, False, False, "{address} redirects to {detail}, and the token is carried to no other host",
        "name the active node or the cluster's address as `address`"),
    Fault.NOT_VAULT: Rule("VEIL404", False, False, False, "what answers at {address} is not Vault",
        "check the address and what stands before it"),
    Fault.DENIED: Rule("VEIL406", True, False, False, "Vault denied the permission",
        "a policy must allow it"),
    Fault.DEAD_TOKEN: Rule("VEIL406", True, False, False, "Vault no longer takes the token: it expired or was revoked",
        "run again to log in anew; if nobody revoked it, give the login's role a `token_period` instead of a maximum"),
    Fault.REFUSED: Rule("VEIL406", True, False, False, "Vault refused the request ({detail})",
        "check engine, path and role in secrets/names.yaml"),
    Fault.MISSING: Rule("VEIL221", True, False, False, "Vault has nothing there",
        "correct `path` or `engine` in secrets/names.yaml, or write the secret"),
}  # fmt: skip


class Refused(Exception):  # noqa: N818  # Vault's answer, not a defect of ours
    """An attempt that failed. Carries what kind it is and never a text of Vault or of a library.

    ``document`` is the body of a 404, which holds metadata and no secret. ``retry_after`` is what a 429 asks for, in
    seconds.
    """

    def __init__(
        self, fault: Fault, detail: str = "", retry_after: float = 0.0, document: dict[str, Any] | None = None
    ) -> None:
        super().__init__(fault.value)
        self.fault, self.detail, self.retry_after, self.document = fault, detail, retry_after, document or {}

    @property
    def rule(self) -> Rule:
        return RULES[self.fault]


def may_repeat(fault: Fault, operation: Operation) -> bool:
    """Whether the same request may be sent again after this fault."""
    rule = RULES[fault]
    return rule.passing and (rule.unprocessed or not operation.issues)


def fault_of(status: int, errors: tuple[str, ...]) -> Fault | None:
    """The fault behind an answer's status, by what Vault is known to say; None if it is a success.

    https://developer.hashicorp.com/vault/api-docs#http-status-codes and, for 472 and 473, /sys/health there.
    """
    text = " ".join(errors).lower()
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Fault.REDIRECTED
    if status in (500, 503) and ("active cluster node not found" in text or "not active but" in text):
        return Fault.STANDBY
    if status == 503:
        return Fault.SEALED if "sealed" in text else Fault.GATEWAY
    if status == 403:
        return Fault.DEAD_TOKEN if "invalid token" in text or "bad token" in text else Fault.DENIED
    return _BY_STATUS.get(status, Fault.FAILED if status >= 500 else Fault.REFUSED)


_BY_STATUS = {
    404: Fault.MISSING,
    412: Fault.BEHIND,
    429: Fault.LIMITED,
    472: Fault.SECONDARY,
    473: Fault.STANDBY,
    501: Fault.UNINITIALISED,
    502: Fault.GATEWAY,
    504: Fault.GATEWAY,
}
