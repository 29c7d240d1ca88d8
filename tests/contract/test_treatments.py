"""The laws that every treatment of the registry keeps."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.errors import Place, VeilError
from veilflow.keys import KeyRing, token_bytes
from veilflow.model import ColumnPlan, ColumnType, FileContent, Plan, TargetPlan
from veilflow.run.surrogates import SurrogateMemory
from veilflow.run.treat import treat
from veilflow.treatments import TREATMENTS, Context, Treatment, make_step
from veilflow.treatments.nested import without

RING = KeyRing.parse(KeyRing.generate("2026-01-01T00:00:00Z"))
#: Several, because two keys may well shift three people by the same one of three days.
OTHERS = [KeyRing.parse(KeyRing.generate("2026-01-01T00:00:00Z")) for _ in range(8)]
PLACE = Place("policy.yaml", 1)
SURROGATES = SurrogateMemory()
TABLE = FileContent("h.csv", "", "value,region\na,north\n1,south\n")
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "mask": [{"keep_first": 1}, {"keep_last": 2}, {"keep_first": 1, "keep_last": 1, "with": "x"}, {}],
    "mask_phone": [{}, {"keep_last": 0}, {"keep_last": 4}],
    "token": [{}, {"form": "uuid"}, {"bits": 64}, {"bits": 256}],
    "surrogate": [{}, {"form": "hex"}],
    "ff1": [
        {"too_small": "quarantine", "outside": "quarantine"},
        {"too_small": "token", "outside": "token", "tweak": "country"},
        {"alphabet": "alphanumeric", "too_small": "token", "outside": "quarantine"},
        {"alphabet": "0123456789é王🙂", "separators": "-", "too_small": "token", "outside": "token"},
        {"luhn": True, "too_small": "token", "outside": "quarantine"},
    ],
    "pseudonym": [
        {"low": -(2**62), "high": 2**62 - 1, "outside": "quarantine"},
        {"low": 0, "high": 999_999, "alphabet": "alphanumeric", "length": 4, "outside": "quarantine"},
        {"alphabet": "0123456789-", "length": 15, "outside": "quarantine"},
        {"alphabet": "abcé王🙂", "length": 3, "outside": "quarantine", "unsafe_small_space": "a test"},
    ],
    "shift_date": [
        {"subject": "country", "max_days": 30, "outside": "quarantine"},
        {"subject": "country", "max_days": 1, "allow_zero": True, "outside": "quarantine"},
    ],
    "noise": [
        {"distribution": "laplace", "scale": 3},
        {"distribution": "gaussian", "scale": 0.5, "row_key": "country", "low": 0, "high": 50},
    ],
    "keep_prefix": [{"length": 2}],
    "generalise": [{"to": "year"}, {"to": "week"}, {"width": 10}],
    "redact": [{}, {"with": ""}, {"by": "class"}],
    "constant": [{"value": "x"}, {"value": 7}, {"value": True}, {"value": "2000-01-01"}],
    "mask_card": [{}, {"keep_first": 6}],
    "mask_ip": [{}, {"v4": 13, "v6": 0}],
    "age": [{"future": "quarantine"}],
    "age_band": [{"future": "quarantine"}, {"edges": [18, 65], "top": 100}],
    "round": [{"to": 10}, {"to": 0.5}],
    "band": [{"width": 10}, {"edges": [0, 100]}],
    "clip": [{"at_least": 0}, {"at_most": 100, "at_least": -100}],
    "zip3": [{}, {"also": ["205"]}],
    "grid": [
        {"axis": "latitude", "degrees": 0.5},
        {"axis": "longitude", "kilometres": 5, "latitude": "latitude"},
    ],
    "hierarchy": [
        {"table": TABLE, "level": "region", "missing": "redact"},
        {"table": TABLE, "level": 1, "missing": "quarantine"},
    ],
    "fake": [
        {"kind": "name"},
        {"kind": "email", "subject": "country", "unique": True},
        {"kind": "address", "locale": "ja"},
    ],
    "own": [],  # of no package here: tests/unit/treatments/test_own.py
    "redact_text": [{}, {"find": ["phone", "card"], "with": "*"}],
    "when": [
        {"column": "country", "in": ["DE", "FR"], "then": "null", "otherwise": "null"},
        {"column": "country", "not_in": ["DE"], "then": {"mask": {"keep_first": 1}}, "otherwise": ["redact"]},
    ],
    "structured": [
        {
            "paths": {"$.a": "redact", "$.b[*].c": ["token", {"mask": {"keep_first": 3}}]},
            "unlisted": "quarantine",
            "broken": "quarantine",
        }
    ],
}
#: Columns that steps read.
COLUMNS = {"country": pa.array(["DE", None, "US"]), "latitude": pa.array([52.5, None, -89.9])}
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (
        pa.string(),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
        | st.text("0123456789-", max_size=19)
        # Combining marks, emoji of several code points, and characters that only GB18030 and Unicode have.
        | st.sampled_from(["", "e\u0301", "👨‍👩‍👧", "𠮷野㐀", "4111 1111 1111 1111", "abcé", "王"]),
    ),
    "integer": (pa.int64(), st.integers(-(2**62), 2**62)),
    "decimal": (pa.decimal128(20, 2), st.integers(-(10**12), 10**12).map(lambda cents: Decimal(cents).scaleb(-2))),
    "float": (pa.float64(), st.floats(-1e9, 1e9)),
    "boolean": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates(date(1800, 1, 1), date(2200, 1, 1))),
    "timestamp": (pa.timestamp("us"), st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1))),
    "binary": (pa.binary(), st.binary(max_size=8)),
    "json": (pa.string(), st.sampled_from(["{}", '{"a": "x"}', '{"b": [{"c": "y"}, {}]}', '{"z": 1}', "{", ""])),
}


def context_for(treatment: Treatment, parameters: Any, ring: KeyRing = RING, rows: int = 0) -> Context:
    return Context(
        {use: ring.derive(use, "d") for use in treatment.uses(parameters)},
        {name: COLUMNS[name].take(pa.array(np.arange(rows) % 3)) for name in treatment.reads(parameters)},
        np.arange(rows),
        run_id="01",
        as_of=date(2026, 1, 1),
        classification="quasi_identifier",
        surrogates=partial(SURROGATES.draw, "d"),
    )


def applied(treatment: Treatment, values: pa.Array, parameters: Any, context: Context) -> pa.Array:
    """As a run does it: the treatment sees null in the rows that it does not take."""
    for unfit in treatment.unfit(values, parameters, context) if treatment.unfit else ():
        values = without(values, unfit.rows)
    return treatment.apply(values, parameters, context)


def cases() -> list[Any]:
    found = []
    for name, treatment in TREATMENTS.items():
        for parameters in PARAMETERS.get(name, [{}]):
            for kind in sorted(treatment.takes):
                step = make_step(name, parameters, PLACE)
                try:
                    treatment.output(VALUES[kind][0], step.parameters)
                except TypeError:
                    continue
                found.append(pytest.param(name, parameters, kind, id=f"{name}-{parameters}-{kind}"))
    return found


@pytest.mark.parametrize(("name", "parameters", "kind"), cases())
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_treatment_keeps_rows_order_nulls_and_chunking(
    name: str, parameters: dict[str, Any], kind: str, data: st.DataObject
) -> None:
    """Same length, null stays null, the declared type, and the same output however the column is cut."""
    arrow, strategy = VALUES[kind]
    values = pa.array(data.draw(st.lists(st.none() | strategy, max_size=12)), arrow)
    treatment, step = TREATMENTS[name], make_step(name, parameters, PLACE)
    context = context_for(treatment, step.parameters, rows=len(values))
    whole = applied(treatment, values, step.parameters, context)
    assert len(whole) == len(values)
    assert whole.type == treatment.output(arrow, step.parameters)
    assert all(
        after is None for before, after in zip(values.to_pylist(), whole.to_pylist(), strict=True) if before is None
    )
    cut = data.draw(st.integers(0, len(values)))
    parts = [
        applied(treatment, values.take(pa.array(rows)), step.parameters, context.take(rows))
        for rows in (np.arange(cut), np.arange(cut, len(values)))
    ]
    assert [value for part in parts for value in part.to_pylist()] == whole.to_pylist()


@given(
    values=st.lists(st.none() | st.text(st.characters(codec="ascii"), max_size=9) | st.text("ab王é🙂", max_size=9)),
    first=st.integers(0, 4), last=st.integers(0, 4), with_=st.sampled_from("*x•"),
    cut=st.integers(0, 3), share=st.sampled_from([0.25, 0.5, 0.75]),
)  # fmt: skip
@settings(deadline=None)
def test_a_mask_is_what_its_definition_says(
    values: list[str | None], first: int, last: int, with_: str, cut: int, share: float
) -> None:
    """By code point, in ASCII and beyond, also in a slice: the kernels against a line of plain Python."""

    def masked(value: str) -> str:
        hidden = len(value) - first - last
        shows = hidden > 0 and first + last <= share * len(value)
        return value[:first] + with_ * hidden + value[first + hidden :] if shows else with_ * len(value)

    step = make_step("mask", {"keep_first": first, "keep_last": last, "with": with_, "at_most": share}, PLACE)
    found = TREATMENTS["mask"].apply(pa.array(values, pa.string()).slice(cut), step.parameters, Context())
    assert found.to_pylist() == [None if value is None else masked(value) for value in values[cut:]]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(deadline=None)
def test_a_mask_never_shows_a_value_whole(value: str) -> None:
    """However short it is, and whatever is kept; a value that is all stars already is the exception."""
    for name, parameters in (
        ("mask", {"keep_first": 3, "keep_last": 3}),
        ("mask_email", {}),
        ("mask_phone", {"keep_last": 4}),
    ):
        step = make_step(name, parameters, PLACE)
        masked = TREATMENTS[name].apply(pa.array([value]), step.parameters, Context())[0].as_py()
        assert "*" in masked or not any(character.isalnum() for character in value)


#: Those that use a key, beside structured, whose output here is a masked token and the same under every key.
KEYED = [
    case
    for case in cases()
    if case.values[0] != "structured" and TREATMENTS[case.values[0]].uses(make_step(*case.values[:2], PLACE).parameters)
]
#: Values that the keyed treatments of PARAMETERS take, so that there is something to see.
FITTING: dict[str, list[Any]] = {
    "text": ["4111111111111111", "5500005555555559", "340000000000009", "30000000000004", "abc"],
    "integer": [1, 2, 3, 4, 5, 600_000],
    "decimal": [Decimal("1.00"), Decimal("2.50"), Decimal("10.25")],
    "float": [1.5, 2.5, 3.75],
    "boolean": [True, False],
    "date": [date(1999, 1, 2), date(2004, 2, 29), date(1950, 7, 1)],
    "timestamp": [datetime(1999, 1, 2, 3, 4, 5), datetime(1950, 7, 1), datetime(2004, 2, 29, 12)],
}


@pytest.mark.parametrize(("name", "parameters", "kind"), KEYED)
def test_another_key_gives_another_output(name: str, parameters: dict[str, Any], kind: str) -> None:
    """Of every treatment that uses one, and the same key gives the same again."""
    treatment, step = TREATMENTS[name], make_step(name, parameters, PLACE)
    values = pa.array(FITTING[kind] * 20, VALUES[kind][0]) if kind in FITTING else pa.array(['{"b": [{"c": "y"}]}'])

    def output(ring: KeyRing) -> list[Any]:
        return applied(
            treatment, values, step.parameters, context_for(treatment, step.parameters, ring, rows=len(values))
        ).to_pylist()

    assert output(RING) == output(RING)
    assert any(output(other) != output(RING) for other in OTHERS)


@pytest.mark.parametrize(("name", "parameters", "kind"), cases())
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_order_of_rows_does_not_matter(
    name: str, parameters: dict[str, Any], kind: str, data: st.DataObject
) -> None:
    """Rows in another order, with the positions that they have in the source, come out the same."""
    arrow, strategy = VALUES[kind]
    values = pa.array(data.draw(st.lists(st.none() | strategy, max_size=8)), arrow)
    order = np.array(data.draw(st.permutations(range(len(values)))), dtype=np.int64)
    treatment, step = TREATMENTS[name], make_step(name, parameters, PLACE)
    context = context_for(treatment, step.parameters, rows=len(values))
    whole = applied(treatment, values, step.parameters, context)
    moved = applied(treatment, values.take(pa.array(order)), step.parameters, context.take(order))
    whole.validate(full=True)
    moved.validate(full=True)
    assert moved.to_pylist() == whole.take(pa.array(order)).to_pylist()


@pytest.mark.parametrize(("name", "parameters", "kind"), [case for case in KEYED if TREATMENTS[case.values[0]].inverse])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_key_opens_what_a_reversible_treatment_made(
    name: str, parameters: dict[str, Any], kind: str, data: st.DataObject
) -> None:
    """The value's text comes back (CONTRACT: "Bytes of a value"), or the token that stood in for it."""
    arrow, strategy = VALUES[kind]
    fitting = st.sampled_from(FITTING[kind])
    values = pa.array(data.draw(st.lists(st.none() | strategy | fitting, max_size=12)), arrow)
    treatment, step = TREATMENTS[name], make_step(name, parameters, PLACE)
    context = context_for(treatment, step.parameters, rows=len(values))
    made = applied(treatment, values, step.parameters, context)
    assert treatment.inverse is not None
    opened = token_bytes(treatment.inverse(made, step.parameters, context)).to_pylist()
    expected = token_bytes(values).to_pylist()
    for before, between, after in zip(expected, made.to_pylist(), opened, strict=True):
        is_token = name == "ff1" and between is not None and between.startswith("v1.")
        assert after == (None if between is None else between if is_token else before)


