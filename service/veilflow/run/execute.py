"""A pipeline's run: discover, plan, stage, verify, publish, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Literal, TypeVar

from veilflow.checks import TableChecker
from veilflow.errors import PassingFault, VeilError
from veilflow.model import (
    Chunk,
    FileIdentity,
    Plan,
    Progress,
    Receipt,
    RunResult,
    Source,
    SourceSchema,
    Status,
    TableOutcome,
)
from veilflow.plan import document as plan_document
from veilflow.plan.approval import refuse_moved
from veilflow.run.again import persistently
from veilflow.run.books import Beginning, close_the_dead, completed_by
from veilflow.run.call import Call, direct
from veilflow.run.chunk import Treated, Work, process
from veilflow.run.endings import discard, origin, receipts_or_none, signal_status, status_of
from veilflow.run.incremental import Reading, begin
from veilflow.run.output import OutputGate, Rehearsed, stop_here
from veilflow.run.prepare import Loaded, Opened, Prepared, discovery_key, load, open_parts, quarantine_for, resolve
from veilflow.run.rekey import refuse_beside_others
from veilflow.run.request import Request
from veilflow.run.result import (
    checks_of,
    counts_of,
    error_records,
    quarantine_of,
    result_from_document,
    run_document,
)
from veilflow.run.resume import Resumed, read, refuse_if_changed, refuse_if_overtaken, staged
from veilflow.run.stage import Interrupted, OnProgress, parts_of, stage
from veilflow.run.variation import Variation
from veilflow.run.verify import refuse_other_rows, verify
from veilflow.secret_stores.session import Session
from veilflow.sources import describe, parse_description
from veilflow.sources.windows import narrowed
from veilflow.state import State, new_run_id, peak_memory_bytes, source_fingerprint, today, utc_now

T = TypeVar("T")

#: How long ``on_overlap: wait`` waits where ``limits.timeout_seconds`` does not say it.
LONGEST_WAIT_SECONDS = 3600.0
SECONDS_BETWEEN_TRIES = 0.5


def execute(
    request: Request,
    *,
    run_id: str | None = None,
    call: Call = direct,
    orchestrator: Literal["prefect", "direct"] = "direct",
    on_progress: OnProgress | None = None,
    session: Session | None = None,
    variation: Variation | None = None,
) -> RunResult:
    """Run a pipeline, or go on with a run of it, and record it in ``.veil/state.db``. Errors of the run stand in the
    result.

    ``run_id`` is a new one of ``state.new_run_id``, for a caller that tells it before the run begins. ``session`` holds
    the opened secret stores of a caller that runs several pipelines; without one the run opens and closes its own.
    ``variation`` makes it a run over rows in quarantine, or over the published table.

    Raises VeilError only where no record can be made (VEIL101), and ``Interrupted`` never: a run that a signal
    stopped ends as ``interrupted`` with status 130 or 143. A run that cannot be resumed, or is stopped before it goes
    on, raises either: its record stays as it was.
    """
    state = State(request.project)
    own = session or Session(request.project)
    resumed = None if request.resumes is None else read(state, request.resumes)
    run_id = resumed.run_id if resumed else run_id or new_run_id()
    told = on_progress or (lambda _progress: None)
    run = _Run(request, run_id, state, call, orchestrator, told, own, variation, resumed)
    try:
        with nullcontext() if session else own:
            return run.carry_out()
    except BaseException:
        # A signal that finds the run ended has nothing to stop: its record holds.
        if run.ended is None:
            raise
        return run.ended


class _Run:
    """One run's course; each step is a method, and ``carry_out`` is their order."""

    def __init__(
        self,
        request: Request,
        run_id: str,
        state: State,
        call: Call,
        orchestrator: Literal["prefect", "direct"],
        on_progress: OnProgress,
        session: Session,
        variation: Variation | None,
        resumed: Resumed | None,
    ) -> None:
        self.variation = variation
        self.tables: TableChecker | None = None
        self.table_outcomes: tuple[TableOutcome, ...] = ()
        self.request, self.state, self.call, self.on_progress = request, state, call, on_progress
        self.session = session
        session.label = f"veilflow {run_id} {request.pipeline}"
        self.orchestrator: Literal["prefect", "direct"] = orchestrator
        self.run_id, self.started = run_id, resumed.document["started"] if resumed else utc_now()
        self.resumed, self.beginning = resumed, resumed.beginning if resumed else None
        self.resumed_chunks: int | None = None
        #: Whether a failure from here on is this run's own: one that is refused as it stands has its record already.
        self.under_way = resumed is None
        self.prepared: Prepared | None = None
        self.opened: Opened | None = None
        self.receipts: dict[int, Receipt] = {}
        self.files: tuple[FileIdentity, ...] = ()
        self.publishing = self.resumable = False
        self.ended: RunResult | None = None
        self.wait_until: float | None = None
        self.deadline: float | None = None
        self.seconds: dict[str, float] = {}
        now = time.monotonic()
        self.began = now
        if request.began is not None:
            self.seconds["start_up"] = now - request.began

    # --- the order ---

    def carry_out(self) -> RunResult:
        self.session.begin_run()
        Interrupted.last = None
        try:
            with self._alone():
                return self._steps()
        except VeilError as error:
            if not self.under_way:
                raise
            return self._failed(error)
        except Exception as error:
            if Interrupted.last is not None:
                return self._stopped(Interrupted.last)
            defect = VeilError(
                "VEIL100", f"a defect in Veilflow ({type(error).__name__} in {origin(error)})",
                "please report it with the version and the command; the text of the error is not shown, it may carry data",
            )  # fmt: skip
            return self._failed(defect)
        except BaseException as error:  # noqa: BLE001  # a signal, whoever turned it into an exception
            return self._stopped(signal_status(error))
        finally:
            if self.tables is not None:
                self.tables.close()
            if self.opened:
                self.opened.target.close()

    def _steps(self) -> RunResult:
        loaded = self._load()
        self.files = loaded.source.files()
        described = self._step("discover", lambda: describe(loaded.source.schema()), discovery_key(loaded, self.files))
        self._step("plan", lambda: self._plan(loaded, parse_description(described)))
        closed = self._begin()
        if closed is not None:
            return closed
        if self.variation is not None:
            self.variation.refuse(self.state)
        self._save("running")
        self._step("stage", self._stage)
        self._step("verify", self._verify)
        if self.request.dry_run:
            self._rehearse()
            self._opened.target.discard()
        else:
            # The intent is durable before the target changes: if this process dies in publishing, the next
            # command reads from the target whether it happened and has the counts to close this record.
            self._save("running")
            self._step("publish", self._publish)
        return self._step("report", lambda: self.end("succeeded", 0))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the pipeline's lock: at once, or after the run that has it where the pipeline says ``on_overlap: wait``."""
        waits = self._load().pipeline.on_overlap == "wait"
        self.wait_until = self.deadline or self.began + LONGEST_WAIT_SECONDS if waits else None
        with self.state.lock(self.request.pipeline, self.run_id, wait_until=self.wait_until):
            yield

    def _step(self, name: str, function: Callable[[], T], cache_key: str | None = None) -> T:
        counts = counts_of(self.receipts.values())
        self.on_progress(Progress(name, counts.read, counts.quarantined, counts.loaded))
        return self._timed(
            "plan" if name == "discover" else name, lambda: self.call(name, function, cache_key=cache_key)
        )

    def _timed(self, name: str, function: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return function()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    # --- the steps ---

    def _load(self) -> Loaded:
        request = self.request
        listed = tuple(file.name for file in self.beginning.files) if self.beginning else ()
        loaded = self._timed(
            "plan",
            lambda: load(
                request.project, request.environment, request.pipeline, self.session, request.parameters, listed
            ),
        )
        self.deadline = None if (limit := loaded.pipeline.timeout_seconds) is None else self.began + limit
        if self.variation is not None:
            return self.variation.loaded(loaded)
        if self.beginning is None:
            return loaded
        return replace(loaded, pipeline=replace(loaded.pipeline, as_of=self.beginning.as_of))

    def _plan(self, loaded: Loaded, schema: SourceSchema) -> None:
        prepared = resolve(loaded, schema, self.session)
        self.prepared = prepared
        if self.variation is not None:
            self.prepared = self.variation.prepared(prepared, self.session)
            self.files = self.prepared.source.files()
        self.prepared.raise_errors()
        self.opened = open_parts(self.prepared, self.run_id, self.session, self.request.key_version)
        if self.request.approved is not None:
            refuse_moved(self.request.approved, self.plan, self.opened.key_versions)

    def _begin(self) -> RunResult | None:
        """Fix what each retry and resume uses, or hold it against what was fixed. A result: it has all been done."""
        opened, target = self._opened, self._opened.target
        if self.request.dry_run:
            self._fix()
            return None
        published = close_the_dead(self.state, self.request.pipeline, target, but=self.run_id)
        if self.resumed is None:
            self._fix()
            return completed_by(published, self.plan, self.files)
        refuse_if_overtaken(self.state, self.resumed)
        refuse_if_changed(self.resumed, self._prepared, opened, self.files)
        if target.publication(self.run_id) is not None:
            return result_from_document(self.state.set_status(self.resumed.document, "published_unreported"))
        self._narrow()
        self.receipts = self._open_staging()
        self.resumed_chunks, self.under_way = len(self.receipts), True
        return None

    def _fix(self) -> None:
        plan, opened, source = self.plan, self._opened, self._prepared.source
        increment = begin(plan, opened.target, source, self.files, opened.manifest_keys, self.request)
        reading = Reading(increment)
        self.files = reading.files(self.files)
        fingerprints = reading.source(source).fingerprints(opened.fingerprint_key)
        self.beginning = Beginning(
            plan.as_of, plan.chunk_rows, self.files, fingerprints, opened.active_key, self.request.parameters, increment
        )
        self._narrow()

    @property
    def _reading(self) -> Reading:
        return Reading(self.beginning.increment if self.beginning else None)

    def _narrow(self) -> None:
        """From here on the source is what the run reads of it."""
        reading, work = self._reading, self._opened.work
        self.prepared = replace(self._prepared, source=reading.source(self._prepared.source))
        self.opened = replace(self._opened, work=replace(work, window=reading.window))

    def _open_target(self) -> None:
        """Take the target's lock, which a run of another pipeline may have."""
        while True:
            try:
                return self._opened.target.open(self.run_id)
            except VeilError as error:
                if error.code != "VEIL308" or self.wait_until is None or time.monotonic() > self.wait_until:
                    raise
            time.sleep(SECONDS_BETWEEN_TRIES)

    def _open_staging(self) -> dict[int, Receipt]:
        """Open the target and hold what this run has staged against its receipts; dropped is what cannot be gone on
        with: a database gives its rows in no order of their own, and rows of two snapshots must not mix."""
        target, source = self._opened.target, self._prepared.pipeline.source
        self._open_target()
        if (source.table or source.query) and not source.order_by and target.receipts():
            target.discard()
            self._open_target()
        refuse_beside_others(self.plan, target, self._opened.column_keys)
        return staged(self._opened, self._prepared)

    def _stage(self) -> None:
        opened, plan = self._opened, self.plan
        self.receipts = self._open_staging()
        if not self.request.dry_run:
            opened.target.clean()
        quarantine = quarantine_for(opened, self.state.directory / "quarantine", self.run_id)
        quarantine.forget_all_but(self.receipts)
        source: Source = self._prepared.source
        work: Work = opened.work
        try:
            workers = plan.source.workers
            with parts_of(source, plan.source_columns, plan.chunk_rows, workers or 1) as parts:
                self.receipts = stage(
                    parts,
                    lambda chunk: self._processed(chunk, work),
                    quarantine,
                    opened.target,
                    hold_refused=plan.target.on_refused_row == "quarantine",
                    reopen=self._open_target,
                    deadline=self.deadline,
                    on_progress=self.on_progress,
                    workers=workers,
                )
        except BaseException:
            self.receipts = receipts_or_none(opened.target) or self.receipts
            raise

    def _processed(self, chunk: Chunk, work: Work) -> Treated:
        chunk = narrowed(chunk, work.window)
        self._tables.add(chunk)
        return process(chunk, work)

    @property
    def _tables(self) -> TableChecker:
        if self.tables is None:
            self.tables = TableChecker(self.plan.checks, self.plan.source_columns, as_of=self.plan.as_of)
        return self.tables

    def _judge_tables(self) -> None:
        """Count what an earlier attempt staged and this process did not read, then judge."""
        left = set(self.receipts) - self._tables.counted
        if left and self.plan.has_checks("source", "table"):
            for part in self._prepared.source.slices(self.plan.source_columns, self.plan.chunk_rows):
                if part.number in left:
                    self._tables.add(narrowed(part.read(), self._opened.work.window))
        self.table_outcomes = self._tables.outcomes()

    def _verify(self) -> None:
        self._judge_tables()
        verify(
            self.plan,
            self.receipts,
            staged_rows=self._opened.target.staged_rows(),
            before=self.files,
            after=self._prepared.source.files(),
            source=self._prepared.pipeline.source.shown,
            tables=self.table_outcomes,
            may_be_empty=self._reading.looks_for_new,
        )
        self._reading.refuse_future(self.plan, self.receipts, today())

    def _publish(self) -> None:
        self.publishing = True
        # The verdicts on the output are durable, like the intent, before the target changes.
        self._through_gate(lambda: self._save("running"))

    def _rehearse(self) -> None:
        """A dry run meets what publishing would meet: all of it happens, and the transaction is given up."""
        if self.plan.has_checks("output"):
            with suppress(Rehearsed):
                self._step("verify", lambda: self._through_gate(stop_here))

    def _through_gate(self, then: Callable[[], None]) -> None:
        gate = None
        if self.plan.has_checks("output"):
            gate = OutputGate(self.plan, self._prepared.other_table, self._judged, then)
        advance = self._reading.advance(self.plan, self.receipts)
        target = self._opened.target
        persistently(
            lambda: target.publish(self._opened.column_keys, gate, advance),
            self._published_after_all,
            time.sleep,
        )

    def _published_after_all(self) -> bool:
        """Whether the publishing whose answer was lost has happened; if not, the staging was held against the books."""
        target = self._opened.target
        if target.publication(self.run_id) is not None:
            return True
        self._open_target()
        refuse_other_rows(target.staged_rows(), counts_of(self.receipts.values()).loaded)
        return False

    def _judged(self, output: tuple[TableOutcome, ...]) -> None:
        numbers = {one.check for one in output}
        self.table_outcomes = (*(one for one in self.table_outcomes if one.check not in numbers), *output)

    # --- how it ends ---

    def _failed(self, error: VeilError) -> RunResult:
        return self._ended_early(status_of(error), error.exit_status, error)

    def _stopped(self, exit_status: int) -> RunResult:
        if not self.under_way:
            raise Interrupted(exit_status) from None
        return self._ended_early("interrupted", exit_status, None)

    def _ended_early(self, status: Status, exit_status: int, error: VeilError | None) -> RunResult:
        """Close the books of a run that a signal or an error ended. One that reached the publishing transaction asks
        the target whether it committed: the answer to a commit may be what was lost."""
        if self.publishing:
            try:
                published = self._opened.target.publication(self.run_id) is not None
            except VeilError:
                # Nobody knows: the record stays as it is, and the next command closes it from the target.
                return self._result(status, exit_status, error)
            if published:
                return self.end("succeeded", 0)
        # A lost connection or a server that went down is no reason to do the work again.
        keeps = status == "interrupted" or isinstance(error, PassingFault)
        own = self.variation is None and not self.request.dry_run
        self.resumable = keeps and own and self.beginning is not None
        if self.opened and not self.resumable:
            discard(self.opened.target)
        return self.end(status, exit_status, error)

    def end(self, status: Status, exit_status: int, error: VeilError | None = None) -> RunResult:
        result = self._result(status, exit_status, error)
        self._record(result)
        self.ended = result
        return result

    def _save(self, status: Status) -> None:
        self._record(self._result(status, 0, None))

    def _record(self, result: RunResult) -> None:
        plan = None
        if self.prepared is not None:
            plan = {**plan_document(self.prepared.decision), "pinned_key_version": self.request.key_version}
        beginning = None if self.beginning is None else self.beginning.document()
        self.state.save(run_document(result), source_fingerprint(self.files), plan, beginning)

    def _result(self, status: Status, exit_status: int, error: VeilError | None) -> RunResult:
        plan = self.prepared.decision.plan if self.prepared else None
        moved = status in ("running", "succeeded") and not self.request.dry_run
        receipts = self.receipts.values()
        counts = counts_of(receipts)
        if status in ("refused", "failed"):
            # Nothing stands in the target: what was staged is gone.
            counts = replace(counts, loaded=0)
        return RunResult(
            run_id=self.run_id,
            parent_run=self.variation.parent_run if self.variation else None,
            pipeline=self.request.pipeline,
            environment=self.request.environment,
            orchestrator=self.orchestrator,
            status=status,
            exit_status=exit_status,
            mode=plan.target.mode if plan else "",
            counts=counts,
            quarantine=quarantine_of(plan, receipts) if plan else (),
            checks=checks_of(plan, receipts, self.table_outcomes) if plan else (),
            plan_hash=plan.plan_hash if plan else None,
            key_versions=self.opened.key_versions if self.opened else {},
            pinned_key_version=self.request.key_version,
            left_key_versions=self.variation.left_key_versions if self.variation else None,
            accesses=self.session.used(),
            target_kind=plan.target.kind if plan else None,
            target_table=plan.target.table if plan else None,
            target_location=plan.target.location if plan else None,
            chunks=len(self.receipts),
            seconds=dict(self.seconds),
            peak_memory_bytes=peak_memory_bytes(),
            errors=error_records(error) if error else (),
            started=self.started,
            ended=None if status == "running" else utc_now(),
            dry_run=self.request.dry_run,
            resumable=self.resumable,
            resumed_chunks=self.resumed_chunks,
            increment=self._reading.increment,
            watermark=self._reading.watermark(plan, self.receipts, moved),
            waived=self.variation.waived if self.variation else None,
        )

    @property
    def plan(self) -> Plan:
        return self._prepared.decision.plan

    @property
    def _prepared(self) -> Prepared:
        assert self.prepared is not None
        return self.prepared

    @property
    def _opened(self) -> Opened:
        assert self.opened is not None
        return self.opened
