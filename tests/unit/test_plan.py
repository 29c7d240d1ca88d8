"""The plan: every column decided before a row is read, and all that forbids it told together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from veilflow.config import (
    NamesConfig,
    PipelineConfig,
    PolicyConfig,
    SuiteConfig,
    load_pipeline,
    load_policy,
    load_suite,
)
from veilflow.errors import VeilError
from veilflow.model import TEXT, ColumnType, SourceColumn, SourceSchema
from veilflow.plan import Decision, decide, document

PIPELINE = "version: 1\nsource: {path: data/p.csv}\npolicy: p\ntarget: {kind: sqlite, path: out/p.db, table: p}\n"
RULES = """\
version: 1
purpose: tests
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  name: {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
  age: {class: quasi_identifier, treatment: {generalise: {width: 10}}}
  city: {class: quasi_identifier, treatment: keep, reason: reports are per city}
"""
AGE = ColumnType("integer", pa.int64())
SCHEMA = {"id": TEXT, "name": TEXT, "age": AGE, "city": TEXT}
SUITE = "expectations:\n  - {type: expect_column_values_to_not_be_null, kwargs: {column: id}}\n"


def planned(
    directory: Path,
    policy: str = RULES,
    pipeline: str = PIPELINE,
    suite: str | None = None,
    schema: Mapping[str, ColumnType] = SCHEMA,
    names: NamesConfig | None = None,
    as_of: date = date(2026, 1, 1),
) -> Decision:
    """Decide from files, as a run does."""
    for name, content in (
        ("pipelines/p.yaml", pipeline),
        ("policies/p.yaml", policy),
        ("pipelines/expectations/s.yaml", suite),
    ):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content, encoding="utf-8")
    rules: PolicyConfig = load_policy(directory, "p")
    config: PipelineConfig = load_pipeline(directory, "p", "dev")
    checks: SuiteConfig | None = load_suite(directory, "s") if suite else None
    columns = tuple(SourceColumn(name, kind) for name, kind in schema.items())
    return decide(config, rules, checks, names, SourceSchema(columns), "dev", publish="transaction", as_of=as_of)


def codes(decision: Decision) -> list[str]:
    return [error.code for error in decision.errors]


def test_every_column_has_its_steps_types_and_rule(tmp_path: Path) -> None:
    """In the source's order, with the line that decided."""
    decision = planned(tmp_path)
    assert decision.errors == ()
    assert [(c.name, c.treatment, c.key_domain, c.rule.line if c.rule else None) for c in decision.plan.columns] == [
        ("id", "token", "person", 4), ("name", "mask", None, 5), ("age", "generalise", None, 6), ("city", "keep", None, 7),
    ]  # fmt: skip
    assert decision.plan.output_schema.names == ["id", "name", "age", "city"]


def test_the_key_domain_is_that_of_policy_and_column_unless_named(tmp_path: Path) -> None:
    """Tables join only where a policy names a common domain."""
    assert planned(tmp_path, RULES.replace(", key_domain: person", "")).plan.columns[0].key_domain == "p.id"


def test_a_column_name_that_makes_no_key_domain_needs_one(tmp_path: Path) -> None:
    """Names with capitals or blanks are not squeezed into a domain."""
    policy = "version: 1\ncolumns:\n  Full Name: {class: direct_identifier, treatment: token}\n"
    decision = planned(tmp_path, policy, schema={"Full Name": TEXT})
    assert codes(decision) == ["VEIL202"]
    assert "key_domain" in decision.errors[0].hint


def test_each_unlisted_column_is_refused_and_stands_undecided(tmp_path: Path) -> None:
    """Never raised: both are told, with what to write."""
    decision = planned(tmp_path, schema=SCHEMA | {"iban": TEXT, "notes": TEXT})
    assert codes(decision) == ["VEIL301", "VEIL301"]
    assert "iban: {class: " in decision.errors[0].hint
    last = decision.plan.columns[-1]
    assert (last.name, last.steps, last.rule, last.treatment) == ("notes", (), None, "undecided")


@pytest.mark.parametrize(("word", "outcome"), [("drop", "drop"), ("redact", "load")])
def test_unlisted_columns_may_be_dropped_or_redacted(tmp_path: Path, word: str, outcome: str) -> None:
    """Both are treatments that stand in the plan."""
    decision = planned(tmp_path, RULES + f"unlisted_columns: {word}\n", schema=SCHEMA | {"iban": TEXT})
    assert decision.errors == ()
    assert (decision.plan.columns[-1].treatment, decision.plan.columns[-1].outcome) == (word, outcome)


def test_unsafe_keep_keeps_only_its_column_and_records_why(tmp_path: Path) -> None:
    """The reason goes into the plan."""
    decision = planned(
        tmp_path, RULES + "unlisted_columns: {unsafe_keep: {iban: board}}\n", schema=SCHEMA | {"iban": TEXT, "b": TEXT}
    )
    assert codes(decision) == ["VEIL301"]
    assert (decision.plan.columns[4].treatment, decision.plan.columns[4].reason) == ("keep", "board")


def test_a_rule_check_or_filter_for_a_missing_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """A renamed column loses no protection in silence."""
    decision = planned(
        tmp_path,
        RULES + "  emial: {class: direct_identifier, treatment: drop}\n",
        PIPELINE + "filters: [{name: f, keep: {column: agee, op: '>=', value: 18}}]\n",
        SUITE.replace("column: id", "column: idd"),
    )
    assert codes(decision) == ["VEIL302"] * 3
    assert "did you mean age?" in decision.errors[2].hint
    assert [error.place.file for error in decision.errors if error.place] == [
        "policies/p.yaml", "pipelines/expectations/s.yaml", "pipelines/p.yaml",
    ]  # fmt: skip


def test_a_treatment_that_does_not_fit_names_those_that_do(tmp_path: Path) -> None:
    """Also in the middle of a list."""
    decision = planned(tmp_path, RULES.replace("{generalise: {width: 10}}", "mask_email"))
    assert codes(decision) == ["VEIL303"]
    assert "generalise" in decision.errors[0].hint


@pytest.mark.parametrize("reason", ["", ", reason: ''", ", reason: ' '"])
def test_keep_needs_a_reason(tmp_path: Path, reason: str) -> None:
    """A blank is none."""
    assert codes(planned(tmp_path, RULES.replace(", reason: reports are per city", reason))) == ["VEIL304"]


@pytest.mark.parametrize(
    ("keep", "fits"),
    [
        ("column: age, op: '>=', value: 18", True), ("column: age, op: in, value: [1, 2]", True), ("column: age, op: is_null", True),
        ("column: city, op: '==', value: Oslo", True), ("column: city, op: '>', value: M", True), ("column: city, op: '==', value: 2000", True),
        ("column: city, op: '>=', value: 18", False), ("column: age, op: '>=', value: many", False), ("column: age, op: in, value: 1", False),
        ("column: age, op: in, value: []", False), ("column: age, op: in, value: [1, x]", False), ("column: age, op: is_null, value: 1", False),
        ("column: age, op: '=='", False), ("column: age, op: '==', value: [1]", False), ("column: age, op: '==', value: 1.5", False),
        ("column: age, op: '==', value: true", False),
    ],
)  # fmt: skip
def test_a_filter_fits_its_column(tmp_path: Path, keep: str, fits: bool) -> None:
    """A number is never compared as text: "9" would be above "18"."""
    decision = planned(tmp_path, pipeline=PIPELINE + f"filters: [{{name: f, keep: {{{keep}}}}}]\n")
    assert codes(decision) == ([] if fits else ["VEIL209"])


@pytest.mark.parametrize(
    ("value", "fits"),
    [("1", True), ("1.05", True), ("1.005", False), ("[1, 2.5]", True), ("true", False), ("x", False)],
)
def test_a_filter_on_decimals_is_exact(tmp_path: Path, value: str, fits: bool) -> None:
    """A whole number fits, and 1.05 is not its nearest float."""
    op = "in" if value.startswith("[") else "=="
    pipeline = PIPELINE + f"filters: [{{name: f, keep: {{column: age, op: {op}, value: {value}}}}}]\n"
    money = ColumnType("decimal", pa.decimal128(10, 2))
    decision = planned(tmp_path, pipeline=pipeline, schema=SCHEMA | {"age": money})
    assert ("VEIL209" in codes(decision)) is not fits
    if value == "1.05":
        assert pa.scalar(decision.plan.filters[0].value).cast(money.arrow).as_py() == Decimal("1.05")


def test_all_that_forbids_a_plan_is_told_at_once(tmp_path: Path) -> None:
    """Treatment, parameter, reason, unlisted column and expectation in one answer; the document says the exit status."""
    decision = planned(
        tmp_path,
        RULES.replace("token", "tokn").replace("keep_first", "keep_frst").replace(", reason: reports are per city", ""),
        suite=SUITE.replace("null", "nul"),
        schema=SCHEMA | {"iban": TEXT},
    )
    assert {"VEIL205", "VEIL304", "VEIL301", "VEIL207"} <= set(codes(decision))
    assert document(decision)["would_exit"] == 3


def test_dropping_every_column_is_refused(tmp_path: Path) -> None:
    """There would be nothing to load."""
    policy = "version: 1\ncolumns:\n  id: {class: direct_identifier, treatment: drop}\n"
    assert codes(planned(tmp_path, policy, schema={"id": TEXT})) == ["VEIL206"]


def test_an_unknown_connection_is_refused(tmp_path: Path) -> None:
    """It is named with those that are there."""
    pipeline = PIPELINE.replace("kind: sqlite, path: out/p.db", "kind: postgresql, connection: warehouse")
    assert codes(planned(tmp_path, pipeline=pipeline)) == ["VEIL220"]


WHEN = "{when: {column: %s, in: [%s], then: token, otherwise: keep}}"


def test_steps_inside_a_step_count_as_steps_of_the_column(tmp_path: Path) -> None:
    """A `keep` inside needs a reason, a column that is read must be there and its type must fit."""

    def found(treatment: str, more: str = "") -> list[str]:
        return codes(planned(tmp_path, RULES.replace("{mask: {keep_first: 1}}", treatment + more)))

    assert found(WHEN % ("city", "Oslo")) == ["VEIL304"]
    assert found(WHEN % ("city", "Oslo"), ", reason: abroad") == []
    assert found(WHEN % ("town", "Oslo"), ", reason: abroad") == ["VEIL302"]
    assert found(WHEN % ("age", "Oslo"), ", reason: abroad") == ["VEIL303"]


def test_the_document_shows_the_steps_inside_a_step(tmp_path: Path) -> None:
    """A reviewer sees both branches."""
    policy = RULES.replace("{mask: {keep_first: 1}}", WHEN % ("city", "Oslo") + ", reason: abroad")
    found = json.loads(json.dumps(document(planned(tmp_path, policy))))["columns"][1]["parameters"][0]
    assert found["then"] == [{"treatment": "token", "parameters": {"form": "hex", "bits": 128}}]
    assert (found["column"], found["in"]) == ("city", ["Oslo"])


def hashes(decision: Decision) -> tuple[str, str]:
    return decision.plan.plan_hash, decision.plan.policy_hash


def test_the_date_counts_where_a_treatment_depends_on_it(tmp_path: Path) -> None:
    """A plan of ages is another one on another day; others are not."""
    born = {"age": ColumnType("date", pa.date32())}
    found = {}
    for treatment in ("{generalise: {to: year}}", "age", "{when: {column: city, in: [x], then: age, otherwise: age}}"):
        policy = RULES.replace("{generalise: {width: 10}}", treatment)
        days = [planned(tmp_path, policy, schema=SCHEMA | born, as_of=date(2026, 1, day)) for day in (1, 2)]
        assert [codes(one) for one in days] == [[], []]
        found[treatment] = (days[0].plan.plan_hash == days[1].plan.plan_hash, document(days[1]).get("as_of"))
    assert list(found.values()) == [(True, None), (False, "2026-01-02"), (False, "2026-01-02")]


def test_a_pipeline_may_name_its_date(tmp_path: Path) -> None:
    """`as_of`, a date and nothing else."""
    planned(tmp_path, pipeline=PIPELINE + "as_of: 2026-03-01\n")
    assert load_pipeline(tmp_path, "p", "dev").as_of == date(2026, 3, 1)
    with pytest.raises(VeilError) as caught:
        planned(tmp_path, pipeline=PIPELINE + "as_of: yesterday\n")
    assert caught.value.code == "VEIL202"


def test_hashes_do_not_change_with_spelling(tmp_path: Path) -> None:
    """Comments, quotes, flow or block style and the order of keys mean nothing."""
    lines = RULES.splitlines()
    respelt = "# words\n" + "\n".join([*lines[2:], lines[1], lines[0]]) + "\n"
    respelt = respelt.replace("treatment: token, key_domain: person", 'key_domain: "person", treatment: [token]')
    pipeline = "\n".join(reversed(PIPELINE.splitlines())) + "\n# words\n"
    assert hashes(planned(tmp_path, respelt, pipeline)) == hashes(planned(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"policy": RULES.replace("keep_first: 1", "keep_first: 2")}, {"policy": RULES.replace("person", "people")},
        {"policy": RULES + "unlisted_columns: drop\n"}, {"pipeline": PIPELINE.replace("table: p", "table: q")},
        {"pipeline": PIPELINE.replace("p.csv", "q.csv")}, {"pipeline": PIPELINE + "limits: {max_quarantined: 1}\n"},
        {"suite": SUITE}, {"schema": SCHEMA | {"age": ColumnType("float", pa.float64())}},
    ],
    ids=range(8),
)  # fmt: skip
def test_the_plan_hash_changes_with_meaning(tmp_path: Path, change: dict[str, Any]) -> None:
    """A rule, a type, a check, a limit, a source or a target."""
    before = planned(tmp_path)
    after = planned(tmp_path, **change)
    assert before.plan.plan_hash != after.plan.plan_hash
    assert (before.plan.policy_hash != after.plan.policy_hash) == ("policy" in change)


