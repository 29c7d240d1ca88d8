"""``veil secrets``: names, places, ages and whether they can be read; no value, in words or in JSON."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import Any

import pytest

Project = Any

NAMES = """\
version: 1
stores: {files: {kind: file}, shell: {kind: env}}
secrets:
  keyring: {store: files, path: keyring.json, owner: platform, rotate_after: 90 d}
  login: {store: shell, path: LOGIN, owner: dba}
  pin: {store: files, path: pin, unsafe_short: the terminal takes four digits}
  gone: {store: files, path: nothing}
keyring: keyring
"""
MARKER = "marker-value-7f3a"


@pytest.fixture
def several(project: Project) -> Project:
    """A project with four secrets, of which one is not there."""
    project.write("secrets/names.yaml", NAMES)
    project.write("pin", "0000").chmod(0o600)
    os.utime(project.directory / "keyring.json", (0, 0))
    return project


def test_the_list_tells_place_age_owner_and_what_is_due(several: Project) -> None:
    """The words and the document say the same."""
    words = several.veil("secrets", "list", environment={"LOGIN": MARKER})
    document = several.veil("secrets", "list", "--json", environment={"LOGIN": MARKER}).json
    assert (words.status, document["schema"]) == (0, "veilflow/secrets/1")
    by_name = {one["name"]: one for one in document["secrets"]}
    assert by_name["keyring"]["overdue"] and by_name["keyring"]["rotation_due"] == "1970-04-01T00:00:00Z"
    assert (by_name["login"]["presence"], by_name["login"]["age_days"]) == ("there", None)
    assert by_name["gone"]["presence"] == "missing"
    for line, one in zip(words.out.splitlines()[1:], document["secrets"], strict=True):
        assert line.startswith(one["name"]) and one["presence"] in line and (one["owner"] or "-") in line
    assert "OVERDUE since 1970-04-01" in words.out
    assert MARKER not in words.out + words.err


def test_listing_opens_nothing(several: Project) -> None:
    """The record of accesses stays empty."""
    several.veil("secrets", "list")
    assert several.veil("secrets", "list", "--accesses", "--json").json["accesses"] == []


def test_the_check_opens_each_secret_and_tells_its_length(several: Project) -> None:
    """One that cannot be read gives the command its status, and the others are told all the same."""
    done = several.veil("secrets", "check", "--json", environment={"LOGIN": MARKER})
    assert (done.status, done.json["warnings"]) == (2, [])
    by_name = {one["name"]: one for one in done.json["secrets"]}
    assert (by_name["login"]["readable"], by_name["login"]["length"]) == (True, len(MARKER))
    assert by_name["pin"]["length"] == 4
    assert (by_name["gone"]["readable"], by_name["gone"]["error"]["code"]) == (False, "VEIL221")
    words = several.veil("secrets", "check", "login", "pin", environment={"LOGIN": MARKER})
    assert words.status == 0 and str(len(MARKER)) in words.out
    assert MARKER not in done.out + done.err + words.out + words.err
    accesses = several.veil("secrets", "list", "--accesses", "--json").json["accesses"]
    assert {one["name"] for one in accesses} == {"keyring", "login", "pin"}


def test_an_unknown_name_is_refused_before_anything_is_opened(several: Project) -> None:
    """With the names that there are."""
    done = several.veil("secrets", "check", "pin", "logn", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (2, "VEIL220")
    assert "login" in done.json["errors"][0]["hint"]


@pytest.mark.parametrize("value", ["", "short"])
def test_a_value_that_is_empty_or_short_is_no_secret(several: Project, value: str) -> None:
    """Unless somebody wrote down why it has to be."""
    done = several.veil("secrets", "check", "login", "--json", environment={"LOGIN": value})
    assert (done.status, done.json["secrets"][0]["error"]["code"]) == (2, "VEIL222")


def test_a_random_text_in_a_file_is_a_warning_in_words_and_in_the_document(several: Project) -> None:
    """It changes no exit status."""
    word = "Q7xK9mVw2Rt5Yb8Nc4Jh6Ld3Fg1Zs0Pa"
    policy = several.directory / "policies/people.yaml"
    policy.write_text(policy.read_text() + f"owner: {word}\n")
    words = several.veil("plan", "people")
    document = several.veil("plan", "people", "--json").json
    assert words.status == 0 and "warning VEIL223: policies/people.yaml:" in words.err
    assert [one["code"] for one in document["warnings"]] == ["VEIL223"]
    assert word not in words.err


def test_what_is_said_to_be_no_secret_stands_in_plan_and_record(project: Project) -> None:
    """With its place and reason, for a person and for a program."""
    looks = "AK" + "IA" + "Z" * 16
    policy = project.directory / "policies/people.yaml"
    policy.write_text(policy.read_text() + f"owner: {looks}  # unsafe_not_a_secret: our team is called so\n")
    line = len(policy.read_text().splitlines())
    expected = [{"place": {"file": "policies/people.yaml", "line": line}, "reason": "our team is called so"}]
    planned = project.veil("plan", "people", "--json")
    assert (planned.status, planned.json["unsafe_not_a_secret"]) == (0, expected)
    shown = f"exempt  policies/people.yaml:{line} is said to be no secret: our team is called so"
    assert shown in project.veil("plan", "people").out
    assert project.veil("run", "people", "--direct", "--quiet").status == 0
    with sqlite3.connect(project.directory / ".veil/state.db") as connection:
        (kept,) = connection.execute("select plan from runs").fetchone()
    assert json.loads(kept)["unsafe_not_a_secret"] == expected
