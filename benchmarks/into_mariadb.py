"""How fast is a load into MariaDB? By LOAD DATA from memory and by statements, beside the client's own LOAD DATA of the treated file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Sample, alternating, measure, told
from benchmarks.project import TREATED_COLUMNS, people, run, write_pipeline

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "servers"))
if TYPE_CHECKING:
    from database_servers import MariadbServer

CLIENT = "mariadb, LOAD DATA LOCAL"
_TYPES = {"text": "longtext", "numeric(12,2)": "decimal(12,2)", "date": "date"}


def answer(rows: int, runs: int) -> list[str]:
    """Lines to print; the CPU seconds are those of loader and server together."""
    from database_servers import running_mariadb

    with people(rows) as (directory, _postgresql), running_mariadb() as server:
        _write_connection(directory, server)
        write_pipeline(directory, "lake", target="kind: mariadb, connection: lake, table: people")
        cases = {
            CLIENT: Case(
                lambda: _with_server(server, lambda: _by_client(directory, server)), lambda: _new_table(server)
            ),
            "LOAD DATA from memory": Case(
                lambda: _with_server(server, lambda: run(directory, "lake")), lambda: _local_infile(server, 1)
            ),
            "statements": Case(
                lambda: _with_server(server, lambda: run(directory, "lake")), lambda: _local_infile(server, 0)
            ),
        }
        return told(alternating(cases, rows, runs), (CLIENT,))


def _write_connection(directory: Path, server: MariadbServer) -> None:
    file = directory / "secrets/names.yaml"
    names = json.loads(file.read_text())
    names["secrets"]["lake"] = {"store": "files", "path": "lake"}
    names["connections"]["lake"] = {"url": server.url, "credential": "lake"}
    file.write_text(json.dumps(names))
    (directory / "lake").write_text(server.password)
    (directory / "lake").chmod(0o600)


def _with_server(server: MariadbServer, load: Callable[[], Sample]) -> Sample:
    before = _cpu_seconds(server.pid)
    sample = load()
    return replace(sample, cpu=sample.cpu + _cpu_seconds(server.pid) - before)


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _by_client(directory: Path, server: MariadbServer) -> Sample:
    load = (
        f"load data local infile '{directory / 'treated.csv'}' into table ready character set utf8mb4"
        " fields terminated by ',' optionally enclosed by '\"' escaped by '' ignore 1 lines"
    )
    where = ["-h127.0.0.1", f"-P{server.port}", "-uveil", f"-p{server.password}"]
    return measure(["mariadb", *where, "--local-infile=1", server.database, "-e", load], directory)


def _new_table(server: MariadbServer) -> None:
    columns = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in TREATED_COLUMNS)
    _say(server, "drop table if exists ready", f"create table ready ({columns}) default character set utf8mb4")
    _local_infile(server, 1)


def _local_infile(server: MariadbServer, on: int) -> None:
    _say(server, f"set global local_infile = {on}")


def _say(server: MariadbServer, *statements: str) -> None:
    with server.as_root() as root, root.cursor() as cursor:
        root.select_db(server.database)
        for statement in statements:
            cursor.execute(statement)
