"""The loaders of pipelines, policies and suites."""

from __future__ import annotations

import re
import typing
import unicodedata
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilflow.config.environments import overlay
from veilflow.config.incremental import incremental_config
from veilflow.config.nodes import Mapping, Node, read_yaml
from veilflow.config.objects import CHUNK_ROWS, ColumnLabels, ExpectationConfig, PipelineConfig, SuiteConfig
from veilflow.config.parameters import fill, refuse_unused
from veilflow.config.quarantine import quarantine_config
from veilflow.errors import Place, VeilError, raise_all
from veilflow.model import CLASSIFICATIONS, ColumnType, FilterPlan, Limit, SourceConfig, TargetConfig, UrlTerms

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PIPELINE = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,63}")
SOURCE_KINDS = ("csv", "jsonl", "json", "parquet")
DATABASES = ("sqlite", "duckdb", "postgresql", "mariadb")
_SOURCE_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}
TARGET_KINDS = ("sqlite", "duckdb", "postgresql", "mariadb", "sqlalchemy", "csv", "jsonl", "parquet")
SERVERS = ("postgresql", "mariadb")
#: The kinds of target that have a connection.
CONNECTED = (*SERVERS, "sqlalchemy")
TYPES = ("text", "integer", "decimal", "float", "boolean", "date", "timestamp", "json")
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not_in", "is_null", "not_null")
LONGEST_SECONDS = 366 * 24 * 3600
MOST_WORKERS = 64


# --- finding -----------------------------------------------------------------------------


def find_project(start: Path | None) -> Path:
    """``start`` itself, or the working directory or its nearest parent, that has ``pipelines/``. VEIL204 if none has."""
    if start is not None:
        if (start / "pipelines").is_dir():
            return start.resolve()
        raise VeilError(
            "VEIL204", f"{start} has no pipelines/", "name a project's directory, or make one with `veil init DIR`"
        )
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "pipelines").is_dir():
            return directory
    raise VeilError(
        "VEIL204",
        "no project here: neither this directory nor one above it has pipelines/",
        "`veil init DIR` makes one, --project DIR names one",
    )


def pipeline_names(project: Path) -> tuple[str, ...]:
    """The names of the project's pipelines, sorted."""
    return tuple(sorted(path.stem for path in (project / "pipelines").glob("*.yaml") if _NAME.fullmatch(path.stem)))


def find(directory: Path, name: str, what: str, endings: tuple[str, ...] = (".yaml",)) -> Path:
    if _NAME.fullmatch(name):
        for ending in endings:
            if (path := directory / f"{name}{ending}").is_file():
                return path
    there = sorted(path.stem for path in directory.glob("*") if path.suffix in endings) if directory.is_dir() else []
    near = get_close_matches(name, there, n=1)
    hint = (f"did you mean {near[0]}? " if near else "") + "there are: " + (", ".join(there) or "none")
    raise VeilError("VEIL204", f'there is no {what} "{name}" in {directory.name}/', hint)


def column_name(written: str) -> str:
    """A column's name as names are compared: after NFC and trimming."""
    return unicodedata.normalize("NFC", written).strip()


# --- pipelines ---------------------------------------------------------------------------


