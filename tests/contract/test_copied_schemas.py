"""Real schemas copied through policies: pseudonyms of one key domain keep the foreign keys, and what hangs on tables stays.

Pagila (PostgreSQL) and Chinook (SQLite): slices of them lie in tests/data with their licences. docs/how-to/copy-a-database.md
is the way that the test goes.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stores import Store

if TYPE_CHECKING:
    from conftest import Finished, Project

DATA = Path(__file__).parents[1] / "data"
NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
  login: {store: files, path: login.json}
connections:
  crm: {url: "CRM", credential: login}
  copy: {url: "COPY", credential: login}
keyring: keyring
"""
KEEP = "keep, reason: not about a person"
#: The treatment of each column of Pagila's tables that hold people, or refer to them; parents come first.
PAGILA = {
    "address": {
        "address_id": "KEY(address)", "address": "{constant: {value: somewhere}}", "address2": "'null'", "district": KEEP,
        "city_id": KEEP, "postal_code": "{keep_prefix: {length: 2}}", "phone": "mask_phone", "last_update": KEEP,
    },
    "store": {"store_id": KEEP, "manager_staff_id": "KEY(staff)", "address_id": "KEY(address)", "last_update": KEEP},
    "staff": {
        "staff_id": "KEY(staff)", "first_name": "{mask: {keep_first: 1}}", "last_name": "{mask: {keep_first: 1}}",
        "address_id": "KEY(address)", "email": "mask_email", "store_id": KEEP, "active": KEEP, "username": "token, key_domain: login",
        "password": "'null'", "last_update": KEEP, "picture": "'null'",
    },
    "customer": {
        "customer_id": "KEY(customer)", "store_id": KEEP, "first_name": "{mask: {keep_first: 1}}",
        "last_name": "{mask: {keep_first: 1}}", "email": "mask_email", "address_id": "KEY(address)", "activebool": KEEP,
        "create_date": KEEP, "last_update": KEEP, "active": KEEP,
    },
    "rental": {
        "rental_id": KEEP, "rental_date": KEEP, "inventory_id": KEEP, "customer_id": "KEY(customer)", "return_date": KEEP,
        "staff_id": "KEY(staff)", "last_update": KEEP,
    },
    "payment": {
        "payment_id": KEEP, "customer_id": "KEY(customer)", "staff_id": "KEY(staff)", "rental_id": KEEP, "amount": KEEP,
        "payment_date": KEEP,
    },
    "actor": {"actor_id": KEEP, "first_name": "{mask: {keep_first: 1}}", "last_name": "{mask: {keep_first: 1}}", "last_update": KEEP},
}  # fmt: skip
PERSON = dict.fromkeys(("FirstName", "LastName"), "{mask: {keep_first: 1}}") | {"Email": "mask_email"}
PLACE = dict.fromkeys(("Address", "Phone", "Fax"), "'null'") | dict.fromkeys(
    ("City", "State", "Country", "PostalCode"), KEEP
)
CHINOOK = {
    "Employee": PERSON | PLACE | {"EmployeeId": "KEY(employee)", "ReportsTo": "KEY(employee)", "Title": KEEP, "BirthDate": "'null'", "HireDate": KEEP},
    "Customer": PERSON | PLACE | {"CustomerId": "KEY(customer)", "Company": "'null'", "SupportRepId": "KEY(employee)"},
    "Invoice": {
        "InvoiceId": KEEP, "CustomerId": "KEY(customer)", "InvoiceDate": KEEP, "Total": KEEP,
        **dict.fromkeys(("BillingAddress", "BillingCity", "BillingState", "BillingPostalCode"), "'null'"), "BillingCountry": KEEP,
    },
}  # fmt: skip


