"""The files of a project: what they may say, and that every mistake of a file is told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from veilflow.config import (
    find_project,
    load_names,
    load_pipeline,
    load_policy,
    load_suite,
    pipeline_names,
    settings,
)  # fmt: skip
from veilflow.errors import VeilError, raise_all
from veilflow.model import Limit

PIPELINE = """\
version: 1
source: {path: data/people.csv}
policy: people
target: {kind: sqlite, path: out/people.db}
"""
POLICY = "version: 1\ncolumns:\n  a: {class: direct_identifier, treatment: token}\n"
NAMES = """\
version: 1
stores: {local: {kind: prefect}}
secrets: {keyring: {store: local, path: ring}, login: {store: local, path: db, field: url}}
connections: {warehouse: {url: "postgresql://db.example/warehouse", credential: login}}
keyring: keyring
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file of the project and gives the project."""

    def put(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return tmp_path

    return put


Write = Callable[[str, str], Path]


def codes(caught: pytest.ExceptionInfo[VeilError]) -> list[str]:
    return [part.code for part in caught.value.parts]


def pipeline_error(write: Write, content: str) -> VeilError:
    project = write("pipelines/p.yaml", content)
    with pytest.raises(VeilError) as caught:
        load_pipeline(project, "p", "dev")
    return caught.value


def policy_error(write: Write, content: str) -> VeilError:
    project = write("policies/p.yaml", content)
    with pytest.raises(VeilError) as caught:
        load_policy(project, "p")
    return caught.value


# --- pipelines ---------------------------------------------------------------------------


def test_a_pipeline_has_careful_defaults(write: Write) -> None:
    """The kind follows the ending, bad rows refuse, and no row is a refusal."""
    found = load_pipeline(write("pipelines/p.yaml", PIPELINE), "p", "dev")
    assert (found.name, found.source.kind, found.source.on_bad_row) == ("p", "csv", "refuse")
    assert (found.chunk_rows, found.allow_empty, found.max_quarantined) == (25_000, False, None)
    assert (found.target.mode, found.target.table) == ("replace", "p")
    assert found.source.shown == "data/people.csv"
    assert found.source.path.is_absolute()


@pytest.mark.parametrize(
    ("written", "limit"),
    [("5 %", Limit(share=0.05)), ("1%", Limit(share=0.01)), ("0", Limit(rows=0)), ("12", Limit(rows=12))],
)
def test_a_limit_is_a_share_or_a_count(write: Write, written: str, limit: Limit) -> None:
    """`5 %`, `1%` and `12` are what people write."""
    project = write("pipelines/p.yaml", PIPELINE + f"limits: {{max_quarantined: {written}}}\n")
    assert load_pipeline(project, "p", "dev").max_quarantined == limit


@pytest.mark.parametrize("written", ["101 %", "-1", "0.05", "many", "true", "", "[5]"])
def test_a_limit_that_is_neither_is_refused(write: Write, written: str) -> None:
    """0.05 could mean a share or a mistake: it is not guessed."""
    error = pipeline_error(write, PIPELINE + f"limits: {{max_quarantined: {written}}}\n")
    assert error.code == "VEIL202"


def test_the_environment_lays_its_limits_over_the_pipeline(write: Write) -> None:
    """What the overlay does not name stays."""
    write("environments/prod.yaml", "version: 1\nlimits: {max_quarantined: 0}\n")
    project = write("pipelines/p.yaml", PIPELINE + "limits: {max_quarantined: 5 %, timeout_seconds: 60}\n")
    found = load_pipeline(project, "p", "prod")
    assert (found.max_quarantined, found.timeout_seconds) == (Limit(rows=0), 60)
    assert load_pipeline(project, "p", "dev").max_quarantined == Limit(share=0.05)


def test_every_mistake_of_a_file_is_reported_together(write: Write) -> None:
    """Four mistakes are one trip to the editor, each with its line and the nearest right name."""
    error = pipeline_error(
        write,
        "version: 2\nsource: {path: a.csv, on_bad_row: quarantin}\npolicie: people\n"
        "target: {kind: sqlite, path: o.db, mode: replce}\n",
    )
    assert sorted(part.code for part in error.parts) == ["VEIL201", "VEIL201", "VEIL202", "VEIL202", "VEIL202"]
    assert "did you mean quarantine?" in str(error)
    assert "did you mean policy?" in str(error)
    assert all(part.place is not None and part.place.file == "pipelines/p.yaml" for part in error.parts)
    assert {part.place.line for part in error.parts if part.place} == {1, 2, 3, 4}


@pytest.mark.parametrize("version", ["", "version: 2\n", "version: true\n", 'version: "1"\n', "version: 1.0\n"])
def test_version_1_must_be_there(write: Write, version: str) -> None:
    """A later format is not misread as this one."""
    assert pipeline_error(write, PIPELINE.replace("version: 1\n", version)).code in ("VEIL201", "VEIL202")


@pytest.mark.parametrize(
    "change",
    [
        ("policy: people", "policy: ../elsewhere/people"), ("policy: people", "policy: people.yaml"),
        ("path: out/people.db", "path: out/../data/people.csv"), ("path: out/people.db", "table: t"),
        ("path: out/people.db", "path: o.db, table: _veilflow"), ("path: out/people.db", 'path: o.db, table: ""'),
        ("kind: sqlite", "kind: postgresql"), ("path: data/people.csv", "path: data/people"),
        ("path: data/people.csv", 'path: a.csv, delimiter: "||"'), ("path: data/people.csv", "path: a.csv, null_values: [1]"),
        ("path: data/people.csv", "path: a.csv, delimiter: '\"'"), ("policy: people", "policy: people\nchunk_rows: 0"),
        ("policy: people", "policy: people\nlimits: {timeout_seconds: 1e999}"), ("policy: people", "policy: people\nfilters: {}"),
        ("policy: people", "policy: people\ncolumns: {a: {type: integr}}"),
        ("policy: people", "policy: people\ncolumns: {a: {type: text, format: '%Y'}}"),
        ("policy: people", "policy: people\ncolumns: {a: {type: decimal, precision: 3, scale: 4}}"),
        ("policy: people", "policy: people\nfilters: [{name: f, keep: {column: a, op: like, value: x}}]"),
    ],
    ids=range(18),
)  # fmt: skip
def test_a_pipeline_that_could_do_harm_is_refused(write: Write, change: tuple[str, str]) -> None:
    """Paths that leave the project's policies, a target over its own source, tables of Veilflow, values out of range."""
    assert {part.code for part in pipeline_error(write, PIPELINE.replace(*change)).parts} <= {"VEIL201", "VEIL202"}


