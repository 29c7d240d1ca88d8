"""Values in the very types of PostgreSQL's columns."""

from __future__ import annotations

import pyarrow as pa
import pytest

from veilflow.errors import VeilError
from veilflow.targets.postgresql_types import exact

FIRST = -210_866_803_200_000_000


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_moment_before_postgresqls_first_day_is_refused_with_its_column(zone: str | None) -> None:
    """The first one itself is sent."""
    kind = pa.timestamp("us", zone)
    first = pa.table({"seen": pa.array([None, FIRST], kind)})
    assert exact(first, {}).equals(first)
    with pytest.raises(VeilError, match='VEIL319.*"seen".*4714 BC'):
        exact(pa.table({"seen": pa.array([FIRST - 1], kind)}), {})
