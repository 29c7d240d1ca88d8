"""What patterns may cost in `re`: ordinary ones are taken, explosive ones refused, and the bound holds."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.checks.ambiguity import Explodes, cost_in_re, longest_for_re

ORDINARY = [
    r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$", r"[\w.+-]+@[\w-]+\.[\w.-]+", r"^\S+@\S+\.\S+$",
    r"^(\+\d{1,3}[- ]?)?\(?\d{3}\)?[- ]?\d{3}[- ]?\d{4}$", r"^(?:\d{1,3}\.){3}\d{1,3}$", r"^\d{4}-\d{2}-\d{2}$",
    r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.|$)){4}", r"^https?://[^\s/$.?#].[^\s]*$", r"^-?\d+(\.\d+)?([eE][-+]?\d+)?$",
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", r"^[A-Z][a-z]+(?: [A-Z][a-z]+)*$",
    r"^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)$", r"^(?=.*\d)(?=.*[a-z])(?=.*[A-Z]).{8,}$", r"^\s+|\s+$",
    r"^([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}$", r"^[A-Z]{2}\d{2}[0-9A-Z]{10,30}$", r"^.{1,255}$", r"^(\w+) \1$",
    r"(?i)^[a-z]+(?:[._-][a-z0-9]+)*@[a-z0-9-]+(?:\.[a-z0-9-]+)+$",
]  # fmt: skip
EXPLOSIVE = [
    "(a+)+$", "(a*)*b", "(a|a)*b", "(a|aa)+$", "(?:a|b|ab)*c", "(a?a?)*b", r"^(\w+\s?)*$", "(x+x+)+y", r"(?:\w|\d\d)+$",
    "(.*a){10}", "(?:a?){30}a{30}$", "a*a*a*a*b", "(?=(a+)+$)a", r"(a+)+\1$", "(?i)(ka|\u212aa)*$", r"(?:\wa|\u00e9a)*$",
    "^(?:(?:a+b?){3})*$", "(?<!a)(?:(?>a+))+$",
]  # fmt: skip
#: The beginnings of long texts that such patterns nearly match.
PUMPED = ["a", "k", "1", "x", " ", ".", "a.", "a@", "1.", "ab", "-a", "A", "a ", "\u00e9", "1a", "Ab "]


@pytest.mark.parametrize("source", ORDINARY)
def test_takes_what_people_write(source: str) -> None:
    """Patterns of addresses, numbers, dates and names, for cells of a hundred characters and more."""
    assert longest_for_re(source) >= 100


@pytest.mark.parametrize("source", EXPLOSIVE)
def test_refuses_what_could_explode(source: str) -> None:
    """Repetitions that can take the same text in several ways."""
    with pytest.raises(Explodes, match="forever"):
        longest_for_re(source)


@pytest.mark.parametrize("source", ["a?" * 1_500, "a" * 3_000, "(?:" + "a?b*" * 30 + ")*" + ".*x" * 200])
def test_a_pattern_that_takes_long_to_judge_is_refused(source: str) -> None:
    """Its states, their edges and their combinations are counted, so that the plan ends."""
    with pytest.raises(Explodes):
        longest_for_re(source)


def test_re_ends_on_the_longest_cells_that_nearly_match() -> None:
    """In a process that may use two minutes of a core, for thousands of searches."""
    cells = {
        source: [(part * 5_000)[: min(longest_for_re(source), 5_000) - 2] + end for part in PUMPED for end in "!\n\u738b"]
        for source in ORDINARY
    }  # fmt: skip
    code = "import json, re, sys\nfor source, cells in json.load(sys.stdin).items():\n    [re.search(source, cell) for cell in cells]"  # fmt: skip
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (120, 120))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(cells), text=True, check=False, preexec_fn=limit
    )
    assert done.returncode == 0


LEAVES = st.sampled_from(["a", "b", "[ab]", ".", "[^a]", "ab", "a+", "b*", "a?"])
PATTERNS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "+?", "{2}", "{1,3}", "{0,200}"])).map(lambda one: f"(?:{one[0]}){one[1]}"),
        inner.map(lambda one: f"(?={one})"),
    ),
    max_leaves=6,
)  # fmt: skip
TEXTS = st.builds(
    lambda parts, times, end: "".join(parts) * times + end,
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3), st.integers(1, 12), st.sampled_from(["", "!", "a!", "b"]),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["", "^"]), PATTERNS, st.sampled_from(["", "$", "c"]), TEXTS)
def test_no_search_takes_more_steps_than_its_bound(start: str, pattern: str, end: str, text: str) -> None:
    """Counted by a matcher that goes the ways that `re` goes; each step of a way passes at most the whole pattern."""
    source = f"{start}(?:{pattern}){end}"
    try:
        cost = cost_in_re(source)
    except Explodes:
        return
    most = 8 * len(source) * cost.ways * (len(text) + 1) ** cost.power
    _Search(source, most).run(text)


class _Search:
    """Backtracking over `re`'s own tree, greedy, step by step; fails after too many."""

    def __init__(self, source: str, most: int) -> None:
        self.tree: Any = importlib.import_module("re._parser").parse(source)
        self.steps, self.most = 0, most

    def run(self, text: str) -> None:
        self.text = text
        any(self._all(self.tree, 0, at, lambda _end: True) for at in range(len(text) + 1))

    def _all(self, nodes: Any, number: int, at: int, then: Callable[[int], bool]) -> bool:
        if number == len(nodes):
            return then(at)
        op, value = str(nodes[number][0]), nodes[number][1]
        rest = lambda end: self._all(nodes, number + 1, end, then)  # noqa: E731
        self.steps += 1
        assert self.steps <= self.most
        if op == "BRANCH":
            return any(self._all(branch, 0, at, rest) for branch in value[1])
        if op == "SUBPATTERN":
            return self._all(value[3], 0, at, rest)
        if op == "ASSERT":
            return self._all(value[1], 0, at, lambda _end: True) and rest(at)
        if op.endswith("_REPEAT"):
            return self._repeat(value, 0, at, rest)
        if op == "AT":
            return at == (0 if str(value).startswith("AT_BEGINNING") else len(self.text)) and rest(at)
        return at < len(self.text) and self._fits(op, value, self.text[at]) and rest(at + 1)

    def _repeat(self, value: Any, done: int, at: int, rest: Callable[[int], bool]) -> bool:
        low, high, body = value
        again = done < high and self._all(
            body, 0, at, lambda end: (end > at or done < low) and self._repeat(value, done + 1, end, rest)
        )
        return again or (done >= low and rest(at))

    def _fits(self, op: str, value: Any, character: str) -> bool:
        if op == "IN":
            negated = str(value[0][0]) == "NEGATE"
            return any(code == ord(character) for kind, code in value if str(kind) == "LITERAL") != negated
        if op == "NOT_LITERAL":
            return value != ord(character)
        return op == "ANY" or value == ord(character)
