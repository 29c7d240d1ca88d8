"""Many files as one source: what a pattern matches is loaded whole, in a fixed order, and refused where it does not fit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from people_files import COLUMNS, WRITTEN, as_csv, as_parquet, configure, resume, run, stop_after, table, write_files

from veilflow.errors import VeilError
from veilflow.model import Progress, RunResult, SourceConfig
from veilflow.sources import open_source


def codes(result: RunResult) -> list[str]:
    return [error.code for error in result.errors]


@pytest.mark.parametrize("ending", WRITTEN)
def test_every_file_of_a_pattern_is_loaded_in_the_order_of_the_names(project: Any, ending: str) -> None:
    """A chunk ends with its file; a file without rows is one of them."""
    write_files(project, ending, (50, 0, 20, 7))
    configure(project, ending)
    result = run(project)
    assert (result.status, result.counts.read, result.chunks) == ("succeeded", 77, 3 + 0 + 1 + 1)
    assert [row[4] for row in project.rows()] == [f"City{n % 7}" for n in range(77)]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "json", "parquet"])
def test_a_resumed_run_goes_on_in_the_file_where_it_was(project: Any, ending: str) -> None:
    """With the files that it began with: what has come since is another run's."""
    write_files(project, ending, (50, 45, 60))
    configure(project, ending)
    assert run(project).status == "succeeded"
    whole = project.rows()
    assert run(project, stop_after(70)).status == "interrupted"
    project.write(f"in/0005.{ending}", WRITTEN[ending][1](table(900, 5)))
    result = resume(project)
    assert (result.status, result.counts.read, result.resumed_chunks) == ("succeeded", 155, 4)
    assert project.rows() == whole


def test_the_run_record_keeps_each_file_and_a_keyed_digest_of_it(project: Any) -> None:
    """Name, size, time and fingerprint: what a resume is held against."""
    from veilflow.state import State

    names = write_files(project, "csv", (3, 4))
    configure(project, "csv")
    result = run(project)
    beginning = State(project.directory).beginning(result.run_id)
    assert beginning is not None
    assert [file["name"] for file in beginning["files"]] == names
    assert [file["size"] for file in beginning["files"]] == [
        (project.directory / name).stat().st_size for name in names
    ]
    assert len(set(beginning["fingerprints"])) == 2


def test_no_file_is_an_error_of_the_pipeline(project: Any) -> None:
    """Exit status 2, and the pattern is named; a directory is no file."""
    configure(project, "csv")
    (project.directory / "in/a.csv").mkdir(parents=True)
    done = project.veil("run", "people", "--direct")
    assert done.status == 2
    assert "no file matches in/*.csv" in done.err


def test_a_column_of_a_later_file_that_no_rule_covers_refuses_and_names_the_file(project: Any) -> None:
    """Exit status 3 before a row is read."""
    write_files(project, "csv", (3, 3, 3))
    path = project.directory / "in/001.csv"
    path.write_bytes(as_csv(table(3, 3).append_column("ssn", pa.array(["1", "2", "3"]))))
    configure(project, "csv")
    result = run(project)
    assert (result.exit_status, codes(result)) == (3, ["VEIL301"])
    assert '"ssn" of in/001.csv' in result.errors[0].problem


def test_a_key_of_a_later_json_file_that_no_rule_covers_refuses_and_names_the_file(project: Any) -> None:
    """Found while reading: JSON has no header."""
    write_files(project, "jsonl", (3, 3))
    (project.directory / "in/001.jsonl").write_text('{"id": "x", "ssn": "1"}\n')
    configure(project, "jsonl")
    result = run(project)
    assert (result.exit_status, codes(result)) == (3, ["VEIL301"])
    assert "in/001.jsonl" in result.errors[0].problem


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop_columns(["city"]), "is in in/000.parquet and not in in/001.parquet"),
        (lambda rows: rows.set_column(3, "age", rows.column(3).cast(pa.int32())), "has the type int64 in in/000.parquet and int32"),
    ],
)  # fmt: skip
def test_files_that_differ_are_refused(project: Any, change: Callable[[pa.Table], pa.Table], says: str) -> None:
    """VEIL326 says in what, and names both."""
    write_files(project, "parquet", (3, 3))
    (project.directory / "in/001.parquet").write_bytes(as_parquet(change(table(3, 3))))
    configure(project, "parquet")
    result = run(project)
    assert (result.exit_status, codes(result)) == (3, ["VEIL326"])
    assert says in result.errors[0].problem


def test_columns_may_stand_in_another_order(project: Any) -> None:
    """A name is a name, wherever it stands."""
    write_files(project, "csv", (3, 3))
    (project.directory / "in/001.csv").write_bytes(as_csv(table(3, 3).select(COLUMNS[::-1])))
    configure(project, "csv")
    assert run(project).status == "succeeded"
    assert [row[4] for row in project.rows()] == [f"City{n}" for n in range(6)]


def vanish(path: Path) -> None:
    path.unlink()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"p9,N9,n9@example.com,9,City9\n")


def exchange(path: Path) -> None:
    """Another content under the same size and time."""
    then = path.stat()
    path.write_bytes(path.read_bytes().replace(b"City1", b"City8"))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))


@pytest.mark.parametrize("change", [vanish, grow])
def test_a_file_that_changes_while_the_run_is_under_way_refuses(project: Any, change: Callable[[Path], None]) -> None:
    """Nothing is published, and the file is named."""
    write_files(project, "csv", (50, 45, 60))
    configure(project, "csv")
    changed = []

    def once(progress: Progress) -> None:
        if progress.stage == "stage" and progress.durable >= 20 and not changed:
            changed.append(change(project.directory / "in/000.csv"))

    result = run(project, once)
    assert (result.status, codes(result)) == ("refused", ["VEIL310"])
    assert "in/000.csv" in result.errors[0].problem


