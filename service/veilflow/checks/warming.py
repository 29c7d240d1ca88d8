"""Importing Great Expectations ahead of its first use."""

from __future__ import annotations

import importlib
import threading


def warm_up() -> threading.Thread:
    """Start importing Great Expectations in the background; whoever needs it waits for the rest only.

    The import is mostly CPU work (5 to 9 s), so it pays where the caller waits for something else: for a
    server to start, for a person, for a database.
    """
    thread = threading.Thread(target=_import, name="warm-up-checks", daemon=True)
    thread.start()
    return thread


def _import() -> None:
    importlib.import_module("veilflow.checks.engine").load()