@pytest.mark.parametrize("name", ["../p", "/etc/passwd", "pp", "", ".", "p/../p"])
def test_a_name_is_no_path(write: Write, name: str) -> None:
    """The refusal lists what there is."""
    project = write("pipelines/p.yaml", PIPELINE)
    with pytest.raises(VeilError) as caught:
        load_pipeline(project, name, "dev")
    assert caught.value.code == "VEIL204"
    assert "there are: p" in caught.value.hint


def test_a_project_is_found_from_below(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The nearest parent with pipelines/ is the project."""
    project = write("pipelines/p.yaml", PIPELINE)
    below = project / "data" / "raw"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_project(None) == project
    assert pipeline_names(project) == ("p",)
    with pytest.raises(VeilError) as caught:
        find_project(below)
    assert caught.value.code == "VEIL204"


# --- policies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "treatments"),
    [
        ("token", (("token", {}),)), ("null", (("null", {}),)), ('"null"', (("null", {}),)), ("{null: {}}", (("null", {}),)),
        ("{mask: {keep_first: 1}}", (("mask", {"keep_first": 1}),)),
        ("[{keep_prefix: {length: 2}}, mask]", (("keep_prefix", {"length": 2}), ("mask", {}))),
    ],
)  # fmt: skip
def test_a_treatment_is_a_name_a_mapping_or_a_list(write: Write, written: str, treatments: object) -> None:
    """YAML's plain null is the treatment of that name."""
    project = write(
        "policies/p.yaml", f"version: 1\ncolumns:\n  a: {{class: direct_identifier, treatment: {written}}}\n"
    )
    assert load_policy(project, "p").columns["a"].treatments == treatments


@pytest.mark.parametrize(
    "written", ["", "~", "[]", "{}", "{mask: 1}", "{mask: {}, token: {}}", "true", "[[token]]", '""']
)
def test_an_empty_or_odd_treatment_is_refused(write: Write, written: str) -> None:
    """A value that somebody forgot does not become the treatment null."""
    error = policy_error(write, f"version: 1\ncolumns:\n  a:\n    class: direct_identifier\n    treatment: {written}\n")
    assert error.code == "VEIL202"
    assert error.place is not None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# words\n",
        "version: 1\n",
        "version: 1\ncolumns: {}\n",
        "version: 1\ncolumns:\n",
        "version: 1\nunlisted_columns: redact\n",
    ],
)
def test_an_empty_policy_is_refused(write: Write, content: str) -> None:
    """A policy that says nothing protects nobody."""
    assert policy_error(write, content).code == "VEIL206"


