"""What a pattern may cost in Python's ``re``, which tries one way through a text after the other.

A search takes at most as many steps as there are ways through the pattern's automaton that agree with a beginning of the
text. How that number grows with the text is known (A. Weber, H. Seidl, On the degree of ambiguity of finite automata,
Theoretical Computer Science 88, 1991; for engines that backtrack N. Weideman et al., CIAA 2016): exponentially where a
state comes back to itself in two ways on one text, else as a power of the length, with one more for each loop that can
hand its text over to a later one bit by bit. Here the automaton has a state for each character of the pattern
(Glushkov). Where it is not exactly ``re``'s (characters beyond ASCII are four, long counted repetitions are loops,
back-references take any text, assertions always hold), it has more ways and never fewer.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

#: ``re``'s own parser.
_sre: Any = importlib.import_module("re._parser")
#: The steps that one cell may cost in ``re``: a tenth of a second.
_STEPS_A_CELL = 10_000_000
#: A pattern that is only safe for cells shorter than this is refused.
_SHORTEST = 64
#: Characters of a counted repetition that are written out; longer ones become loops.
_WRITTEN_OUT = 128
#: An automaton of more states or edges, and a search through more of their combinations, is taken for the worst.
_MOST_STATES = 2_000
_MOST_EDGES = 50_000
_MOST_COMBINATIONS = 200_000

#: Sets of characters are bits: one for each of ASCII, and one for all others of a kind: digits, letters, spaces, the rest.
_BITS = (*map(chr, range(128)), "\u0663", "\u00e9", "\u3000", "\u20ac")
_EVERY = (1 << len(_BITS)) - 1
_BEYOND = _EVERY >> 128 << 128
_LETTERS_BEYOND = 1 << _BITS.index("\u00e9")
_CATEGORIES = {"DIGIT": r"\d", "WORD": r"\w", "SPACE": r"\s"}
#: The letters of ASCII whose other case may lie beyond it.
_FOLDED_FROM_BEYOND = sum(1 << ord(letter) for letter in "iIkKsS")


@dataclass(frozen=True, slots=True)
class Cost:
    """A search takes at most some ``ways * length ** power`` steps."""

    power: int
    ways: int

    @property
    def longest(self) -> int:
        """The longest text that takes no more than the steps of a cell."""
        return int((_STEPS_A_CELL / self.ways) ** (1 / self.power))


class Explodes(ValueError):
    """No power of the length bounds the steps, or none that is of use."""


def longest_for_re(source: str) -> int:
    """The longest text that ``re`` may be given with this pattern. ValueError where no length of use is safe."""
    longest = cost_in_re(source).longest
    if longest < _SHORTEST:
        raise Explodes("its pattern could take forever: too many of its repetitions can take the same text")
    return longest


@lru_cache
def cost_in_re(source: str) -> Cost:
    """What a search may cost. ValueError where it grows exponentially with the text."""
    tree = _sre.parse(source)
    cost = _cost(tree)
    # A search begins anew at each character, unless the pattern only fits at the first one.
    return Cost(max(cost.power, 1) if _anchored(tree) else cost.power + 1, cost.ways)


def _cost(nodes: Any, flags: int = 0) -> Cost:
    """From one place of the text on. What an assertion holds is tried again wherever the pattern around it comes to it."""
    automaton = _Automaton(flags)
    automaton.begin(automaton.read(nodes))
    asserted = [_cost(inner, known) for inner, known in automaton.asserted]
    own = _Ways(automaton).cost()
    return Cost(
        own.power + max((one.power for one in asserted), default=0), own.ways * (1 + sum(one.ways for one in asserted))
    )


def _anchored(nodes: Any) -> bool:
    if not len(nodes):
        return False
    op, value = nodes[0]
    if str(op) == "SUBPATTERN":
        return _anchored(value[3])
    multiline = isinstance(nodes, _sre.SubPattern) and nodes.state.flags & re.MULTILINE
    return str(op) == "AT" and (str(value) == "AT_BEGINNING_STRING" or (str(value) == "AT_BEGINNING" and not multiline))


# --- from re's tree to an automaton -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern: where it begins and ends, each in how many ways, and in how many it takes no text at all."""

    first: Counter[int]
    last: Counter[int]
    empty: int


