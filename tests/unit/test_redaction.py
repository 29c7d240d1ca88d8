"""Opened secrets leave by no way that Python knows: not as objects, not in errors, not in log records."""

from __future__ import annotations

import base64
import copy
import html
import io
import json
import logging
import pickle
import pprint
import re
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilflow.errors import VeilError
from veilflow.model import Reading, Secret
from veilflow.redaction import MARK, RedactingFilter, redact, redact_document

VALUE = 'p@ss/wörd "&<\\ 7f3a marker'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=60).filter(
    lambda text: len(text.strip()) >= 8
)


@dataclass(frozen=True)
class Holder:
    secret: Secret
    name: str


# --- the object --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "show",
    [
        str, repr, "{}".format, "{!r:>40}".format, "%s".__mod__, pprint.pformat, lambda secret: f"{secret:x}",
        lambda secret: repr(Holder(secret, "n")), lambda secret: repr(Reading(secret)), lambda secret: repr([secret]),
        lambda secret: repr(asdict(Holder(secret, "n"))), lambda secret: json.dumps(secret, default=str),
        lambda secret: " ".join(map(str, (getattr(secret, name) for name in dir(secret) if name != "reveal"))),
    ],
)  # fmt: skip
def test_no_way_of_showing_a_secret_shows_its_value(show: object) -> None:
    """Format specifications, dataclasses, lists, and a listing of its attributes included."""
    assert callable(show)
    assert "marker" not in str(show(Secret(VALUE)))


@pytest.mark.parametrize("keep", [pickle.dumps, json.dumps, hash, lambda secret: {secret}, vars])
def test_what_would_keep_a_value_is_refused_without_telling_it(keep: object) -> None:
    """Pickle, JSON, hashing (so no cache and no set)."""
    assert callable(keep)
    with pytest.raises(TypeError) as caught:
        keep(Secret(VALUE))
    assert "marker" not in str(caught.value)


def test_a_copy_is_the_same_object() -> None:
    """So that a copied dataclass does not multiply values."""
    secret = Secret(VALUE)
    assert copy.copy(secret) is secret and copy.deepcopy(Holder(secret, "n")).secret is secret


def test_secrets_with_the_same_value_are_equal_and_never_equal_to_a_text() -> None:
    """A comparison with a guess says nothing."""
    assert Secret(VALUE) == Secret(VALUE) and Secret(VALUE) != Secret(VALUE + "x")
    assert Secret(VALUE) != VALUE


def test_a_secret_does_not_change() -> None:
    """Nobody can put another value under a name that was checked."""
    with pytest.raises(AttributeError):
        Secret(VALUE).reveal = lambda: "other"  # type: ignore[method-assign]


# --- texts -------------------------------------------------------------------------------


def lower_case_quotes(value: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(value, safe=""))


@settings(deadline=None)
@given(value=TEXTS, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_every_form_of_a_value_is_redacted_wherever_it_stands(value: str, before: bytes, after: bytes) -> None:
    """Plain, quoted for URLs, JSON, repr, hex; base64 in the middle of other bytes leaves no run of 8 characters of it."""
    Secret(value)
    data = value.encode()
    for text in (value, quote(value, safe=""), quote(value), quote_plus(value), lower_case_quotes(value),
                 json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1], html.escape(value), data.hex()):  # fmt: skip
        assert redact(f"<{text}>") == f"<{MARK}>"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        coded = encode(before + data + after).decode()
        if len(data) >= 8:
            middle = base64.b64encode(data).decode().rstrip("=")[:-1] if not before else None
            clean = redact(coded)
            assert MARK in clean
            assert middle is None or middle not in clean


def test_each_line_of_a_private_key_is_redacted() -> None:
    """Tracebacks and diffs show single lines."""
    lines = [
        "-----BEGIN MARKER KEY-----",
        "MIIEpAIBAAKCAQEAmarker1",
        "qB7jmarkerzzzzzzzzzz",
        "-----END MARKER KEY-----",
    ]
    Secret("\n".join(lines))
    assert redact(lines[1]) == MARK and redact(f"> {lines[2]}") == f"> {MARK}"


