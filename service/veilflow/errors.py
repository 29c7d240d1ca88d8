"""Every error Veilflow raises: what is wrong, a stable code, where, and what to do next.

    VeilError                 the base; ``code``, ``problem``, ``hint``, ``place``
    ├── PassingFault          may go away by itself: a retry is worth it
    └── Problems              several at once, reported together

The first digit of a code is the process's exit status (see ``EXIT_STATUS``). A message
names files, fields, tables, columns and rules; never a value of the data, never a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from veilflow.redaction import redact

P = ParamSpec("P")
T = TypeVar("T")

EXIT_STATUS = {
    1: "failed: a defect, a full disk, a statement that the database refused",
    2: "usage, configuration or input that cannot be read",
    3: "refused by a rule; nothing was published",
    4: "out of reach: cannot connect, credential or permission rejected, time-out",
    5: "the books do not balance",
}

#: The order in which statuses win when one command ran several pipelines.
WORST_FIRST = (5, 1, 4, 3, 2)


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a file that a person wrote; lines and columns count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


class VeilError(Exception):
    """One problem. ``hint`` is not optional: a person reads it and knows the next step."""

    def __init__(self, code: str, problem: str, hint: str, place: Place | None = None) -> None:
        # The texts are our own; should one quote what a library said, an opened secret is taken out of it here.
        problem, hint = redact(problem), redact(hint)
        super().__init__(problem)
        self.code, self.problem, self.hint, self.place = code, problem, hint, place

    @property
    def exit_status(self) -> int:
        return int(self.code.removeprefix("VEIL")[0])

    @property
    def parts(self) -> tuple[VeilError, ...]:
        """The single problems inside: itself, or what a ``Problems`` collects."""
        return (self,)

    def copied(self) -> tuple[type[VeilError], tuple[Any, ...]]:
        """What makes the same error again: its class and arguments."""
        return type(self), (self.code, self.problem, self.hint, self.place)

    def __reduce__(self) -> tuple[object, ...]:
        return self.copied()

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{self.code}: {where}{self.problem}\nhint: {self.hint}"


class PassingFault(VeilError):
    """A fault that may pass: a lost connection, a busy server. The caller may retry."""


class Problems(VeilError):
    """Several problems found in one go; the status is the worst of theirs."""

    def __init__(self, problems: Iterable[VeilError]) -> None:
        self.problems = tuple(part for problem in problems for part in problem.parts)
        if not self.problems:
            raise ValueError("Problems needs at least one problem")
        first = min(self.problems, key=lambda problem: WORST_FIRST.index(problem.exit_status))
        super().__init__(first.code, first.problem, first.hint, first.place)

    @property
    def parts(self) -> tuple[VeilError, ...]:
        return self.problems

    def copied(self) -> tuple[type[VeilError], tuple[Any, ...]]:
        return type(self), (self.problems,)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def raise_all(problems: Iterable[VeilError]) -> None:
    """Raise what was collected: nothing, the one problem itself, or all of them together.

    A problem that two readers of one file found is told once.
    """
    parts = [part for problem in problems for part in problem.parts]
    found = tuple({(part.code, part.problem, part.place): part for part in parts}.values())
    if len(found) == 1:
        raise found[0]
    if found:
        raise Problems(found)


def frameless(function: Callable[P, T]) -> Callable[P, T]:
    """``function``, whose VeilErrors leave without the frames that they passed.

    Tools print the variables of a traceback's frames; those of a store, while it opens a secret, may hold it. A defect
    keeps its frames, and whoever catches it tells its type only.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except VeilError as error:
            kind, parts = error.copied()
        # Outside of `except`, so that the error with its frames is not even the context of this one.
        args = kwargs = None  # type: ignore[assignment]
        raise kind(*parts)

    return call


@dataclass(frozen=True, slots=True)
class Code:
    """What ``veil explain`` tells about an error code, offline."""

    title: str
    text: str


