"""Importing Great Expectations ahead of its first use."""

from __future__ import annotations

import importlib
import os
import threading


def warm_up() -> threading.Thread:
    """Start importing Great Expectations in the background; whoever needs it waits for the rest only.

    The import is CPU work of 5 to 9 s under the interpreter's lock, so it pays only where the caller waits for
    something else: a server that starts, a database.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    thread = threading.Thread(
        target=importlib.import_module, args=("great_expectations",), name="warm-up-checks", daemon=True
    )
    thread.start()
    return thread
