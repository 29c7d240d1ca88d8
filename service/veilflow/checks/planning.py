"""From one expectation of a suite to a check of the plan; pure, without Great Expectations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, Literal

from veilflow.checks.arguments import KINDS, kind_of
from veilflow.checks.catalogue import (
    CROSS_EXPECTATIONS,
    KNOWN_EXPECTATIONS,
    REFUSED_EXPECTATIONS,
    ROW_EXPECTATIONS,
    TABLE_EXPECTATIONS,
    Expectation,
)
from veilflow.checks.conditions import parse_condition
from veilflow.checks.own import names, own
from veilflow.errors import Place, VeilError
from veilflow.model import CheckPlan, RowCondition

#: What an expectation may say in a suite that Great Expectations 1.x wrote.
_KEYS = (
    "type", "kwargs", "meta", "severity", "notes", "description", "id", "rendered_content",
    "expectation_context",
)  # fmt: skip
#: What an expectation's ``meta.veilflow`` may say.
_META = ("title", "engine", "on_fail", "stage")
_ENGINES = ("compiled", "great_expectations")
_ON_FAIL = ("refuse", "quarantine", "warn")
_STAGES = ("source", "output")
#: What a severity of Great Expectations means where nothing says `on_fail`.
_SEVERITIES = {"critical": "refuse", "warning": "quarantine", "info": "warn"}
#: What is about the order of rows, which only the source has.
_IN_ORDER = ("expect_column_values_to_be_increasing", "expect_column_values_to_be_decreasing")
_COLUMNS = ("column", "column_A", "column_B", "column_list")
#: What another package's argument is, only that package knows.
_ANYTHING = (lambda _value: True, "")
_SHOWN = 60


def plan_check(raw: Mapping[str, Any], place: Place, suite: Mapping[str, Any] | None = None) -> CheckPlan:
    """A check from one entry of a suite's ``expectations``; ``suite`` is the suite's own ``meta``.

    Raises VeilError: VEIL207 for an unknown type or argument or a value that does not fit its argument, VEIL305
    for an expectation that cannot be judged.
    """
    for key in raw:
        if key not in _KEYS:
            raise _unknown(f'an expectation has no key "{key}"', str(key), _KEYS, place)
    kind = raw.get("type")
    expectation = _expectation(kind, place)
    given = raw.get("kwargs")
    if not isinstance(given, Mapping):
        raise VeilError("VEIL207", f"{kind} has no kwargs", 'write "kwargs": {"column": …}', place)
    arguments = {key: value for key, value in given.items() if value is not None}
    condition = _condition(arguments, str(kind), place) if "row_condition" in expectation.takes else None
    settings = _settings(raw, suite or {}, place)
    scope = _scope(str(kind))
    stage = _stage(str(kind), scope, settings.get("stage"), place)
    on_fail = settings.get("on_fail")
    if scope != "row" or stage == "output":
        on_fail = _on_fail_of_a_whole(raw, on_fail, stage, place)
    # Who asks for a quarantine without a share wants the run to go on whatever the share; `limits` bounds it.
    mostly = 0.0 if on_fail == "quarantine" else 1.0
    if "mostly" in expectation.takes:
        mostly = _mostly(arguments.pop("mostly", mostly), str(kind), place)
    _check_arguments(str(kind), expectation, arguments, place)
    if str(kind) not in KNOWN_EXPECTATIONS and not own(str(kind)).accepts(arguments):
        raise VeilError("VEIL207", f"{kind} does not take its arguments", "look at its package's documentation", place)
    if scope == "cross":
        _check_other(str(kind), arguments, place)
    columns = _columns(expectation, arguments)
    if len(set(columns)) != len(columns):
        raise VeilError("VEIL207", f"{kind} compares a column with itself", "name two columns", place)
    return CheckPlan(
        type=str(kind),
        columns=columns,
        arguments={key: value for key, value in arguments.items() if key not in expectation.columns},
        mostly=mostly,
        title=_own_title(raw) or _title(expectation, arguments),
        place=place,
        engine=_engine(raw, scope, settings, place),
        on_fail=on_fail or "quarantine",  # type: ignore[arg-type]  # checked to be one
        condition=condition,
        kind=scope,
        stage=stage,
    )


def _scope(kind: str) -> Literal["row", "table", "cross"]:
    if kind in CROSS_EXPECTATIONS:
        return "cross"
    return "table" if kind in TABLE_EXPECTATIONS else "row"


def _stage(kind: str, scope: str, asked: str | None, place: Place) -> Literal["source", "output"]:
    """``source`` unless the suite asks for the output, which alone is compared with other tables."""
    if scope == "cross" and asked == "source":
        raise VeilError("VEIL207", f"{kind} compares the output with another table", "leave `stage` out", place)
    if asked == "output" and kind in _IN_ORDER:
        raise VeilError(
            "VEIL305", f"{kind} cannot be judged on the output, whose rows a database keeps in no order",
            "leave `stage: output` out: the source has an order", place,
        )  # fmt: skip
    return "output" if scope == "cross" or asked == "output" else "source"


def _engine(raw: Mapping[str, Any], scope: str, settings: Mapping[str, str], place: Place) -> str:
    """Great Expectations where the suite asks for it, and never for what is counted over a stream."""
    if scope == "row":
        return settings.get("engine", "compiled")
    if _ours(raw.get("meta"), _META, place).get("engine") == "great_expectations":
        raise VeilError(
            "VEIL207", f"{raw['type']} is counted over the stream, which Great Expectations cannot do",
            "leave `engine` out", place,
        )  # fmt: skip
    return "compiled"


def _check_other(kind: str, arguments: Mapping[str, Any], place: Place) -> None:
    """Exactly one other table, and as many of its columns as of ours."""
    if ("other_table_name" in arguments) == ("other_pipeline" in arguments):
        raise VeilError(
            "VEIL207", f"{kind} needs one other table", "name other_table_name, or other_pipeline for its output", place
        )  # fmt: skip
    others, ours = arguments.get("other_column_list"), arguments.get("column_list")
    if others is not None and len(others) != len(ours or ()):
        raise VeilError("VEIL207", f"{kind} pairs columns one by one", "name as many in other_column_list as in column_list", place)  # fmt: skip


def _on_fail_of_a_whole(raw: Mapping[str, Any], asked: str | None, stage: str, place: Place) -> str:
    """``refuse`` or ``warn``: there is no single row to hold back, or it is treated already."""
    if asked == "quarantine" and _ours(raw.get("meta"), _META, place).get("on_fail") == "quarantine":
        about = "the output" if stage == "output" else "the whole table"
        raise VeilError(
            "VEIL207", f"{raw['type']} is about {about}, so it cannot hold rows back", "on_fail: refuse, or warn", place
        )  # fmt: skip
    return "warn" if asked in ("quarantine", "warn") else "refuse"


def _settings(raw: Mapping[str, Any], suite: Mapping[str, Any], place: Place) -> dict[str, str]:
    """``engine``, ``on_fail`` and ``stage``: of the expectation's own ``meta.veilflow``, then its severity, then the suite's."""
    severity = raw.get("severity")
    if severity is not None and severity not in _SEVERITIES:
        raise _unknown("there is no such severity", str(severity), _SEVERITIES, place)
    from_severity = {"on_fail": _SEVERITIES[severity]} if severity is not None else {}
    found = {
        **_ours(suite, (*_META[1:], "allow_empty"), place),
        **from_severity,
        **_ours(raw.get("meta"), _META, place),
    }
    for key, known in (("engine", _ENGINES), ("on_fail", _ON_FAIL), ("stage", _STAGES)):
        if key in found and found[key] not in known:
            raise _unknown(f"meta.veilflow.{key} does not fit", str(found[key]), known, place)
    return {key: str(found[key]) for key in ("engine", "on_fail", "stage") if key in found}


def _ours(meta: Any, keys: tuple[str, ...], place: Place) -> dict[str, Any]:
    """What stands under ``veilflow`` in a meta; VEIL207 for a key that is not ours."""
    found = meta.get("veilflow", {}) if isinstance(meta, Mapping) else {}
    if not isinstance(found, Mapping):
        raise VeilError("VEIL207", "meta.veilflow is not a mapping", f"it takes {', '.join(keys)}", place)
    for key in found:
        if key not in keys:
            raise _unknown(f'meta.veilflow has no key "{key}"', str(key), keys, place)
    return dict(found)


def _expectation(kind: Any, place: Place) -> Expectation:
    judged = {**ROW_EXPECTATIONS, **TABLE_EXPECTATIONS, **CROSS_EXPECTATIONS}
    if isinstance(kind, str) and kind in judged:
        return judged[kind]
    if isinstance(kind, str) and kind in REFUSED_EXPECTATIONS:
        raise VeilError("VEIL305", f"{kind} cannot be judged", REFUSED_EXPECTATIONS[kind], place)
    try:
        return own(str(kind)).expectation
    except ValueError as error:
        raise VeilError(
            "VEIL207", f"{kind} cannot be used: {error}", "repair or reinstall its package", place
        ) from None
    except LookupError:
        raise _unknown(f'there is no expectation "{kind}"', str(kind), sorted({*judged, *names()}), place) from None


def _unknown(problem: str, name: str, known: Iterable[str], place: Place) -> VeilError:
    names = tuple(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    listed = f"there are: {', '.join(names)}" if len(names) < 12 else "see the reference of expectations"
    return VeilError("VEIL207", problem, f"did you mean {near[0]}? {listed}" if near else listed, place)


def _condition(arguments: dict[str, Any], kind: str, place: Place) -> RowCondition | None:
    """The row condition, taken out of the arguments. VEIL305 for one that is more than comparisons."""
    arguments.pop("condition_parser", None)
    if "row_condition" not in arguments:
        return None
    try:
        return parse_condition(arguments.pop("row_condition"))
    except ValueError as error:
        raise VeilError("VEIL305", f"{kind}: its row_condition cannot be judged", str(error), place) from None


def _mostly(value: Any, kind: str, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise VeilError("VEIL207", f"{kind}: mostly is not a share", "give a number from 0 to 1", place)
    return float(value)


def _check_arguments(kind: str, expectation: Expectation, given: Mapping[str, Any], place: Place) -> None:
    known = (*expectation.columns, *expectation.arguments)
    for name, value in given.items():
        if name not in known:
            raise _unknown(f'{kind} has no argument "{name}"', str(name), (*known, *expectation.takes), place)
        fits, wanted = KINDS[kind_of(kind, name)] if kind in KNOWN_EXPECTATIONS or name in _COLUMNS else _ANYTHING
        if not fits(value):
            raise VeilError("VEIL207", f"{kind}: {name} does not fit", f"{name} takes {wanted}", place)
    missing = [name for name in (*expectation.columns, *expectation.required) if name not in given]
    if missing:
        raise VeilError("VEIL207", f"{kind} needs {', '.join(missing)}", f"add {missing[0]} to its kwargs", place)
    if "min_value" in known and not given.keys() & {"min_value", "max_value"}:
        raise VeilError("VEIL207", f"{kind} needs min_value or max_value", "add one of them to its kwargs", place)
    _check_order(kind, given, place)


def _check_order(kind: str, given: Mapping[str, Any], place: Place) -> None:
    low, high = given.get("min_value"), given.get("max_value")
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    if numbers and low > high:  # type: ignore[operator]
        raise VeilError("VEIL207", f"{kind}: min_value is above max_value", "swap them", place)


def _columns(expectation: Expectation, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    if expectation.columns == ("column_list",):
        return tuple(arguments["column_list"])
    return tuple(arguments[name] for name in expectation.columns)


# --- titles ------------------------------------------------------------------------------


def _own_title(raw: Mapping[str, Any]) -> str | None:
    """A title that the suite's author wrote: ``meta.veilflow.title``, else ``notes``."""
    meta = raw.get("meta")
    ours = meta.get("veilflow") if isinstance(meta, Mapping) else None
    title = ours.get("title") if isinstance(ours, Mapping) else None
    for words in (title, raw.get("notes")):
        if isinstance(words, str) and words.strip():
            return " ".join(words.split())
    return None


