"""Reading, checking, treating and loading at the same time, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import ClassVar, Generic, Protocol, TypeVar

from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    Chunk,
    Container,
    Divisible,
    Part,
    Progress,
    QuarantinedRow,
    Receipt,
    Slice,
    Source,
    SourceColumn,
    Start,
    Target,
    Writer,
)
from veilflow.run.again import persistently
from veilflow.run.chunk import Treated
from veilflow.run.refused import without_refused
from veilflow.run.result import counts_of

OnProgress = Callable[[Progress], None]
Loadable = tuple[Chunk, Treated]
Treat = Callable[[Slice], Loadable]
OpenWriter = Callable[[], AbstractContextManager[Writer]]
LoadChunk = Callable[[Writer, Chunk, Treated], Receipt]
T = TypeVar("T")


class HoldsBack(Protocol):
    """Where rows that fail go: the quarantine, or a refusal."""

    def write(self, chunk: Chunk, rows: Sequence[QuarantinedRow]) -> Container | None:
        """Keep them; returns what the target is to keep with the chunk."""


class Interrupted(BaseException):
    """A signal asked to stop; ``status`` is 128 + its number."""

    #: The status of the last one since a run began: a library that meets it in its own code may raise an error of its own
    #: instead (DuckDB a RuntimeError).
    last: ClassVar[int | None] = None

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = Interrupted.last = status


def stage(
    parts: Sequence[Part],
    process: Callable[[Chunk], Treated],
    quarantine: HoldsBack,
    target: Target,
    *,
    hold_refused: bool,
    reopen: Callable[[], None],
    deadline: float | None,
    on_progress: OnProgress,
    workers: int | None = None,
) -> dict[int, Receipt]:
    """Load every chunk that has no receipt yet; returns the receipts of all.

    With ``hold_refused`` rows that the target does not take are quarantined; without, they refuse the run (VEIL319).
    Threads read parts of the source, others decode, check, treat, quarantine and load the chunks: as many as ``workers``
    of each, or without a number one that reads and all the writers that the target takes. Where it takes one, chunks are
    read and loaded in the order of the source, whoever treats them. No thread treats a chunk before it is rid of the one
    before. The first error stops all of them between two chunks and is raised here; what is staged stays, so a retry goes
    on from there. A chunk that meets a passing fault is loaded again after ``reopen``, which takes the target's lock
    again and waits for what lost connections were at, unless its receipt is there. ``deadline`` is a
    ``time.monotonic()`` moment (VEIL312).
    """
    stop = threading.Event()
    loading = _Loading(quarantine, hold_refused, target, reopen, stop)
    line = _Line(target.receipts(), loading.load, stop, deadline, on_progress)
    treat = partial(_treat, process)
    if target.parallel_writers == 1:
        works = line.in_order(parts, treat, target.writer, workers or 1)
    else:
        works = line.side_by_side(parts, treat, target.writer, workers or 1, workers or target.parallel_writers)
    threads = [threading.Thread(target=line.carry_out, args=(work,)) for work in works]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except BaseException:
        line.stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        raise
    if line.error:
        raise line.error
    return line.receipts


def _treat(process: Callable[[Chunk], Treated], piece: Slice) -> Loadable:
    chunk = piece.read()
    treated = process(chunk)
    return chunk, replace(treated, receipt=replace(treated.receipt, bookmark=piece.bookmark))


class _Loading:
    """How a chunk is held back and loaded, whatever passes meanwhile."""

    def __init__(
        self,
        quarantine: HoldsBack,
        hold_refused: bool,
        target: Target,
        reopen: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self._quarantine, self._hold_refused = quarantine, hold_refused
        self._target, self._reopen, self._stop = target, reopen, stop
        self._reopening = threading.Lock()

    def load(self, writer: Writer, chunk: Chunk, treated: Treated) -> Receipt:
        """Without the rows that the target refuses, where they may be held back."""
        try:
            return self._load(writer, chunk, treated)
        except VeilError as error:
            if error.code != "VEIL319" or not self._hold_refused:
                raise
        return self._load(writer, chunk, without_refused(treated, chunk, writer.attempt))

    def _load(self, writer: Writer, chunk: Chunk, treated: Treated) -> Receipt:
        """Hold back, then load: a row that is neither loaded nor kept would be lost for good."""
        held = self._quarantine.write(chunk, treated.quarantined) if treated.quarantined else None
        persistently(
            partial(writer.load, treated.rows, treated.receipt, held),
            partial(self._there, chunk.number),
            self._stop.wait,
        )
        return treated.receipt

    def _there(self, chunk: int) -> bool:
        with self._reopening:
            self._reopen()
            return chunk in self._target.receipts()


@contextmanager
def parts_of(
    source: Source, columns: Sequence[SourceColumn], chunk_rows: int, workers: int = 1
) -> Iterator[Sequence[Part]]:
    """The parts of a source, which is the only one where it cannot be divided."""
    if isinstance(source, Divisible):
        with source.parts(columns, chunk_rows, workers) as parts:
            yield parts
    else:
        yield [Part(BEGINNING, partial(source.slices, columns, chunk_rows))]


def start_behind(receipts: Mapping[int, Receipt], start: Start = BEGINNING) -> Start:
    """Behind the chunks that are there without a gap, from ``start`` on."""
    while (receipt := receipts.get(start.number)) is not None:
        start = Start(start.number + 1, start.position + receipt.read, receipt.bookmark)
    return start


class _Belt(Generic[T]):
    """A queue of one place between threads. It ends when all who give have ended, or when ``line`` stops."""

    def __init__(self, line: _Line, givers: int, takers: int) -> None:
        self._line, self._givers, self._takers = line, givers, takers
        self._waiting: queue.Queue[T | None] = queue.Queue(maxsize=1)
        self._taken = threading.Semaphore(0)
        self._lock = threading.Lock()

    def put(self, item: T | None) -> bool:
        """Wait until there is room; False if the line stops first."""
        while not self._line.stop.is_set():
            self._line.in_time()
            with suppress(queue.Full):
                self._waiting.put(item, timeout=0.2)
                return True
        return False

    def hand_over(self, item: T) -> bool:
        """Wait until it is taken, one giver at a time; False if the line stops first."""
        if not self.put(item):
            return False
        while not self._line.stop.is_set():
            self._line.in_time()
            if self._taken.acquire(timeout=0.2):
                return True
        return False

    def end(self) -> None:
        """This giver has no more."""
        with self._lock:
            self._givers -= 1
        if not self._givers:
            for _ in range(self._takers):
                self.put(None)

    def __iter__(self) -> Iterator[T]:
        while not self._line.stop.is_set():
            with suppress(queue.Empty):
                item = self._waiting.get(timeout=0.2)
                if item is None:
                    return
                self._taken.release()
                yield item


class _Line:
    """What the threads of one staging share."""

    def __init__(
        self,
        receipts: dict[int, Receipt],
        load: LoadChunk,
        stop: threading.Event,
        deadline: float | None,
        on_progress: OnProgress,
    ) -> None:
        self.receipts = dict(receipts)
        self._load_chunk, self.stop = load, stop
        self.error: BaseException | None = None
        self._counts = counts_of(receipts.values())
        self._deadline, self._on_progress = deadline, on_progress
        self._lock = threading.Lock()
        self._turn, self._turned = 0, threading.Condition()

    def side_by_side(
        self, parts: Sequence[Part], treat: Treat, writer: OpenWriter, readers: int, loaders: int
    ) -> list[Callable[[], None]]:
        """The works of threads that each treat and load, in no order."""
        readers = max(min(readers, len(parts)), 1)
        read: _Belt[tuple[int, Slice]] = _Belt(self, readers, loaders)
        waiting, turns = iter(parts), count()

        def load() -> None:
            self._load((treat(piece) for _turn, piece in read), writer)

        return [lambda: self._read(waiting, turns, read)] * readers + [load] * loaders

    def in_order(
        self, parts: Sequence[Part], treat: Treat, writer: OpenWriter, treaters: int
    ) -> list[Callable[[], None]]:
        """The works of one thread that reads, some that treat, and one that loads in the order of what was read."""
        read: _Belt[tuple[int, Slice]] = _Belt(self, 1, treaters)
        treated: _Belt[Loadable] = _Belt(self, treaters, 1)
        return [
            lambda: self._read(iter(parts), count(), read),
            *[lambda: self._treat_in_turn(treat, read, treated)] * treaters,
            lambda: self._load(treated, writer),
        ]

    def carry_out(self, work: Callable[[], None]) -> None:
        """Do a thread's work; its error stops the line."""
        try:
            work()
        except BaseException as error:
            with self._lock:
                self.error = self.error or error
            self.stop.set()

    def in_time(self) -> None:
        """VEIL312 after the deadline."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise VeilError(
                "VEIL312", "the run took longer than the pipeline's limits.timeout_seconds",
                "raise the limit, or look with `veil runs show last` at what took so long",
            )  # fmt: skip

    def _read(self, parts: Iterator[Part], turns: Iterator[int], read: _Belt[tuple[int, Slice]]) -> None:
        while (part := self._next(parts)) is not None:
            for piece in part.slices(start_behind(self.receipts, part.begins)):
                if piece.number not in self.receipts and not read.put((next(turns), piece)):
                    return
        read.end()

    def _next(self, parts: Iterator[Part]) -> Part | None:
        with self._lock:
            return next(parts, None)

    def _treat_in_turn(self, treat: Treat, read: _Belt[tuple[int, Slice]], treated: _Belt[Loadable]) -> None:
        for turn, piece in read:
            done = treat(piece)
            with self._turned:
                while self._turn != turn and not self.stop.is_set():
                    self._turned.wait(0.2)
                # Who comes next waits for this one, so that chunks stay in order; and this one treats no other before
                # it is taken, so that after a crash each thread has one chunk to do again at most.
                if not treated.hand_over(done):
                    return
                self._turn = turn + 1
                self._turned.notify_all()
        treated.end()

    def _load(self, treated: Iterable[Loadable], writer: OpenWriter) -> None:
        with writer() as open_writer:
            for chunk, done in treated:
                self._done(self._load_chunk(open_writer, chunk, done))

    def _done(self, receipt: Receipt) -> None:
        with self._lock:
            self.receipts[receipt.chunk] = receipt
            self._counts += counts_of([receipt])
            counts = self._counts
            self._on_progress(
                Progress("stage", read=counts.read, quarantined=counts.quarantined, durable=counts.loaded)
            )
