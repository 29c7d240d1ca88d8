"""Secrets that somebody wrote into a file of the project: what has the form of a known credential is an error, what
merely looks random is a warning. Neither shows the value.

To add a form: one line in ``_KNOWN``, with a prefix that its issuer documents.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from veilflow.errors import Place, VeilError, raise_all

_KNOWN: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("a URL with a password", r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@:]*:(?!\d+(?:[/?#]|$))[^\s@]+@[^\s]"),
        ("a connection with a password", r"(?i)[?&; ](?:password|passwd|pwd|sslpassword)=[^\s&;]"),
        ("a private key", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"),
        ("an age identity", r"(?i)AGE-SECRET-KEY-(?:1|PQ-1)[0-9A-Z]{20}"),
        ("a key ring", r"[\"']?veilflow_keyring[\"']?\s*:\s*[0-9]"),
        ("an AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30}|github_pat_[A-Za-z0-9_]{20})"),
        ("a GitLab token", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|oas|soat)-[A-Za-z0-9_-]{16}"),
        ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10}|\bxapp-[0-9]-[A-Za-z0-9-]{10}"),
        ("a Slack webhook", r"hooks\.slack\.com/services/[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]{8}"),
        ("a Vault token", r"\b(?:hv[sbr]\.[A-Za-z0-9_-]{20}|s\.[A-Za-z0-9]{24}\b)"),
        ("a Stripe key", r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{10}|\bwhsec_[A-Za-z0-9]{16}"),
        ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}|\bGOCSPX-[A-Za-z0-9_-]{20}|\bya29\.[A-Za-z0-9_-]{20}"),
        ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."),
        ("a package registry's token", r"\bnpm_[A-Za-z0-9]{30}|\bpypi-AgEI[A-Za-z0-9_-]{20}"),
        ("a Prefect API key", r"\bpn[ub]_[A-Za-z0-9]{30}"),
        ("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16}"),
        ("an API key of a language model", r"\bsk-(?:ant|proj)-[A-Za-z0-9_-]{16}"),
        ("a DigitalOcean token", r"\bdo[opr]_v1_[a-f0-9]{32}"),
        ("a Databricks token", r"\bdapi[a-f0-9]{32}\b"),
        ("an Azure storage key", r"(?i)AccountKey=[A-Za-z0-9+/]{40}"),
    )
)
_FOLDERS = ("pipelines", "policies", "secrets", "environments")
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_HEX = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}")
#: Bits a character. Random base64 of 24 characters has about 4.2, an English identifier under 3.8.
_RANDOM_BITS = 4.0
_HEX_BITS = 3.2
_HINT = (
    "take it out, change it (who read the file knows it), and name its place in secrets/names.yaml; if it is none, say why "
    "at the end of this very line: `# unsafe_not_a_secret: REASON`"
)
#: Stands at the end of the line that it is about, and nowhere else; the reason goes into plans and records.
_EXEMPT = re.compile(r"(?:^|\s)#\s*unsafe_not_a_secret:\s*(\S.*?)\s*$")


@dataclass(frozen=True, slots=True)
class NotASecret:
    """A line of which a person says that it only looks like a credential."""

    place: Place
    reason: str


def known(text: str, place: Place) -> Iterator[VeilError]:
    """VEIL223 for each kind of credential that stands in ``text``."""
    for name, pattern in _KNOWN:
        if pattern.search(text):
            yield VeilError("VEIL223", f"here stands what looks like {name}", _HINT, place)


def exempt_lines(text: str) -> dict[int, str]:
    """The lines that a person exempted, by their numbers, and why."""
    found = ((number, _exemption(line)) for number, line in enumerate(text.splitlines(), 1))
    return {number: reason for number, reason in found if reason}


def _exemption(line: str) -> str | None:
    """Why the line is exempt; None if it is not. What may itself be a secret is no reason: it would be shown."""
    match = _EXEMPT.search(line)
    if match is None or any(looks_random(word) for word in _RANDOM.findall(match[1])):
        return None
    return None if any(pattern.search(match[1]) for _name, pattern in _KNOWN) else match[1]


def known_in_lines(text: str, shown: str, seen: set[int | None]) -> Iterator[VeilError]:
    """The same for what is no value: comments, and keys. Lines in ``seen`` have been told, or are exempt."""
    for number, line in enumerate(text.splitlines(), 1):
        if number not in seen:
            yield from known(line, Place(shown, number))


def suspicious(project: Path) -> tuple[VeilError, ...]:
    """A warning for each text of the project's files that looks random enough to be a secret. Raises VEIL223 for every
    credential of a known form in any of them, also in one that no pipeline names."""
    lines = [(text, place) for text, place in _lines(project) if not _exemption(text)]
    raise_all(problem for text, place in lines for problem in known(text, place))
    return tuple(_random(place) for text, place in lines if any(map(looks_random, _RANDOM.findall(text))))


def not_secrets(project: Path) -> tuple[NotASecret, ...]:
    """Every line of the project's files that is exempt from the search, with its reason."""
    found = ((place, _exemption(text)) for text, place in _lines(project))
    return tuple(NotASecret(place, reason) for place, reason in found if reason)


def _lines(project: Path) -> Iterator[tuple[str, Place]]:
    for folder in _FOLDERS:
        for path in sorted((project / folder).rglob("*")):
            if path.suffix in (".yaml", ".yml", ".json", ".hcl") and path.is_file():
                shown = path.relative_to(project).as_posix()
                # What is not UTF-8 is told by the file's loader.
                text = path.read_bytes().decode("utf-8", "replace")
                yield from ((line, Place(shown, number)) for number, line in enumerate(text.splitlines(), 1))


def _random(place: Place) -> VeilError:
    hint = f"if it is one: {_HINT}; if it is not, nothing needs to be done"
    return VeilError("VEIL223", "here stands a random text that may be a secret", hint, place)


def looks_random(word: str) -> bool:
    """Whether a word is long and mixed like a key: hex digits, or letters of both cases with digits."""
    if _HEX.fullmatch(word):
        return _bits(word) >= _HEX_BITS
    mixed = all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return mixed and _bits(word) >= _RANDOM_BITS


def _bits(word: str) -> float:
    """Shannon's entropy of the word's characters, in bits a character."""
    counts = Counter(word).values()
    return -sum(count / len(word) * math.log2(count / len(word)) for count in counts)