def load_pipeline(project: Path, name: str, environment: str) -> PipelineConfig:
    """``pipelines/<name>.yaml`` with the environment's limits."""
    path = find(project / "pipelines", name, "pipeline")
    shown = f"pipelines/{name}.yaml"
    problems: list[VeilError] = []
    if not _PIPELINE.fullmatch(name):
        problems.append(
            VeilError(
                "VEIL202",
                f'{shown}: "{name}" cannot be a pipeline\'s name, under which keys are derived',
                "at most 64 of a-z, 0-9, _, . and -",
                Place(shown),
            )  # fmt: skip
        )
    root = Mapping(read_yaml(path, shown), shown, problems)
    root.version()
    types, labels = _columns(root.sub("columns"), problems)
    source = _source(root.sub("source", required=True), project, types, shown)
    filters = _filters(root.node("filters"), problems, shown)
    policy = root.text("policy", "", required=True)
    expectations = root.text("expectations")
    target = _target(root.sub("target", required=True), project, name, shown)
    limits = root.sub("limits")
    max_quarantined, timeout_seconds = _limits(limits)
    laid_over = overlay(project, environment, problems)
    if laid_over is not None and (over := laid_over.sub("limits")) is not None:
        stricter, sooner = _limits(over)
        max_quarantined, timeout_seconds = stricter or max_quarantined, sooner or timeout_seconds
    chunk_rows = root.take("chunk_rows", int, "a whole number of rows", CHUNK_ROWS)
    if not 1 <= chunk_rows <= 10_000_000:
        root.wrong(root.node("chunk_rows") or Node(None, root.place), "must be from 1 to 10000000", "chunk_rows")
    workers = root.take("workers", int, "a whole number of threads", None)
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        root.wrong(root.node("workers") or Node(None, root.place), f"must be from 1 to {MOST_WORKERS}", "workers")
    allow_empty = root.take("allow_empty", bool, "true or false", False)
    on_overlap = root.choice("on_overlap", ("refuse", "wait"), "refuse")
    as_of = _date(root, "as_of")
    incremental = incremental_config(root.sub("incremental"))
    recipient, wrapped_by, days, held_in = quarantine_config(root.sub("quarantine"), target)
    root.end()
    if policy and (not _NAME.fullmatch(policy) or Path(policy).suffix in (".yaml", ".yml")):
        root.wrong(root.node("policy") or Node(None, root.place), "must be a policy's name", "policy",
                   "the file's name in policies/, without directory and ending")  # fmt: skip
    if target.path is not None and source.shown and source.connection is None and _is_of(target.path, source):
        problems.append(
            VeilError("VEIL202", f"{shown}: the target is a file of the source", "name another path", target.place)
        )
    raise_all(problems)
    return PipelineConfig(
        name=name, source=source, policy=policy, target=target, place=Place(shown), filters=filters,
        expectations=expectations, max_quarantined=max_quarantined, timeout_seconds=timeout_seconds,
        chunk_rows=chunk_rows, workers=workers, allow_empty=allow_empty, on_overlap=on_overlap, as_of=as_of, labels=labels,
        quarantine_recipient=recipient, quarantine_wrapped_by=wrapped_by, quarantine_days=days,
        quarantine_store=held_in,
        incremental=incremental,
    )  # fmt: skip


def _is_of(path: Path, source: SourceConfig) -> bool:
    """Whether a path is that of the source, or is matched by it: the next run would read what this one wrote."""
    written, pattern = path.resolve(), source.path.resolve()
    if "**" in pattern.parts:
        return fnmatchcase(str(written), str(pattern).replace("**/", "*"))
    same_depth = len(written.parts) == len(pattern.parts)
    return written == pattern or (same_depth and all(map(fnmatchcase, written.parts, pattern.parts)))


def _date(found: Mapping, key: str) -> date | None:
    written = found.text(key)
    try:
        return None if written is None else date.fromisoformat(written)
    except ValueError:
        found.wrong(found.node(key) or Node(None, found.place), "must be a date: YYYY-MM-DD", key)
        return None


def _source(found: Mapping | None, project: Path, types: dict[str, ColumnType], shown: str) -> SourceConfig:
    if found is None:
        return SourceConfig("csv", project, "")
    kind_node = found.node("kind")
    if kind_node is not None and kind_node.value in DATABASES:
        return _database_source(found, project, types)
    path = found.text("path", "", required=True)
    connection = found.text("connection")
    _where(found, path, connection)
    ending = Path(path.removesuffix(".gz").removesuffix(".zst")).suffix.lower()
    kind = found.choice(
        "kind", SOURCE_KINDS + DATABASES, _SOURCE_ENDINGS.get(ending), required=ending not in _SOURCE_ENDINGS
    )
    null_values = found.take("null_values", list, "a list of texts", [""])
    if not all(isinstance(value, str) for value in null_values):
        found.wrong(
            found.node("null_values") or Node(None, found.place), "must be a list of texts: quote them", "null_values"
        )
        null_values = [""]
    delimiter = found.text("delimiter", "\t" if ending == ".tsv" else ",")
    quote = found.text("quote", '"')
    for key, value in (("delimiter", delimiter), ("quote", quote)):
        if key == "quote" and value == "":
            continue  # quotes are text
        if len(value) != 1 or not value.isascii() or value in "\r\n\0":
            found.wrong(found.node(key) or Node(None, found.place), "must be one ASCII character", key)
    if delimiter == quote:
        found.wrong(found.node("quote") or Node(None, found.place), "must not be the delimiter", "quote")
    config = SourceConfig(
        kind=kind or "csv", path=project / path, shown=path, trim=found.take("trim", bool, "true or false", False),
        null_values=tuple(null_values), on_bad_row=found.choice("on_bad_row", ("refuse", "quarantine"), "refuse"),
        delimiter=delimiter, quote=quote, encoding=found.text("encoding", "utf-8"), types=types,
        place=found.place, connection=connection,
    )  # fmt: skip
    found.end()
    return config


