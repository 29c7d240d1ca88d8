"""`python -m benchmarks [QUESTION…]`: what the figures in the README come from. `make bench` asks all of them.

Everything runs on this machine: PostgreSQL is started in a temporary directory and stopped. The competitors of a question
take turns in one sitting; figures are medians, ratios are of the medians.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable

from benchmarks import between_databases, checks, into_mariadb, load, memory, peers, receipts, start_up, workers

#: By name: who answers, and with how many rows where none are asked for.
QUESTIONS: dict[str, tuple[Callable[[int, int], list[str]], tuple[int, ...]]] = {
    "start_up": (start_up.answer, (1_000,)),
    "load": (load.answer, (1_000_000, 5_000_000)),
    "between_databases": (between_databases.answer, (1_000_000,)),
    "into_mariadb": (into_mariadb.answer, (1_000_000,)),
    "receipts": (receipts.answer, (2_000_000,)),
    "peers": (peers.answer, (1_000_000,)),
    "checks": (checks.answer, (1_000_000,)),
    "memory": (memory.answer, (1_000_000,)),
    "workers": (workers.answer, (2_000_000,)),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS) + "; all of them")
    parser.add_argument("--rows", type=int, nargs="*", help="instead of each question's own sizes")
    parser.add_argument("--runs", type=int, default=5, help="of each competitor")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.questions) - set(QUESTIONS)):
        parser.error(f"no question {', '.join(unknown)}: {', '.join(QUESTIONS)}")
    # Servers are stopped also where somebody ends this.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    print(f"{os.cpu_count()} cores, {chosen.runs} runs of each")
    for name in chosen.questions or QUESTIONS:
        answer, sizes = QUESTIONS[name]
        for rows in sizes if name == "start_up" else chosen.rows or sizes:
            print(f"{name}, {rows:,} rows", *answer(rows, chosen.runs), sep="\n", flush=True)


if __name__ == "__main__":
    main()
