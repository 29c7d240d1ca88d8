"""``veil keys`` and ``--key-version``: every step is written to the ring's store, none shows or takes a key."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from veilflow.keys import KeyRing

Project = Any


def ring(project: Project) -> dict[str, Any]:
    found = json.loads((project.directory / "keyring.json").read_text())
    assert isinstance(found, dict)
    return found


def states(document: dict[str, Any]) -> dict[int, str]:
    return {key["version"]: key["state"] for key in document["keys"]}


def roots(project: Project) -> list[bytes]:
    """Every key that is in the ring."""
    return [base64.b64decode(key["key"]) for key in ring(project)["keys"].values() if "key" in key]


def shows_a_key(text: str, keys: list[bytes]) -> bool:
    return any(form in text for key in keys for form in (base64.b64encode(key).decode()[:40], key.hex()))


def test_a_key_lives_from_add_to_destroy(project: Project) -> None:
    """Each command writes the ring and shows the states of all versions, as words and as JSON."""
    assert project.veil("keys", "add", "--json").json["version"] == 2
    assert states(project.veil("keys", "promote", "2", "--json").json) == {1: "ready", 2: "active"}
    assert states(project.veil("keys", "retire", "1", "--json").json) == {1: "retired", 2: "active"}
    destroyed = project.veil("keys", "destroy", "1", "--confirm", "keyring/1", "--json")
    assert (destroyed.status, states(destroyed.json)) == (0, {1: "destroyed", 2: "active"})
    assert "key" not in ring(project)["keys"]["1"]
    rotated = project.veil("keys", "rotate")
    assert rotated.status == 0 and "rotated  version 3; active is version 3" in rotated.out
    listed = project.veil("keys", "list")
    document = project.veil("keys", "list", "--json").json
    assert (document["schema"], document["active"]) == ("veilflow/keys/1", 3)
    for key in document["keys"]:
        assert any(str(key["version"]) in line and key["state"] in line for line in listed.out.splitlines())
    outputs = [rotated.out, rotated.err, listed.out, json.dumps(document), destroyed.out, destroyed.err]
    assert not any(shows_a_key(text, roots(project)) for text in outputs)
    assert stat.S_IMODE((project.directory / "keyring.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["promote", "9"], 3, "VEIL315"), (["promote", "1"], 3, "VEIL315"), (["retire", "1"], 3, "VEIL315"),
        (["destroy", "1", "--confirm", "keyring/1"], 3, "VEIL315"), (["destroy", "1"], 2, "VEIL200"),
        (["destroy", "1", "--confirm", "keyring/2"], 2, "VEIL200"), (["promote", "one"], 2, "VEIL200"),
    ],
)  # fmt: skip
def test_a_step_that_may_not_be_taken_leaves_the_ring_as_it_is(
    project: Project, arguments: list[str], status: int, code: str
) -> None:
    """And asks nothing where there is no terminal."""
    before = ring(project)
    done = project.veil("keys", *arguments, "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (status, code)
    assert ring(project) == before


def test_processes_that_add_together_lose_no_version(project: Project) -> None:
    """Four at once are four versions."""
    command = [sys.executable, "-m", "veilflow.cli", "keys", "add", "--quiet"]
    adding = [subprocess.Popen(command, cwd=project.directory, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [one.wait(120) for one in adding] == [0] * 4
    assert sorted(ring(project)["keys"]) == ["1", "2", "3", "4", "5"]


def test_a_store_that_cannot_be_written_prints_the_steps(project: Project) -> None:
    """The new ring goes to a private file, by a command that the steps name."""
    project.write("secrets/names.yaml", (
        "version: 1\nstores: {shell: {kind: env}}\nsecrets: {keyring: {store: shell, path: RING}}\nkeyring: keyring\n"
    ))  # fmt: skip
    environment = {"RING": json.dumps(ring(project))}
    refused = project.veil("keys", "rotate", environment=environment)
    assert refused.status == 2 and "VEIL224" in refused.err
    assert "veil keys rotate --out ring.json" in refused.err and "RING" in refused.err
    done = project.veil("keys", "rotate", "--out", "ring.json", "--json", environment=environment)
    assert (done.status, done.json["written_to"], done.json["active"]) == (0, "ring.json", 2)
    written = project.directory / "ring.json"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert KeyRing.parse(written.read_text()).active == 2
    again = project.veil("keys", "rotate", "--out", "ring.json", environment=environment)
    assert again.status == 2 and "VEIL220" in again.err


def test_appending_under_another_version_is_refused_and_a_pinned_version_appends(
    project: Project, make_project: Callable[[], Project]
) -> None:
    """The pseudonyms of both loads agree, the evidence names the pin, and the refusal names every way out."""
    pipeline = project.directory / "pipelines/people.yaml"
    pipeline.write_text(pipeline.read_text().replace("mode: replace", "mode: append"))
    first = project.veil("run", "people", "--direct", "--json")
    assert (first.status, first.json["pinned_key_version"]) == (0, None)
    before = project.rows()
    assert project.veil("keys", "rotate", "--quiet").status == 0
    refused = project.veil("run", "people", "--direct", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (3, "VEIL313")
    hint = refused.json["errors"][0]["hint"]
    assert "--key-version 1" in hint and "mode: replace" in hint
    assert project.rows() == before
    pinned = project.veil("run", "people", "--direct", "--key-version", "1", "--json")
    assert (pinned.status, pinned.json["pinned_key_version"]) == (0, 1)
    assert set(pinned.json["key_versions"].values()) == {1}
    assert project.rows() == before + before
    shown = project.veil("runs", "show", "last", "--json").json
    assert shown["pinned_key_version"] == 1
    assert {key["version"]: key["runs"] for key in project.veil("keys", "list", "--json").json["keys"]} == {1: 2, 2: 1}


@pytest.mark.parametrize("state", ["retired", "destroyed", "missing"])
def test_a_run_with_a_version_that_may_not_be_used_is_refused(project: Project, state: str) -> None:
    """Nothing is published, and the refusal says which versions may be."""
    found = KeyRing.parse((project.directory / "keyring.json").read_text())
    from veilflow.keys import lifecycle

    found = lifecycle.retire(lifecycle.rotate(found, bytes(32), "2026-01-01T00:00:00Z"), 1, "2026-01-01T00:00:00Z")
    if state == "destroyed":
        found = lifecycle.destroy(found, 1, "2026-01-01T00:00:00Z")
    (project.directory / "keyring.json").write_text(found.to_json())
    wanted = "7" if state == "missing" else "1"
    done = project.veil("run", "people", "--direct", "--key-version", wanted, "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (3, "VEIL315")
    assert "2" in done.json["errors"][0]["hint"]
    assert not (project.directory / "out/people.db").exists()


def test_every_opening_of_the_ring_is_on_record(project: Project) -> None:
    """Name, place and time of each access; the record can only be appended to."""
    import sqlite3

    project.veil("run", "people", "--direct", "--quiet")
    (opened,) = project.veil("runs", "show", "last", "--json").json["accesses"]
    shown = project.veil("runs", "show", "last").out
    assert opened["name"] == "keyring" and opened["time"] in shown and "files (file)" in shown
    project.veil("keys", "list", "--quiet")
    accesses = project.veil("secrets", "list", "--accesses", "--json").json["accesses"]
    assert [(one["name"], one["store"], one["kind"]) for one in accesses] == [("keyring", "files", "file")] * 2
    assert all(set(one) == {"time", "name", "store", "kind", "version", "lease"} for one in accesses)
    connection = sqlite3.connect(Path(project.directory) / ".veil/state.db")
    for statement in ("delete from accesses", "update accesses set name = 'nobody'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