@pytest.mark.parametrize("change", [vanish, grow, exchange])
def test_a_file_that_changed_since_the_beginning_is_not_resumed(project: Any, change: Callable[[Path], None]) -> None:
    """Also one that was loaded already: half of the rows would be of another state."""
    write_files(project, "csv", (50, 45, 60))
    configure(project, "csv")
    assert run(project, stop_after(70)).status == "interrupted"
    change(project.directory / "in/000.csv")
    with pytest.raises(VeilError, match="in/000.csv") as caught:
        resume(project)
    assert caught.value.code == "VEIL310"


def test_hidden_files_are_left_out_and_links_are_followed(project: Any) -> None:
    """A writer's unfinished file is often a hidden one."""
    write_files(project, "csv", (3,), folder="elsewhere")
    project.write("in/.unfinished.csv", "id,na")
    (project.directory / "in/link.csv").symlink_to(project.directory / "elsewhere/000.csv")
    configure(project, "csv")
    assert run(project).counts.read == 3


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_one_file_under_two_names_is_refused(project: Any, link: str) -> None:
    """Its rows would be loaded twice; the same content in two files is nobody's business but the user's."""
    write_files(project, "csv", (3,))
    project.write("in/same.csv", (project.directory / "in/000.csv").read_bytes())
    configure(project, "csv")
    assert run(project).counts.read == 6
    getattr(project.directory / "in/twice.csv", link)(project.directory / "in/000.csv")
    result = run(project)
    assert (result.exit_status, codes(result)) == (2, ["VEIL210"])
    assert "in/000.csv and in/twice.csv are one file" in result.errors[0].problem


def test_a_link_to_nothing_is_refused(project: Any) -> None:
    """A file that cannot be read is no file that is not there."""
    write_files(project, "csv", (3,))
    (project.directory / "in/gone.csv").symlink_to(project.directory / "nowhere.csv")
    configure(project, "csv")
    result = run(project)
    assert (result.exit_status, codes(result)) == (2, ["VEIL210"])
    assert "in/gone.csv" in result.errors[0].problem


@pytest.mark.parametrize("pattern", ["in/**/*.csv", "in/*/*.csv", "in/**", "**/001.csv", "i*/locked/001.csv"])
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=["closed", "without names", "without files"])
def test_a_directory_that_may_not_be_read_is_refused(pattern: str, mode: int) -> None:
    """VEIL210 names it: glob would pass over it, and its files would be missing in silence."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in ("in/open/000.csv", "in/locked/001.csv"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text("id\n1\n")
        config = SourceConfig("csv", root / pattern, pattern)
        assert as_nobody(lambda: str(len(open_source(config).files()))) in ("1", "2")
        (root / "in/locked").chmod(mode)
        said = as_nobody(lambda: str(len(open_source(config).files())))
        (root / "in/locked").chmod(0o755)
        assert said.startswith("VEIL210: in/locked/")


def as_nobody(ask: Callable[[], str]) -> str:
    """What a user without root's rights would get."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setuid(65534)
            os.write(writer, ask().encode())
        except VeilError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return told.read()


def test_two_stars_reach_every_depth(project: Any) -> None:
    """In the order of the names from the top."""
    write_files(project, "csv", (3,), folder="in/b")
    write_files(project, "csv", (4,), folder="in/a/deep")
    configure(project, "csv", "in/**/*.csv")
    assert run(project).counts.read == 7


def test_a_name_with_the_characters_of_a_pattern_is_that_file(project: Any) -> None:
    """It is there, so nothing else is meant."""
    write_files(project, "csv", (3,))
    project.write("in/a[1].csv", as_csv(table(3, 2)))
    project.write("in/a1.csv", as_csv(table(5, 9)))
    configure(project, "csv", "in/a[1].csv")
    assert run(project).counts.read == 2


def test_a_target_that_the_pattern_matches_is_refused(project: Any) -> None:
    """The next run would read what this one wrote."""
    write_files(project, "csv", (3,))
    configure(project, "csv")
    path = project.directory / "pipelines/people.yaml"
    path.write_text(path.read_text().replace("kind: sqlite, path: out/people.db", "kind: csv, path: in/out.csv"))
    done = project.veil("plan", "people")
    assert done.status == 2
    assert "the target is a file of the source" in done.err


def test_the_plan_tells_how_many_files_there_are(project: Any) -> None:
    """In words and in the document."""
    write_files(project, "csv", (3, 3, 3))
    configure(project, "csv")
    assert "csv in/*.csv: 3 files" in project.veil("plan", "people").out
    source = project.veil("plan", "people", "--json").json["source"]
    assert source == {"kind": "csv", "location": "in/*.csv", "files": 3, "workers": None}


def test_a_row_that_is_held_back_tells_its_file_and_its_place_there(project: Any) -> None:
    """In what the quarantine shows and finds, and after a replay that holds it back again."""
    write_files(project, "csv", (3, 3))
    path = project.directory / "in/001.csv"
    path.write_bytes(path.read_bytes().replace(b",4,", b",four,"))
    configure(project, "csv")
    pipeline = project.directory / "pipelines/people.yaml"
    assert "row 2 of in/001.csv" in run(project).errors[0].problem
    pipeline.write_text(pipeline.read_text().replace("'in/*.csv'", "'in/*.csv', on_bad_row: quarantine"))
    assert run(project).counts.quarantined == 1
    held_by = "last"
    for _ in range(2):
        shown = project.veil("quarantine", "show", held_by, "--show-values")
        assert "row 2 of in/001.csv" in shown.out, shown.err
        assert project.veil("quarantine", "replay", held_by).status == 0
