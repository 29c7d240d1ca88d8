"""Importing this keeps pandas out of a process until somebody imports it.

Arrow imports pandas with its first value, to know pandas' own where it meets them: 0.3 s of a start and 40 MB, for runs
of which most never see a data frame. Here its first value is made while pandas cannot be found, and whoever imports
pandas later lets Arrow know.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pyarrow as pa

__all__: list[str] = []


class _LetArrowKnow(MetaPathFinder):
    """Hides pandas until ``found`` says otherwise; then its import ends with one of Arrow's own."""

    found = False

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "pandas":
            return None
        if not self.found:
            raise ModuleNotFoundError(name=name)
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_tell(module: ModuleType) -> None:
                load(module)
                pa.array([0]).to_pandas()

            setattr(spec.loader, "exec_module", load_and_tell)  # noqa: B010  # a method, which mypy lets nobody assign
        return spec


if "pandas" not in sys.modules:
    _finder = _LetArrowKnow()
    sys.meta_path.insert(0, _finder)
    pa.scalar(0)
    _finder.found = True
