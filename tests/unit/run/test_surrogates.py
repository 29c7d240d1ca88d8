"""Random surrogates: remembered before they are used, sealed, one for each value whoever asks."""

from __future__ import annotations

import sqlite3
import stat
import threading
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from veilflow.errors import Place, VeilError
from veilflow.keys import KeyRing
from veilflow.run.surrogates import SurrogateFiles, SurrogateMemory
from veilflow.treatments import TREATMENTS, Context, make_step

RING = KeyRing.parse(KeyRing.generate("2026-01-01T00:00:00Z"))
VALUES = pa.array(["MARKER-anna", "MARKER-bo", None, "MARKER-anna", ""])


def drawn(store: Any, values: pa.Array = VALUES, domain: str = "person", form: str = "uuid", ring: KeyRing = RING) -> list[Any]:  # fmt: skip
    step = make_step("surrogate", {"form": form}, Place("p.yaml", 1))
    keys = {use: ring.derive(use, domain) for use in TREATMENTS["surrogate"].uses(step.parameters)}
    context = Context(keys, surrogates=partial(store.draw, domain))
    return list(TREATMENTS["surrogate"].apply(values, step.parameters, context).to_pylist())


def test_a_value_keeps_its_surrogate_over_runs(tmp_path: Path) -> None:
    """Another object, another order, another chunk: the same; another domain or key: another."""
    first = drawn(SurrogateFiles(tmp_path))
    assert first[0] == first[3] and first[2] is None and len(set(first)) == 4
    assert all(uuid.UUID(one).version == 4 and uuid.UUID(one).variant == uuid.RFC_4122 for one in first if one)
    again = drawn(SurrogateFiles(tmp_path), pa.array(["new", "MARKER-bo"]))
    assert again[1] == first[1]
    assert drawn(SurrogateFiles(tmp_path), domain="other")[0] != first[0]
    other = KeyRing.parse(KeyRing.generate("2026-01-01T00:00:00Z"))
    assert drawn(SurrogateFiles(tmp_path), ring=other)[0] != first[0]


def test_hexadecimal_surrogates_are_the_same_bits(tmp_path: Path) -> None:
    """128 of them; the UUID gives six away."""
    store = SurrogateFiles(tmp_path)
    hexadecimal, uuids = drawn(store, form="hex"), drawn(store)
    assert len(hexadecimal[0]) == 32 and hexadecimal[0][:12] == uuids[0].replace("-", "")[:12]


def test_surrogates_are_random() -> None:
    """Two mappings under one key agree on nothing, as a derived code would."""
    assert not set(drawn(SurrogateMemory())[:2]) & set(drawn(SurrogateMemory())[:2])


def test_the_mapping_holds_no_value_and_no_surrogate_in_clear(tmp_path: Path) -> None:
    """Names are HMACs, surrogates are sealed, and only the account can read the file."""
    found = drawn(SurrogateFiles(tmp_path), form="hex")
    path = tmp_path / ".veil/surrogates/person.db"
    content = path.read_bytes()
    assert b"MARKER" not in content
    assert not any(one and (one.encode() in content or bytes.fromhex(one) in content) for one in found)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_mapping_entry_moved_to_another_value_is_refused(tmp_path: Path) -> None:
    """A surrogate is sealed to its name: who can write the file cannot make one person into another."""
    drawn(SurrogateFiles(tmp_path))
    with sqlite3.connect(tmp_path / ".veil/surrogates/person.db") as connection:
        sealed = [row[0] for row in connection.execute("select sealed from surrogates")]
        connection.execute("update surrogates set sealed = ?", (sealed[0],))
    with pytest.raises(ValueError, match="not sealed under this key"):
        drawn(SurrogateFiles(tmp_path))


def test_what_was_drawn_is_on_disk_before_it_is_used(tmp_path: Path) -> None:
    """A process that dies after the call leaves what a retry needs: another connection sees it at once."""
    store, seen = SurrogateFiles(tmp_path), []

    def seal(names: Any, fresh: Any) -> list[bytes]:
        return [name + one for name, one in zip(names, fresh, strict=True)]

    found = store.draw("d", [b"n1", b"n2", b"n1"], seal)
    with sqlite3.connect(tmp_path / ".veil/surrogates/d.db") as connection:
        seen = dict(connection.execute("select name, sealed from surrogates"))
    assert found == [seen[b"n1"], seen[b"n2"], seen[b"n1"]]


def test_two_runs_at_once_draw_the_same(tmp_path: Path) -> None:
    """Eight threads, each with a connection of its own, over overlapping values."""
    results: dict[int, dict[str, str]] = {}
    start = threading.Barrier(8)

    def run(number: int) -> None:
        values = [f"v{value}" for value in range(number * 100, number * 100 + 900)]
        start.wait()
        results[number] = dict(zip(values, drawn(SurrogateFiles(tmp_path), pa.array(values)), strict=True))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    merged: dict[str, set[str]] = {}
    for found in results.values():
        for value, surrogate in found.items():
            merged.setdefault(value, set()).add(surrogate)
    assert len(results) == 8 and all(len(surrogates) == 1 for surrogates in merged.values())
    assert len({next(iter(surrogates)) for surrogates in merged.values()}) == len(merged)


def test_a_mapping_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    """VEIL101, and nothing of the data: no row is loaded with a surrogate that nobody would find again."""
    (tmp_path / ".veil").mkdir()
    (tmp_path / ".veil/surrogates").write_text("in the way")
    with pytest.raises(VeilError) as caught:
        drawn(SurrogateFiles(tmp_path))
    assert caught.value.code == "VEIL101" and "MARKER" not in str(caught.value)
    (tmp_path / ".veil/surrogates").unlink()
    (tmp_path / ".veil/surrogates").mkdir()
    (tmp_path / ".veil/surrogates/person.db").write_text("no database " * 200)
    with pytest.raises(VeilError) as caught:
        drawn(SurrogateFiles(tmp_path))
    assert caught.value.code == "VEIL101"