def test_of_two_values_that_begin_alike_the_longer_is_taken_whole() -> None:
    """Else its end would stay."""
    Secret("beginning-alike")
    Secret("beginning-alike-and-more")
    assert redact("beginning-alike-and-more") == MARK


def test_a_short_value_is_not_looked_for() -> None:
    """It would blank ordinary text; such a value is no secret without a reason."""
    Secret("table")
    assert redact("table people") == "table people"


def test_an_error_takes_an_opened_secret_out_of_its_texts() -> None:
    """Should one quote what a library said."""
    Secret(VALUE)
    error = VeilError("VEIL401", f"no connection to postgresql://u:{quote(VALUE, safe='')}@db/w", f"see {VALUE}")
    assert "marker" not in str(error) + repr(error) + error.problem + error.hint
    assert error.problem == f"no connection to postgresql://u:{MARK}@db/w"


def test_an_error_of_sqlalchemy_with_its_url_is_redacted() -> None:
    """Its ``URL`` hides a password in ``str`` only, and a statement shows its parameters."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError

    Secret(VALUE)
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("select * from nothing where login = :login"), {"login": VALUE})
    assert "marker" in str(caught.value)
    assert "marker" not in redact(str(caught.value))
    url = engine.url.set(username="u", password=VALUE, host="db")
    assert "marker" not in redact(url.render_as_string(hide_password=False))


def test_a_secret_of_digits_breaks_no_document() -> None:
    """Texts are redacted, numbers are not: the record of a run has to be read back."""
    Secret("20261125")
    document = {"run": "01-20261125", "bytes": 202611250, "list": ["20261125", 20261125, None, True]}
    clean = redact_document(document)
    assert clean == {"run": f"01-{MARK}", "bytes": 202611250, "list": [MARK, 20261125, None, True]}
    assert json.loads(json.dumps(clean)) == clean


# --- log records -------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger that nobody told of secrets, with a handler that prints all it gets."""
    logger, stream = logging.getLogger("somebody.elses"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(login)s", defaults={"login": "-"}))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)


def test_messages_arguments_and_tracebacks_of_any_logger_are_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    """By the factory of records: nobody has to set up a handler."""
    logger, stream = log
    Secret(VALUE)
    logger.info("a %s, %r", VALUE, [VALUE])
    logger.info("mapping %(login)s", {"login": VALUE})
    logger.info(f"joined {VALUE}", stack_info=True)
    try:
        raise RuntimeError(f"said {VALUE}")
    except RuntimeError:
        logger.exception("failed")
    assert "marker" not in stream.getvalue()
    assert stream.getvalue().count(MARK) == 5


def test_a_record_without_a_secret_stays_as_it_was(log: tuple[logging.Logger, io.StringIO]) -> None:
    """Handlers that group by message and arguments keep working."""
    Secret(VALUE)
    record = logging.getLogRecordFactory()("n", logging.INFO, "f", 1, "%s rows", (3,), None)
    assert (record.msg, record.args) == ("%s rows", (3,))


def test_a_handler_that_shows_variables_gets_text_instead_of_frames() -> None:
    """A traceback as an object would show the locals of its frames."""
    Secret(VALUE)

    def connect(password: str) -> None:
        raise RuntimeError(f"cannot connect with {len(password)} characters")

    try:
        connect(VALUE)
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        assert "marker" in shown
        information = (type(error), error, error.__traceback__)
        record = logging.getLogRecordFactory()("n", logging.ERROR, "f", 1, "failed", (), information)
    assert record.exc_info is None
    assert record.exc_text is not None and "cannot connect" in record.exc_text and "marker" not in record.exc_text


def test_attributes_of_a_record_are_redacted_by_the_filter(log: tuple[logging.Logger, io.StringIO]) -> None:
    """For handlers that print what ``extra=`` added."""
    logger, stream = log
    Secret(VALUE)
    logger.handlers[0].addFilter(RedactingFilter())
    logger.info("connected", extra={"login": f"u:{VALUE}"})
    assert stream.getvalue() == f"connected u:{MARK}\n"


def test_a_secret_that_is_a_word_of_a_document_leaves_its_keys() -> None:
    """Else a run record could not be read again."""
    Secret("chunk_rows")
    assert redact_document({"chunk_rows": 5, "said": "chunk_rows"}) == {"chunk_rows": 5, "said": MARK}
