"""Errors and what they come to."""

from __future__ import annotations

import copy
import pickle
import re
import secrets
import traceback

import pytest

from veilflow.errors import CODES, EXIT_STATUS, PassingFault, Place, Problems, VeilError, frameless, raise_all


def test_every_code_has_a_status_that_the_contract_knows() -> None:
    """The first digit is the exit status."""
    for code in CODES:
        assert re.fullmatch(r"VEIL[1-5]\d\d", code)
        assert VeilError(code, "p", "h").exit_status in EXIT_STATUS


def test_several_problems_have_the_worst_status() -> None:
    """The first of 5, 1, 4, 3, 2 that occurred."""
    problems = Problems([VeilError("VEIL201", "a", "h"), VeilError("VEIL402", "b", "h")])
    assert problems.exit_status == 4 and len(problems.parts) == 2


def test_errors_survive_pickling() -> None:
    """A task's error crosses threads and processes whole."""
    error = PassingFault("VEIL401", "p", "h", Place("f", 1, 2))
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is PassingFault and str(twin) == str(error)


def test_nothing_collected_raises_nothing() -> None:
    """One problem is raised as itself."""
    raise_all([])
    with pytest.raises(PassingFault):
        raise_all([PassingFault("VEIL401", "p", "h")])


def test_an_error_leaves_a_store_without_the_variables_of_its_frames() -> None:
    """Not in its own traceback and not in its context; class, code, texts and place stay."""

    @frameless
    def opens(value: str) -> str:
        held = f"{value}-again"
        try:
            raise RuntimeError(held)
        except RuntimeError:
            raise PassingFault("VEIL404", "the store did not answer", "try again", Place("names.yaml", 3)) from None

    with pytest.raises(PassingFault) as caught:
        opens(secrets.token_hex())
    error = caught.value
    assert (error.code, error.problem, error.hint, error.place) == (
        "VEIL404", "the store did not answer", "try again", Place("names.yaml", 3)
    )  # fmt: skip
    assert error.__context__ is None and error.__cause__ is None
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "in call" in shown and "in opens" not in shown and "-again" not in shown