def test_the_document_is_the_one_of_the_contract(tmp_path: Path) -> None:
    """Every key that scripts rely on, as JSON."""
    names = NamesConfig({}, {}, {}, "keyring")
    found = json.loads(json.dumps(document(planned(tmp_path, suite=SUITE, names=names))))
    assert found["schema"] == "veilflow/plan/1"
    assert {"pipeline", "plan_hash", "would_exit", "publish", "columns", "checks", "secrets", "errors"} <= found.keys()
    assert found["columns"][0] | {"name": "id", "type": "text", "class": "direct_identifier", "treatment": "token",
                                  "key_domain": "person", "rule": {"file": "policies/p.yaml", "line": 4},
                                  "outcome": "load"} == found["columns"][0]  # fmt: skip
    assert found["columns"][1]["parameters"][0]["keep_first"] == 1
    assert {"type", "column", "kind", "engine", "on_fail"} <= found["checks"][0].keys()
    assert (found["secrets"], found["would_exit"], found["publish"]) == (["keyring"], 0, "transaction")


@pytest.mark.parametrize(
    ("type_", "arguments", "word"),
    [
        ("expect_column_values_to_be_in_set", '{column: age, value_set: ["1", "2"]}', "numbers"),
        ("expect_column_values_to_be_between", "{column: city, min_value: 1}", "text"),
        ("expect_column_values_to_match_regex", '{column: city, regex: "(?=a)(a+)+b"}', "forever"),
    ],
    ids=["texts for a number", "range of a text", "pattern beyond the engine"],
)
def test_refuses_a_check_that_does_not_fit_its_column(tmp_path: Path, type_: str, arguments: str, word: str) -> None:
    """The plan tells it, and not the first chunk."""
    suite = f"expectations:\n  - {{type: {type_}, kwargs: {arguments}}}\n"
    decision = planned(tmp_path, suite=suite, pipeline=PIPELINE + "expectations: s\n")
    assert codes(decision) == ["VEIL207"]
    assert word in decision.errors[0].problem
    assert decision.errors[0].place is not None


