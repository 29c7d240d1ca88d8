"""Files that a treatment's parameter names: ``{file: PATH}`` becomes the file's content, wherever it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from veilflow.config.objects import PolicyConfig, RuleConfig
from veilflow.errors import Place, VeilError, raise_all
from veilflow.model import FileContent

_LARGEST_FILE = 16 << 20


def with_files(policy: PolicyConfig, directory: Path) -> PolicyConfig:
    """The policy with the content of each file that it names; paths are relative to ``directory`` and stay inside it.

    VEIL202 for a path that leads out, VEIL204 for a file that cannot be read, is no UTF-8, or is over 16 MiB.
    """
    problems: list[VeilError] = []

    def attached(rules: Mapping[str, RuleConfig]) -> dict[str, RuleConfig]:
        return {name: _rule(rule, directory, problems) for name, rule in rules.items()}

    found = replace(
        policy, columns=attached(policy.columns), globs=attached(policy.globs), tags=attached(policy.tags),
        classes=attached(policy.classes),
    )  # fmt: skip
    raise_all(problems)
    return found


def _rule(rule: RuleConfig, directory: Path, problems: list[VeilError]) -> RuleConfig:
    try:
        treatments = tuple((name, _attach(raw, directory, rule.place)) for name, raw in rule.treatments)
    except VeilError as error:
        problems.append(error)
        return rule
    return replace(rule, treatments=treatments)


def _attach(value: Any, directory: Path, place: Place) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == {"file"} and isinstance(value["file"], str):
            return _read(value["file"], directory, place)
        return {key: _attach(one, directory, place) for key, one in value.items()}
    return [_attach(one, directory, place) for one in value] if isinstance(value, list) else value


def _read(written: str, directory: Path, place: Place) -> FileContent:
    path = directory / written
    if "\0" in written or not path.resolve().is_relative_to(directory.resolve()):
        raise VeilError(
            "VEIL202", "a treatment names a file outside the project", "name one inside it, relative to it", place
        )
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise VeilError(
            "VEIL204", f"{written} cannot be read as UTF-8",
            f"a treatment names it: check the path, which is relative to {directory.name}/, and its encoding", place,
        ) from None  # fmt: skip
    if len(data) > _LARGEST_FILE:
        raise VeilError("VEIL204", f"{written} is larger than 16 MiB", "a treatment's table is small", place)
    return FileContent(written, sha256(data).hexdigest(), text)