@pytest.mark.parametrize(("name", "parameters", "kind"), [case for case in KEYED if case.values[2] in FITTING])
@pytest.mark.parametrize("repeated", [True, False])
def test_many_rows_give_what_few_give(name: str, parameters: dict[str, Any], kind: str, repeated: bool) -> None:
    """Columns that are treated in blocks, or each different value once, beside the same rows a few at a time."""
    treatment, step = TREATMENTS[name], make_step(name, parameters, PLACE)
    fitting = [*FITTING[kind], None, *([""] if kind == "text" else [])]
    values = pa.array((fitting * 20_000)[:20_000], VALUES[kind][0])
    if not repeated and kind == "text":
        values = pa.array([f"{row:07d}-" if row % 9 else None for row in range(20_000)])
    context = context_for(treatment, step.parameters, rows=len(values))
    whole = applied(treatment, values, step.parameters, context)
    rows = np.arange(19_990, 20_000)
    few = applied(treatment, values.take(pa.array(rows)), step.parameters, context.take(rows))
    assert whole.slice(19_990).to_pylist() == few.to_pylist()
    middle = np.arange(8_000, 8_700)
    part = applied(treatment, values.take(pa.array(middle)), step.parameters, context.take(middle))
    assert whole.take(pa.array(middle)).to_pylist() == part.to_pylist()


