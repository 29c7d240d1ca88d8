"""The loader as a process of its own, forked from a server that has imported everything: so a trial takes no second."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["veilflow.cli.commands", "veilflow.run", "polars", "polars_hash", "pandas", "sqlalchemy", "psycopg", "benchmarks.faults.broken",
     "adbc_driver_postgresql.dbapi", "adbc_driver_sqlite.dbapi", "veilflow.targets.postgresql", "veilflow.targets.sqlite"]
)  # fmt: skip


def start(command: Sequence[str], project: Path, broken: str | None) -> BaseProcess:
    """``veil`` with these arguments in ``project``; what it says is appended to ``words``."""
    process = _CONTEXT.Process(target=_carry_out, args=(list(command), str(project), broken))
    process.start()
    return process


def _carry_out(command: list[str], project: str, broken: str | None) -> None:
    os.chdir(project)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    words = os.open("words", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(words, 1)
    os.dup2(words, 2)
    if broken:
        from benchmarks.faults.broken import break_loader

        break_loader(broken)
    from veilflow.cli.commands import run_command

    sys.exit(run_command(command))
