"""What is weak in a decided policy: findings with stable codes.

An error is something that does not protect; it refuses the plan. A warning is something that a person answers for: it may
be acknowledged, with a reason, an owner and an expiry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from veilflow.errors import Place
from veilflow.policies.strictness import PSEUDONYMS, Treated

Severity = Literal["error", "warning"]

#: A typical length where the source gave no sample; findings that rest on it say so.
TYPICAL_LENGTH = 10
_SMALLEST_SPACE = 1_000_000
_DATES = ("date", "timestamp")
_NAME_WORDS = frozenset(
    [
        "name",
        "surname",
        "forename",
        "firstname",
        "lastname",
        "givenname",
        "familyname",
        "nickname",
        "vorname",
        "nachname",
        "nom",
        "prenom",
        "姓名",
        "氏名",
    ]
)
_CARD_WORDS = frozenset(["card", "pan", "creditcard", "cardnumber", "ccnumber", "cc"])
_KEEP_LENGTH = frozenset({"mask", "ff1", "siv", "siv_per_row"})
_ALPHABETS = {"digits": 10, "letters": 52, "alphanumeric": 62}
#: Treatments that hold others, which are looked at themselves.
_WRAPPERS = frozenset({"when", "structured", "chain"})
_CONSTANT = frozenset({"drop", "null", "redact", "constant"})
_WHOLE = _CONSTANT | _WRAPPERS | {"keep"}


@dataclass(frozen=True, slots=True)
class FindingKind:
    """What ``docs/reference`` and ``veil policy lint`` tell about a code."""

    severity: Severity
    title: str
    text: str


FINDINGS: dict[str, FindingKind] = {
    "LINT101": FindingKind("error", "An unkeyed pseudonym of an identifier", "The treatment gives the same value the same output and takes no key, so that anybody who guesses a value finds it: a million guesses take seconds. Use a keyed treatment such as token, or give the rule of the exact name a reason."),
    "LINT102": FindingKind("error", "A value space that is too small", "Format-preserving encryption of so few possible values (under a million at the typical length) can be reversed by counting. Use token, choose a larger alphabet, or say with `too_small` what happens to short values. `pseudonym` takes a small space only with a reason under `unsafe_small_space`."),
    "LINT103": FindingKind("error", "One key domain for two legal purposes", "Two policies with different purposes name the same key domain: their tables can be joined by person. Name a key domain for each purpose, or state the one purpose in both."),
    "LINT201": FindingKind("warning", "A direct identifier of which parts remain, without a reason", "A treatment without a key that leaves a part of the value, such as a mask, may still tell who it is. Say in `reason` why that part is needed, or use token or redact."),
    "LINT202": FindingKind("warning", "A reversible treatment of an identifier without a reason", "Who has the key can go back. Say in `reason` who needs that, or use token."),
    "LINT203": FindingKind("warning", "More than half of a typical value is shown", "At the typical length (the median of the source's first rows, 10 where there are none; for names also two and three characters) over half of the characters stay. Keep fewer."),
    "LINT204": FindingKind("warning", "The length of a name is kept", "A name's length and first letter single out many people. Use initials, a fake name, or redact."),
    "LINT205": FindingKind("warning", "A date is shifted and its partner is not", "Another date of the same row is kept, or shifted by another key: the difference of the two gives the shift away, or intervals are lost. Shift all dates of a person in one key domain."),
    "LINT206": FindingKind("warning", "Free text is kept", "Free text holds whatever somebody wrote: names, numbers, addresses. Redact what can be found in it, or drop it."),
    "LINT207": FindingKind("warning", "Digits of a card beside a token of a card", "Hashed and truncated versions of one card number together let it be rebuilt (PCI DSS 3.5.1.1). Drop one of the two, or keep them where they cannot be joined."),
    "LINT208": FindingKind("warning", "The review date has passed", "The policy says itself by when somebody looks at it again. Review it and set the next `review_date`."),
    "LINT209": FindingKind("warning", "A rule that matches nothing", "No column of the source is decided by this pattern, tag, class default or inherited rule. It may be a misspelling."),
    "LINT210": FindingKind("warning", "An acknowledgement that holds no longer", "It has expired, or names a finding that an acknowledgement cannot silence, or that is not there. Review it or take it out."),
    "LINT211": FindingKind("warning", "Pipeline and policy name different classes", "The pipeline's `columns:` give the column another class than the policy's rule, which holds. Make them say the same."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who answers for a warning, why and until when."""

    finding: str
    column: str | None
    reason: str
    owner: str
    expires: date
    place: Place


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness; ``acknowledged`` where somebody answers for it."""

    code: str
    problem: str
    column: str | None = None
    place: Place | None = None
    acknowledged: Acknowledgement | None = None

    @property
    def severity(self) -> Severity:
        return FINDINGS[self.code].severity


@dataclass(frozen=True, slots=True)
class LintColumn:
    """A decided column: its steps with those inside them. ``typical_length`` is None where the source gave no sample."""

    name: str
    type: str
    classification: str | None
    steps: tuple[Treated, ...]
    key_domain: str | None
    reason: str | None
    place: Place | None
    tags: tuple[str, ...] = ()
    typical_length: int | None = None
    labelled: str | None = None

    @property
    def words(self) -> frozenset[str]:
        """The words of its name, and its tags."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name)
        parts = [part.lower() for part in re.split(r"[\W_\d]+", spaced) if part]
        return frozenset([*parts, "".join(parts), *self.tags])

    @property
    def is_identifier(self) -> bool:
        return self.classification == "direct_identifier"

    @property
    def is_name(self) -> bool:
        return self.is_identifier and bool(self.words & _NAME_WORDS) and not self.words & {"user", "file", "host"}

    @property
    def has_reason(self) -> bool:
        return bool((self.reason or "").strip())

    @property
    def length(self) -> int:
        return self.typical_length or TYPICAL_LENGTH

    def names(self, *treatments: str) -> bool:
        return any(step.name in treatments for step in self.steps)