CODES: dict[str, Code] = {
    # 1xx: failed
    "VEIL100": Code(
        "A defect in Veilflow",
        "Something happened that the code does not foresee. Nothing was published unless the run record says so. The error names the type of the exception only, because its text may carry data.",
    ),
    "VEIL101": Code(
        "The disk is full or cannot be written",
        "A file could not be written. The target was left as it was; free space or fix the permission and run again.",
    ),
    "VEIL102": Code(
        "The database refused a statement",
        "The target's database answered with an error. The driver's text may quote rows, so only its SQLSTATE is shown.",
    ),
    "VEIL103": Code(
        "A treatment failed", "A treatment raised an error on a column that its plan allowed. The value is not shown."
    ),
    "VEIL104": Code(
        "Prefect's own server did not start",
        "The server that `veil run` starts as its child ended or did not answer in time. Its log lies in `.veil/prefect/server.log`.",
    ),
    "VEIL105": Code(
        "A check could not be judged",
        "Great Expectations raised an error on an expectation that the plan allowed. What it says may quote rows and is not shown. A row that was not judged is never loaded.",
    ),
    # 2xx: usage, configuration, input that cannot be read
    "VEIL200": Code("Usage", "The command line could not be understood."),
    "VEIL201": Code(
        "Unknown or missing key in a configuration file",
        "Each YAML file has a fixed set of keys; an unknown one is a mistake that could switch a protection off, so it is an error.",
    ),
    "VEIL202": Code(
        "A value in a configuration file has the wrong type or range", "The value does not fit what the key takes."
    ),
    "VEIL203": Code(
        "A configuration file cannot be parsed",
        "The file is not plain YAML (or JSON): tags, duplicate keys, deep nesting and alias bombs are refused as well.",
    ),
    "VEIL204": Code(
        "Project, pipeline, policy or suite not found",
        "The name does not exist in this project. Names are file names without their ending.",
    ),
    "VEIL205": Code(
        "Unknown treatment or parameter",
        "The policy names a treatment or a parameter that does not exist, or a parameter is out of range.",
    ),
    "VEIL206": Code(
        "The policy says nothing, or two things",
        "An empty policy, or two rules that decide the same column with equal right, cannot protect anybody. The more specific rule wins: the exact name, then the pattern with more literal characters, then a tag, then the default of a class.",
    ),
    "VEIL207": Code(
        "Unknown expectation or argument",
        "Great Expectations would drop an unknown expectation in silence; Veilflow refuses it.",
    ),
    "VEIL208": Code("A suite without expectations", "An empty suite passes everything."),
    "VEIL209": Code(
        "A filter does not fit its column", "The filter's operator or value does not fit the column's type."
    ),
    "VEIL210": Code(
        "The source cannot be read",
        "The file is missing, is not readable, or is not of the kind that the pipeline says.",
    ),
    "VEIL211": Code("The source is empty", "The file holds no byte, or not even a header."),
    "VEIL212": Code("The header is not usable", "Column names are missing, repeated, or differ only in case."),
    "VEIL213": Code(
        "A row cannot be read",
        "A row has too many or too few fields, bytes that the encoding does not allow, a NUL byte, or a cell that does not fit its declared type, and the pipeline says `on_bad_row: refuse`.",
    ),
    "VEIL214": Code("The target cannot be used", "The target's kind, path or connection is not usable as configured."),
    "VEIL220": Code("Unknown secret or store", "`secrets/names.yaml` has no such name."),
    "VEIL221": Code("A secret is missing", "The store was reached and has no such secret."),
    "VEIL222": Code(
        "A secret is empty, too short or malformed",
        "The store holds an empty value, the key ring is not one, or the value has fewer than 8 characters: redacting it from logs would blank ordinary text, so it is refused unless `unsafe_short` gives a reason.",
    ),
    "VEIL223": Code(
        "A secret stands in a file of the project",
        "A text has the form of a known kind of credential, or is a URL with a password. Files of a project name places of secrets, never values. Take it out, put it into a store, and change it: whoever read the file knows it. The value is not shown.",
    ),
    "VEIL224": Code(
        "The store cannot be written from here",
        "This kind of store, or the right that was given, is read-only. The hint lists the steps to take by hand.",
    ),
    # 3xx: refused
    "VEIL301": Code(
        "A column that no rule covers",
        "The policy is closed: a column that it does not list is not loaded. This is what keeps a new column with personal data from passing through.",
    ),
    "VEIL302": Code(
        "A rule, check or filter names a column that the source does not have",
        "A renamed column would lose its protection in silence, so the run is refused.",
    ),
    "VEIL303": Code("A treatment does not fit the column's type", "Treatments say which types they take."),
    "VEIL304": Code(
        "`keep` or `unsafe_…` without a reason, or not by the exact name",
        "Keeping a column in clear, and everything that is spelt `unsafe_…`, needs the column's exact name and a reason that the report can print. A pattern, a tag or a class default that keeps would wave a new column through.",
    ),
    "VEIL305": Code(
        "An expectation that cannot be judged",
        "Row expectations are judged chunk by chunk, and some about the whole table are counted over the stream; the reference lists both. Of others the verdict on a stream would be wrong. A row condition takes comparisons only.",
    ),
    "VEIL306": Code(
        "A check refused the run",
        "More rows failed than the suite's `mostly` or the pipeline's limit allows. Nothing was published; the failing rows are in quarantine.",
    ),
    "VEIL307": Code(
        "The target has another shape", "The target's table exists with other columns or types. Nothing was changed."
    ),
    "VEIL308": Code("Another run is active", "A run of this pipeline is alive and holds its lock."),
    "VEIL309": Code(
        "Zero rows",
        "The source has a header and no row; replacing a table by nothing is refused unless `allow_empty: true`.",
    ),
    "VEIL310": Code(
        "The source changed while it was read", "Size, time or content of a file differ from the start of the run."
    ),
    "VEIL311": Code(
        "A weak setting",
        "The policy asks for something that would not protect: the text says what, with the finding of `veil policy lint` where it is one.",
    ),
    "VEIL312": Code("The run took longer than its limit", "`limits.timeout_seconds` passed. Nothing was published."),
    "VEIL313": Code(
        "Other key version",
        "The target's column holds pseudonyms of another key version; appending would insert every person a second time. The hint names the ways out: load the table anew, go on under its version, or re-key it where the treatments are reversible.",
    ),
    "VEIL314": Code(
        "A value that its treatment does not take",
        "Some treatments take only some values: format-preserving encryption, for one, only those of its alphabet and of enough length. The policy says `refuse` for the others; it can also hold such rows back.",
    ),
    "VEIL315": Code(
        "A key version that cannot be used",
        "The key ring does not have the version, or it is retired or destroyed. Retired keys open what is there and make no new pseudonyms; destroyed keys are gone.",
    ),
    "VEIL316": Code(
        "A policy is weaker than the one that it extends",
        "A policy may treat a column as strictly as the policy under `extends:`, or stricter. Where it must be weaker, its rule of the exact name says `unsafe_weaken: reason`. What cannot be compared counts as weaker; the how-to of policies has the order.",
    ),
    "VEIL317": Code(
        "A credential that dies before the run must",
        "The credential is leased, and the maximum of its lease, or of the login's token, is below the pipeline's `limits.timeout_seconds`. A run could lose the connection that holds the table's lock, or the source's snapshot.",
    ),
    "VEIL318": Code(
        "The merge key does not tell rows apart",
        "A merge updates the rows of the same key, so the key of every row must be there and stand once, in what the run loads and in the table. Nothing was changed.",
    ),
    "VEIL319": Code(
        "The target refuses a value",
        "A constraint of the table does not allow a row, or its type cannot hold a value. Nothing was published; the message names the rule or the column, never the value. `on_refused_row: quarantine` in the pipeline's target holds such rows back.",
    ),
    "VEIL320": Code(
        "The policy does not let originals be shown",
        "`veil preview --show-values` shows the values of people. The policy says `show_values: refuse`; shapes are shown without the option.",
    ),
    "VEIL321": Code(
        "The plan that was written has moved",
        "`veil run --plan` carries out the plan that `veil plan --out` wrote, or nothing. The policy, the suite, the source's columns, the target or a key version is another one since; the text names which. Look at the new plan, and write it again.",
    ),
    "VEIL322": Code(
        "Rows in quarantine that cannot be replayed",
        "They were replayed already, their run published nothing, nothing is held back any more, or runs replace or merge the table and a later run has published: rows of an older source would stand beside its, or over them.",
    ),
    "VEIL323": Code(
        "Others could read staged rows",
        "Rows wait in the schema `veilflow_staging` until they were checked, and nobody but the loading role may read them there. A grant on the schema, default privileges of the role, or a publication of all tables would let others; the text names whom, the hint has the statement that ends it. Superusers and members of `pg_read_all_data` read everything and cannot be kept out.",
    ),
    "VEIL324": Code(
        "Row-level security hides rows of the target",
        "The loading role does not see every row of the table. What it does not see it cannot replace or compare: old rows would stand beside the new ones. Owners see all rows unless the table says `force row level security`; others need BYPASSRLS.",
    ),
    "VEIL325": Code(
        "The run cannot be resumed or cancelled",
        "A run is gone on with only as the run that it was: with the same pipeline, policy and suite, before another run of its pipeline has published, and not once it has ended. Only a run that is alive can be cancelled. The text says which.",
    ),
    "VEIL326": Code(
        "The files of a source differ",
        "All files that a pattern matches need the same columns with the same types, in whatever order. The text names the column and two files. In Parquet the type is the file's own, unless the pipeline's `columns:` declare one.",
    ),
    "VEIL327": Code(
        "This cannot be loaded incrementally",
        "An incremental run reads what is new and leaves the rest of the table as it is. Replacing, `delete: true`, appending with a lag, a column without an exact order, and a column whose values are personal would lose rows, load them twice, or write a person's value into the checkpoint.",
    ),
    "VEIL328": Code(
        "The checkpoint is not one to go on from",
        "The target keeps how far the pipeline has read. Source, policy, filters or column are others since, so the rows that are there do not stand for what would be read now; or another run has moved the checkpoint; or a table that runs have loaded has none, and appending everything would load rows twice. The text says which, and the hint the ways out.",
    ),
    "VEIL329": Code(
        "A watermark in the future",
        "The largest value of the incremental column is a time more than a day ahead. As a watermark it would hide every row that comes until then. Nothing was published; the value is not shown.",
    ),
    "VEIL330": Code(
        "The order of a source does not tell its rows apart",
        "`order_by` names columns by which a resumed run finds the chunks of before again. The plan looks for a primary key, or a unique index without nulls, within them; what it cannot look up, in a query or a view, is held row against row while it is read. Without `order_by` a run is resumed from the first row.",
    ),
    "VEIL331": Code(
        "A table that cannot be re-keyed",
        "A re-key opens the pseudonyms of the published table under the key version that made them, and makes them anew under another one. It needs treatments that the key opens in every column with a key (not token, surrogate, fake …), the same treatments as when the table was loaded, and a target in SQLite, PostgreSQL or MariaDB. The text names the columns that are in the way; loading the table anew always helps.",
    ),
    # 4xx: out of reach
    "VEIL401": Code(
        "The database, or the store of a source's files, is out of reach",
        "No connection could be made, or it was lost, or it was closed because the server asked for a file of this machine.",
    ),
    "VEIL402": Code(
        "The database, or the store of a source's files, rejected the credential",
        "User, password or permission was rejected, or a key has expired.",
    ),
    "VEIL403": Code(
        "Prefect's server is out of reach",
        "Nothing answers where `PREFECT_API_URL` says, it wants other credentials, or the server went away while a run was under way.",
    ),
    "VEIL404": Code("A secret store is out of reach", "The store did not answer."),
    "VEIL405": Code(
        "A secret was changed by somebody else meanwhile",
        "Between reading it and writing it another process wrote it. Nothing was overwritten; run the command again.",
    ),
    "VEIL406": Code(
        "A secret store rejected the login or a permission",
        "The store answered and said no: the login is wrong, the token expired or was revoked, or a policy does not allow what was asked. Where a policy is missing a line, the hint has it.",
    ),
    "VEIL407": Code(
        "The run has not stopped yet",
        "`veil runs cancel` asked the process to stop and waited. It ends when the chunk or the publishing that it is at is done.",
    ),
    "VEIL408": Code(
        "A lock was not given in time",
        "Somebody else held a lock on the table for longer than the connection's `lock_timeout_seconds` (30). A run tries again for half a minute, and can be resumed.",
    ),
    "VEIL409": Code(
        "A statement took too long",
        "A statement ran for longer than the connection's `statement_timeout_seconds`: an hour for a target, no limit for a source. The run can be resumed.",
    ),
    # 5xx: the books do not balance
    "VEIL501": Code(
        "Read is not loaded + quarantined + filtered", "The counts of the run do not add up. Nothing was published."
    ),
    "VEIL502": Code(
        "The staged rows differ from their receipts",
        "The staging table does not hold what the receipts say. Nothing was published.",
    ),
    "VEIL503": Code("A quarantine file is damaged", "A file was changed, removed or belongs to another run or chunk."),
}
