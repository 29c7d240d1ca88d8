"""YAML as a tree that keeps its places, with the parts of YAML that could do harm refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from veilflow.config.leaks import exempt_lines, known, known_in_lines
from veilflow.errors import Place, VeilError, raise_all

_LARGEST_FILE = 1 << 20
_DEEPEST = 40
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Node:
    """A value with its place. ``value`` is a dict of nodes, a list of nodes, or a plain value; ``written`` is a plain scalar's text."""

    value: Any
    place: Place
    written: str | None = None

    @property
    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value


def read_yaml(path: Path, shown: str, if_empty: str = "VEIL203") -> Node:
    """Read one YAML (or JSON) document. VEIL203 for what is not plain: tags, anchors and aliases, duplicate keys,
    several documents, over 1 MiB, deeper than 40 levels."""
    try:
        data = path.read_bytes()
    except OSError:
        raise VeilError("VEIL204", f"{shown} cannot be read", "check the name and the file's permission") from None
    if len(data) > _LARGEST_FILE:
        raise _refuse(shown, "is larger than 1 MiB", None)
    try:
        text = data.decode("utf-8-sig")
        if path.suffix == ".json":
            # JSON may be indented by tabs, YAML may not; a raw tab cannot stand inside a JSON string.
            text = text.replace("\t", " ")
        _refuse_tricks(text, shown)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _refuse(shown, f"is not plain YAML: {_what(error)}", error.problem_mark) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise _refuse(shown, "is not plain YAML in UTF-8", None) from None
    if root is None:
        raise VeilError(if_empty, f"{shown} is empty", "see the sample project for what belongs into it", Place(shown))
    found = _convert(root, shown, 0)
    _refuse_secrets(found, text, shown)
    return found


def _refuse_secrets(root: Node, text: str, shown: str) -> None:
    """VEIL223 for every credential in a value (as YAML means it, escapes undone), a key or a comment."""
    exempt = exempt_lines(text)
    texts = [node for node in _texts(root) if node.place.line not in exempt]
    problems = [problem for node in texts for problem in known(node.value, node.place)]
    seen = {problem.place.line for problem in problems if problem.place} | set(exempt)
    raise_all([*problems, *known_in_lines(text, shown, seen)])


def _texts(node: Node) -> Iterator[Node]:
    """Every text below a node."""
    if isinstance(node.value, str):
        yield node
    elif isinstance(node.value, dict | list):
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            yield from _texts(child)


