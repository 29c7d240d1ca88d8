"""How far a run is: one live line a pipeline on a terminal, plain lines every ten seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from veilflow.model import Progress
    from veilflow.run.stage import OnProgress

_SECONDS_BETWEEN_LINES = 10.0


def words(pipeline: str, progress: Progress, seconds: float) -> str:
    """Stage, rows read, held back, loaded and durable, rate and memory."""
    from veilflow.state import peak_memory_bytes

    parts = [f"{pipeline}  {progress.stage}"]
    if progress.read:
        parts.append(f"{progress.read:,} read")
        parts.append(f"{progress.quarantined:,} quarantined")
        parts.append(f"{progress.durable:,} loaded and durable")
        if seconds > 0:
            parts.append(f"{progress.read / seconds:,.0f} rows/s")
    parts.append(f"{peak_memory_bytes() >> 20} MB")
    return " · ".join(parts)


class Lines:
    """Plain, greppable lines on stderr; chunks finish on several threads, so a lock guards the clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def pipeline(self, name: str) -> OnProgress:
        began = last = time.monotonic()

        def on_progress(progress: Progress) -> None:
            nonlocal last
            with self._lock:
                now = time.monotonic()
                if now - last >= _SECONDS_BETWEEN_LINES:
                    last = now
                    print(words(name, progress, now - began), file=sys.stderr, flush=True)

        return on_progress


class Live:
    """One line a pipeline that is redrawn in place (rich)."""

    def __enter__(self) -> Live:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._rows: dict[str, str] = {}
        self._live = RichLive(console=Console(stderr=True), refresh_per_second=8, transient=True)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def pipeline(self, name: str) -> OnProgress:
        began = time.monotonic()

        def on_progress(progress: Progress) -> None:
            from rich.text import Text

            self._rows[name] = words(name, progress, time.monotonic() - began)
            self._live.update(Text("\n".join(self._rows.values())))

        return on_progress
