"""Importing Great Expectations: once, by one door, and without the two seconds of what no row expectation uses."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

#: Used by its distribution tests and plots alone; importing them takes two of its four seconds, and 80 MB.
_NEVER_USED = ("scipy.stats", "altair")
_LOCK = threading.Lock()


def import_great_expectations() -> Any:
    """The package. Threads wait for each other: two that import it by different doors deadlock."""
    with _LOCK:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        with _deferred(_NEVER_USED):
            import great_expectations
            import great_expectations.validator.v1_validator  # noqa: F401  # its other door
        return great_expectations


class _Deferred(ModuleType):
    """Stands for a module until somebody uses it, and is that module then."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _deferred(names: tuple[str, ...]) -> Iterator[None]:
    """What imports ``names`` in this context gets a stand-in; whoever imports them later gets the modules."""
    standing_in = {name: _Deferred(name) for name in names if name not in sys.modules}
    sys.modules.update(standing_in)
    try:
        yield
    finally:
        for name, module in standing_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