def test_plain_unsafe_keep_must_name_each_column(write: Write) -> None:
    """The one way around is spelt out, column by column."""
    error = policy_error(write, POLICY + "unlisted_columns: unsafe_keep\n")
    assert error.code == "VEIL202"
    assert "COLUMN: reason" in error.hint


@pytest.mark.parametrize(
    "written",
    [
        "keep",
        "{unsafe_keep: {b: }}",
        "{unsafe_keep: {b: ' '}}",
        "{unsafe_keep: [b]}",
        "{unsafe_keep: {a: why}}",
        "{keep: {b: why}}",
    ],
)
def test_unlisted_columns_are_not_waved_through(write: Write, written: str) -> None:
    """No reason, no name, or a column that a rule treats already: refused."""
    assert policy_error(write, POLICY + f"unlisted_columns: {written}\n").exit_status == 2


def test_unsafe_keep_with_reasons_is_read(write: Write) -> None:
    """Everything else stays refused."""
    found = load_policy(
        write("policies/p.yaml", POLICY + "unlisted_columns: {unsafe_keep: {b: agreed with the board}}\n"), "p"
    )
    assert (found.unlisted_columns, found.unsafe_keep) == ("refuse", {"b": "agreed with the board"})


def test_rules_of_one_name_in_two_unicode_forms_tie(write: Write) -> None:
    """Names are compared after NFC and trimming."""
    rule = "{class: direct_identifier, treatment: token}"
    assert (
        policy_error(write, f'version: 1\ncolumns:\n  "caf\\u00e9": {rule}\n  "cafe\\u0301 ": {rule}\n').code
        == "VEIL206"
    )


# --- names of secrets --------------------------------------------------------------------


def test_the_environment_lays_its_connections_over_the_names(write: Write) -> None:
    """Production's database stands in production's file."""
    write("environments/prod.yaml", 'version: 1\nconnections: {warehouse: {url: "postgresql://prod.example/w"}}\n')
    project = write("secrets/names.yaml", NAMES)
    assert load_names(project, "prod").connections["warehouse"].url == "postgresql://prod.example/w"
    assert load_names(project, "dev").connections["warehouse"].credential == "login"


@pytest.mark.parametrize(
    "url", ["postgresql://u:hunter2@db/w", "postgresql://db/w?password=hunter2", "postgresql://u:hunter2@[bad/w"]
)
def test_a_password_in_a_url_is_refused_and_never_shown(write: Write, url: str) -> None:
    """The message names file and line."""
    project = write("secrets/names.yaml", NAMES.replace("postgresql://db.example/warehouse", url))
    with pytest.raises(VeilError) as caught:
        load_names(project, "dev")
    assert caught.value.code == "VEIL223"
    assert str(caught.value.place).startswith("secrets/names.yaml:4")
    assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        ("store: local, path: ring", "store: locl, path: ring"),
        ("keyring: keyring\n", "keyring: keyrin\n"),
        ("credential: login", "credential: logn"),
    ],
)
def test_names_that_point_nowhere_are_refused(write: Write, change: tuple[str, str]) -> None:
    """With the nearest name that is there."""
    project = write("secrets/names.yaml", NAMES.replace(*change))
    with pytest.raises(VeilError) as caught:
        load_names(project, "dev")
    assert codes(caught) == ["VEIL220"]
    assert "did you mean" in caught.value.hint


