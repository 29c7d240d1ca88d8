"""A seeded sample of `benchmarks/vault_faults.py`: every run keeps its promise while its Vault fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from fault_proxy import FaultProxy
from vault_campaign import Field, campaign
from vault_canaries import Canaries
from vault_server import VaultServer

pytestmark = pytest.mark.live


def test_every_run_ends_with_exact_rows_or_with_status_4_and_nothing_is_left(
    own_vault: VaultServer, postgresql: Any, tmp_path: Path
) -> None:
    """Rows lost or repeated: none. Leases and users a minute later: none. No secret value is found anywhere."""
    with FaultProxy(own_vault.port) as proxy, psycopg.connect(postgresql.full_url, autocommit=True) as reader:
        project = tmp_path / "project"
        project.mkdir()
        place = Field(own_vault, proxy, reader, project)
        place.set_up(postgresql.url, postgresql.password)
        told: list[str] = []
        canaries = Canaries(place, tmp_path / "outside")
        with canaries.watched():
            outcome = campaign(place, rounds=8, seed=20, tell=told.append, before_round=canaries.before)
        assert canaries.hits() == []
    assert outcome.wrong == [], told
    assert (outcome.rounds, outcome.orphan_leases, outcome.orphan_users) == (8, 0, 0)
    assert sum(count[0] for count in outcome.statuses.values()) >= 2, told