_NOTHING = _Part(Counter(), Counter(), 1)


@dataclass
class _Automaton:
    """State 0 is the beginning; ``takes`` the characters that lead into a state, ``next`` where it leads, in how many
    ways each; ``asserted`` what stands in assertions, with the flags there. ``flags`` are those seen so far."""

    flags: int = 0
    takes: list[int] = field(default_factory=lambda: [0])
    next: dict[int, Counter[int]] = field(default_factory=lambda: {0: Counter()})
    asserted: list[tuple[Any, int]] = field(default_factory=list)
    edges: int = 0

    def begin(self, part: _Part) -> None:
        self.next[0] += part.first

    def read(self, nodes: Any) -> _Part:
        """The part that a sequence of nodes makes."""
        self.flags |= nodes.state.flags if isinstance(nodes, _sre.SubPattern) else 0
        part = _NOTHING
        for op, value in nodes:
            part = self._after(part, self._node(str(op), value))
        return part

    def _node(self, op: str, value: Any) -> _Part:
        if op in ("AT", "ASSERT", "ASSERT_NOT", "FAILURE"):
            self.asserted.extend([(value[1], self.flags)] if op.startswith("ASSERT") else [])
            return _NOTHING
        if op == "BRANCH":
            return self._either(value[1])
        if op == "GROUPREF_EXISTS":
            return self._either([value[1], value[2] or []])
        if op == "SUBPATTERN":
            self.flags |= value[1]
            return self.read(value[3])
        if op == "ATOMIC_GROUP":
            return self.read(value)
        if op.endswith("_REPEAT"):
            return self._repeated(*value)
        if op == "GROUPREF":
            return self._loop(self._state(_EVERY), 0)
        return self._state(self._characters(op, value))

    def _state(self, takes: int) -> _Part:
        if len(self.takes) > _MOST_STATES:
            raise Explodes("its pattern is too long to say how long it could take")
        number = len(self.takes)
        self.takes.append(takes)
        self.next[number] = Counter()
        return _Part(Counter([number]), Counter([number]), 0)

    def _characters(self, op: str, value: Any) -> int:
        if op == "ANY":
            return _EVERY
        items = value if op == "IN" else [("LITERAL" if op == "LITERAL" else "NOT_LITERAL", value)]
        return _characters(tuple((str(kind), one) for kind, one in items), self.flags & (re.I | re.A))

    def _after(self, before: _Part, part: _Part) -> _Part:
        self._join(before.last, part.first, 1)
        return _Part(
            before.first + _times(part.first, before.empty),
            part.last + _times(before.last, part.empty),
            before.empty * part.empty,
        )

    def _either(self, branches: Iterable[Any]) -> _Part:
        parts = [self.read(branch) for branch in branches]
        first: Counter[int] = sum((part.first for part in parts), Counter())
        last: Counter[int] = sum((part.last for part in parts), Counter())
        return _Part(first, last, sum(part.empty for part in parts))

    def _repeated(self, low: int, high: int, body: Any) -> _Part:
        if high > 1 and high * _size(body) > _WRITTEN_OUT:
            return self._loop(self.read(body), low)
        optional = _NOTHING
        for _ in range(high - low):  # x{0,2} is (x(x)?)?, so from the end
            part = self._after(self.read(body), optional)
            optional = _Part(part.first, part.last, part.empty + 1)
        required = _NOTHING
        for _ in range(low):
            required = self._after(required, self.read(body))
        return self._after(required, optional)

    def _loop(self, body: _Part, low: int) -> _Part:
        """Any number of times, with more ways than {low,high} has; a body that may be empty goes around in two ways."""
        self._join(body.last, body.first, 1 + body.empty)
        return _Part(body.first, body.last, body.empty + (0 if low else 1))

    def _join(self, last: Mapping[int, int], first: Mapping[int, int], ways: int) -> None:
        self.edges += len(last) * len(first)
        if self.edges > _MOST_EDGES:
            raise Explodes("its pattern is too long to say how long it could take")
        for (one, left), (other, right) in product(last.items(), first.items()):
            self.next[one][other] += left * right * ways


