"""Contracts for those who add a store or an expectation: subclass, fill in, and pytest does the rest.

class TestMyStore(SecretStoreContract):
    @pytest.fixture
    def store(self): return MyStore(...)            # empty

class TestMyExpectation(ExpectationContract):
    type = "expect_column_values_to_be_even"        # the entry point's name; the package is installed
    rows = pa.table({"a": [2, 4, 3, None]})
    kwargs = {"column": "a"}
    failing = (2,)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from veilflow.checks import fit_check, open_checker, plan_check
from veilflow.errors import PassingFault, Place, VeilError
from veilflow.model import Chunk, ColumnType, Reading, Secret, SecretRef, SecretStore, SourceColumn, type_name

#: What is not to be trimmed, parsed or recoded on its way.
AWKWARD_VALUES = (
    "1e5-1e5-1e5", "00000007", "true or false", '"quoted"', '{"a": "object"}', "pässwörd 密码 🔑", " blanks ", "a\nline",
    "tab\tand\\n", "%2F%20+&=", "-" * 5000,
)  # fmt: skip


class SecretStoreContract:
    """What every secret store that can be written keeps to. ``ref`` may be overridden where a kind needs more."""

    def ref(self, name: str) -> SecretRef:
        """The place of a secret of that name (lower-case letters, digits and dashes)."""
        return SecretRef(name)

    def test_what_is_written_is_read_back_exactly(self, store: SecretStore) -> None:
        """Numbers, JSON, blanks, any script, several lines."""
        for number, value in enumerate(AWKWARD_VALUES):
            store.write(self.ref(f"value-{number}"), Secret(value))
            assert store.read(self.ref(f"value-{number}")).secret.reveal() == value

    def test_what_is_not_there_has_no_facts_and_cannot_be_read(self, store: SecretStore) -> None:
        """``facts`` and ``read`` agree."""
        assert store.facts(self.ref("nothing")) is None
        refused("VEIL221", lambda: store.read(self.ref("nothing")))

    def test_what_is_there_has_facts(self, store: SecretStore) -> None:
        """Without being opened."""
        store.write(self.ref("something"), Secret("value-of-something"))
        assert store.facts(self.ref("something")) is not None

    def test_writing_never_replaces(self, store: SecretStore) -> None:
        """The first value stays, and the refusal tells neither."""
        store.write(self.ref("first"), Secret("first-marker"))
        refused("VEIL220", lambda: store.write(self.ref("first"), Secret("second-marker")), "marker")
        assert store.read(self.ref("first")).secret.reveal() == "first-marker"

    def test_replacing_takes_the_place_of_what_was_read(self, store: SecretStore) -> None:
        """Twice, so that it also holds for what was replaced itself."""
        store.write(self.ref("ring"), Secret("value-one"))
        for value in ("value-two", "value-three"):
            store.replace(self.ref("ring"), store.read(self.ref("ring")), Secret(value))
            assert store.read(self.ref("ring")).secret.reveal() == value

    def test_replacing_what_has_changed_meanwhile_changes_nothing(self, store: SecretStore) -> None:
        """Of two processes that read the same value only one may write."""
        store.write(self.ref("ring"), Secret("value-one"))
        both_read: Reading = store.read(self.ref("ring"))
        store.replace(self.ref("ring"), both_read, Secret("value-of-a"))
        error = refused("VEIL405", lambda: store.replace(self.ref("ring"), both_read, Secret("value-of-b")), "value-")
        assert isinstance(error, PassingFault)
        assert store.read(self.ref("ring")).secret.reveal() == "value-of-a"


class ExpectationContract:
    """What every row expectation of another package keeps to: in ``rows`` those of ``failing`` fail, and no other."""

    type: ClassVar[str]
    kwargs: ClassVar[Mapping[str, Any]]
    rows: ClassVar[pa.Table]
    failing: ClassVar[tuple[int, ...]]

    def test_fails_exactly_these_rows(self) -> None:
        """In one chunk."""
        assert _failing(self, self.rows.num_rows) == list(self.failing)

    def test_judges_each_row_by_itself(self) -> None:
        """Chunks of one and two rows give the verdicts of the whole."""
        for size in (1, 2):
            assert _failing(self, size) == list(self.failing), f"in chunks of {size}"

    def test_says_the_same_twice(self) -> None:
        """No clock, no chance, nothing kept from the last call."""
        assert _failing(self, 3) == _failing(self, 3)

    def test_leaves_rows_out_where_nothing_is_there(self) -> None:
        """As every expectation but the null checks."""
        check, columns, checker = _opened(self)
        nothing = pa.RecordBatch.from_arrays([pa.nulls(4, column.type.arrow) for column in columns], names=self.rows.column_names)  # fmt: skip
        (outcome,) = checker.check(Chunk(0, nothing, nothing, np.arange(4)))
        assert (outcome.evaluated, len(outcome.failed)) == (0, 0), check.type

    def test_refuses_an_argument_that_it_does_not_have(self) -> None:
        """VEIL207, as a misspelt one of Great Expectations."""
        raw = {"type": self.type, "kwargs": {**self.kwargs, "no_such_argument": 1}}
        refused("VEIL207", lambda: plan_check(raw, Place("suite.yaml", 1)))


def _opened(contract: ExpectationContract) -> tuple[Any, list[SourceColumn], Any]:
    columns = [SourceColumn(field.name, ColumnType(type_name(field.type, "text"), field.type)) for field in contract.rows.schema]  # fmt: skip
    check = plan_check({"type": contract.type, "kwargs": dict(contract.kwargs)}, Place("suite.yaml", 1))
    fitted = fit_check(check, {column.name: column.type for column in columns})
    return fitted, columns, open_checker([fitted], columns)


def _failing(contract: ExpectationContract, size: int) -> list[int]:
    """The rows that fail, judged in chunks of ``size`` rows."""
    _check, _columns, checker = _opened(contract)
    rows, found = contract.rows.combine_chunks(), []
    for number, start in enumerate(range(0, rows.num_rows, size)):
        (part,) = rows.slice(start, size).combine_chunks().to_batches()
        (outcome,) = checker.check(Chunk(number, part, part, np.arange(part.num_rows)))
        found += [start + int(row) for row in outcome.failed]
    return found


def refused(code: str, call: Callable[[], object], never: str = "\0") -> VeilError:
    """The VeilError that ``call`` raises: of that code, without ``never`` in its text, with no library's error shown."""
    try:
        call()
    except VeilError as error:
        assert error.code == code, f"{error.code} where {code} is right"
        assert never not in str(error)
        assert error.__context__ is None or error.__suppress_context__
        return error
    raise AssertionError(f"{code} was not raised")
