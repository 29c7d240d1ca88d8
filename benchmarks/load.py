"""How fast is a load? Our pipeline beside the pandas pattern, beside `psql \\copy` of the treated file, and in its modes."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import ROOT, Case, alternating, measure, told
from benchmarks.project import by_psql, into, people, run, write_pipeline, write_suites
from benchmarks.server import Postgresql

PSQL = "psql \\copy"


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    with people(rows) as (directory, server):
        figures = alternating(_cases(directory, server), rows, runs)
    return told(figures, (PSQL, "pandas"))


def _cases(directory: Path, server: Postgresql) -> dict[str, Case]:
    write_suites(directory)
    for mode in ("append", "merge"):
        write_pipeline(directory, mode, target=into(f"to_{mode}", mode))
        server.psql(f"create table to_{mode} as table people")
        server.psql(f"insert into _veilflow select kind, run_id, 'to_{mode}', number, detail from _veilflow where kind = 'keys' and target = 'people'")  # fmt: skip
    server.psql("create unique index on to_merge (id)")
    pandas = [sys.executable, "-m", "benchmarks.pandas_pattern", str(directory / "people.csv"), server.url]
    return {
        PSQL: Case(lambda: by_psql(directory, server)),
        "replace": Case(lambda: run(directory, "people")),
        "append": Case(lambda: run(directory, "append"), lambda: server.psql("truncate to_append")),
        "merge, half of the rows known": Case(lambda: run(directory, "merge"), lambda: _half_known(server)),
        "replace, ten expectations": Case(lambda: run(directory, "checked")),
        "the same in Great Expectations": Case(lambda: run(directory, "checked_by_gx")),
        "pandas": Case(lambda: measure(pandas, ROOT)),
    }


def _half_known(server: Postgresql) -> None:
    server.psql("truncate to_merge; insert into to_merge select * from people where right(id, 1) < '8'")
    server.psql("vacuum analyze to_merge")