def _title(expectation: Expectation, arguments: Mapping[str, Any]) -> str:
    words = {name: _words(name, arguments) for name in (*expectation.columns, *expectation.arguments)}
    return expectation.title.format(**words, range=_range(arguments), other=_other(arguments))


def _other(arguments: Mapping[str, Any]) -> str:
    """The other table of a comparison, and its columns."""
    pipeline = arguments.get("other_pipeline")
    table = arguments.get("other_table_name") if pipeline is None else f"the output of {pipeline}"
    columns = arguments.get("other_column_list") or [arguments.get("other_column")]
    return f"{table} ({', '.join(columns)})" if all(columns) else str(table)


def _words(name: str, arguments: Mapping[str, Any]) -> str:
    value = arguments.get(name)
    if name in ("value_set", "value_pairs_set"):
        return _count(len(value or ()), "value" if name == "value_set" else "pair")
    if name == "regex_list":
        return _count(len(value or ()), "pattern")
    if name == "column_list" and len(value or ()) > 1:
        columns = list(value or ())
        return f"{', '.join(columns[:-1])} and {columns[-1]}"
    text = str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _range(arguments: Mapping[str, Any]) -> str:
    low, high = _bound(arguments.get("min_value")), _bound(arguments.get("max_value"))
    above = "above" if arguments.get("strict_min") else "at least"
    below = "below" if arguments.get("strict_max") else "at most"
    if low and high and (above, below) == ("at least", "at most"):
        return f"between {low} and {high}"
    return " and ".join(part for part in (low and f"{above} {low}", high and f"{below} {high}") if part)


def _bound(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else str(value)