def policy(columns: dict[str, str]) -> str:
    lines = []
    for name, treatment in columns.items():
        key = re.fullmatch(r"KEY\((.+)\)", treatment)
        if key:
            treatment = f"{{pseudonym: {{low: 1, high: 2147483647}}}}, key_domain: {key[1]}"
        kind = "non_personal" if treatment == KEEP else "direct_identifier"
        lines.append(f"  {name}: {{class: {kind}, treatment: {treatment}}}\n")
    return "version: 1\npurpose: tests of the shop\ncolumns:\n" + "".join(lines)


def write(project: Project, tables: dict[str, dict[str, str]], source: str, target: str) -> None:
    for table, columns in tables.items():
        name = table.lower()
        project.write(f"policies/{name}.yaml", policy(columns))
        text = (
            f"version: 1\nsource: {{{source}, table: {table}}}\npolicy: {name}\ntarget: {{{target}, table: {table}}}\n"
        )
        project.write(f"pipelines/{name}.yaml", text)


def connect(project: Project, crm: Store | None, copy: Store | None) -> None:
    names = NAMES
    for name, store in (("CRM", crm), ("COPY", copy)):
        url = (store.url if store else None) or "postgresql://127.0.0.1/none"
        names = names.replace(name, url.replace(":loopback-only-secret", ""))
    project.write("secrets/names.yaml", names)
    project.write("login.json", json.dumps({"username": "veil", "password": "loopback-only-secret"})).chmod(0o600)


def sql(store: Store, *files: str) -> None:
    for name in files:
        store.sql((DATA / "pagila" / f"{name}.sql").read_text())


def rows_of(store: Store, *tables: str) -> None:
    """What is not about people goes over as it is."""
    statements = (DATA / "pagila" / "data.sql").read_text().split(";\n")
    for table in tables:
        for statement in statements:
            if statement.startswith(f"INSERT INTO public.{table} "):
                store.sql(statement)


@pytest.fixture
def pagila(project: Project, make_store: Callable[[str], Store]) -> tuple[Project, Store, Store]:
    """The database, and an empty one of the same schema with all its keys, views and triggers."""
    crm, copy = make_store("postgresql"), make_store("postgresql")
    sql(crm, "schema", "data", "constraints")
    sql(copy, "schema", "constraints")
    connect(project, crm, copy)
    write(project, PAGILA, "kind: postgresql, connection: crm", "kind: postgresql, connection: copy")
    return project, crm, copy


def run(project: Project, *pipelines: str) -> Finished:
    done = project.veil("run", *pipelines, "--direct", "--json")
    assert done.status == 0, done.err
    return done


@pytest.mark.live
def test_pagila_is_copied_with_its_foreign_keys(pagila: tuple[Project, Store, Store]) -> None:
    """Every key holds, through partitions too; views, triggers and sequences work; nobody's name is there."""
    project, crm, copy = pagila
    rows_of(copy, "country", "city", "language", "film")
    run(project, "address", "store", "staff")
    rows_of(copy, "inventory")
    run(project, "customer", "rental", "payment", "actor")
    for table in PAGILA:
        count = f"select count(*) from {table}"
        assert copy.sql(count) == crm.sql(count) != [(0,)], table
    joined = (
        "select count(*), count(distinct customer_id) from payment join customer using (customer_id) join rental using (rental_id, customer_id)"
        " join address using (address_id) join staff on staff.staff_id = payment.staff_id"
    )
    assert copy.sql(joined) == crm.sql(joined)
    assert copy.sql("select count(*) from customer_list join staff_list on true") == [(80,)]
    names = {name for (name,) in crm.sql("select first_name from customer union select last_name from customer union select email from customer")}  # fmt: skip
    seen = copy.sql("select first_name, last_name, email, customer_id::text from customer")
    assert not names & {value for row in seen for value in row}
    ids = {number for (number,) in crm.sql("select customer_id from customer")}
    assert not ids & {number for (number,) in copy.sql("select customer_id from customer")}
    assert copy.sql("select bool_and(password is null and picture is null) from staff") == [(1,)]
    highest = copy.sql("select max(actor_id) from actor")[0][0]
    assert copy.sql("insert into actor (first_name, last_name) values ('x', 'y') returning actor_id") == [
        (highest + 1,)
    ]


