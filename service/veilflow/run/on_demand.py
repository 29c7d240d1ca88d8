"""Anonymisation of one file or table, and previews: the same plan and treatments under a key of their own.

The key is made for the one call and forgotten, so nobody can look production's pseudonyms up with them.
"""

from __future__ import annotations

import unicodedata
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilflow.config import (
    PipelineConfig,
    PolicyConfig,
    find_project,
    load_pipeline,
    load_policy,
    pipeline_names,
    settings,
)
from veilflow.errors import Place, VeilError, raise_all
from veilflow.keys import KeyRing
from veilflow.model import (
    Chunk,
    Counts,
    Mode,
    QuarantineCount,
    Source,
    SourceConfig,
    TargetConfig,
)
from veilflow.plan import decide
from veilflow.run.chunk import process
from veilflow.run.prepare import Prepared, work_for
from veilflow.run.result import counts_of, quarantine_of
from veilflow.run.stage import parts_of, stage
from veilflow.run.verify import verify
from veilflow.sources import frame_source, kind_of, open_source
from veilflow.state import State, new_run_id, today, utc_now
from veilflow.targets import open_target
from veilflow.targets.memory import MemoryTarget


@dataclass(frozen=True)
class Anonymized:
    """What an on-demand run came to. ``left_out`` counts the rows that could not be read or did not fit their types:
    they are ``quarantined`` in the counts, but with a key that is forgotten nothing is kept of them."""

    counts: Counts
    left_out: tuple[QuarantineCount, ...]
    columns: tuple[tuple[str, str, str], ...]
    table: pa.Table | None


class _LeavesOut:
    """Rows that cannot be used are left out and counted: whoever asked has the input still."""

    def write(self, _chunk: Chunk, _rows: object) -> None:
        """Keep nothing: the receipt has the reasons."""


def anonymize(data: Any, *, policy: str | Path, project: Path | None = None, like: str | None = None) -> Any:
    """``data`` with every column treated by ``policy``, under a key made for this call.

    ``data`` is a pandas DataFrame (its index is not kept), an Arrow table, or the path of a CSV, JSON Lines, JSON or
    Parquet file; ``policy`` is a policy's name in ``project`` (default: the working directory) or the path of its
    file; ``like`` is the pipeline whose ``source`` and ``columns`` say how to read a file (see ``file_source``) and
    which tags the columns have. An
    Arrow table gives an Arrow table, everything else a pandas DataFrame. Raises VeilError as a run would, and warns
    where rows were left out.
    """
    if isinstance(data, pa.Table):
        return _anonymize_source(frame_source(data), "table", policy, project, like=like).table
    if isinstance(data, str | Path):
        config = file_source(Path(data), policy=policy, project=project, like=like)
        done = _anonymize_source(None, config.shown, policy, project, config, like=like)
        for left in done.left_out:
            warnings.warn(f"{left.rows:,} rows were left out: {left_out_words(left)}", stacklevel=2)
        table = done.table
    else:
        frame = pa.Table.from_pandas(data, preserve_index=False).replace_schema_metadata(None)
        table = _anonymize_source(frame_source(frame), "DataFrame", policy, project, like=like).table
    assert table is not None
    return table.to_pandas()


def anonymize_file(
    source: SourceConfig, out: Path, *, policy: str | Path, project: Path | None, like: str | None = None
) -> Anonymized:
    """Write ``source`` treated by ``policy`` to ``out`` (CSV, JSON Lines or Parquet, by its ending)."""
    if out.exists() and source.path.exists() and out.samefile(source.path):
        raise VeilError("VEIL200", "--out names the input itself", "name another file")
    return _anonymize_source(None, source.shown, policy, project, source, out, like=like)


def left_out_words(left: QuarantineCount) -> str:
    """Why rows were left out, with their column's name where it was one cell's fault."""
    return f"{left.column} {left.reason}" if left.column else left.reason


def file_source(
    path: Path, *, policy: str | Path, project: Path | None = None, like: str | None = None
) -> SourceConfig:
    """A source of the kind that the file's ending tells.

    A file of text says neither its columns' types nor its null values. They are those of the pipeline ``like``, or of
    the only pipeline of ``project`` that uses ``policy``; without one every column is text. VEIL204 for an unknown
    pipeline.
    """
    plain = SourceConfig(kind=kind_of(path), path=path.resolve(), shown=str(path))
    reader = _reader(policy, project, like)
    if reader is None:
        return plain
    return replace(reader.source, kind=plain.kind, path=plain.path, shown=plain.shown, place=None)


def _reader(policy: str | Path, project: Path | None, like: str | None) -> PipelineConfig | None:
    """The pipeline that says how data under this policy is read, and which tags its columns have."""
    if Path(policy).suffix in (".yaml", ".yml") and not like:
        return None
    directory = project or find_project(None)
    users = [like] if like else _pipelines_with(str(policy), directory)
    return load_pipeline(directory, users[0], settings().environment) if len(users) == 1 else None


def _pipelines_with(policy: str, project: Path) -> list[str]:
    """The pipelines that use a policy; one that cannot be read is not asked for here."""
    found = []
    for name in pipeline_names(project):
        with suppress(VeilError):
            if load_pipeline(project, name, settings().environment).policy == policy:
                found.append(name)
    return found