@dataclass(frozen=True, slots=True)
class LintPolicy:
    """A decided policy and what surrounds it.

    ``idle`` are rules that decide no column, in words with their place; ``elsewhere`` are the purposes that other
    policies of the project have for a key domain, with their names.
    """

    columns: tuple[LintColumn, ...]
    as_of: date
    place: Place
    purpose: str | None = None
    review_date: date | None = None
    idle: tuple[tuple[str, Place], ...] = ()
    elsewhere: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    acknowledged: tuple[Acknowledgement, ...] = ()


Rule = Callable[[LintPolicy], Iterable[Finding]]


def lint(policy: LintPolicy) -> tuple[Finding, ...]:
    """All findings, errors first, then by column; those that somebody answers for say so."""
    found = [_acknowledge(finding, policy) for rule in RULES for finding in rule(policy)]
    found += _stale(policy, found)
    return tuple(sorted(found, key=lambda one: (one.code, one.column or "", str(one.place))))


def _acknowledge(finding: Finding, policy: LintPolicy) -> Finding:
    if finding.severity == "error":
        return finding
    for one in policy.acknowledged:
        if (one.finding, one.column) == (finding.code, finding.column) and one.expires >= policy.as_of:
            return replace(finding, acknowledged=one)
    return finding


def _stale(policy: LintPolicy, found: list[Finding]) -> Iterator[Finding]:
    for one in policy.acknowledged:
        about = one.finding + (f" of {one.column}" if one.column else "")
        if one.finding not in FINDINGS:
            yield Finding("LINT210", f"there is no finding {one.finding}", one.column, one.place)
        elif FINDINGS[one.finding].severity == "error":
            yield Finding("LINT210", f"{about} is an error, which nobody can answer for", one.column, one.place)
        elif one.expires < policy.as_of:
            yield Finding("LINT210", f"the acknowledgement of {about} expired on {one.expires}", one.column, one.place)
        elif not any((finding.code, finding.column) == (one.finding, one.column) for finding in found):
            yield Finding("LINT210", f"{about} was not found", one.column, one.place)


# --- one rule a finding ------------------------------------------------------------------