def _where(found: Mapping, path: str, connection: str | None) -> None:
    """Whether path and connection fit each other: one of them decides where rows come from, and who asks for them."""
    remote = path.startswith("s3://")
    if "://" in path and not remote:
        found.wrong(found.node("path") or Node(None, found.place), "must be a local path or begin with s3://", "path")
    elif remote and connection is None:
        found.wrong(
            found.node("path") or Node(None, found.place), "needs a `connection` with the store's address", "path",
            "name one of secrets/names.yaml: no login is taken from the environment",
        )  # fmt: skip
    elif connection is not None and not remote:
        found.wrong(
            found.node("connection") or Node(None, found.place), "is for a path that begins with s3://", "connection"
        )


def _database_source(found: Mapping, project: Path, types: dict[str, ColumnType]) -> SourceConfig:
    """A table or a query, of a file or by a connection."""
    kind = found.choice("kind", DATABASES, required=True) or "sqlite"
    path = found.text("path", "", required=True) if kind not in SERVERS else ""
    connection = found.text("connection", required=True) if kind in SERVERS else None
    table, query = found.text("table"), found.text("query")
    if (table is None) == (query is None):
        found.wrong(Node(None, found.place), "needs `table` or `query`, and not both", "table")
    order_by = found.take("order_by", list, "a list of columns", [])
    if not all(isinstance(name, str) for name in order_by):
        found.wrong(found.node("order_by") or Node(None, found.place), "must be a list of columns", "order_by")
        order_by = []
    config = SourceConfig(
        kind=kind, path=project / path, shown=path or connection or "", types=types, place=found.place, table=table,
        on_bad_row=found.choice("on_bad_row", ("refuse", "quarantine"), "refuse"), query=query,
        order_by=tuple(order_by), connection=connection,
    )  # fmt: skip
    found.end()
    return config


def _columns(found: Mapping | None, problems: list[VeilError]) -> tuple[dict[str, ColumnType], dict[str, ColumnLabels]]:
    """The columns' types, and what the pipeline says of them to a policy; a column with either may go without the other."""
    types, labels = {}, {}
    for name, node in found.items() if found else ():
        column = Mapping(node, f"columns.{name}", problems)
        tags = column.take("tags", list, "a list of texts", [])
        classification = column.choice("class", CLASSIFICATIONS)
        labelled = bool(tags) or classification is not None
        kind = column.choice("type", TYPES, None if labelled else "text", required=not labelled)
        if not all(isinstance(tag, str) and _NAME.fullmatch(tag) for tag in tags):
            column.wrong(node, "must be a list of names: letters, digits, _, . and -", "tags")
            tags = []
        if labelled:
            labels[column_name(name)] = ColumnLabels(tuple(tags), classification, node.place)
        declared = _type(column, kind, node)
        if kind is not None:
            types[column_name(name)] = declared
        column.end()
    return types, labels


def _type(column: Mapping, kind: str | None, node: Node) -> ColumnType:
    pattern = column.text("format")
    precision = column.take("precision", int, "a whole number from 1 to 38", 38)
    scale = column.take("scale", int, "a whole number from 0 to the precision", 2)
    zone = column.text("timezone")
    if pattern is not None and kind not in ("date", "timestamp"):
        column.wrong(node, "is only for dates and timestamps", "format")
    if not 1 <= precision <= 38 or not 0 <= scale <= precision:
        column.wrong(node, "needs 1 <= precision <= 38 and 0 <= scale <= precision")
        precision, scale = 38, 2
    return ColumnType(kind or "text", _arrow(kind or "text", precision, scale, zone), pattern)


