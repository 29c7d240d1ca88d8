"""Names that must be among a source's or an output's columns."""

from __future__ import annotations

from difflib import get_close_matches

from veilflow.config import PipelineConfig, PolicyConfig
from veilflow.errors import Place, VeilError
from veilflow.model import ColumnPlan
from veilflow.treatments import TREATMENTS


def names_present(
    pipeline: PipelineConfig, policy: PolicyConfig, columns: tuple[ColumnPlan, ...], present: list[str],
    errors: list[VeilError],
) -> None:  # fmt: skip
    """VEIL302 for each column that a rule, the pipeline or a treatment names and the source does not have."""
    for rule in policy.columns.values():
        if not rule.inherited:
            present_in(rule.column, present, "a rule names the column", rule.place, errors)
    for name, label in pipeline.labels.items():
        present_in(name, present, "columns: names the column", label.place, errors)
    for name in policy.unsafe_keep:
        present_in(name, present, "unsafe_keep names the column", policy.place, errors)
    for name in pipeline.source.types.keys() - pipeline.labels.keys():
        present_in(name, present, "columns: names the column", pipeline.place, errors)
    for column in columns:
        for name in dict.fromkeys(
            name for step in column.steps for name in TREATMENTS[step.treatment].reads(step.parameters)
        ):
            present_in(name, present, f'the treatment of "{column.name}" reads the column', column.rule, errors)


def present_in(
    name: str, there: list[str], what: str, place: Place | None, errors: list[VeilError], where: str = "source"
) -> None:
    if name in there:
        return
    near = get_close_matches(name, there, n=1)
    hint = (f"did you mean {near[0]}? " if near else "rename or remove it. ") + f"The {where} has: " + ", ".join(there)
    errors.append(VeilError("VEIL302", f'{what} "{name}", which is not in the {where}', hint, place))
