"""Which rule decides a column: the most specific one, and why the others lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Rule = TypeVar("Rule")
Kind = Literal["exact", "glob", "tag", "class"]

#: The most specific first.
_ORDER: tuple[Kind, ...] = ("exact", "glob", "tag", "class")
_WORDS: dict[Kind, str] = {
    "exact": "its exact name", "glob": "the pattern {}", "tag": "the tag {}", "class": "the default of the class {}"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules(Generic[Rule]):
    """A policy's rules by what they match, and what it says of columns that none of them matches."""

    exact: Mapping[str, Rule]
    globs: Mapping[str, Rule] = field(default_factory=dict)
    tags: Mapping[str, Rule] = field(default_factory=dict)
    classes: Mapping[str, Rule] = field(default_factory=dict)
    unlisted_columns: str = "refuse"
    unsafe_keep: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match(Generic[Rule]):
    """A rule that matches a column, and by what."""

    kind: Kind
    pattern: str
    rule: Rule

    @property
    def words(self) -> str:
        """What matched, for a person: ``the pattern phone_*``."""
        return _WORDS[self.kind].format(self.pattern)

    @property
    def specificity(self) -> tuple[int, ...]:
        """Higher wins: exact name, glob, tag, class default; of two globs the one with more literal characters, then
        with more ``?``, then with fewer ``*``."""
        level = len(_ORDER) - _ORDER.index(self.kind)
        if self.kind != "glob":
            return (level,)
        one, many = self.pattern.count("?"), self.pattern.count("*")
        return (level, len(self.pattern) - one - many, one, -many)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A column that no rule lists, and what the policy does with such: refuse, drop, redact, or keep for a reason."""

    outcome: Literal["refuse", "drop", "redact", "keep"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Choice(Generic[Rule]):
    """All rules that match a column, the most specific first; ``unlisted`` says what happens where there are none.

    ``tied`` are the first ones where no rule is more specific than every other: then nothing decides the column.
    """

    matches: tuple[Match[Rule], ...]
    unlisted: Unlisted

    @property
    def tied(self) -> tuple[Match[Rule], ...]:
        first = [match for match in self.matches if match.specificity == self.matches[0].specificity]
        return tuple(first) if len(first) > 1 else ()

    @property
    def winner(self) -> Match[Rule] | None:
        return None if self.tied or not self.matches else self.matches[0]

    @property
    def losers(self) -> tuple[Match[Rule], ...]:
        return self.matches[1:] if self.winner else ()


def choose(column: str, tags: Sequence[str], classification: str | None, rules: Rules[Rule]) -> Choice[Rule]:
    """Every rule that matches the column, the most specific first. ``tags`` and ``classification`` are the pipeline's."""
    found: list[Match[Rule]] = []
    if column in rules.exact:
        found.append(Match("exact", column, rules.exact[column]))
    found += [Match("glob", pattern, rule) for pattern, rule in rules.globs.items() if glob_matches(pattern, column)]
    found += [Match("tag", tag, rules.tags[tag]) for tag in dict.fromkeys(tags) if tag in rules.tags]
    if classification is not None and classification in rules.classes:
        found.append(Match("class", classification, rules.classes[classification]))
    found.sort(key=lambda match: match.specificity, reverse=True)
    return Choice(tuple(found), _unlisted(column, rules))


def glob_matches(pattern: str, column: str) -> bool:
    """Whether the whole name fits: ``*`` stands for any characters, ``?`` for one; every other one for itself."""
    marks = {"*": ".*", "?": "."}
    return re.fullmatch("".join(marks.get(one) or re.escape(one) for one in pattern), column, re.DOTALL) is not None


def _unlisted(column: str, rules: Rules[Rule]) -> Unlisted:
    """What the policy says of a column without a rule. Unknown words refuse."""
    if column in rules.unsafe_keep:
        return Unlisted("keep", rules.unsafe_keep[column])
    if rules.unlisted_columns == "drop":
        return Unlisted("drop")
    return Unlisted("redact") if rules.unlisted_columns == "redact" else Unlisted("refuse")