def _anonymize_source(
    source: Source | None,
    shown: str,
    policy_name: str | Path,
    project: Path | None,
    config: SourceConfig | None = None,
    out: Path | None = None,
    like: str | None = None,
) -> Anonymized:
    policy = load_policy(project, str(policy_name))
    config = config or SourceConfig(kind="frame", path=Path(), shown=shown)
    config = replace(config, expected=tuple(dict.fromkeys([*policy.columns, *policy.unsafe_keep])))
    source = source or open_source(config)
    reader = _reader(policy_name, project, like)
    pipeline = replace(_pipeline(config, policy, out), labels=reader.labels if reader else {})
    decision = decide(pipeline, policy, None, None, source.schema(), "on-demand", publish="rename", as_of=today())
    raise_all(decision.errors)
    plan, before = decision.plan, source.files()
    run_id = new_run_id()
    work = work_for(plan, KeyRing.parse(KeyRing.generate(utc_now())), shown, run_id)
    target = open_target(
        kind=pipeline.target.kind, table=pipeline.target.table, mode="replace", schema=plan.output_schema, path=out
    )  # fmt: skip
    try:
        target.inspect()
        target.open(run_id)
        with parts_of(source, plan.source_columns, plan.chunk_rows) as parts:
            receipts = stage(
                parts,
                lambda chunk: process(chunk, work),
                _LeavesOut(),
                target,
                hold_refused=True,
                reopen=lambda: target.open(run_id),
                deadline=None,
                on_progress=lambda _progress: None,
            )
        verify(plan, receipts, staged_rows=target.staged_rows(), before=before, after=source.files(), source=shown)
        target.publish({})
    except BaseException:
        target.discard()
        raise
    finally:
        target.close()
    return Anonymized(
        counts_of(receipts.values()),
        quarantine_of(plan, receipts.values()),
        tuple((column.name, column.classification or "", column.treatment) for column in plan.columns),
        target.table if isinstance(target, MemoryTarget) else None,
    )


def _pipeline(source: SourceConfig, policy: PolicyConfig, out: Path | None) -> PipelineConfig:
    mode: Mode = "replace"
    kind = "memory" if out is None else kind_of(out)
    target = TargetConfig(
        kind=kind, table="output", mode=mode, path=out, shown="memory" if out is None else str(out)
    )  # fmt: skip
    return PipelineConfig(
        name="on-demand",
        source=source,
        filters=(),
        policy=policy.name,
        expectations=None,
        target=target,
        max_quarantined=None,
        timeout_seconds=None,
        allow_empty=True,
        place=Place("on-demand"),
    )


# --- preview -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """A few rows before (as shapes unless originals were asked for) and after, by column; ``held`` rows were left out as
    unusable."""

    columns: tuple[str, ...]
    treatments: tuple[str, ...]
    before: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]
    held: int
    #: The record of originals having been shown; None where they are shapes.
    disclosure: str | None = None

    def _repr_html_(self) -> str:
        from html import escape

        def row(cells: tuple[str, ...], tag: str = "td") -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        pairs = zip(self.before, self.after, strict=True)
        body = "".join(row(before) + row(after) for before, after in pairs)
        return f"<table>{row(self.columns, 'th')}{row(self.treatments, 'th')}{body}</table>"


def preview(prepared: Prepared, rows: int, show_values: bool = False) -> Preview:
    """The first ``rows`` rows of a pipeline's source, treated under a key of this call.

    Originals appear only as shapes, letters as ``a`` or ``A``, digits as ``9``, unless ``show_values`` asks for them:
    then a record of it is durable before the first one is read. VEIL320 where the policy refuses that.
    """
    prepared.raise_errors()
    disclosure = _disclose(prepared, rows) if show_values else None
    plan = replace(prepared.decision.plan, checks=(), on_bad_row="quarantine", filters=())
    work = work_for(plan, KeyRing.parse(KeyRing.generate(utc_now())), prepared.pipeline.source.shown, new_run_id())
    first = next(iter(prepared.source.slices(plan.source_columns, max(rows, 1))), None)
    names = tuple(column.name for column in plan.columns)
    if first is None:
        return Preview(names, tuple(column.treatment for column in plan.columns), (), (), 0, disclosure)
    chunk = first.read()
    treated = process(chunk, work)
    held = {row.row for row in treated.quarantined}
    usable = [row for row in range(chunk.raw.num_rows) if row not in held]
    raw = chunk.raw.take(pa.array(usable, pa.int64()))
    after = treated.rows
    told = _shown if show_values else shape
    return Preview(
        columns=names,
        treatments=tuple(column.treatment for column in plan.columns),
        before=tuple(tuple(told(raw.column(name)[index].as_py()) for name in names) for index in range(raw.num_rows)),
        after=tuple(
            tuple(
                _shown(after.column(name)[index].as_py()) if name in after.column_names else "(dropped)"
                for name in names
            )
            for index in range(after.num_rows)
        ),
        held=len(treated.quarantined),
        disclosure=disclosure,
    )


def _disclose(prepared: Prepared, rows: int) -> str:
    plan = prepared.decision.plan
    if not plan.show_values:
        raise VeilError(
            "VEIL320", f"the policy {plan.policy} does not let originals be shown", "leave --show-values out: shapes are shown"
        )  # fmt: skip
    return State(prepared.project).record_disclosure(
        plan.pipeline, plan.policy, [column.name for column in plan.columns], rows
    )


_SHAPES = {"Lu": "A", "Lt": "A", "N": "9", "L": "a", "M": "a"}


def shape(value: object) -> str:
    """A value's shape: ``anna@example.com`` becomes ``aaaa@aaaaaaa.aaa``. No letter and no digit is left."""
    if value is None:
        return "null"
    return "".join(_shape_of(character) for character in str(value)) or '""'


def _shape_of(character: str) -> str:
    category = unicodedata.category(character)
    found = _SHAPES.get(category) or _SHAPES.get(category[0])
    if found:
        return found
    return character if character in " @.,;:-_/+()'\"#&" else "?"


def _shown(value: object) -> str:
    return "null" if value is None else str(value) or '""'


__all__ = ["Anonymized", "Preview", "anonymize", "anonymize_file", "file_source", "left_out_words", "preview"]
