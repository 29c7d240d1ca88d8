"""Reading, checking, treating and loading at the same time, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from veilflow.errors import VeilError
from veilflow.model import (
    BEGINNING,
    Chunk,
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
from veilflow.run.chunk import Treated
from veilflow.run.refused import without_refused

OnProgress = Callable[[Progress], None]


class HoldsBack(Protocol):
    """Where rows that fail go: the quarantine, or a refusal."""

    def write(self, chunk: Chunk, rows: Sequence[QuarantinedRow]) -> None: ...


class Interrupted(BaseException):
    """A signal asked to stop; ``status`` is 128 + its number."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def stage(
    parts: Iterable[Part],
    process: Callable[[Chunk], Treated],
    quarantine: HoldsBack,
    target: Target,
    *,
    hold_refused: bool,
    deadline: float | None,
    on_progress: OnProgress,
) -> dict[int, Receipt]:
    """Load every chunk that has no receipt yet; returns the receipts of all.

    With ``hold_refused`` rows that the target does not take are quarantined; without, they refuse the run (VEIL319).
    One thread reads, the target's writers each decode, check, treat, quarantine and load. The first error stops all
    of them between two chunks and is raised here; what is staged stays, so a retry goes on from there.
    ``deadline`` is a ``time.monotonic()`` moment (VEIL312).
    """
    line = _Line(target.receipts(), hold_refused, deadline, on_progress)
    threads = [threading.Thread(target=line.read, args=(iter(parts),), name="read")]
    threads += [
        threading.Thread(target=line.load, args=(target.writer, process, quarantine), name=f"load-{n}")
        for n in range(target.parallel_writers)
    ]
    line.writers = target.parallel_writers
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


class _Line:
    """What the threads of one staging share."""

    def __init__(
        self, receipts: dict[int, Receipt], hold_refused: bool, deadline: float | None, on_progress: OnProgress
    ) -> None:
        self.receipts = dict(receipts)
        self._hold_refused = hold_refused
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.writers = 1
        self._waiting: queue.Queue[Slice | None] = queue.Queue(maxsize=1)
        self._deadline, self._on_progress = deadline, on_progress
        self._lock = threading.Lock()

    def read(self, parts: Iterator[Part]) -> None:
        try:
            for part in parts:
                for piece in part.slices(start_behind(self.receipts, part.begins)):
                    if piece.number not in self.receipts and not self._put(piece):
                        return
            for _ in range(self.writers):
                self._put(None)
        except BaseException as error:
            self._fail(error)

    def load(
        self,
        writer: Callable[[], AbstractContextManager[Writer]],
        process: Callable[[Chunk], Treated],
        quarantine: HoldsBack,
    ) -> None:
        try:
            with writer() as open_writer:
                while (piece := self._get()) is not None:
                    chunk = piece.read()
                    treated = process(chunk)
                    treated = replace(treated, receipt=replace(treated.receipt, bookmark=piece.bookmark))
                    self._done(self._load_chunk(open_writer, chunk, treated, quarantine))
        except BaseException as error:
            self._fail(error)

    def _load_chunk(self, writer: Writer, chunk: Chunk, treated: Treated, quarantine: HoldsBack) -> Receipt:
        try:
            return _load(writer, chunk, treated, quarantine)
        except VeilError as error:
            if error.code != "VEIL319" or not self._hold_refused:
                raise
        return _load(writer, chunk, without_refused(treated, chunk, writer.attempt), quarantine)

    def _put(self, piece: Slice | None) -> bool:
        while not self.stop.is_set():
            self._in_time()
            with suppress(queue.Full):
                self._waiting.put(piece, timeout=0.2)
                return True
        return False

    def _get(self) -> Slice | None:
        while not self.stop.is_set():
            with suppress(queue.Empty):
                return self._waiting.get(timeout=0.2)
        return None

    def _in_time(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise VeilError(
                "VEIL312", "the run took longer than the pipeline's limits.timeout_seconds",
                "raise the limit, or look with `veil runs show last` at what took so long",
            )  # fmt: skip

    def _done(self, receipt: Receipt) -> None:
        with self._lock:
            self.receipts[receipt.chunk] = receipt
            done = self.receipts.values()
            self._on_progress(
                Progress(
                    "stage",
                    read=sum(one.read for one in done),
                    quarantined=sum(one.quarantined for one in done),
                    durable=sum(one.loaded for one in done),
                )
            )

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
        self.stop.set()


def _load(writer: Writer, chunk: Chunk, treated: Treated, quarantine: HoldsBack) -> Receipt:
    """Hold back, then load: a row that is neither loaded nor kept would be lost for good."""
    if treated.quarantined:
        quarantine.write(chunk, treated.quarantined)
    writer.load(treated.rows, treated.receipt)
    return treated.receipt
