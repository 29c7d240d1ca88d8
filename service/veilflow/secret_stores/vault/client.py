"""One request to Vault: its transport, its repetition and, if it fails, its words.

Everything goes through hvac with an adapter of ours. It keeps the status that hvac's exceptions lose, follows no
redirect, reads nothing from the environment and no answer without end, and opens a connection per request: a kept one
that the server has closed meanwhile would leave it open whether a request was processed.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import hvac
import pybreaker
import requests
from hvac.adapters import RawAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Secret
from veilflow.secret_stores.vault.faults import RULES, Fault, Operation, Refused, fault_of, may_repeat
from veilflow.secret_stores.vault.options import Options

_LARGEST_ANSWER = 64 << 20
_UNSENT = (NewConnectionError, NameResolutionError, ConnectTimeoutError)
#: What TLS says of a connection that was cut while it was being made.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
_DELAYS = wait_random_exponential(multiplier=0.25, max=5.0)

Breaker = Callable[[], pybreaker.CircuitBreaker]


class Client:
    """Asks one Vault. ``token`` is what is sent; None until somebody has logged in. Safe to use from several threads."""

    def __init__(self, options: Options, breaker: Breaker) -> None:
        self.options, self.token = options, None  # type: tuple[Options, Secret | None]
        self._breaker = breaker
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"
        self._session.verify = str(options.ca) if options.ca else True
        self._session.cert = tuple(map(str, options.client_certificate)) if options.client_certificate else None
        self._session.proxies = {"https": options.proxy} if options.proxy else {}

    def ask(
        self,
        operation: Operation,
        call: Callable[[hvac.Client], Any],
        *,
        what: str = "",
        token: Secret | None = None,
        patience_seconds: float | None = None,
    ) -> Any:
        """What ``call`` gives, asked again while the operation and the fault allow it.

        ``what`` is the path, for words. Raises ``Refused`` for an answer that its caller knows better (DENIED, MISSING,
        REFUSED) and VeilError for everything else, PassingFault where a later try may help.
        """
        patience = self.options.retry_for_seconds if patience_seconds is None else patience_seconds
        breaker = self._breaker()
        began = time.monotonic()
        seen: list[Refused] = []
        outcome = _last(
            Retrying(
                stop=stop_before_delay(patience),
                wait=_delay,
                retry=retry_if_exception(
                    lambda error: isinstance(error, Refused) and may_repeat(error.fault, operation)
                ),
                after=partial(_note, seen),
                reraise=True,
            ),
            lambda: self._attempt(breaker, call, token),
        )
        # Raised here, outside of every handler, so that no frame that held a token or a value hangs on the error.
        if not isinstance(outcome, Refused):
            return outcome
        if outcome.fault is Fault.LEFT_ALONE and seen:
            outcome = seen[-1]  # left alone for this very reason, which is what a person wants to know
        if outcome.fault in (Fault.DENIED, Fault.MISSING, Fault.REFUSED):
            raise outcome
        raise self.told(operation, outcome, what, time.monotonic() - began)

    def _attempt(
        self, breaker: pybreaker.CircuitBreaker, call: Callable[[hvac.Client], Any], token: Secret | None
    ) -> Any:
        secret = token or self.token
        client = hvac.Client(
            url=self.options.address, token=secret.reveal() if secret else "", session=self._session,
            adapter=_Adapter, timeout=self.options.timeout_seconds, allow_redirects=False,
            namespace=self.options.namespace, verify=self._session.verify, cert=self._session.cert or (),
        )  # fmt: skip  # every option is said: hvac would take what is missing from the environment
        try:
            return breaker.call(call, client)
        except pybreaker.CircuitBreakerError:
            pass
        raise Refused(Fault.LEFT_ALONE)

    def told(self, operation: Operation, refused: Refused, what: str = "", seconds: float = 0.0) -> VeilError:
        """The error that a person reads: what it was, while doing what, for how long it was tried."""
        rule = RULES[refused.fault]
        problem = rule.problem.format(
            address=f"Vault at {self.options.address}", detail=refused.detail, seconds=self.options.timeout_seconds
        )
        doing = f"{operation.words}{f' at {what}' if what else ''}"
        tried = f", tried for {seconds:.0f} s" if seconds >= 1 else ""
        if operation.issues and rule.passing and not rule.unprocessed:
            # Not a PassingFault: nobody may repeat it blindly. What was issued unseen dies with the token.
            return VeilError(rule.code, f"{problem} while {doing}; it is not repeated", rule.hint)
        kind = PassingFault if rule.passing else VeilError
        return kind(rule.code, f"{problem} while {doing}{tried}", rule.hint)

    def close(self) -> None:
        self._session.close()


def _last(retrying: Retrying, attempt: Callable[[], Any]) -> Any:
    """The last attempt's result, or its ``Refused``, returned so that no traceback hangs on what is raised next."""
    try:
        return retrying(attempt)
    except Refused as refused:
        return Refused(refused.fault, refused.detail, refused.retry_after, refused.document)


