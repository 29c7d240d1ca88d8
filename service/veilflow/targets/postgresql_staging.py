"""The staging schema of PostgreSQL: that this user can make or use it, and that nobody else reads what lies there."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from veilflow.errors import VeilError
from veilflow.targets import containers
from veilflow.targets.metadata import TABLE

SCHEMA = "veilflow_staging"
CONTAINERS = f"{SCHEMA}.{containers.TABLE}"

#: Others who may look into the schema as it is.
_USAGE = f"""
select distinct case when x.grantee = 0 then 'public' else x.grantee::regrole::text end
from pg_namespace n, aclexplode(n.nspacl) x
where n.nspname = '{SCHEMA}' and x.privilege_type = 'USAGE' and x.grantee <> n.nspowner
 and x.grantee <> (select oid from pg_roles where rolname = current_user)
"""
#: Others who would get a privilege on the tables that this user makes there.
_DEFAULTS = f"""
select distinct d.defaclnamespace <> 0, case when x.grantee = 0 then 'public' else x.grantee::regrole::text end
from pg_default_acl d, aclexplode(d.defaclacl) x
where d.defaclrole = (select oid from pg_roles where rolname = current_user) and x.grantee <> d.defaclrole
 and d.defaclobjtype = 'r' and d.defaclnamespace in (0, coalesce(to_regnamespace('{SCHEMA}')::oid, 0))
"""
_PUBLICATIONS = "select pubname from pg_publication where puballtables"
_MAY_NOT = f"""
select case when to_regnamespace('{SCHEMA}') is null then not has_database_privilege(current_database(), 'create')
       else not (has_schema_privilege('{SCHEMA}', 'usage') and has_schema_privilege('{SCHEMA}', 'create')) end,
 case when to_regclass('{TABLE}') is null then not coalesce(has_schema_privilege(current_schema(), 'create'), false)
       else not (has_table_privilege('{TABLE}', 'select') and has_table_privilege('{TABLE}', 'insert')
                 and has_table_privilege('{TABLE}', 'delete')) end
"""
#: Each metadata table that this user may read: its schema, whether it is the one that a run finds, and whether a table's
#: name alone means there the one of a schema.
_METADATA = f"""
select n.nspname, c.oid = coalesce(to_regclass('{TABLE}')::oid, 0),
 c.oid = coalesce(to_regclass('{TABLE}')::oid, 0) and to_regclass(quote_ident(%s)) = to_regclass(format('%%I.%%I', %s::text, %s::text))
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = '{TABLE}' and c.relkind = 'r' and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
"""


def table_of(run_id: str) -> str:
    """The name of a run's table in the schema."""
    return f"run_{run_id.lower()}"


def problems(connection: psycopg.Connection[Any]) -> list[VeilError]:
    """VEIL402 where this user cannot stage, VEIL323 for everybody who could read what it stages."""
    return _denied(connection) + _open(connection)


def make(connection: psycopg.Connection[Any]) -> None:
    """Make the schema, for the loading role alone, if it is not there."""
    row = connection.execute(f"select to_regnamespace('{SCHEMA}') is null").fetchone()
    if row and row[0]:
        connection.execute(f"create schema if not exists {SCHEMA}")
        # It is empty yet, and has what default privileges give to others.
        for (role,) in connection.execute(_USAGE).fetchall():
            connection.execute(f"revoke all on schema {SCHEMA} from {role}".encode())


def past_elsewhere(connection: psycopg.Connection[Any], namespace: str, table: str, shown: str) -> list[VeilError]:
    """VEIL214 where key versions and checkpoints of the table stand where a run that calls it ``shown`` would not find
    them: in the metadata of users with another search_path, or under the table's name with its schema, or without."""
    found = []
    for schema, is_ours, bare in connection.execute(_METADATA, (table, namespace, table)).fetchall():
        names = {f"{namespace}.{table}", *([table] if schema == namespace or bare else [])} - (
            {shown} if is_ours else set()
        )
        known = sql.SQL("select target from {} where kind = 'keys' and target = any(%s)").format(
            sql.Identifier(schema, TABLE)
        )
        found += [
            VeilError(
                "VEIL214",
                f'the table is known in "{schema}" as "{name}", and this run would not find its key versions and checkpoints',
                f"say `table: {name}`" + ("" if is_ours else f', as a user whose search_path begins with "{schema}"'),
            )  # fmt: skip
            for (name,) in connection.execute(known, (list(names),)).fetchall()
        ]
    return found


def _denied(connection: psycopg.Connection[Any]) -> list[VeilError]:
    row = connection.execute(_MAY_NOT).fetchone()
    no_staging, no_metadata = row if row else (True, True)
    found = []
    if no_staging:
        found.append(
            VeilError(
                "VEIL402",
                f"the database user may not make or use the schema {SCHEMA}",
                f"as the database's owner: `create schema {SCHEMA} authorization ROLE`, or `grant create on database … to ROLE`",
            )  # fmt: skip
        )
    if no_metadata:
        found.append(
            VeilError(
                "VEIL402",
                f"the database user may not make or use the table {TABLE}, which holds receipts",
                "grant it `create` on the first schema of its search_path, or `select, insert, delete` on the table",
            )  # fmt: skip
        )
    return found


def _open(connection: psycopg.Connection[Any]) -> list[VeilError]:
    found = [
        _readable(f"{role} may use the schema {SCHEMA}", f"`revoke all on schema {SCHEMA} from {role}`")
        for (role,) in connection.execute(_USAGE).fetchall()
    ]
    for in_schema, role in connection.execute(_DEFAULTS).fetchall():
        where = f" in schema {SCHEMA}" if in_schema else ""
        found.append(
            _readable(
                f"default privileges give {role} rights on new tables of this user{where}",
                f"`alter default privileges{where} revoke all on tables from {role}`, and name the schemas in which "
                "they are meant",
            )  # fmt: skip
        )
    found += [
        _readable(
            f"the publication {name} sends every table to its subscribers", "let it name the tables that it sends"
        )
        for (name,) in connection.execute(_PUBLICATIONS).fetchall()
    ]
    return found


def _readable(problem: str, hint: str) -> VeilError:
    return VeilError("VEIL323", f"others could read staged rows: {problem}", hint)