def test_reversible_is_what_has_an_inverse() -> None:
    """The registry cannot claim the one without the other."""
    assert {n for n, t in TREATMENTS.items() if t.traits.reversible and t.uses} >= {
        "siv",
        "siv_per_row",
        "ff1",
        "pseudonym",
    }
    assert all(treatment.traits.reversible for treatment in TREATMENTS.values() if treatment.inverse)


@pytest.mark.parametrize(
    ("name", "parameters", "kind"), [case for case in cases() if TREATMENTS[case.values[0]].traits.unique_safe]
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_unique_safe_treatment_keeps_values_apart(
    name: str, parameters: dict[str, Any], kind: str, data: st.DataObject
) -> None:
    """As many different values after as before, so a unique column stays one."""
    arrow, strategy = VALUES[kind]
    drawn = data.draw(st.lists(strategy | st.integers(0, 2).map(lambda i: FITTING[kind][i % len(FITTING[kind])]), max_size=12) if kind in FITTING else st.lists(strategy, max_size=12))  # fmt: skip
    values = pa.array(drawn, arrow)
    treatment, step = TREATMENTS[name], make_step(name, parameters, PLACE)
    made = applied(treatment, values, step.parameters, context_for(treatment, step.parameters, rows=len(values)))
    pairs = [(b, a) for b, a in zip(values.to_pylist(), made.to_pylist(), strict=True) if a is not None]
    before, after = {b for b, _ in pairs}, {a for _, a in pairs}
    assert len(after) >= len(before)


def plan_of(name: str, parameters: dict[str, Any], kind: str) -> Plan:
    """A plan of the one column and of those that it reads."""
    step = make_step(name, parameters, PLACE)
    treatment, arrow = TREATMENTS[name], VALUES[kind][0]

    def column(label: str, steps: Any, type_: pa.DataType, output: pa.DataType, type_name: str) -> ColumnPlan:
        return ColumnPlan(label, ColumnType(type_name, type_), output, None, steps, "d", PLACE, None, "load")

    columns = [column("v", (step,), arrow, treatment.output(arrow, step.parameters), kind)]
    for read in dict.fromkeys(treatment.reads(step.parameters)):
        columns.append(column(read, (make_step("null", {}, PLACE),), COLUMNS[read].type, COLUMNS[read].type, "text"))
    facts: dict[str, Any] = dict.fromkeys(("purpose", "keyring", "max_quarantined", "timeout_seconds"), None)
    return Plan(
        pipeline="p", environment="dev", as_of=date(2026, 1, 1), policy="p", policy_hash="", columns=tuple(columns),
        checks=(), filters=(), target=TargetPlan("memory", "", "t", "replace", "rename"), secrets=(),
        on_bad_row="quarantine", chunk_rows=10, allow_empty=False, unlisted_columns="refuse", plan_hash="", **facts,
    )  # fmt: skip


def as_a_run(plan: Plan, values: pa.Array) -> tuple[list[Any], list[Any]]:
    """The output, and the rows that are held back, through the step of a run."""
    read = [column.name for column in plan.columns[1:]]
    arrays = [values, *(COLUMNS[name].take(pa.array(np.arange(len(values)) % 3)) for name in read)]
    batch = pa.RecordBatch.from_arrays(arrays, names=["v", *read])
    step = plan.columns[0].steps[0]
    keys = {"d": {use: RING.derive(use, "d") for use in TREATMENTS[step.treatment].uses(step.parameters)}}
    done = treat(batch, plan, keys, np.arange(len(values)), run_id="01", source="s.csv", surrogates=SURROGATES)
    return done.table.column("v").to_pylist(), [(cells.column, cells.rows.tolist()) for cells in done.unfit]


def forms(values: pa.Array) -> list[pa.Array]:
    """The same values in the forms that sources hand over."""
    made = [pa.concat_arrays([values, values]).slice(len(values)), values.dictionary_encode()]
    if pa.types.is_string(values.type):
        made += [values.cast(pa.large_string()), values.cast(pa.string_view()), values.cast(pa.large_string()).dictionary_encode()]  # fmt: skip
    return made


@pytest.mark.parametrize(("name", "parameters", "kind"), cases())
def test_the_form_of_an_array_does_not_matter(name: str, parameters: dict[str, Any], kind: str) -> None:
    """Slices, dictionaries, large text and views give what plain arrays give, in the step of a run."""
    values = pa.array([*FITTING.get(kind, ["{}", '{"a": "x"}', '{"b": [{"c": "y"}, {}]}']), None], VALUES[kind][0])
    try:
        plan = plan_of(name, parameters, kind)
        expected = as_a_run(plan, values)
    except VeilError as error:
        assert error.code == "VEIL314"  # a policy that refuses these values refuses them in every form
        for form in forms(values):
            with pytest.raises(VeilError, match="VEIL314|treatment"):
                as_a_run(plan, form)
        return
    for form in forms(values):
        assert as_a_run(plan, form) == expected


@pytest.mark.parametrize(("name", "parameters", "kind"), [case for case in cases() if case.values[2] == "text"])
def test_no_exception_shows_a_value(name: str, parameters: dict[str, Any], kind: str) -> None:
    """Whatever a column of nonsense does to a treatment, by itself or in a run."""
    values = pa.array(["MARKER", "\x00MARKER🙂", "4111MARKER1111", "MARKER" * 30, ""])
    refusing = {key: "refuse" if value in ("quarantine", "token") else value for key, value in parameters.items()}
    treatment, step = TREATMENTS[name], make_step(name, refusing, PLACE)
    for call in (
        lambda: as_a_run(plan_of(name, refusing, kind), values),
        lambda: treatment.apply(values, step.parameters, context_for(treatment, step.parameters, rows=5)),
        lambda: (treatment.inverse or treatment.apply)(values, step.parameters, context_for(treatment, step.parameters, rows=5)),
    ):  # fmt: skip
        try:
            call()
        except Exception as error:
            assert "MARKER" not in f"{error!s} {error!r}"
            assert isinstance(error, VeilError | ValueError)


def test_another_key_gives_another_token() -> None:
    """And another domain under the same key too."""
    treatment, step = TREATMENTS["token"], make_step("token", {}, PLACE)
    keys = [RING.derive("token", "a"), RING.derive("token", "b"), OTHERS[0].derive("token", "a")]
    tokens = {treatment.apply(pa.array(["x"]), step.parameters, Context({"token": key}))[0].as_py() for key in keys}
    assert len(tokens) == 3


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("maks", {}), ("mask", {"keep_frist": 1}), ("mask", {"keep_first": -1}), ("mask", {"keep_first": True}),
        ("mask", {"with": "**"}), ("keep_prefix", {}), ("keep_prefix", {"length": "2"}), ("generalise", {}),
        ("generalise", {"to": "century"}), ("generalise", {"width": 0}), ("generalise", {"to": "year", "width": 1}),
        ("token", {"key": "x"}), ("mask_phone", {"keep_last": 9}), ("mask", {"at_most": 1}), ("mask", {"at_most": "0.5"}),
        ("mask_card", {"keep_first": 7}), ("mask_card", {"keep_last": 5}), ("mask_chinese_id", {"keep_last": 4}),
        ("mask_ip", {"v4": 25}), ("mask_ip", {"v6": 65}), ("redact", {"by": "name"}), ("constant", {}), ("constant", {"value": [1]}),
        ("age", {"top": 0}), ("age", {"future": "keep"}), ("age_band", {"width": 0}), ("age_band", {"edges": [18, 18]}),
        ("age_band", {"edges": [90]}), ("age_band", {"edges": [18], "width": 5}), ("round", {"to": 0}), ("round", {"to": "1"}),
        ("round", {"to": float("inf")}), ("band", {}), ("band", {"width": 1, "edges": [1]}), ("band", {"edges": [2, 1]}),
        ("band", {"edges": []}), ("clip", {}), ("clip", {"at_least": 2, "at_most": 1}), ("clip", {"at_most": True}),
        ("postcode", {"keep": 6}), ("zip3", {"census": 1890}), ("zip3", {"also": ["3a6"]}), ("zip3", {"also": "036"}),
        ("grid", {"axis": "altitude", "degrees": 1}), ("grid", {"axis": "latitude"}), ("grid", {"axis": "latitude", "degrees": 0}),
        ("grid", {"axis": "longitude", "kilometres": 5}), ("grid", {"axis": "latitude", "kilometres": 5, "latitude": "c"}),
        ("fake", {}), ("fake", {"kind": "iban"}), ("fake", {"kind": "name", "locale": "tlh"}), ("fake", {"kind": "phone", "unique": True}),
        ("fake", {"kind": "email", "domain": "no domain"}), ("fake", {"kind": "name", "subject": 1}),
        ("redact_text", {"find": []}), ("redact_text", {"find": "email"}), ("redact_text", {"find": ["name"]}),
        ("hierarchy", {"table": "h.csv", "level": 1}), ("hierarchy", {"table": TABLE, "level": 2}),
        ("hierarchy", {"table": TABLE, "level": "value"}), ("hierarchy", {"table": TABLE, "level": 1, "missing": "keep"}),
    ],
)  # fmt: skip
def test_refuses_what_it_does_not_know(name: str, parameters: dict[str, Any]) -> None:
    """A misspelt treatment or parameter, or one out of range, is VEIL205 with its place."""
    with pytest.raises(VeilError) as caught:
        make_step(name, parameters, PLACE)
    assert caught.value.code == "VEIL205" and caught.value.place == PLACE