def _arrow(kind: str, precision: int, scale: int, zone: str | None) -> pa.DataType:
    return {
        "text": pa.string(), "json": pa.string(), "integer": pa.int64(), "float": pa.float64(), "boolean": pa.bool_(),
        "decimal": pa.decimal128(precision, scale), "date": pa.date32(), "timestamp": pa.timestamp("us", zone),
    }[kind]  # fmt: skip


def _filters(node: Node | None, problems: list[VeilError], shown: str) -> tuple[FilterPlan, ...]:
    if node is None:
        return ()
    if not isinstance(node.value, list):
        problems.append(
            VeilError(
                "VEIL202",
                f"{shown}: filters must be a list",
                "filters: [{name: …, keep: {column: …, op: …, value: …}}]",
                node.place,
            )
        )
        return ()
    filters = []
    for entry in node.value:
        one = Mapping(entry, "filter", problems)
        name, keep = one.text("name", "", required=True), one.sub("keep", required=True)
        one.end()
        if keep is None:
            continue
        column, op = keep.text("column", "", required=True), keep.choice("op", OPERATORS, "==", required=True)
        value = keep.node("value")
        keep.end()
        filters.append(FilterPlan(name, column_name(column), op, None if value is None else value.plain, entry.place))
    return tuple(filters)


def _target(found: Mapping | None, project: Path, pipeline: str, shown: str) -> TargetConfig:
    if found is None:
        return TargetConfig("sqlite", pipeline, "replace", None, "")
    kind = found.choice("kind", TARGET_KINDS, required=True) or "sqlite"
    on_disk = kind not in CONNECTED
    path = found.text("path", required=on_disk) if on_disk else None
    connection = found.text("connection", required=True) if not on_disk else None
    table = found.text("table", pipeline)
    if not table or not table.isprintable() or table.startswith(("_veilflow", "veilflow_staging")):
        found.wrong(
            found.node("table") or Node(None, found.place),
            "must be a table's name, and not one of Veilflow's own",
            "table",
        )
    mode = found.choice("mode", ("replace", "append", "merge"), "replace")
    key, delete = _merge_key(found, mode)
    on_refused_row = found.choice("on_refused_row", ("refuse", "quarantine"), "refuse")
    columns = found.choice("columns", ("freeze", "evolve"), "freeze")
    terms = _url_terms(found, kind)
    if kind == "sqlalchemy" and columns == "evolve":
        found.wrong(found.node("columns") or Node(None, found.place), "cannot be evolve for this kind", "columns",
                    "its tables get columns by your own ALTER TABLE: a dialect may commit it before the rows")  # fmt: skip
    found.end()
    return TargetConfig(
        kind=kind, table=table, mode=mode, path=None if path is None else project / path,
        shown=path or connection or "", connection=connection, place=found.place, key=key, delete=delete,
        on_refused_row=on_refused_row, columns=columns, terms=terms,
    )  # fmt: skip


def _url_terms(found: Mapping, kind: str) -> UrlTerms:
    """``url_parameters`` and ``unsafe_transport``, which only a dialect of SQLAlchemy takes."""
    if kind != "sqlalchemy":
        return UrlTerms()
    written = found.take("url_parameters", list, "a list of names", [])
    reason = found.text("unsafe_transport")
    if not all(isinstance(name, str) and name for name in written):
        found.wrong(
            found.node("url_parameters") or Node(None, found.place), "must be a list of names", "url_parameters"
        )
        written = []
    if reason is not None and not reason.strip():
        found.wrong(found.node("unsafe_transport") or Node(None, found.place), "needs a reason", "unsafe_transport",
                    "why the network may be crossed, though nothing says that it is encrypted")  # fmt: skip
    return UrlTerms(tuple(written), reason)


