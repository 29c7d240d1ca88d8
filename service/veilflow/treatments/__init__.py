"""What is done to a column: pure functions on Arrow arrays.

A treatment is a name, a frozen parameter dataclass and a function: the same length, the same order, null stays null;
no clock, no randomness, no I/O; keys are passed in. To add one: a file with its ``Treatment``, a line in ``TREATMENTS``,
a golden vector in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from veilflow.errors import Place, VeilError
from veilflow.model import Step
from veilflow.treatments.ages import AGE, AGE_BAND
from veilflow.treatments.contact import MASK_EMAIL, MASK_PHONE
from veilflow.treatments.fake import FAKE
from veilflow.treatments.ff1 import FF1_TREATMENT
from veilflow.treatments.free_text import REDACT_TEXT
from veilflow.treatments.generalise import GENERALISE
from veilflow.treatments.hierarchy import HIERARCHY
from veilflow.treatments.id_numbers import MASK_CARD, MASK_CHINESE_ID
from veilflow.treatments.interface import Context, Make, Traits, Treatment, Unfit, makes_a_key
from veilflow.treatments.mask import KEEP_PREFIX, MASK
from veilflow.treatments.names import MASK_CHINESE_NAME, MASK_NAME
from veilflow.treatments.network import MASK_IP, URL_HOST
from veilflow.treatments.noise import NOISE
from veilflow.treatments.numbers import BAND, CLIP, ROUND
from veilflow.treatments.own import OWN
from veilflow.treatments.places import GRID, POSTCODE, ZIP3
from veilflow.treatments.pseudonym import PSEUDONYM
from veilflow.treatments.remove import CONSTANT, DROP, KEEP, NULL, REDACT
from veilflow.treatments.shift import SHIFT_DATE
from veilflow.treatments.siv import SIV, SIV_PER_ROW
from veilflow.treatments.structured import STRUCTURED
from veilflow.treatments.surrogate import SURROGATE
from veilflow.treatments.token import TOKEN
from veilflow.treatments.when import WHEN

__all__ = [
    "TREATMENTS",
    "Context",
    "Traits",
    "Treatment",
    "Unfit",
    "every_step",
    "makes_a_key",
    "key_uses",
    "make_step",
    "parameter_name",
]

TREATMENTS: dict[str, Treatment] = {
    "keep": KEEP,
    "drop": DROP,
    "null": NULL,
    "redact": REDACT,
    "constant": CONSTANT,
    "mask": MASK,
    "mask_email": MASK_EMAIL,
    "mask_phone": MASK_PHONE,
    "mask_card": MASK_CARD,
    "mask_name": MASK_NAME,
    "mask_chinese_name": MASK_CHINESE_NAME,
    "mask_chinese_id": MASK_CHINESE_ID,
    "mask_ip": MASK_IP,
    "url_host": URL_HOST,
    "token": TOKEN,
    "surrogate": SURROGATE,
    "siv": SIV,
    "siv_per_row": SIV_PER_ROW,
    "ff1": FF1_TREATMENT,
    "pseudonym": PSEUDONYM,
    "shift_date": SHIFT_DATE,
    "noise": NOISE,
    "generalise": GENERALISE,
    "age": AGE,
    "age_band": AGE_BAND,
    "round": ROUND,
    "band": BAND,
    "clip": CLIP,
    "keep_prefix": KEEP_PREFIX,
    "postcode": POSTCODE,
    "zip3": ZIP3,
    "grid": GRID,
    "hierarchy": HIERARCHY,
    "fake": FAKE,
    "redact_text": REDACT_TEXT,
    "when": WHEN,
    "structured": STRUCTURED,
    "own": OWN,
}


def make_step(name: str, raw: Mapping[str, Any], place: Place) -> Step:
    """A treatment with checked parameters. VEIL205 for an unknown name or parameter, or one out of range."""
    if name not in TREATMENTS:
        near = get_close_matches(name, TREATMENTS, n=1)
        hint = (f"did you mean {near[0]}? " if near else "") + "there are: " + ", ".join(sorted(TREATMENTS))
        raise VeilError("VEIL205", f'there is no treatment "{name}"', hint, place)
    kind = TREATMENTS[name].parameters
    known = {parameter_name(field.name): field for field in fields(kind) if field.init}
    for key in raw:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            takes = ", ".join(known) or "no parameter"
            hint = (f"did you mean {near[0]}? " if near else "") + f"{name} takes: {takes}"
            raise VeilError("VEIL205", f'the treatment {name} has no parameter "{key}"', hint, place)
    missing = [key for key, field in known.items() if field.default is field.default_factory and key not in raw]
    if missing:
        raise VeilError(
            "VEIL205", f"the treatment {name} needs {', '.join(missing)}", f"write {name}: {{{missing[0]}: …}}", place
        )
    written = {known[key].name: value for key, value in raw.items()}
    parse = TREATMENTS[name].parse
    try:
        return Step(name, kind(**written) if parse is None else parse(written, _maker(place)))
    except ValueError as error:
        raise VeilError("VEIL205", f"the treatment {name}: {error}", "see the reference of treatments", place) from None


def _maker(place: Place) -> Make:
    return lambda name, raw: make_step(name, raw, place)


def every_step(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps and those inside them."""
    for step in steps:
        yield step
        yield from every_step(TREATMENTS[step.treatment].steps(step.parameters))


def key_uses(steps: Iterable[Step]) -> tuple[str, ...]:
    """The uses of keys that steps need, each once."""
    return tuple(dict.fromkeys(use for step in steps for use in TREATMENTS[step.treatment].uses(step.parameters)))


def parameter_name(field_name: str) -> str:
    """How a parameter is written in YAML: ``with_`` is ``with``, which Python keeps for itself."""
    return field_name.removesuffix("_")