# --- rules that match widely, and policies that extend others -----------------------------

WIDE = """\
version: 1
classes: {sensitive: {treatment: drop}}
columns:
  id: {class: direct_identifier, treatment: token, key_domain: person}
  "na*": {class: direct_identifier, treatment: {mask: {keep_first: 1}}}
tags:
  coarse: {class: quasi_identifier, treatment: {generalise: {width: 10}}}
"""
LABELS = PIPELINE + "columns: {age: {tags: [coarse]}, city: {class: sensitive}}\n"


def test_globs_tags_and_class_defaults_decide_by_the_most_specific(tmp_path: Path) -> None:
    """And the plan says by what."""
    decision = planned(tmp_path, WIDE, LABELS)
    assert decision.errors == ()
    assert [(column["treatment"], column["matched_by"]) for column in document(decision)["columns"]] == [
        ("token", "its exact name"),
        ("mask", "the pattern na*"),
        ("generalise", "the tag coarse"),
        ("drop", "the default of the class sensitive"),
    ]


def test_two_rules_with_equal_right_are_an_error_that_names_both_places(tmp_path: Path) -> None:
    """The column stays undecided."""
    tied = WIDE.replace('"na*"', '"*me": {class: sensitive, treatment: drop}\n  "na*"')
    (error,) = planned(tmp_path, tied, LABELS).errors
    assert error.code == "VEIL206" and "policies/p.yaml:5" in error.problem and "policies/p.yaml:6" in error.problem


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("treatment: {mask: {keep_first: 1}}", "treatment: keep, reason: nobody minds"),
        ("treatment: {generalise: {width: 10}}", "treatment: keep, reason: nobody minds"),
        ("{treatment: drop}", "{treatment: keep, reason: nobody minds}"),
        ("treatment: {mask: {keep_first: 1}}", "treatment: drop, unsafe_weaken: nobody minds"),
    ],
)
def test_what_matches_widely_never_keeps_and_never_weakens(tmp_path: Path, before: str, after: str) -> None:
    """A reason does not help: the exact name is needed."""
    assert before in WIDE
    assert "VEIL304" in codes(planned(tmp_path, WIDE.replace(before, after), LABELS))


