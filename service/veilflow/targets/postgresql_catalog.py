"""What PostgreSQL's catalogue says of the target: whether this user may load it, and what publishing must not lose."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from veilflow.errors import VeilError

#: Nothing but these is left of the table if another one takes its place. Its row type, and what belongs to that, goes
#: by itself (``i``); indexes, constraints, defaults, statistics, policies, rules, triggers, views, sequences, functions
#: on its rows and foreign keys of other tables all stand in pg_depend.
_DEPENDED_ON = """
select c.relkind <> 'r' or c.relpersistence <> 'p' or c.relispartition or c.relrowsecurity or c.relforcerowsecurity
 or c.relacl is not null or c.reloptions is not null or c.reltablespace <> 0 or c.relreplident <> 'd'
 or c.relowner <> (select oid from pg_roles where rolname = current_user)
 or exists (select from pg_depend d where d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.deptype <> 'i')
 or exists (select from pg_depend d join pg_type t on t.oid = d.refobjid where d.refclassid = 'pg_type'::regclass
            and d.deptype <> 'i' and (t.typrelid = c.oid or t.typelem = c.reltype))
 or exists (select from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = c.oid and a.attnum > 0
            and (a.attnotnull or a.attacl is not null or a.attoptions is not null or coalesce(a.attstattarget, -1) <> -1
                 or a.attcollation <> t.typcollation or a.attstorage <> t.typstorage or a.attcompression <> ''))
 or exists (select from pg_description where classoid = 'pg_class'::regclass and objoid = c.oid)
 or exists (select from pg_seclabel where classoid = 'pg_class'::regclass and objoid = c.oid)
 or exists (select from pg_inherits where c.oid in (inhparent, inhrelid))
 or exists (select from pg_publication_tables where schemaname = (select nspname from pg_namespace where oid = c.relnamespace) and tablename = c.relname)
from pg_class c where c.oid = %s
"""
_RELATION = """
select c.oid::bigint, c.relkind, row_security_active(c.oid),
 exists (select from pg_inherits where inhparent = c.oid) and c.relkind = 'r',
 (c.relreplident = 'n' or c.relreplident = 'd' and not exists (select from pg_index where indrelid = c.oid and indisprimary))
 and exists (select from pg_publication_tables t join pg_publication p using (pubname) where (p.pubupdate or p.pubdelete)
             and t.schemaname = (select nspname from pg_namespace where oid = c.relnamespace) and t.tablename = c.relname),
 array(select p from unnest(array['select', 'insert', 'update', 'delete']) p where not has_table_privilege(c.oid, p))
