"""The command ``veil``: argv -> calls -> stdout and an exit status. Nothing is decided here.

A command is a function in ``commands.py``; it imports what it needs inside its body, so that ``--help`` is quick.
Only this package prints and exits.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with the contract's status."""
    # Imports make some 100,000 objects that live to the end: to look through them for garbage costs a tenth of the start.
    gc.set_threshold(50_000)
    # NumPy's linear algebra, which nothing here uses, starts a thread for each core, and each spins for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from veilflow.cli.commands import run_command

    status = run_command(list(sys.argv[1:] if argv is None else argv))
    sys.stdout.flush()
    # What is left is given back by the end of the process; to look through it for garbage takes a quarter of a second.
    gc.freeze()
    sys.exit(status)