def _what(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "a mark that does not belong there"
    return problem if "'" not in problem and '"' not in problem else "a mark that does not belong there"


def _refuse_tricks(text: str, shown: str) -> None:
    """Look at the events, which cost no memory: anchors, aliases, tags and depth, before a tree is made."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refuse(shown, "uses anchors or aliases, which Veilflow does not take", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refuse(shown, "uses a tag, which Veilflow does not take", event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _refuse(shown, f"is nested deeper than {_DEEPEST} levels", event.start_mark)


def _convert(node: yaml.Node, shown: str, depth: int) -> Node:
    place = Place(shown, node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.ScalarNode):
        if node.style is None:
            return Node(_scalar(node.value), place, node.value)
        return Node(_text(node, shown), place)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(child, shown, depth + 1) for child in node.value], place)
    found: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _refuse(shown, "has a key that is not text", key.start_mark)
        if key.style is None and key.value == "<<":
            raise _refuse(shown, "uses a merge key, which Veilflow does not take", key.start_mark)
        if key.value in found:
            raise _refuse(shown, f'has the key "{key.value}" twice', key.start_mark)
        converted = _convert(value, shown, depth + 1)
        # A person looks for the key: its line is the place of what stands under it.
        found[key.value] = Node(
            converted.value, Place(shown, key.start_mark.line + 1, key.start_mark.column + 1), converted.written
        )
    return Node(found, place)


def _text(node: yaml.ScalarNode, shown: str) -> str:
    """A quoted text; JSON's two escapes of one character become that character."""
    if "\0" in node.value:
        raise _refuse(shown, "has a NUL character", node.start_mark)
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        raise _refuse(shown, "has half a surrogate pair, which is no character", node.start_mark) from None


def _scalar(text: str) -> Any:
    """YAML 1.2's core types without its traps: `no`, `on`, dates and 0123 stay text."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _refuse(shown: str, problem: str, mark: Any) -> VeilError:
    place = Place(shown) if mark is None else Place(shown, mark.line + 1, mark.column + 1)
    return VeilError("VEIL203", f"{shown} {problem}", "write plain YAML: mappings, lists, text, numbers", place)


class Mapping:
    """Takes the keys of a mapping one by one and collects every problem with its place."""

    def __init__(self, node: Node, what: str, problems: list[VeilError]) -> None:
        self.place, self._what, self._problems = node.place, what, problems
        self._nodes: dict[str, Node] = {}
        if isinstance(node.value, dict):
            self._nodes = node.value
        else:
            self.wrong(node, "must be a mapping of keys to values")
        self._taken: list[str] = []

    def node(self, key: str, required: bool = False) -> Node | None:
        """The node under ``key``; a missing one is a problem if it is required."""
        self._taken.append(key)
        found = self._nodes.get(key)
        if found is None and required:
            self._problems.append(
                VeilError("VEIL201", f'{self._what} needs the key "{key}"', f"add `{key}:` to it", self.place)
            )
        return found

    def take(
        self, key: str, kinds: type | tuple[type, ...], expected: str, default: Any = None, required: bool = False
    ) -> Any:
        """The plain value under ``key``, or ``default``. ``expected`` says in words what it takes."""
        node = self.node(key, required)
        if node is None:
            return default
        value = node.plain
        wrong_boolean = isinstance(value, bool) and kinds is not bool
        if not isinstance(value, kinds) or wrong_boolean:
            self.wrong(node, f"must be {expected}", key)
            return default
        return value

    def text(self, key: str, default: str | None = None, required: bool = False) -> Any:
        value = self.take(key, str, "text", default, required)
        if required and key in self._nodes and self._nodes[key].value == "":
            self.wrong(self._nodes[key], "must not be empty", key)
        return value

    def choice(self, key: str, options: tuple[str, ...], default: str | None = None, required: bool = False) -> Any:
        value = self.text(key, default, required)
        if value is not None and value not in options:
            near = get_close_matches(str(value), options, n=1)
            self.wrong(
                self._nodes[key],
                "must be one of " + ", ".join(options),
                key,
                f"did you mean {near[0]}?" if near else None,
            )
            return default
        return value

    def sub(self, key: str, required: bool = False) -> Mapping | None:
        node = self.node(key, required)
        return None if node is None else Mapping(node, f"{self._what}.{key}", self._problems)

    def items(self) -> Iterator[tuple[str, Node]]:
        """All keys; for mappings whose keys a person chooses."""
        self._taken += self._nodes
        yield from self._nodes.items()

    def end(self) -> None:
        """Every key that nobody took is unknown."""
        for key, node in self._nodes.items():
            if key not in self._taken:
                near = get_close_matches(key, self._taken, n=1)
                hint = (
                    (f"did you mean {near[0]}? " if near else "") + "it takes: " + ", ".join(dict.fromkeys(self._taken))
                )
                self._problems.append(
                    VeilError("VEIL201", f'{self._what} has the unknown key "{key}"', hint, node.place)
                )

    def wrong(self, node: Node, problem: str, key: str | None = None, hint: str | None = None) -> None:
        """Collect VEIL202. The value itself is not shown: somebody may have written a secret there."""
        name = self._what if key is None else f"{self._what}.{key}"
        self._problems.append(
            VeilError("VEIL202", f"{name} {problem}", hint or "see the reference of files", node.place)
        )

    def version(self) -> None:
        """``version: 1`` stands in every file, so that a later format is not misread."""
        node = self.node("version", required=True)
        if node is not None and (type(node.value) is not int or node.value != 1):
            self.wrong(node, "must be 1", "version")
