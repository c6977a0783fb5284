"""A table of each released version, in each database: refused with what it lacks, upgraded, and used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import airflow_provider_omnichat
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry
from airflow_provider_omnichat.campaign.model.pages import PageError, PageQuery
from airflow_provider_omnichat.campaign.model.place import StorageError
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from tests.support.folders import ROOT
from tests.support.released_tables import CAMPAIGN, FOLDER, SENT, VERSIONS, ReleasedTable, snapshots
from tests.support.result_rows import give, key_of, made
from tests.support.sql_connections import Database
from tests.support.sql_spies import Spied

DRIVERS = ["sqlite3", "psycopg2", "pymysql"]
SERVERS = {"psycopg2": "postgresql_server", "psycopg": "postgresql_server", "pymysql": "mariadb_server"}
LEDGERS = [(driver, "ledger") for driver in DRIVERS]
PLACES: list[Any] = [*LEDGERS, *((driver, "results") for driver in (*DRIVERS, "duckdb"))]
PLACES += [pytest.param(("psycopg", kind), marks=pytest.mark.slow) for kind in ("ledger", "results")]
SCHEMAS = {"sqlite3": "main", "psycopg2": "public", "psycopg": "public", "pymysql": "ledger", "duckdb": "main"}
NEW = "41793020002"


@pytest.fixture(params=PLACES, ids="/".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A driver, and the kind of a table."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def kind(place: tuple[str, str]) -> str:
    return place[1]


@pytest.fixture
def database(place: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    driver = place[0]
    pytest.importorskip(driver)
    if driver in SERVERS:
        return Database(driver, dict(request.getfixturevalue(SERVERS[driver])))
    return Database(driver, {"database": str(tmp_path / "tables.db")})


@pytest.fixture
def name() -> str:
    return f"Old_{uuid4().hex[:8]}"


@pytest.fixture
def old(database: Database, kind: str, name: str) -> ReleasedTable:
    """A table of the oldest version, with one row."""
    table = ReleasedTable(database, kind, name).make()
    table.insert()
    return table


def use(table: ReleasedTable, wrapped: Callable[[Any], Any] = lambda connection: connection) -> list[str]:
    """Do what a task does with the table; return who was invited before."""
    if table.kind == "results":
        rows = table.results(wrapped)
        try:
            earlier = rows.earlier()
            rows.write(give(made(2, to=NEW)))
        finally:
            rows.close()
        return [number for number in (SENT, NEW) if key_of(number) in earlier]
    ledger = table.ledger(wrapped)
    claims = [Claim(number, number) for number in (SENT, NEW)]
    try:
        taken = ledger.claim(claims, CERTAINLY_NOT_SENT)
        ledger.record({number: Entry.now(Outcome.ACCEPTED) for number in (SENT, NEW) if number not in taken})
        ledger.flush()
    finally:
        ledger.close()
    return sorted(taken)


def look(table: ReleasedTable) -> object:
    """Do what the tab does."""
    where = table.database.connect, table.dialect, table.database.placeholder, "warehouse"
    if table.kind == "results":
        return ResultTable(SqlDatabase(*where), table.name, batch=CAMPAIGN).page(PageQuery())
    return LedgerAudit(SqlDatabase(*where), table.name).rows(CAMPAIGN)


def added(table: ReleasedTable) -> list[str]:
    """Return the columns that were added since the table's version."""
    return [column for column in table.sql.columns if f" {column} " not in table.create]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_table_of_every_released_version_is_upgraded_and_used(
    database: Database, kind: str, version: str, name: str
) -> None:
    table = ReleasedTable(database, kind, name, version).make()
    table.insert()
    upgrade = table.upgrade()
    if missing := added(table):
        with pytest.raises(StorageError, match=rf"lacks the columns? {', '.join(missing)}; nothing more is sent"):
            use(table)
    assert [re.split(" ADD COLUMN ", each)[1].split()[0] for each in upgrade.statements()] == missing
    upgrade.run()
    assert upgrade.statements() == []
    upgrade.run()  # once more does nothing
    upgrade.close()
    new = ReleasedTable(database, kind, f"{name}_new", None).make()
    assert table.columns() == new.columns()
    assert use(table) == [SENT]
    assert use(table) == [SENT, NEW]
    assert look(table)
    # A worker of the older version goes on.
    table.insert(recipient="41793020003", **({"list_row": 3} if kind == "results" else {}))


def test_there_is_something_to_upgrade(old: ReleasedTable) -> None:
    assert added(old)


def test_each_dated_version_of_the_changelog_has_its_tables() -> None:
    version = airflow_provider_omnichat.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    dated = re.findall(r"^## \[([^]]+)\] - \d{4}-", changelog, re.MULTILINE)
    assert set(dated) <= set(VERSIONS)
    if version in dated:
        assert {path.name: path.read_text() for path in (FOLDER / version).iterdir()} == snapshots()


def test_an_old_table_names_its_columns_and_the_command(old: ReleasedTable) -> None:
    told = (
        rf"^The {old.kind} table {old.name} of connection warehouse lacks the columns {', '.join(added(old))}; "
        r"nothing more is sent\. An older version made it: "
        rf"omnichat-ledger upgrade --conn-id warehouse --table {old.name} --kind {old.kind}"
        r" shows the statements that add them; --yes runs them$"
    )
    with pytest.raises(StorageError, match=told) as caught:
        use(old)
    assert not caught.value.is_outage
    with pytest.raises(
        (StorageError, PageError), match=rf"lacks the columns .*, delivery.*upgrade .*--table {old.name}"
    ):
        look(old)
    assert len(added(old)) == len(old.upgrade().statements()), "nothing was changed"


