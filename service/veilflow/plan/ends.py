"""Source and target: what forbids to read the one as the pipeline says, or to load into the other."""

from __future__ import annotations

from veilflow.config import NamesConfig, PipelineConfig
from veilflow.errors import Place, VeilError
from veilflow.model import ColumnPlan, Publish, SourcePlan, SourceSchema, TargetConfig, TargetPlan
from veilflow.plan.presence import present_in
from veilflow.treatments import TREATMENTS, makes_a_key


def ends_fit(
    pipeline: PipelineConfig, names: NamesConfig | None, schema: SourceSchema, columns: tuple[ColumnPlan, ...]
) -> list[VeilError]:
    """What is said against source and target, whatever becomes of the columns between them."""
    unknown = [
        _unknown_connection(end.connection, names, end.place)
        for end in (pipeline.source, pipeline.target)
        if end.connection is not None and (names is None or end.connection not in names.connections)
    ]
    uneven = _uneven(schema, columns, pipeline.source.place)
    return [*unknown, *_merge_key(pipeline.target, columns), *uneven, *_undivided(pipeline)]


def source_plan(pipeline: PipelineConfig, schema: SourceSchema) -> SourcePlan:
    """From where, and by how many."""
    return SourcePlan(pipeline.source.kind, pipeline.source.shown, schema.files, pipeline.workers)


def target_plan(target: TargetConfig, publish: Publish | None) -> TargetPlan:
    """Where to, and how."""
    return TargetPlan(
        target.kind, target.shown, target.table, target.mode, publish, target.key, target.delete,
        target.on_refused_row, target.columns,
    )  # fmt: skip


#: Why the workers of a database would read different states of it, or none at all.
_ONE_READER = {
    "mariadb": "MariaDB shows one state of its tables to one connection only",
    "sqlite": "SQLite shows one state of its tables to one connection only",
    "duckdb": "DuckDB reads with all cores by itself",
}


def _undivided(pipeline: PipelineConfig) -> list[VeilError]:
    """VEIL202 for workers that could not share the source."""
    source, workers = pipeline.source, pipeline.workers or 1
    why = _ONE_READER.get(source.kind)
    if source.kind == "postgresql" and not source.order_by:
        why = "without `order_by` on a unique key there are no ranges to share"
    if workers == 1 or why is None:
        return []
    return [
        VeilError("VEIL202", f"{workers} workers cannot share this source: {why}", "leave `workers` out", source.place)
    ]


def _uneven(schema: SourceSchema, columns: tuple[ColumnPlan, ...], place: Place | None) -> list[VeilError]:
    """VEIL326 where the files of a source differ, but for columns that are refused already."""
    undecided = {column.name for column in columns if not column.steps}
    return [
        VeilError(
            "VEIL326", f'the column "{column.name}" {column.difference}',
            "give all files the same columns, declare the column's type in the pipeline, or read them by a pipeline each",
            place,
        )
        for column in schema.uneven
        if column.name not in undecided
    ]  # fmt: skip


def _merge_key(target: TargetConfig, columns: tuple[ColumnPlan, ...]) -> list[VeilError]:
    """What forbids the key of a merge: a column that is not loaded, or whose treatment brings different people together."""
    errors: list[VeilError] = []
    loaded = {column.name: column for column in columns if column.outcome == "load"}
    for name in target.key:
        if name not in loaded:
            present_in(name, list(loaded), "target: key names the column", target.place, errors)
            continue
        steps = loaded[name].steps
        unsafe = [step.treatment for step in steps if not makes_a_key(TREATMENTS[step.treatment], step.parameters)]
        if unsafe:
            errors.append(
                VeilError("VEIL318", f'the treatment {unsafe[0]} of the merge key "{name}" is no key: it can give two rows the same value, or one value two',
                          "use token (of 128 bits), pseudonym or keep for a key, or name another column", target.place)
            )  # fmt: skip
    return errors


def _unknown_connection(name: str, names: NamesConfig | None, place: Place | None) -> VeilError:
    there = sorted(names.connections) if names else []
    return VeilError(
        "VEIL220", f'there is no connection "{name}"', "secrets/names.yaml has: " + (", ".join(there) or "none"), place
    )


#: The kinds of target that are written for what a dialect of SQLAlchemy leads to.
_OWN_KINDS = {
    "postgresql": "postgresql",
    "mysql": "mariadb",
    "mariadb": "mariadb",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
}


def target_hints(target: TargetConfig, names: NamesConfig | None) -> tuple[str, ...]:
    """Where a database is reached by a dialect and has a kind of its own."""
    connection = names.connections.get(target.connection or "") if names else None
    if target.kind != "sqlalchemy" or connection is None:
        return ()
    own = _OWN_KINDS.get(connection.url.partition(":")[0].partition("+")[0])
    return () if own is None else (f"`kind: {own}` loads such a database faster than sqlalchemy does, and checks more",)


def secrets_needed(pipeline: PipelineConfig, names: NamesConfig | None) -> tuple[str, ...]:
    """The names of the secrets that a run opens."""
    if names is None:
        return ()
    connections = (names.connections.get(end.connection or "") for end in (pipeline.target, pipeline.source))
    wanted = [names.keyring, *(connection.credential for connection in connections if connection)]
    return tuple(dict.fromkeys(name for name in wanted if name is not None))
