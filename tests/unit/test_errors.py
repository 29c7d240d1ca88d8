"""Errors and what they come to."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from veilflow.errors import CODES, EXIT_STATUS, PassingFault, Place, Problems, VeilError, raise_all


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