def test_a_wide_rule_is_checked_even_if_it_matches_nothing(tmp_path: Path) -> None:
    """The column that it waits for would be the first to find out."""
    policy = WIDE.replace('"na*"', '"zz*"').replace("{mask: {keep_first: 1}}", "maks")
    assert "VEIL205" in codes(planned(tmp_path, policy, LABELS))


def test_labels_of_a_column_that_is_not_there_are_refused(tmp_path: Path) -> None:
    """A renamed column would lose its tag."""
    decision = planned(tmp_path, WIDE, LABELS.replace("age: {tags", "aeg: {tags"))
    assert "VEIL302" in codes(decision)


def test_a_kept_unlisted_column_that_a_pattern_covers_is_decided_twice(tmp_path: Path) -> None:
    """Neither wins."""
    policy = WIDE + "unlisted_columns: {unsafe_keep: {name: why not}}\n"
    assert "VEIL206" in codes(planned(tmp_path, policy, LABELS))


@pytest.mark.parametrize(
    ("rule", "problems"),
    [
        ("name: {class: direct_identifier, treatment: redact}", []),
        ("name: {class: direct_identifier, treatment: {mask: {keep_first: 2}}}", ["VEIL316"]),
        ("name: {class: direct_identifier, treatment: token}", ["VEIL316"]),
        ("name: {class: direct_identifier, treatment: token, unsafe_weaken: agreed in May}", []),
        ("age: {class: quasi_identifier, treatment: keep, reason: why}", ["VEIL316"]),
    ],
)
def test_a_child_is_as_strict_as_the_policy_that_it_extends_unless_it_says_why_not(
    tmp_path: Path, rule: str, problems: list[str]
) -> None:
    """What cannot be compared counts as weaker; inherited rules keep their place."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/base.yaml").write_text(RULES, encoding="utf-8")
    decision = planned(tmp_path, f"version: 1\nextends: base\ncolumns:\n  {rule}\n")
    assert codes(decision) == problems
    told = [column["unsafe_weaken"] for column in document(decision)["columns"] if column["unsafe_weaken"]]
    assert told == (["agreed in May"] if "agreed in May" in rule else [])
    place = decision.plan.columns[0].rule
    assert place is not None and place.file == "policies/base.yaml"


def test_a_child_decides_what_the_parent_leaves_undecided_and_cannot_loosen_unlisted_columns(tmp_path: Path) -> None:
    """A base of common columns is extended by the columns of one table."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/base.yaml").write_text(
        RULES + "  iban: {class: sensitive, treatment: drop}\n", encoding="utf-8"
    )
    child = "version: 1\nextends: base\ncolumns:\n  extra: {class: non_personal, treatment: keep, reason: why}\n"
    assert codes(planned(tmp_path, child, schema=SCHEMA | {"extra": TEXT})) == []
    assert codes(planned(tmp_path, child + "unlisted_columns: redact\n", schema=SCHEMA | {"extra": TEXT})) == [
        "VEIL316"
    ]


