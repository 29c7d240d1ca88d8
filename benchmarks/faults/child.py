"""The loader as a process of its own, forked from a server that has imported everything: so a trial takes no second."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from veilflow.errors import VeilError
from veilflow.model import Chunk
from veilflow.run.chunk import Treated, Work
from veilflow.targets import sqlite

#: So long somebody else may have SQLite's lock: by default no trial would outlast it.
_PATIENCE_SECONDS = 1
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["veilflow.cli.commands", "veilflow.cli.progress", "veilflow.cli.project", "veilflow.run", "veilflow.sources.csv_file",
     "polars", "polars_hash", "pandas", "sqlalchemy", "psycopg", "pymysql", "pgpq", "adbc_driver_postgresql.dbapi",
     "cryptography.hazmat.backends.openssl.backend", "benchmarks.faults.broken"]
)  # fmt: skip


def start(command: Sequence[str], project: Path, broken: str | None) -> BaseProcess:
    """``veil`` with these arguments in ``project``; what it says is appended to ``words``."""
    return launch(_carry_out, list(command), str(project), broken)


def launch(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """Another process that carries out ``function``."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    # Who starts the next process in another thread would collect this one's status before the thread that waits for it.
    multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
    return process


def held_back(project: Path) -> list[str]:
    """The ids of the rows that the last run holds back, opened and held against their manifest; or an error's code."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = launch(_tell_held_back, str(project), theirs)
    theirs.close()
    with ours, suppress(EOFError):
        return list(ours.recv())
    process.join()
    return ["not told"]


def _tell_held_back(project: str, told: Connection) -> None:
    from veilflow.run.held_rows import open_quarantine
    from veilflow.secret_stores.session import Session

    os.chdir(project)
    try:
        with Session(Path(project)) as session:
            opened = open_quarantine(Path(project), "dev", "last", None, session)
            told.send([one for _, table in opened.held.tables(opened.identities) for one in table["id"].to_pylist()])
    except VeilError as error:
        told.send([error.code])


def _carry_out(command: list[str], project: str, broken: str | None) -> None:
    os.chdir(project)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    words = os.open("words", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(words, 1)
    os.dup2(words, 2)
    _write_down_chunks()
    sqlite._PATIENCE_SECONDS = _PATIENCE_SECONDS
    if broken:
        from benchmarks.faults.broken import break_loader

        break_loader(broken)
    from veilflow.cli.commands import run_command

    sys.exit(run_command(command))


def _write_down_chunks() -> None:
    """Each chunk that is worked on leaves its number in ``chunks``, whatever happens to it afterwards."""
    steps = importlib.import_module("veilflow.run.execute")
    process, chunks = steps.process, os.open("chunks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def noted(chunk: Chunk, work: Work) -> Treated:
        os.write(chunks, b"%d\n" % chunk.number)
        treated: Treated = process(chunk, work)
        return treated

    steps.process = noted  # type: ignore[attr-defined]
