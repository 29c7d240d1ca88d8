"""`python -m benchmarks.vault_faults`: a Vault that fails in every way it can, under 200 runs with a seed and canaries.

Prints a line per run and a JSON document at the end: statuses by fault, rounds that broke a promise, orphan leases, and
where a secret value was found.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import psycopg

from benchmarks.server import running

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "servers"))


def main() -> int:
    """0 if every run kept its promise and nothing was left behind."""
    from fault_proxy import FaultProxy
    from vault_campaign import Field, campaign
    from vault_canaries import Canaries
    from vault_server import running_vault

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--prefect", action="store_true", help="every fourth run as a flow of a Prefect server of its own"
    )
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="veilflow-faults-") as directory,
        running() as postgresql,
        running_vault(Path(directory) / "vault") as vault,
        FaultProxy(vault.port) as proxy,
        psycopg.connect(postgresql.url, autocommit=True) as reader,
    ):
        project = Path(directory) / "project"
        project.mkdir()
        place = Field(vault, proxy, reader, project)
        place.set_up(postgresql.bare_url, postgresql.password)
        canaries = Canaries(place, Path(directory) / "outside")
        with canaries.through_prefect() if options.prefect else nullcontext(), canaries.watched():
            outcome = campaign(place, options.runs, options.seed, lambda line: print(line, flush=True), canaries.before)
        found = canaries.hits()
    searched = {"secret_values": len(canaries.values), "hits": found}
    print(json.dumps({"seed": options.seed, **outcome.document(), **searched}, indent=1))
    return int(bool(outcome.wrong or outcome.orphan_leases or outcome.orphan_users or found))


if __name__ == "__main__":
    sys.exit(main())