@pytest.mark.live
def test_arrays_text_vectors_enums_and_domains_of_pagila_go_back_into_their_own(
    pagila: tuple[Project, Store, Store],
) -> None:
    """The films have each of them, and arrive as they were."""
    project, crm, copy = pagila
    rows_of(copy, "language")
    names = crm.sql("select attname from pg_attribute where attrelid = 'film'::regclass and attnum > 0")
    film = {name: KEEP for (name,) in names} | {
        "special_features": '{structured: {paths: {"$[*]": keep}}}, reason: no person'
    }
    write(project, {"film": film}, "kind: postgresql, connection: crm", "kind: postgresql, connection: copy")
    run(project, "film")
    everything = "select film::text from film order by film_id"
    assert copy.sql(everything) == crm.sql(everything)
    assert copy.sql("select count(*) from film where cardinality(special_features) > 1 and fulltext <> ''")[0] > (0,)


@pytest.mark.live
def test_a_copied_table_is_replaced_under_the_rows_that_refer_to_it(pagila: tuple[Project, Store, Store]) -> None:
    """Again and with changes; a row that is gone while others refer to it refuses by the key's name, and nothing changed."""
    project, crm, copy = pagila
    rows_of(copy, "country", "city", "language", "film")
    run(project, "address", "store", "staff")
    rows_of(copy, "inventory")
    run(project, "customer", "rental", "payment")
    before = copy.sql("select customer_id from customer order by 1")
    crm.sql("update customer set active = 7")
    plan = project.veil("plan", "customer", "--json")
    assert (plan.status, plan.json["publish"]) == (0, "rewrite")
    run(project, "customer")
    assert copy.sql("select distinct active from customer") == [(7,)]
    assert copy.sql("select customer_id from customer order by 1") == before
    crm.sql("delete from payment")
    crm.sql("delete from rental")
    crm.sql("delete from customer where customer_id in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)")
    refused = project.veil("run", "customer", "--direct", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (3, "VEIL319")
    assert "_customer_id_fkey" in refused.json["errors"][0]["problem"]
    assert copy.sql("select customer_id from customer order by 1") == before


@pytest.mark.parametrize(
    "kind",
    ["sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.live), pytest.param("mariadb", marks=pytest.mark.live)],
)  # fmt: skip
def test_chinook_goes_from_sqlite_into_each_database(
    project: Project, make_store: Callable[[str], Store], tmp_path: Path, kind: str
) -> None:
    """Customers, employees and invoices can still be joined, and a foreign key can be laid over them."""
    copy = make_store(kind)
    chinook = tmp_path / "chinook.db"
    with sqlite3.connect(chinook) as connection:
        connection.executescript((DATA / "chinook" / "chinook.sql").read_text())
    connection.close()
    connect(project, None, copy if copy.url else None)
    where = "connection: copy" if copy.url else f"path: {copy.path}"
    write(project, CHINOOK, f"kind: sqlite, path: {chinook}", f"kind: {kind}, {where}")
    run(project, "employee", "customer", "invoice")
    joined = 'select count(*), count(distinct c."CustomerId"), sum(i."Total") from "Invoice" i join "Customer" c on c."CustomerId" = i."CustomerId" join "Employee" e on e."EmployeeId" = c."SupportRepId"'  # fmt: skip
    origin = Store("sqlite", chinook)
    (found,), (expected,) = copy.sql(joined), origin.sql(joined)
    assert found[:2] == expected[:2] and float(found[2]) == pytest.approx(float(expected[2]))
    assert copy.sql('select count(*) from "Employee" e join "Employee" m on m."EmployeeId" = e."ReportsTo"') == [(7,)]
    if kind == "postgresql":
        copy.sql('alter table "Customer" add primary key ("CustomerId"); alter table "Invoice" add foreign key ("CustomerId") references "Customer"')  # fmt: skip
        run(project, "customer", "invoice")
        assert copy.sql(joined) == [found]