def _times(counts: Counter[int], ways: int) -> Counter[int]:
    return Counter({state: count * ways for state, count in counts.items()}) if ways else Counter()


def _size(nodes: Any) -> int:
    """How many states a sequence makes, written out."""
    found = 0
    for op, value in nodes:
        name = str(op)
        if name.endswith("_REPEAT"):
            low, high, body = value
            size = _size(body)
            found += size if high * size > _WRITTEN_OUT else high * size
        elif name == "BRANCH":
            found += sum(map(_size, value[1]))
        elif name == "SUBPATTERN":
            found += _size(value[3])
        elif name == "ATOMIC_GROUP":
            found += _size(value)
        elif name == "GROUPREF_EXISTS":
            found += sum(_size(branch) for branch in value[1:] if branch is not None)
        else:
            found += 1
    return found


@lru_cache(maxsize=1_024)
def _characters(items: tuple[tuple[str, Any], ...], flags: int) -> int:
    """The set of a class, which may hold more characters than it says beyond ASCII, and never fewer."""
    found, negated = 0, False
    for kind, value in items:
        negated = negated or kind in ("NEGATE", "NOT_LITERAL")
        if kind in ("LITERAL", "NOT_LITERAL"):
            found |= _span(value, value)
        elif kind == "RANGE":
            found |= _span(*value)
        elif kind == "CATEGORY":
            found |= _category(str(value).removeprefix("CATEGORY_"), flags)
    if flags & re.IGNORECASE:
        found |= _other_cases(found, negated)
    return (_EVERY ^ found) | _BEYOND if negated else found


def _span(low: int, high: int) -> int:
    if low == high:
        return 1 << low if low < 128 else _like(chr(low))
    ascii_ = (1 << min(high + 1, 128)) - (1 << low) if low < 128 else 0
    return ascii_ | (_BEYOND if high > 127 else 0)


def _like(character: str) -> int:
    """The bit of a character beyond ASCII."""
    kinds = [bool(re.match(plain, character)) for plain in _CATEGORIES.values()]
    others = [[bool(re.match(plain, one)) for plain in _CATEGORIES.values()] for one in _BITS[128:]]
    return 1 << 128 + others.index(kinds)


def _category(name: str, flags: int) -> int:
    found = _matched(name, re.UNICODE)
    return found | _matched(name, re.ASCII) if flags & re.ASCII else found


@lru_cache(maxsize=16)
def _matched(name: str, flag: int) -> int:
    plain = re.compile(_CATEGORIES[name.removeprefix("NOT_")], flag)
    found = sum(1 << at for at, character in enumerate(_BITS) if plain.match(character))
    return _EVERY ^ found if name.startswith("NOT_") else found


def _other_cases(found: int, negated: bool) -> int:
    """What else letters stand for; where they are taken away, no more than in ASCII."""
    ascii_ = sum(1 << ord(chr(code).swapcase()) for code in range(128) if found >> code & 1)
    if negated:
        return ascii_
    beyond = _LETTERS_BEYOND if found & _FOLDED_FROM_BEYOND else 0
    return ascii_ | beyond | (_BEYOND | _FOLDED_FROM_BEYOND if found & _BEYOND else 0)


# --- in how many ways a text leads through it -----------------------------------------------------------


