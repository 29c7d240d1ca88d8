"""A plan with what forbids it."""

from __future__ import annotations

from dataclasses import dataclass

from veilflow.config import NotASecret
from veilflow.errors import VeilError
from veilflow.model import Plan
from veilflow.policies.lint import Finding


@dataclass(frozen=True)
class Decision:
    """A plan, and what forbids it. Undecided columns stand in the plan without steps."""

    plan: Plan
    errors: tuple[VeilError, ...]
    findings: tuple[Finding, ...] = ()
    #: Lines of the project's files of which a person says that no credential stands there.
    not_secrets: tuple[NotASecret, ...] = ()
    #: What works, and would work better otherwise.
    hints: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(c.name)}</td><td>{escape(c.classification or '')}</td><td>{escape(c.treatment)}</td></tr>"
            for c in self.plan.columns
        )
        return f"<table><tr><th>column</th><th>class</th><th>treatment</th></tr>{rows}</table>"