def test_the_facts_of_a_policy_stand_in_the_plan(tmp_path: Path) -> None:
    """What a record of processing asks for."""
    facts = "legal_basis: contract\nrecipients: [analysts, auditors]\ntransfers: none\nreview_date: 2027-01-31\n"
    found = document(planned(tmp_path, RULES + facts))["facts"]
    assert found["recipients"] == "analysts, auditors" and found["review_date"] == "2027-01-31"


# --- merge -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "code"),
    [("id", None), ("city", None), ("name", "VEIL318"), ("age", "VEIL318"), ("idd", "VEIL302")],
)
def test_a_merge_key_is_a_loaded_column_that_stays_unique(tmp_path: Path, key: str, code: str | None) -> None:
    """A masked name or an age group would bring two people together."""
    pipeline = PIPELINE.replace("table: p}", f"table: p, mode: merge, key: [{key}]}}")
    assert codes(planned(tmp_path, pipeline=pipeline)) == ([code] if code else [])


def test_a_merge_is_another_plan_with_another_key(tmp_path: Path) -> None:
    """Key and delete change what a run does."""
    merges = ["mode: merge, key: [id]", "mode: merge, key: [id, city]", "mode: merge, key: [id], delete: true"]
    plans = [planned(tmp_path, pipeline=PIPELINE.replace("table: p}", f"table: p, {merge}}}")) for merge in merges]
    assert len({decision.plan.plan_hash for decision in plans}) == 3


@pytest.mark.parametrize(
    ("treatment", "problems"),
    [
        ("token", []), ("{token: {form: uuid}}", []), ("{token: {bits: 64}}", ["VEIL318"]),
        ("{ff1: {alphabet: letters}}", []), ("{ff1: {alphabet: letters, tweak: city}}", ["VEIL318"]), ("siv", []), ("siv_per_row", ["VEIL318"]),
    ],
)  # fmt: skip
def test_parameters_decide_whether_a_treatment_makes_a_merge_key(
    tmp_path: Path, treatment: str, problems: list[str]
) -> None:
    """A token of few bits may meet another one, and so may FF1 under different tweaks; what differs by row finds none."""
    pipeline = PIPELINE.replace("table: p}", "table: p, mode: merge, key: [name]}")
    policy = RULES.replace("{mask: {keep_first: 1}}", treatment)
    assert codes(planned(tmp_path, policy, pipeline=pipeline)) == problems
