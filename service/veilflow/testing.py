"""Contracts for those who add a store: subclass, give a fixture ``store``, and pytest does the rest.

class TestMyStore(SecretStoreContract):
    @pytest.fixture
    def store(self): return MyStore(...)            # empty
"""

from __future__ import annotations

from collections.abc import Callable

from veilflow.errors import PassingFault, VeilError
from veilflow.model import Reading, Secret, SecretRef, SecretStore

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