class _Ways:
    """The ways through an automaton, counted by how they grow."""

    def __init__(self, automaton: _Automaton) -> None:
        self._takes, self._next = automaton.takes, automaton.next
        self._before: dict[int, list[int]] = {state: [] for state in automaton.next}
        for state, following in automaton.next.items():
            for one in following:
                self._before[one].append(state)
        self._components = _components(automaton.next)
        self._component = {state: at for at, states in enumerate(self._components) for state in states}
        self._combinations = 0

    def cost(self) -> Cost:
        """ValueError where they grow exponentially."""
        loops = frozenset(at for at, states in enumerate(self._components) if self._is_loop(states))
        if any(self._is_exponential(self._components[at]) for at in loops):
            raise Explodes("its pattern could take forever: a repetition can take the same text in several ways")
        return Cost(self._degree(loops) + (1 if loops else 0), self._choices())

    def _choices(self) -> int:
        """The most ways into which one way through the pattern splits, a loop counted once: no text has more, but for
        those that loops hand over. Components come with what they lead to first."""
        choices: list[int] = []
        for at, states in enumerate(self._components):
            choices.append(max(map(self._split, states)) * max((choices[to] for to in self._after(at)), default=1))
        return choices[-1]

    def _after(self, at: int) -> set[int]:
        """The components that one leads to."""
        return {self._component[other] for one in self._components[at] for other in self._next[one]} - {at}

    def _is_loop(self, states: Sequence[int]) -> bool:
        return len(states) > 1 or states[0] in self._next[states[0]]

    def _split(self, state: int) -> int:
        """Into how many ways one character leads from here."""
        following = self._next[state].items()
        return max(
            (sum(ways for other, ways in following if self._takes[one] & self._takes[other]) for one, _ in following),
            default=1,
        )

    def _is_exponential(self, states: Sequence[int]) -> bool:
        """Whether a state comes back to itself in two ways on one text."""
        inside = frozenset(states)
        if any(ways > 1 for one in states for other, ways in self._next[one].items() if other in inside):
            return True
        start = (states[0], states[0])
        pairs = (inside, inside)
        return any(
            one != other
            for one, other in self._reached(start, pairs, back=False) & self._reached(start, pairs, back=True)
        )

    def _degree(self, loops: frozenset[int]) -> int:
        """The longest chain of loops of which each can hand its text over to the next."""
        degrees: list[int] = []
        for at in range(len(self._components)):
            earlier = [to for to in loops if to < at] if at in loops else []
            handed = [degrees[to] + 1 for to in earlier if self._hands_over(at, to)]
            degrees.append(max([*handed, *(degrees[to] for to in self._after(at))], default=0))
        return degrees[-1]

    def _hands_over(self, one: int, other: int) -> bool:
        """Whether on one text a state of the first loop comes back, leads to one of the second, and that comes back."""
        first, last = frozenset(self._components[one]), frozenset(self._components[other])
        between = frozenset(range(len(self._takes)))
        return any(
            (left, right, right) in self._reached((left, left, right), (first, between, last), back=False)
            for left, right in product(first, last)
        )

    def _reached(
        self, start: tuple[int, ...], within: tuple[frozenset[int], ...], *, back: bool
    ) -> set[tuple[int, ...]]:
        """The combinations of states that one text leads to from ``start``, or from which it leads there."""
        follow = self._before if back else self._next
        found, waiting = {start}, deque([start])
        while waiting:
            states = waiting.popleft()
            choices = [
                [one for one in follow[state] if one in allowed] for state, allowed in zip(states, within, strict=True)
            ]
            for reached in product(*choices):
                self._combinations += 1
                if self._combinations > _MOST_COMBINATIONS:
                    raise Explodes("its pattern is too entangled to say how long it could take")
                if reached not in found and self._agree(states if back else reached):
                    found.add(reached)
                    waiting.append(reached)
        return found

    def _agree(self, states: Iterable[int]) -> bool:
        """Whether one character leads into all of them."""
        common = _EVERY
        for state in states:
            common &= self._takes[state]
        return bool(common)


def _components(following: Mapping[int, Iterable[int]]) -> list[list[int]]:
    """The strongly connected components of what state 0 leads to (R. Tarjan, 1972), each after those that it leads to."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    open_: list[int] = []
    found: list[list[int]] = []
    way: list[tuple[int, Iterator[int]]] = []

    def enter(state: int) -> None:
        number[state] = low[state] = len(number)
        open_.append(state)
        way.append((state, iter(following[state])))

    enter(0)
    while way:
        state, rest = way[-1]
        other = next(rest, None)
        if other is None:
            way.pop()
            if way:
                low[way[-1][0]] = min(low[way[-1][0]], low[state])
            if low[state] == number[state]:
                start = open_.index(state)
                found.append(open_[start:])
                del open_[start:]
        elif other not in number:
            enter(other)
        elif other in open_:
            low[state] = min(low[state], number[other])
    return found
