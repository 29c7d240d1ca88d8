"""A run's books: what is fixed when it begins, and the records of runs whose process died."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from veilflow.model import FileIdentity, Increment, Plan, RunResult, Target
from veilflow.run.incremental import fixed_document, parse_fixed
from veilflow.run.result import result_from_document
from veilflow.state import State, source_fingerprint


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is fixed when a run begins and holds for each retry and resume of it.

    ``fingerprints`` are those of the contents of ``files``, keyed by version ``active_key`` of the key ring; ``chunk_rows``
    is the rule by which the source is cut.
    """

    as_of: date
    chunk_rows: int
    files: tuple[FileIdentity, ...]
    fingerprints: tuple[str, ...]
    active_key: int
    parameters: Mapping[str, Any]
    increment: Increment | None = None

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "as_of": str(self.as_of), "increment": fixed_document(self.increment)}

    @staticmethod
    def parse(document: Mapping[str, Any]) -> Beginning:
        """The inverse of ``document``."""
        files = tuple(FileIdentity(**file) for file in document["files"])
        fixed = {"as_of": date.fromisoformat(document["as_of"]), "fingerprints": tuple(document["fingerprints"])}
        fixed |= {"files": files, "increment": parse_fixed(document.get("increment"))}
        return Beginning(**{**document, **fixed})


def close_the_dead(
    state: State, pipeline: str, target: Target, but: str | None = None
) -> list[tuple[dict[str, Any], str]]:
    """Close the records of runs of this pipeline that say ``running``, as whoever holds its lock may.

    Returns documents and source fingerprints of those that had published: they are ``published_unreported`` now.
    """
    published = []
    for document, source in state.unfinished(pipeline):
        if document["run_id"] == but:
            continue
        if target.publication(document["run_id"]) is None:
            state.set_status(document, "interrupted")
        else:
            published.append((state.set_status(document, "published_unreported"), source))
    return published


def completed_by(
    published: list[tuple[dict[str, Any], str]], plan: Plan, files: tuple[FileIdentity, ...]
) -> RunResult | None:
    """The result of a dead run that appended the very files that this plan would append again: it is done already. An
    incremental run knows by its checkpoint what is left to do."""
    if plan.incremental is not None:
        return None
    for document, source in published:
        same = source == source_fingerprint(files) and document["plan_hash"] == plan.plan_hash
        if same and plan.target.mode == "append":
            return result_from_document(document)
    return None
