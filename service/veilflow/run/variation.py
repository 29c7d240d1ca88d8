"""What may make a run another one than its pipeline's own: rows from quarantine, or the published table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from veilflow.model import Waived
from veilflow.run.prepare import Loaded, Prepared
from veilflow.secret_stores.session import Session
from veilflow.state import State


class Variation(Protocol):
    """Another source, and what of the plan is about the pipeline's own. The steps of the run stay the same."""

    @property
    def parent_run(self) -> str | None:
        """The run whose rows it takes, if it is one's."""

    @property
    def waived(self) -> Waived | None:
        """The check that it lets pass, if it is a release."""

    @property
    def left_key_versions(self) -> Mapping[str, int] | None:
        """The versions that a re-key leaves, by key domain."""

    def loaded(self, loaded: Loaded, /) -> Loaded:
        """The pipeline as this run has it."""

    def prepared(self, prepared: Prepared, session: Session, /) -> Prepared:
        """The plan as this run has it; ``session`` opens the secrets that it takes to know that."""

    def refuse(self, state: State, /) -> None:
        """Refuse what the record of runs speaks against, under the pipeline's lock."""
