"""A secret that stands in a file of the project is an error with its line; a random text is a warning."""

from __future__ import annotations

import base64
import secrets
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilflow.config import NotASecret, not_secrets, suspicious
from veilflow.config.leaks import known, looks_random
from veilflow.config.nodes import read_yaml
from veilflow.errors import Place, VeilError

ALPHABET = string.ascii_letters + string.digits
#: Built here, so that no scanner takes this file for a leak.
CREDENTIALS = [
    "AK" + "IA" + "Z" * 16, "gh" + "p_" + "a1" * 18, "github" + "_pat_" + "a1" * 20, "gl" + "pat-" + "a1" * 10,
    "xo" + "xb-" + "1" * 12 + "-abc", "hv" + "s." + "a1" * 12, "sk_" + "live_" + "a1" * 12, "AI" + "za" + "a" * 35,
    "AGE-SECRET" + "-KEY-1" + "Q" * 58, "-----BEGIN " + "RSA PRIVATE KEY-----", "-----BEGIN " + "PRIVATE KEY-----",
    "ey" + "JhbGciOiJI" + ".ey" + "JzdWIiOiIx" + ".sig", "npm" + "_" + "a1" * 18, "pn" + "u_" + "a1" * 18,
    "postgresql://user:" + "pass@db.example/w", "https://:" + "pass@host/x", "mysql://u:p" + "/w@db/x",
    "postgresql://db/w?user=u&pass" + "word=x", "host=db pass" + "word=x", '{"veilflow' + '_keyring": 1}',
]  # fmt: skip
HARMLESS = [
    "postgresql://db.example:5432/warehouse", "postgresql://user@db.example/w", "https://host:8080/a@b", "mailto:a@b.example",
    "^[^@]+@[^@]+$", "secret/veilflow", "database/creds/loader", "veilflow-keyring", "password", "sk_old", "AKIA",
    "a key in hvs form", "gs://bucket/path", "sha256:1f0c", "1:2@3", "reports are per state: see x@example.com",
]  # fmt: skip


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_known_form_is_refused_wherever_it_stands(credential: str, tmp_path: Path) -> None:
    """As a value, inside a longer text, in a list, in a key, in a comment; with its line and without the value."""
    quoted = "'" + credential + "'"
    for line in (f"b: {quoted}", f"b: ['x', 'see {credential}']", f"{quoted}: b", f"b: 1  # was {credential}"):
        path = tmp_path / "names.yaml"
        path.write_text(f"a: 1\n{line}\nc: 2\n")
        with pytest.raises(VeilError) as caught:
            read_yaml(path, "secrets/names.yaml")
        assert {part.code for part in caught.value.parts} == {"VEIL223"}
        assert {part.place and part.place.line for part in caught.value.parts} == {2}
        assert credential not in str(caught.value)


def test_an_escape_does_not_hide_a_credential(tmp_path: Path) -> None:
    """The text as YAML means it is looked at."""
    path = tmp_path / "names.yaml"
    path.write_text('a: 1\nb: "\\x41K' + "IA" + "Z" * 16 + '"\n')
    with pytest.raises(VeilError, match="VEIL223") as caught:
        read_yaml(path, "n.yaml")
    assert str(caught.value.place) == "n.yaml:2:1"


def test_all_of_a_files_credentials_are_told_together(tmp_path: Path) -> None:
    """Each with its own line."""
    path = tmp_path / "names.yaml"
    path.write_text("".join(f"k{number}: '{credential}'\n" for number, credential in enumerate(CREDENTIALS)))
    with pytest.raises(VeilError) as caught:
        read_yaml(path, "n.yaml")
    assert len({part.place for part in caught.value.parts}) == len(CREDENTIALS)


@pytest.mark.parametrize("text", HARMLESS)
def test_places_and_patterns_are_no_credentials(text: str) -> None:
    """What a project's files are full of."""
    assert not list(known(text, Place("x")))


@given(st.integers(24, 64))
def test_a_random_key_looks_random(length: int) -> None:
    """In hex, base64, or letters and digits with every kind among them."""
    assert looks_random(secrets.token_hex(32))
    word = "aZ9" + "".join(secrets.choice(ALPHABET) for _ in range(length + 13))
    assert looks_random(word)
    assert looks_random("aZ9" + base64.b64encode(secrets.token_bytes(32)).decode())


@pytest.mark.parametrize(
    "word", ["expect_column_values_to_match_regex", "pipelines/expectations/people", "a" * 40, "0" * 40, "DateOfBirth1" * 3]
)  # fmt: skip
def test_a_long_name_does_not(word: str) -> None:
    """Nobody reads warnings that are always there."""
    assert not looks_random(word)


def test_a_random_text_is_a_warning_with_its_line(tmp_path: Path) -> None:
    """It is not shown either."""
    word = secrets.token_hex(32)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/people.yaml").write_text(f"version: 1\nowner: {word}\n")
    (warning,) = suspicious(tmp_path)
    assert (warning.code, str(warning.place)) == ("VEIL223", "policies/people.yaml:2")
    assert word not in str(warning)


def test_a_credential_in_a_file_that_no_pipeline_names_is_refused_too(tmp_path: Path) -> None:
    """It is in the project's history all the same."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/old.yaml").write_text(f"version: 1\n# was {CREDENTIALS[0]}\n")
    with pytest.raises(VeilError, match="VEIL223") as caught:
        suspicious(tmp_path)
    assert str(caught.value.place) == "policies/old.yaml:2"


def test_the_sample_project_has_no_warning() -> None:
    """So that the first one that a person sees means something."""
    assert suspicious(Path(__file__).resolve().parents[3]) == ()


@pytest.mark.parametrize("credential", CREDENTIALS[:3])
def test_a_line_of_which_a_person_says_why_it_is_no_secret_passes(credential: str, tmp_path: Path) -> None:
    """That line alone, with a reason; it is listed, and the text that looks like a credential is not shown."""
    (tmp_path / "policies").mkdir()
    path = tmp_path / "policies/people.yaml"
    path.write_text(f"a: 1\nb: '{credential}'  # unsafe_not_a_secret: the form in an example\n")
    read_yaml(path, "policies/people.yaml")
    assert suspicious(tmp_path) == ()
    (exempt,) = not_secrets(tmp_path)
    assert (str(exempt.place), exempt.reason) == ("policies/people.yaml:2", "the form in an example")
    for line in (
        f"c: '{credential}'",
        f"c: '{credential}'  # unsafe_not_a_secret:",
        f"# unsafe_not_a_secret: x\nc: '{credential}'",
        f"c: '{credential}'  # unsafe_not_a_secret: was {credential}",
        f"c: '{credential}'  # unsafe_not_a_secret: it is {secrets.token_hex(32)}",
    ):
        path.write_text(f"a: 1\n{line}\n")
        with pytest.raises(VeilError, match="VEIL223") as caught:
            read_yaml(path, "policies/people.yaml")
        assert "unsafe_not_a_secret" in caught.value.hint and not_secrets(tmp_path) == (
            (NotASecret(Place("policies/people.yaml", 2), "x"),) if "\n" in line else ()
        )
        with pytest.raises(VeilError, match="VEIL223"):
            suspicious(tmp_path)