def test_a_problem_that_two_loaders_find_is_told_once(write: Write) -> None:
    """Names and pipelines both read the environment's file."""
    write("environments/prod.yaml", "version: 1\nlimit: {}\n")
    write("secrets/names.yaml", NAMES)
    project = write("pipelines/p.yaml", PIPELINE)
    found: list[VeilError] = []
    for load in (lambda: load_names(project, "prod"), lambda: load_pipeline(project, "p", "prod")):
        with pytest.raises(VeilError) as caught:
            load()
        found.append(caught.value)
    with pytest.raises(VeilError) as caught:
        raise_all(found)
    assert codes(caught) == ["VEIL201"]


# --- suites and settings -----------------------------------------------------------------


def test_a_suite_keeps_the_line_of_each_expectation(write: Write) -> None:
    """A failed check names the line that asked for it."""
    project = write(
        "pipelines/expectations/s.yaml",
        "expectations:\n  - type: expect_a\n    kwargs: {column: a}\n  - type: expect_b\n    kwargs: {column: b}\n",
    )
    found = load_suite(project, "s")
    assert [one.place.line for one in found.expectations] == [2, 4]
    assert found.expectations[1].raw == {"type": "expect_b", "kwargs": {"column": "b"}}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"expectations": []}', "VEIL208"),
        ("", "VEIL208"),
        ('{"name": "s"}', "VEIL201"),
        ('{"expectations": {}}', "VEIL202"),
        ('{"expectations": [1]}', "VEIL202"),
    ],
)
def test_a_suite_that_checks_nothing_is_refused(write: Write, content: str, code: str) -> None:
    """An empty suite passes everything."""
    project = write("pipelines/expectations/s.json", content)
    with pytest.raises(VeilError) as caught:
        load_suite(project, "s")
    assert caught.value.code == code


def test_production_is_never_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without VEIL_ENV, and with an empty one, the environment is dev."""
    monkeypatch.delenv("VEIL_ENV", raising=False)
    assert settings().environment == "dev"
    monkeypatch.setenv("VEIL_ENV", "")
    assert settings().environment == "dev"
    monkeypatch.setenv("VEIL_ENV", "prod")
    assert settings().environment == "prod"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("mode: merge", "needs the columns"),
        ("mode: merge, key: [a, a]", "each once"),
        ("mode: merge, key: [1]", "list of columns"),
        ("mode: append, key: [a]", "only for"),
        ("delete: true", "only for"),
    ],
)
def test_a_key_belongs_to_a_merge_and_a_merge_needs_one(write: Write, target: str, problem: str) -> None:
    """Each mistake is told at its place."""
    error = pipeline_error(write, PIPELINE.replace("people.db}", f"people.db, {target}}}"))
    assert error.code in ("VEIL201", "VEIL202") and problem in str(error)


def test_a_merge_has_its_key(write: Write) -> None:
    """Names as columns are named, and nothing is deleted unless it is said."""
    content = PIPELINE.replace("people.db}", 'people.db, mode: merge, key: [" id", b]}')
    found = load_pipeline(write("pipelines/p.yaml", content), "p", "dev").target
    assert (found.mode, found.key, found.delete) == ("merge", ("id", "b"), False)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{kind: sqlite, path: a.db}", "`table` or `query`"),
        ("{kind: duckdb, path: a.db, table: t, query: select 1}", "`table` or `query`"),
        ("{kind: postgresql, table: t}", "connection"),
        ("{kind: postgresql, connection: w, table: t, path: x}", "path"),
        ("{kind: sqlite, path: a.db, table: t, order_by: id}", "order_by"),
        ("{kind: sqlite, path: a.db, table: t, delimiter: ;}", "delimiter"),
    ],
)
def test_a_database_source_names_one_table_or_query(write: Write, source: str, problem: str) -> None:
    """And nothing that belongs to files."""
    assert problem in str(pipeline_error(write, PIPELINE.replace("{path: data/people.csv}", source)))


def test_a_source_by_connection_has_no_path(write: Write) -> None:
    """What it reads, and in which order."""
    source = "{kind: mariadb, connection: w, query: select 1 as a, order_by: [a]}"
    found = load_pipeline(
        write("pipelines/p.yaml", PIPELINE.replace("{path: data/people.csv}", source)), "p", "dev"
    ).source
    assert (found.kind, found.connection, found.table, found.query, found.order_by) == (
        "mariadb",
        "w",
        None,
        "select 1 as a",
        ("a",),
    )