def _merge_key(found: Mapping, mode: str) -> tuple[tuple[str, ...], bool]:
    """``key`` and ``delete``, which only a merge takes and of which it needs the first."""
    written = found.take("key", list, "a list of columns", [])
    delete = found.take("delete", bool, "true or false", False)
    place = found.node("key") or Node(None, found.place)
    key = tuple(column_name(name) for name in written if isinstance(name, str))
    if len(key) != len(written) or len(set(key)) != len(key):
        found.wrong(place, "must be a list of columns, each once", "key")
    elif mode == "merge" and not key:
        found.wrong(place, "needs the columns that tell rows apart", "key", "for example `mode: merge, key: [id]`")
    elif mode != "merge" and (key or delete):
        found.wrong(place, "is only for `mode: merge`", "key" if key else "delete")
    return key, delete


def _limits(found: Mapping | None) -> tuple[Limit | None, float | None]:
    if found is None:
        return None, None
    limit = None
    node = found.node("max_quarantined")
    if node is not None:
        limit = _limit(node)
        if limit is None:
            found.wrong(node, "must be a share such as 5 %, or a whole number of rows", "max_quarantined")
    timeout = found.take("timeout_seconds", (int, float), "a number of seconds")
    if timeout is not None and not 0 < timeout <= LONGEST_SECONDS:
        found.wrong(
            found.node("timeout_seconds") or Node(None, found.place),
            "must be above 0 and at most a year",
            "timeout_seconds",
        )
    found.end()
    return limit, timeout


def _limit(node: Node) -> Limit | None:
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 0:
        return Limit(rows=node.value)
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", str(node.value))
    share = float(match[1]) / 100 if match else None
    return Limit(share=share) if share is not None and share <= 1 else None


# --- suites ------------------------------------------------------------------------------


def load_suite(project: Path, name: str, parameters: typing.Mapping[str, Any] | None = None) -> SuiteConfig:
    """``pipelines/expectations/<name>.yaml`` or ``.json``, a Great Expectations 1.x suite, with ``parameters`` over its
    own ``suite_parameters``. VEIL208 if it is empty."""
    path = find(project / "pipelines" / "expectations", name, "suite", (".yaml", ".json"))
    shown = f"pipelines/expectations/{path.name}"
    problems: list[VeilError] = []
    root = Mapping(read_yaml(path, shown, if_empty="VEIL208"), shown, problems)
    for key in ("version", "name", "id", "notes"):
        root.node(key)
    meta, defaults = root.node("meta"), root.node("suite_parameters")
    node = root.node("expectations", required=True)
    root.end()
    entries = node.value if node is not None and isinstance(node.value, list) else []
    if node is not None and not isinstance(node.value, list):
        root.wrong(node, "must be a list", "expectations")
    about = meta.plain if meta is not None and isinstance(meta.value, dict) else {}
    if not entries and not problems and not _allows_empty(about):
        problems.append(
            VeilError(
                "VEIL208",
                f"{shown} has no expectation",
                "an empty suite passes everything: add one, take `expectations:` out of the pipeline, or say "
                "`meta: {veilflow: {allow_empty: true}}`",
                Place(shown),
            )
        )
    for entry in entries:
        if not isinstance(entry.value, dict):
            problems.append(
                VeilError(
                    "VEIL202", f"{shown}: an expectation must be a mapping", "{type: …, kwargs: {…}}", entry.place
                )
            )
    raise_all(problems)
    found = _filled(entries, {} if defaults is None else defaults.plain, parameters or {}, Place(shown))
    return SuiteConfig(name, found, Place(shown), about)


def _allows_empty(about: typing.Mapping[str, Any]) -> bool:
    ours = about.get("veilflow")
    return isinstance(ours, dict) and ours.get("allow_empty") is True


def _filled(
    entries: typing.Sequence[Node], defaults: Any, given: typing.Mapping[str, Any], place: Place
) -> tuple[ExpectationConfig, ...]:
    """The expectations with their parameters' values; all that is wrong is raised together."""
    values = {**(defaults if isinstance(defaults, dict) else {}), **given}
    used: set[str] = set()
    problems: list[VeilError] = []
    found = []
    for entry in entries:
        try:
            found.append(ExpectationConfig(fill(entry.plain, values, used, entry.place), entry.place))
        except VeilError as error:
            problems.append(error)
    raise_all([*problems, *refuse_unused(given, used, place)])
    return tuple(found)