def _note(seen: list[Refused], state: RetryCallState) -> None:
    """Remember what the server itself did, under what it was then left alone for."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Refused) and error.fault is not Fault.LEFT_ALONE:
        seen[:] = [Refused(error.fault, error.detail)]


def _delay(state: RetryCallState) -> float:
    """Growing, with jitter, so that many runs do not come back at once; at least what a 429 asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, Refused) else 0.0
    return asked + float(_DELAYS(state))


# --- the transport -----------------------------------------------------------------------


class _Adapter(RawAdapter):  # type: ignore[misc]
    """hvac's way to Vault with the status kept, the body bounded and errors as ``Refused``."""

    def get_login_token(self, response: Any) -> str:
        raise NotImplementedError("logins are read by veilflow.secret_stores.vault.logins")

    def request(self, method: str, url: str, headers: Any = None, raise_exception: bool = True, **kwargs: Any) -> Any:
        fault, response, body = None, None, b""
        try:
            response = super().request(method, url, headers=headers, raise_exception=False, stream=True, **kwargs)
            body = _body(response, float(self._kwargs["timeout"]))
        except (requests.RequestException, OSError) as error:
            fault = _fault_of_transport(error)
        if fault is not None or response is None:
            raise Refused(fault or Fault.LOST)
        return _document(response, body)


def _body(response: requests.Response, seconds: float) -> bytes:
    """All of the body, unless it is too large or comes too slowly."""
    end = time.monotonic() + seconds
    parts: list[bytes] = []
    size = 0
    with response:
        for part in response.iter_content(65536):
            parts.append(part)
            size += len(part)
            if size > _LARGEST_ANSWER:
                raise requests.exceptions.InvalidHeader("the answer is too large")
            if time.monotonic() > end:
                raise requests.exceptions.ReadTimeout("the answer comes too slowly")
    return b"".join(parts)


def _document(response: requests.Response, body: bytes) -> dict[str, Any]:
    """The answer's JSON; an empty mapping for an answer without a body."""
    status, document = response.status_code, None
    try:
        document = json.loads(body) if body.strip() else {}
    except ValueError:
        document = None
    known: dict[str, Any] = document if isinstance(document, dict) else {}
    errors = known.get("errors") or ()
    fault = fault_of(status, tuple(str(one) for one in errors) if isinstance(errors, list) else ())
    if fault is None and isinstance(document, dict):
        return known
    if fault is None:
        raise Refused(Fault.NOT_VAULT)
    if fault is Fault.REDIRECTED:
        raise Refused(fault, urlsplit(response.headers.get("Location", "")).netloc or "another path")
    raise Refused(fault, str(status), _retry_after(response), known if fault is Fault.MISSING else None)


def _retry_after(response: requests.Response) -> float:
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), 60.0)
    except ValueError:
        return 0.0


def _fault_of_transport(error: BaseException) -> Fault:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return Fault.UNTRUSTED
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return Fault.TLS  # requests: a file of certificates cannot be read
    if isinstance(error, requests.exceptions.InvalidHeader | requests.exceptions.ContentDecodingError):
        return Fault.NOT_VAULT
    if isinstance(error, requests.ConnectTimeout) or any(isinstance(cause, _UNSENT) for cause in causes):
        return Fault.UNREACHABLE
    if isinstance(error, requests.Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
        return Fault.TIMED_OUT
    if isinstance(error, requests.exceptions.SSLError):
        return Fault.UNREACHABLE if any(isinstance(cause, _CUT) for cause in causes) else Fault.TLS
    return Fault.LOST


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made of: requests and urllib3 keep the reason in one of several places."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [other for other in inner if isinstance(other, BaseException)]