@pytest.mark.parametrize("written", ["{schema}.{name}", "{name}_UPPER_lower"])
def test_names_with_a_schema_and_with_capitals_are_upgraded(
    database: Database, kind: str, name: str, written: str
) -> None:
    full = written.format(schema=SCHEMAS[database.driver], name=name)
    table = ReleasedTable(database, kind, full).make()
    table.insert()
    upgrade = table.upgrade()
    upgrade.run()
    upgrade.close()
    assert use(table) == [SENT]


@pytest.mark.parametrize("place", LEDGERS, indirect=True, ids="/".join)
def test_a_reserved_word_is_upgraded(database: Database, kind: str) -> None:
    table = ReleasedTable(database, kind, "Order").make()
    upgrade = table.upgrade()
    upgrade.run()
    upgrade.close()
    assert use(table) == []
    database.run(f"DROP TABLE {table.written}")


def test_a_table_of_somebody_else_is_refused_and_not_touched(database: Database, kind: str, name: str) -> None:
    table = ReleasedTable(database, kind, name.lower())
    database.run(f"CREATE TABLE {name.lower()} (recipient VARCHAR(64), outcome VARCHAR(16), customer VARCHAR(10))")
    told = rf"{name.lower()}.* lacks the columns .*\. It is not a {kind} table: name another one"
    for attempt in (lambda: use(table), table.upgrade().statements, table.upgrade().run):
        with pytest.raises(StorageError, match=told):
            attempt()
    with pytest.raises((StorageError, PageError), match=told):
        look(table)
    assert [column for column, _ in table.columns()] == ["customer", "outcome", "recipient"]


# DuckDB holds no ledger.
@pytest.mark.parametrize("place", [each for each in PLACES if each != ("duckdb", "results")], indirect=True, ids=str)
def test_a_table_of_the_other_kind_is_not_taken_for_this_one(
    place: tuple[str, str], database: Database, kind: str, name: str
) -> None:
    other = "results" if kind == "ledger" else "ledger"
    ReleasedTable(database, other, name.lower(), None).make()
    with pytest.raises(StorageError, match=f"It is not a {kind} table"):
        ReleasedTable(database, kind, name.lower(), None).upgrade().statements()


def test_a_table_that_is_not_there_is_not_made(database: Database, kind: str, name: str) -> None:
    table = ReleasedTable(database, kind, name)
    with pytest.raises(StorageError, match=f"{name}.* cannot be read"):
        table.upgrade().statements()
    table.make()


def test_two_upgrades_at_once_both_succeed(old: ReleasedTable) -> None:
    other = [old.upgrade()]

    def meanwhile(sql: str, _: Any) -> None:
        if not sql.startswith(("SELECT", "BEGIN TRANSACTION")) and sql != "BEGIN" and other:
            other.pop().run()

    upgrade = old.upgrade(lambda connection: Spied(connection, meanwhile))
    upgrade.run()
    upgrade.close()
    assert other == []
    assert use(old) == [SENT]


def test_a_table_that_an_older_worker_makes_at_the_same_moment_is_told_of(
    database: Database, kind: str, name: str
) -> None:
    table = ReleasedTable(database, kind, name)
    waiting = [table]

    def meanwhile(sql: str, _: Any) -> None:
        if ((sql.startswith("CREATE") and table.dialect != "sqlite") or sql == "BEGIN IMMEDIATE") and waiting:
            waiting.pop().make()

    with pytest.raises(StorageError, match=r"lacks the columns .*omnichat-ledger upgrade"):
        use(table, lambda connection: Spied(connection, meanwhile))
    assert waiting == []


def test_a_half_upgraded_table_lacks_the_rest(old: ReleasedTable) -> None:
    first, second, *_ = old.upgrade().statements()
    old.database.run(first)
    missing = added(old)[1:]
    with pytest.raises(StorageError, match=f"lacks the columns {', '.join(missing)};"):
        use(old)
    assert old.upgrade().statements()[0] == second


# A file has no users.
@pytest.mark.parametrize(
    "place", [(driver, kind) for driver in SERVERS for kind in ("ledger", "results")], indirect=True
)
def test_a_user_who_must_not_alter_is_told_so(request: pytest.FixtureRequest, old: ReleasedTable) -> None:
    driver = old.database.driver
    user, options = f"u_{old.name.lower()}", dict(old.database.options)
    if driver == "pymysql":
        old.database.run(f"CREATE USER {user}@localhost IDENTIFIED BY 'x'")
        old.database.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.* TO {user}@localhost")
        options |= {"password": "x"}
    else:
        old.database.run(f"CREATE ROLE {user} LOGIN")
        old.database.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")
    limited = ReleasedTable(Database(driver, {**options, "user": user}), old.kind, old.name)
    try:
        with pytest.raises(StorageError, match="lacks the columns"):
            use(limited)
        with pytest.raises(StorageError, match=r"cannot be written \(.*needs the rights to select from and alter it"):
            limited.upgrade().run()
    finally:
        if driver != "pymysql":
            old.database.run(f"DROP OWNED BY {user}")
            old.database.run(f"DROP ROLE {user}")
    assert len(old.upgrade().statements()) == len(added(old))