from pg_class c where c.oid = to_regclass(%s)
"""
_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod),
 case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) else format_type(a.atttypid, a.atttypmod) end,
 coalesce(b.typtype, t.typtype) = 'e', a.attnotnull, a.attgenerated <> ''
from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = nullif(t.typbasetype, 0)
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
"""
#: The columns that a foreign key of another table refers to. One within the table itself may stay: a single statement
#: removes all its rows, and a single one brings all of them, unless it must hold row by row.
_REFERENCED = """
select array(select attname::text from unnest(k.confkey) with ordinality as u(number, place)
             join pg_attribute on attrelid = k.confrelid and attnum = u.number order by u.place)
from pg_constraint k where k.contype = 'f' and k.confrelid = %s and k.conparentid = 0
 and (k.conrelid <> k.confrelid or k.confdeltype = 'r')
order by k.confkey limit 1
"""
#: Those that belong to a column, as of identity columns, and those that its default asks.
_SEQUENCES = """
select a.attname, s.oid::regclass::text from (
 select refobjid as relation, refobjsubid as number, objid as sequence from pg_depend
 where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and deptype in ('a', 'i')
 union select f.adrelid, f.adnum, d.refobjid from pg_attrdef f join pg_depend d on d.objid = f.oid
 where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass) as used
join pg_class s on s.oid = used.sequence and s.relkind = 'S'
join pg_attribute a on a.attrelid = used.relation and a.attnum = used.number
where used.relation = %s and case when s.relkind = 'S' then has_sequence_privilege(s.oid, 'update') end
"""
_KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table", "S": "a sequence", "c": "a type", "i": "an index"}  # fmt: skip
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_SIZED = re.compile(r"(character varying|numeric)\((\d+)(?:,(\d+))?\)")
#: Types whose values travel as text and that refuse what is none of theirs.
_READ_FROM_TEXT = ("uuid", "json", "jsonb", "inet", "cidr", "macaddr", "interval", "time without time zone")
#: Types that make a value of nearly every text: only text that they would write themselves is theirs.
_NORMALISED = ("tsvector",)
#: Arrays travel as JSON. A moment of an array would be written in another zone of another session.
_ITEMS = (
    "text", "character varying", "uuid", "smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean",
    "date", "timestamp without time zone", "bytea",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table that is there; ``base`` is its type without the domain around it."""

    kind: str
    base: str
    is_enum: bool
    required: bool
    generated: bool

    @property
    def is_array(self) -> bool:
        """Whether it is an array of items that JSON holds exactly."""
        return self.base.endswith("[]") and self.base.removesuffix("[]") in _ITEMS

    @property
    def from_text(self) -> Callable[[str], str] | None:
        """Makes an expression of the column's type of one that is text; None where no text is a value of the type."""
        if self.is_array:
            return self._from_json
        if self.is_enum or self.base in _READ_FROM_TEXT + _NORMALISED:
            return lambda cell: f"cast({cell} as {self.kind})"
        return None

    def as_text(self, cell: str) -> str:
        """An expression of its value as the text of which ``from_text`` makes it."""
        return f"to_json({cell})::text" if self.is_array else f"{cell}::text"

    def _from_json(self, cell: str) -> str:
        # An array in an array is another dimension. Numbers go from text to type, without jsonb's numeric in between.
        record = f"json_to_record(json_build_object('v', {cell}::json)) as veilflow_array(v {self.base})"
        return f"cast((select v from {record}) as {self.kind})"


@dataclass(frozen=True, slots=True)
class Relation:
    """The table that is there: what the user may not do with it, and what would go wrong."""

    oid: int
    kind: str
    row_security: bool
    has_children: bool
    unidentified: bool
    denied: Sequence[str]
    columns: Mapping[str, Column]


def is_there(connection: psycopg.Connection[Any], name: str) -> bool:
    """Whether there is a relation of this (quoted) name."""
    row = connection.execute("select to_regclass(%s) is not null", (name,)).fetchone()
    return bool(row and row[0])


def relation(connection: psycopg.Connection[Any], target: str) -> Relation | None:
    """The table named ``target`` (quoted), or None."""
    row = connection.execute(_RELATION, (target,)).fetchone()
    if row is None:
        return None
    columns = {name: Column(*rest) for name, *rest in connection.execute(_COLUMNS, (row[0],)).fetchall()}
    oid, kind, row_security, has_children, unidentified, denied = row
    return Relation(oid, kind, row_security, has_children, unidentified, denied, columns)


def depended_on(connection: psycopg.Connection[Any], found: Relation) -> bool:
    """Whether another table in the place of this one would lose something."""
    row = connection.execute(_DEPENDED_ON, (found.oid,)).fetchone()
    return bool(row and row[0])


def referenced_key(connection: psycopg.Connection[Any], found: Relation) -> tuple[str, ...]:
    """The columns that a foreign key of another table refers to; none if there is no such key."""
    row = connection.execute(_REFERENCED, (found.oid,)).fetchone()
    return tuple(row[0]) if row else ()


def unusable(shown: str, found: Relation, needed: Sequence[str]) -> list[VeilError]:
    """What forbids to load the table, all of it."""
    problems = []
    if found.kind not in ("r", "p"):
        problems.append(
            VeilError("VEIL214", f'"{shown}" is {_KINDS.get(found.kind, "no table")}', "name a table as the target")
        )
    if found.has_children:
        problems.append(
            VeilError("VEIL214", f'other tables inherit from "{shown}"', "name a table that stands for itself")
        )
    if found.row_security:
        problems.append(
            VeilError(
                "VEIL324",
                f'row-level security hides rows of "{shown}" from the loading role',
                "load as the table's owner, without `force row level security`, or give the role BYPASSRLS: rows that "
                "it does not see would stay beside the new ones",
            )  # fmt: skip
        )
    if found.unidentified and "update" in needed:
        problems.append(
            VeilError(
                "VEIL214",
                f'"{shown}" is published to subscribers and its rows have no identity, so none can be removed',
                "give it a primary key, or `alter table … replica identity full`",
            )  # fmt: skip
        )
    denied = [privilege for privilege in needed if privilege in found.denied]
    if denied:
        problems.append(
            VeilError(
                "VEIL402",
                f'the database user may not {", ".join(denied)} on the table "{shown}"',
                f"as the table's owner: grant {', '.join(denied)} on the table to the role",
            )  # fmt: skip
        )
    return problems


def closed(connection: psycopg.Connection[Any], shown: str, found: Relation) -> list[VeilError]:
    """What forbids to add columns to the table."""
    row = connection.execute(
        "select pg_has_role(relowner, 'usage'), relispartition or reloftype <> 0 from pg_class where oid = %s",
        (found.oid,),
    ).fetchone()
    is_owner, is_bound = row if row else (False, False)
    problems = []
    if not is_owner:
        problems.append(
            VeilError(
                "VEIL402",
                f'the database user may not add columns to the table "{shown}": it is not its owner',
                "add the columns as the owner, or let the loading role be a member of the owner's",
            )  # fmt: skip
        )
    if is_bound:
        problems.append(
            VeilError(
                "VEIL214",
                f'"{shown}" is a partition or of a composite type, and gets its columns from there',
                "add the columns to the parent or the type",
            )  # fmt: skip
        )
    return problems


# --- shape -------------------------------------------------------------------------------


def lacking(found: Relation, wanted: Mapping[str, str]) -> dict[str, str]:
    """The columns of the output that the table has not, with their types."""
    return {name: kind for name, kind in wanted.items() if name not in found.columns}


def differences(found: Relation, wanted: Mapping[str, str], addable: Collection[str]) -> list[str]:
    """Every difference between the table and the output, in words, but for missing columns that are ``addable``; none if
    each value can be stored as it is or is refused by its column."""
    told = [f'"{name}" is missing' for name in lacking(found, wanted) if name not in addable]
    for name, column in found.columns.items():
        if name not in wanted:
            told += [] if column.generated else [f'"{name}" is not in the plan']
        elif column.generated:
            told.append(f'"{name}" is generated')
        elif not _takes(column, wanted[name]):
            told.append(f'"{name}" is {column.kind}, the plan has {wanted[name]}')
    return told


def same_types(found: Relation, wanted: Mapping[str, str]) -> bool:
    """Whether the table's types are the very ones of the output, as far as it has its columns."""
    there = {name: column.kind for name, column in found.columns.items() if name in wanted}
    return all(kind == wanted[name] for name, kind in there.items())


def _takes(column: Column, wanted: str) -> bool:
    """Whether the column stores each value of the type exactly, or refuses it."""
    if column.base == wanted:
        return True
    sized = _SIZED.fullmatch(column.base)
    if wanted == "bigint":
        return column.base in _INTEGERS or column.base == "numeric" or bool(sized and sized[1] == "numeric")
    if wanted == "text":
        varying = column.base == "character varying" or bool(sized and sized[1] == "character varying")
        return varying or column.from_text is not None
    scale = _SIZED.fullmatch(wanted)
    if scale is None or scale[1] != "numeric":
        return False
    return column.base == "numeric" or bool(
        sized and sized[1] == "numeric" and int(sized[3] or 0) >= int(scale[3] or 0)
    )


def casts(found: Relation, names: Iterable[str]) -> dict[str, Callable[[str], str]]:
    """What makes the column's value of a text, for those that are no text."""
    return {name: make for name in names if (make := found.columns[name].from_text) is not None}


def texts(found: Relation, names: Iterable[str]) -> dict[str, Callable[[str], str]]:
    """What makes a text of the column's value, for those that are no text."""
    return {name: found.columns[name].as_text for name in casts(found, names)}


def misfit(column: Column, name: str) -> str | None:
    """The condition under which the staged column ``name`` (quoted) does not fit; None where the type takes everything,
    or refuses by itself. Text that is cut off at its blanks would be no error to PostgreSQL."""
    tests = [f"{name} is null"] if column.required else []
    if column.is_array and column.from_text:
        tests.append(f"to_jsonb({column.from_text(name)}) is distinct from {name}::jsonb")
    elif column.base in _NORMALISED and column.from_text:
        tests.append(f"{column.from_text(name)}::text <> {name}")
    sized = _SIZED.fullmatch(column.base)
    if column.base in ("smallint", "integer"):
        limit = _INTEGERS[column.base]
        tests.append(f"{name} not between {-limit} and {limit - 1}")
    elif sized and sized[1] == "character varying":
        tests.append(f"char_length({name}) > {sized[2]}")
    elif sized:
        tests.append(f"abs({name}) >= 1e{int(sized[2]) - int(sized[3] or 0)}")
    return " or ".join(tests) or None


# --- around the rows ---------------------------------------------------------------------


def advance_sequences(connection: psycopg.Connection[Any], found: Relation, target: str, quote: Any) -> None:
    """Move the sequences that give the table its numbers behind the largest value that is there, and never back."""
    for name, sequence in connection.execute(_SEQUENCES, (found.oid,)).fetchall():
        if found.columns[name].base in _INTEGERS:
            connection.execute(
                f"select setval('{sequence.replace(chr(39), chr(39) * 2)}', m) from (select max({quote(name)}) as m from {target}) t"
                f" where m > (select case when is_called then last_value else last_value - 1 end from {sequence})".encode()
            )


def older_readers(connection: psycopg.Connection[Any]) -> set[str]:
    """Transactions of others that hold a snapshot now. One that began before the last chunk was committed would find a
    swapped table empty, or hold a part of it."""
    connection.execute("select pg_stat_clear_snapshot()")
    rows = connection.execute(
        "select l.virtualtransaction from pg_stat_activity a join pg_locks l on l.pid = a.pid"
        " where l.locktype = 'virtualxid' and l.granted and a.backend_xmin is not null and a.pid <> pg_backend_pid()"
        " and a.datname = current_database() and coalesce(a.backend_type, '') <> 'autovacuum worker'"
    ).fetchall()
    return {virtual for (virtual,) in rows}


def default_grants(connection: psycopg.Connection[Any], namespace: str, target: str) -> list[str]:
    """What the schema's default privileges would have granted on a table made there: one that was moved has it not."""
    rows = connection.execute(
        "select format('grant %%s on table %%s to %%s', x.privilege_type, %s::text,"
        " case when x.grantee = 0 then 'public' else x.grantee::regrole::text end)"
        " from pg_default_acl d, aclexplode(d.defaclacl) x where d.defaclobjtype = 'r'"
        " and d.defaclnamespace = (select oid from pg_namespace where nspname = %s) and d.defaclrole = (select oid from pg_roles where rolname = current_user)",
        (target, namespace),
    ).fetchall()
    return [statement for (statement,) in rows]
