"""Which of two decisions about a column is the stricter: a partial order over treatments.

    drop, refuse                              nothing of the column arrives
      null                                    only its name
        redact, constant                      only which values are null
          pseudonyms                          keyed; see below          partial treatments of one kind
            ...                                                         by their parameters
              keep                            everything

* Of two keyed pseudonyms the one-way is stricter than the reversible, the unlinkable than the linkable, and one that shows
  nothing of the value's form than one that keeps it. A key domain
  of the column's own is stricter than one that the policy names, which other columns may share; two named ones cannot be
  compared.
* Of one treatment with two sets of parameters, the one that keeps less: fewer characters, a coarser period, a bin that is a
  multiple of the other.
* Of several treatments in order: one that adds a treatment at the end, or makes one of them stricter.
* A pseudonym and a partial treatment cannot be compared, and neither can what this page does not know: that is
  *incomparable*, and counts as weaker wherever that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Comparison = Literal["same", "stricter", "weaker", "incomparable"]

_CONSTANTS = {"null": 1, "redact": 2, "constant": 2}
_NOTHING, _KEEP, _OTHER = 0, 9, 5

#: Keyed treatments whose output tells nothing of the value but whether it is the same.
PSEUDONYMS = frozenset({"token", "surrogate", "siv", "siv_per_row", "ff1", "pseudonym", "fake"})
#: Those that keep the value's length or form as well.
_KEEP_FORM = frozenset({"ff1", "pseudonym"})

Judge = Callable[[Any, Any], bool]


def _fewer(new: Any, old: Any) -> bool:
    return bool(new <= old)


def _more(new: Any, old: Any) -> bool:
    return bool(new >= old)


def _higher_floor(new: Any, old: Any) -> bool:
    return old is None or (new is not None and new >= old)


def _lower_ceiling(new: Any, old: Any) -> bool:
    return old is None or (new is not None and new <= old)


def _all_of(new: Any, old: Any) -> bool:
    return set(new) >= set(old)


def _multiple(new: Any, old: Any) -> bool:
    return new is old is None or (new is not None and old is not None and new % old == 0)


#: Periods by the ones that they are made of: a month is no whole number of weeks.
_PERIODS: dict[str, tuple[str, ...]] = {
    "hour": (), "day": ("hour",), "week": ("hour", "day"), "month": ("hour", "day"),
    "quarter": ("hour", "day", "month"), "year": ("hour", "day", "month", "quarter"),
}  # fmt: skip


def _coarser(new: Any, old: Any) -> bool:
    return new == old or old in _PERIODS.get(str(new), ())


def _whatever(_new: Any, _old: Any) -> bool:
    return True


#: Parameters by treatment, and when a new value is at least as strict as an old one. The others must be equal.
PARAMETERS: dict[str, dict[str, Judge]] = {
    "mask": {"keep_first": _fewer, "keep_last": _fewer, "at_most": _fewer, "with": _whatever},
    "mask_phone": {"keep_last": _fewer},
    "mask_card": {"keep_first": _fewer, "keep_last": _fewer},
    "mask_chinese_id": {"keep_first": _fewer, "keep_last": _fewer},
    "mask_ip": {"v4": _fewer, "v6": _fewer},
    "postcode": {"keep": _fewer},
    "keep_prefix": {"length": _fewer},
    "generalise": {"to": _coarser, "width": _multiple},
    "age": {"top": _fewer, "future": _whatever},
    "round": {"to": _multiple},
    "clip": {"at_least": _higher_floor, "at_most": _lower_ceiling},
    "noise": {"scale": _more},
    "shift_date": {"max_days": _more, "outside": _whatever},
    "redact": {"with": _whatever, "by": _whatever},
    "redact_text": {"find": _all_of, "with": _whatever},
    "token": {"form": _whatever, "bits": _whatever},
    "surrogate": {"form": _whatever},
}


@dataclass(frozen=True, slots=True)
class Treated:
    """One treatment, with what the registry says of it."""

    name: str
    parameters: Mapping[str, Any]
    uses: tuple[str, ...] = ()
    reversible: bool = False
    linkable: bool = False

    @property
    def keyed(self) -> bool:
        return bool(self.uses)

    @property
    def rank(self) -> int:
        if self.name in ("drop", "keep"):
            return _NOTHING if self.name == "drop" else _KEEP
        return _CONSTANTS.get(self.name, _OTHER)


@dataclass(frozen=True, slots=True)
class Decided:
    """What happens to a column: treatments in order, none where it is refused. ``key_domain`` is None unless named."""

    steps: tuple[Treated, ...]
    key_domain: str | None = None

    @property
    def rank(self) -> int:
        return min((step.rank for step in self.steps), default=_NOTHING)


def compare(old: Decided, new: Decided) -> Comparison:
    """How ``new`` stands to ``old``."""
    forth, back = at_least(new, old), at_least(old, new)
    if forth and back:
        return "same"
    return "stricter" if forth else "weaker" if back else "incomparable"


def at_least(new: Decided, old: Decided) -> bool:
    """Whether ``new`` is certain to be as strict as ``old``, or stricter."""
    if new.rank < _OTHER or old.rank in (_NOTHING, _KEEP) or old.rank < _OTHER:
        return new.rank <= old.rank
    return _domain_fits(new, old) and _steps_fit(new.steps, old.steps)


def _domain_fits(new: Decided, old: Decided) -> bool:
    if not any(step.keyed for step in new.steps):
        return True
    return new.key_domain is None or new.key_domain == old.key_domain


def _steps_fit(new: tuple[Treated, ...], old: tuple[Treated, ...]) -> bool:
    if len(new) < len(old):
        return False
    changed = [position for position, step in enumerate(old) if new[position] != step]
    return len(changed) <= 1 and all(_step_fits(new[position], old[position]) for position in changed)


def _step_fits(new: Treated, old: Treated) -> bool:
    if new.name == old.name:
        judges = PARAMETERS.get(new.name, {})
        keys = new.parameters.keys() | old.parameters.keys()
        return all(
            judges.get(key, _same)(new.parameters.get(key), old.parameters.get(key))
            for key in keys
        )  # fmt: skip
    if not all(step.keyed and step.name in PSEUDONYMS for step in (new, old)):
        return False
    tells_no_more = (new.name in _KEEP_FORM) <= (old.name in _KEEP_FORM)
    return tells_no_more and new.reversible <= old.reversible and new.linkable <= old.linkable


def _same(new: Any, old: Any) -> bool:
    return bool(new == old)
