"""``python -m benchmarks.faults``: many faults, what they did, and whether the harness would have seen it."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from benchmarks.faults.campaign import Campaign
from benchmarks.faults.databases import NAMES
from benchmarks.faults.kinds import KINDS


def main() -> int:
    """Status 1 if anything was lost, twice, wrong, mixed, untrue or stuck, or if a broken loader was not caught."""
    asked = _arguments()
    campaign = Campaign(asked.databases, asked.kinds, asked.seed, asked.at_once, asked.first)
    # Servers and mounts are given back also where somebody ends this; the trials that are under way end first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: campaign.over.set())
    campaign.carry_out(asked.faults, asked.seconds, asked.prove)
    print(json.dumps(campaign.report(), indent=1))
    return 0 if campaign.clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=7200, help="stop after so long, not counting the proof")
    parser.add_argument("--seed", type=int, default=1, help="the same seed strikes the same faults at the same moments")
    parser.add_argument("--first", type=int, default=0, help="leave out so many trials of each database")
    parser.add_argument("--at-once", type=int, default=2, help="trials side by side, each in a database of its own")
    parser.add_argument("--databases", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--prove", action="store_true", help="first let broken loaders be caught")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
