"""How YAML is read: a small, safe part of it, with the place of every value."""

from __future__ import annotations

from pathlib import Path

import pytest

from veilflow.config.nodes import Node, read_yaml
from veilflow.errors import Place, VeilError

BOMBS = Path(__file__).parents[2] / "data" / "yaml-bombs"


def read(tmp_path: Path, content: str | bytes, name: str = "file.yaml") -> Node:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path, name)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("12", 12), ("-3", -3), ("1.5", 1.5),
        ("1e3", 1000.0), ("no", "no"), ("on", "on"), ("yes", "yes"), ("2020-01-01", "2020-01-01"), ("0123", "0123"),
        ("0x1f", "0x1f"), ("1_000", "1_000"), ("12:30:00", "12:30:00"), (".inf", ".inf"), ("=", "="), ('"12"', "12"),
        ("'null'", "null"),
    ],
)  # fmt: skip
def test_only_the_core_types_of_yaml_1_2_are_more_than_text(tmp_path: Path, written: str, value: object) -> None:
    """`no` is Norway, 0123 is a postcode, and a date is what its column says."""
    found = read(tmp_path, f"a: {written}\n").plain["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("bomb", sorted(BOMBS.glob("*.yaml")), ids=lambda path: path.stem)
def test_bombs_are_refused_with_a_place(bomb: Path) -> None:
    """Published YAML attacks end as VEIL203 and take no memory."""
    with pytest.raises(VeilError) as caught:
        read_yaml(bomb, bomb.name)
    assert caught.value.code == "VEIL203"
    assert caught.value.place is not None
    assert caught.value.place.line is not None


@pytest.mark.parametrize(
    "content",
    [
        "a: !!str 5", "a: !!binary aGk=", "a: !!python/name:os.system x", "a: !own {b: 1}", "a: ! x", "a: &x 1", "a: *x",
        "<<: {a: 1}", "a: 1\na: 2", '"a": 1\na: 2', "? [a]\n: 1", "---\na: 1\n---\nb: 2", "a: b: c", "a: \0", b"\xff\xfe\xff",
        "[" * 5000, "{a: " * 60, "- " * 3000, "a: \"" + "x" * (1 << 20) + '"', '"\\ud83d"', "%YAML 2.0\n---\na: 1", "", "# only words",
    ],
    ids=range(23),
)  # fmt: skip
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, content: str | bytes) -> None:
    """Tags (also on plain scalars), anchors, merge and duplicate keys, several documents, depth and size: VEIL203."""
    with pytest.raises(VeilError) as caught:
        read(tmp_path, content)
    assert caught.value.code == "VEIL203"
    assert caught.value.__cause__ is None


def test_an_escaped_nul_is_refused(tmp_path: Path) -> None:
    """No path, name or table can hold one."""
    with pytest.raises(VeilError) as caught:
        read(tmp_path, 'path: "a\\0b"\n')
    assert caught.value.code == "VEIL203"


def test_a_parse_error_does_not_quote_the_file(tmp_path: Path) -> None:
    """Somebody may have pasted a secret beside the mistake."""
    with pytest.raises(VeilError) as caught:
        read(tmp_path, 'password: "hunter2\n')
    assert "hunter2" not in str(caught.value)


def test_places_are_those_of_the_keys(tmp_path: Path) -> None:
    """A person looks for the key."""
    node = read(tmp_path, "a: 1\nb:\n  c:\n    - x\n    - y\n")
    assert node.value["b"].value["c"].place == Place("file.yaml", 3, 3)
    assert node.value["b"].value["c"].value[1].place == Place("file.yaml", 5, 7)


def test_json_may_be_indented_by_tabs_and_escape_any_character(tmp_path: Path) -> None:
    """A suite that Great Expectations or another tool wrote is read as JSON."""
    found = read(tmp_path, '{\n\t"a":\t"\\ud83d\\ude00 \\u00e9\\/",\n\t"b": [true, null, 1.5e2]\n}', "suite.json")
    assert found.plain == {"a": "\U0001f600 é/", "b": [True, None, 150.0]}