def _unkeyed_pseudonym(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        for step in column.steps if column.is_identifier and not column.has_reason else ():
            if step.linkable and not step.keyed and step.name != "keep":
                yield _of(column, "LINT101", f"{step.name} takes no key")


def _small_space(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        for step in column.steps:
            alphabet = step.parameters.get("alphabet")
            if "ff1" not in step.uses or not isinstance(alphabet, str) or step.parameters.get("unsafe_small_space"):
                continue
            size = _ALPHABETS.get(alphabet, len(set(alphabet)))
            if step.parameters.get("too_small", "refuse") == "refuse" and size**column.length < _SMALLEST_SPACE:
                yield _of(column, "LINT102", f"{step.name} has {size} characters and {_length(column)}")


def _shared_domain(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        for other, purpose in policy.elsewhere.get(column.key_domain or "", ()):
            if policy.purpose is not None and purpose != policy.purpose:
                yield _of(column, "LINT103", f"the key domain {column.key_domain} is also used by the policy {other} "
                          "for another purpose")  # fmt: skip


def _parts_remain(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        partial = [step.name for step in column.steps if not step.keyed and step.name not in _WHOLE]
        # Of several in order one is enough to hide the value; what lies inside another treatment is for some rows only.
        hidden = any(step.keyed or step.name in _CONSTANT for step in column.steps) and not column.names(*_WRAPPERS)
        if column.is_identifier and not column.has_reason and partial and not hidden:
            yield _of(column, "LINT201", f"{' + '.join(partial)} leaves a part of it")


def _reversible(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        for step in column.steps if column.is_identifier and not column.has_reason else ():
            if step.reversible and step.keyed:
                yield _of(column, "LINT202", f"{step.name} can be reversed with its key")


def _shows_too_much(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        lengths = [(column.length, _length(column))]
        lengths += [(2, "two characters"), (3, "three characters")] if column.is_name else []
        for step in column.steps if column.type == "text" and not column.names(*_CONSTANT) else ():
            for length, words in lengths:
                shown = _shown(step, length)
                if 2 * shown > length:
                    yield _of(column, "LINT203", f"{step.name} shows {shown} of {words}")
                    break


def _shown(step: Treated, length: int) -> int:
    """How many characters of a value of this length a partial treatment leaves."""
    values = step.parameters
    if step.name == "keep_prefix":
        return min(int(values["length"]), length)
    if step.name != "mask":
        return 0
    shown = int(values["keep_first"]) + int(values["keep_last"])
    return 0 if shown >= length or shown > length * float(values.get("at_most", 1)) else shown


def _name_length(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        kept = [step.name for step in column.steps if step.name in _KEEP_LENGTH]
        if column.is_name and kept and not column.names(*_CONSTANT):
            yield _of(column, "LINT204", f"{kept[0]} keeps the length of a name")


def _partner_of_shift(policy: LintPolicy) -> Iterator[Finding]:
    dates = [column for column in policy.columns if column.type in _DATES]
    shifted = [column for column in dates if _shift(column)]
    for column in dates:
        others = [other for other in shifted if other is not column and _shift(other) != _shift(column)]
        if others and (_shift(column) or column.names("keep")):
            yield _of(column, "LINT205", f"{others[0].name} is shifted, and this date is not shifted with it")


def _shift(column: LintColumn) -> tuple[Any, ...] | None:
    """By whose key a date is shifted: equal for two columns that move together."""
    for step in reversed(column.steps):
        if "shift" in step.uses:
            return (column.key_domain, *(step.parameters.get(name) for name in ("subject", "max_days", "allow_zero")))
    return None


def _free_text(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        if column.classification == "free_text" and column.names("keep"):
            yield _of(column, "LINT206", "free text is kept")


def _card_beside_token(policy: LintPolicy) -> Iterator[Finding]:
    cards = [column for column in policy.columns if column.words & _CARD_WORDS or column.names("mask_card")]
    tokens = [column for column in cards if any(step.name in PSEUDONYMS and step.keyed for step in column.steps)]
    for column in cards:
        if tokens and column not in tokens and column.names("keep", "mask", "mask_card", "keep_prefix"):
            yield _of(column, "LINT207", f"its digits stay beside {tokens[0].name}")


def _review_date(policy: LintPolicy) -> Iterator[Finding]:
    if policy.review_date is not None and policy.review_date < policy.as_of:
        yield Finding("LINT208", f"review_date was {policy.review_date}", None, policy.place)


def _idle_rules(policy: LintPolicy) -> Iterator[Finding]:
    for words, place in policy.idle:
        yield Finding("LINT209", f"{words} decides no column", None, place)


def _classes_differ(policy: LintPolicy) -> Iterator[Finding]:
    for column in policy.columns:
        if column.labelled is not None and column.classification not in (None, column.labelled):
            yield _of(column, "LINT211", f"it is {column.classification} here and {column.labelled} in the pipeline")


def _of(column: LintColumn, code: str, words: str) -> Finding:
    return Finding(code, f'column "{column.name}": {words}', column.name, column.place)


def _length(column: LintColumn) -> str:
    if column.typical_length is None:
        return f"{TYPICAL_LENGTH} characters, which are assumed"
    return f"{column.typical_length} characters, the median of the source's first rows"


RULES: tuple[Rule, ...] = (
    _unkeyed_pseudonym, _small_space, _shared_domain, _parts_remain, _reversible, _shows_too_much, _name_length,
    _partner_of_shift, _free_text, _card_beside_token, _review_date, _idle_rules, _classes_differ,
)  # fmt: skip
