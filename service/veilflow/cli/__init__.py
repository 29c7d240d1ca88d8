"""The command ``veil``: argv -> calls -> stdout and an exit status. Nothing is decided here.

A command is a function in ``commands.py``; it imports what it needs inside its body, so that ``--help`` is quick.
Only this package prints and exits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with the contract's status."""
    from veilflow.cli.commands import run_command

    status = run_command(list(sys.argv[1:] if argv is None else argv))
    sys.stdout.flush()
    sys.exit(status)
