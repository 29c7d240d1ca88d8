"""How fast is PostgreSQL to PostgreSQL with treatments, beside a `COPY … TO STDOUT | COPY … FROM STDIN` that treats nothing?"""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Case, Sample, alternating, measure, told
from benchmarks.project import people, run, write_pipeline
from benchmarks.server import Postgresql

_PIPE = "COPY TO | COPY FROM"
_COLUMNS = (
    "id text, name text, email text, phone text, national_id text, card text, birth_date date, postcode text,"
    " note text, amount numeric(12,2)"
)


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print."""
    with people(rows) as (directory, server):
        server.psql(f"create table raw ({_COLUMNS})")
        server.psql(f"\\copy raw from '{directory / 'people.csv'}' (format csv, header)")
        write_pipeline(directory, "moved", source="kind: postgresql, connection: warehouse, table: raw")
        cases = {
            _PIPE: Case(lambda: _pipe(directory, server)),
            "veil, nine columns treated": Case(lambda: run(directory, "moved")),
        }
        return told(alternating(cases, rows, runs), (_PIPE,))


def _pipe(directory: Path, server: Postgresql) -> Sample:
    server.psql("drop table if exists copied; create table copied (like raw)")
    psql = f"psql -q {server.url}"
    return measure(["sh", "-c", f"{psql} -c 'copy raw to stdout' | {psql} -c 'copy copied from stdin'"], directory)
