"""``omnichat-ledger upgrade``, as the error of a task names it, in the databases that its connections lead to."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.place import StorageError
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.cli.__main__ import main
from airflow_provider_omnichat.hooks.databases import ledger_database, result_database
from tests.support.airflow_versions import AIRFLOW
from tests.support.released_tables import CAMPAIGN, OLDEST, VERSIONS, ReleasedTable
from tests.support.sql_connections import CONN_ID, Database, connected


@pytest.fixture(params=["sqlite3/ledger", "sqlite3/results", "psycopg2/ledger", "pymysql/results", "duckdb/results"])
def old(request, tmp_path, monkeypatch) -> ReleasedTable:
    driver, _, kind = request.param.partition("/")
    if driver == "duckdb" and AIRFLOW < (3, 0):  # its connection is the test's, and in no database of Airflow's
        pytest.skip("a process in which Airflow 2 is set up logs more than a line")
    database = connected(driver, request, tmp_path, monkeypatch)
    table = ReleasedTable(database, kind, f"upgraded_{driver}_{kind}").make()
    table.insert()
    return table


def error_of(table: ReleasedTable) -> str:
    """What a task ends with."""
    logging.disable(logging.INFO)  # which Airflow 2 writes to the standard output
    try:
        if table.kind == "ledger":
            SqlLedger(ledger_database(CONN_ID), CAMPAIGN, "me", table.name).leave_in_doubt([])
        else:
            ResultTable(result_database(CONN_ID), table.name, batch="b", try_number=1, recipient_of=str).earlier()
    except StorageError as error:
        return str(error)
    finally:
        logging.disable(logging.NOTSET)
    return ""


def test_the_command_of_the_error_shows_the_statements_and_runs_them_with_yes(old, capsys):
    (command,) = re.findall(r"omnichat-ledger (upgrade .*?) shows", error_of(old))
    arguments = shlex.split(command)
    statements = "".join(f"{each};\n" for each in old.upgrade().statements())
    assert statements.startswith("ALTER TABLE ")

    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out.strip() == statements.strip(), "nothing else, so that it can be given to somebody who may run it"
    assert shown.err == "Nothing was changed. With --yes it is.\n"
    assert error_of(old)

    assert main([*arguments, "--yes"]) == 0
    assert capsys.readouterr().out.startswith(statements)
    assert error_of(old) == ""

    assert main(arguments) == 0
    assert capsys.readouterr().out == f"The {old.kind} table {old.name} has every column; nothing to do.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--table", "customers"], "customers lacks the columns campaign, .*It is not a ledger table"),
        (["--table", "customers", "--kind", "results"], "customers lacks the columns batch, .*It is not a results"),
        (["--table", "nowhere"], "nowhere of connection warehouse cannot be read"),
        (["--table", "a b"], r"must be named table or schema\.table"),
        (["--table", "a b", "--kind", "results"], r"must be table, schema\.table or"),
        pytest.param(
            ["--conn-id", "nothing"],
            "nothing",
            marks=pytest.mark.skipif(
                AIRFLOW < (3, 0), reason="a process in which Airflow 2 is set up logs more than a line"
            ),
        ),
    ],
)
def test_what_is_no_table_of_ours_is_refused_in_a_line(request, tmp_path, monkeypatch, capsys, arguments, told):
    database = connected("sqlite3", request, tmp_path, monkeypatch)
    database.run("CREATE TABLE customers (id INTEGER)")
    assert main(["upgrade", "--conn-id", CONN_ID, "--yes", *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(told, shown.err)
    assert shown.err.count("\n") == 1
    assert database.run("SELECT * FROM customers") == []


@pytest.mark.parametrize(("kind", "name"), [("ledger", "omnichat_invites"), ("results", "invited")])
def test_the_documentation_has_the_statements_of_released_versions(kind, name):
    old, new = (ReleasedTable(Database("psycopg2", {}), kind, name, version) for version in (OLDEST, None))
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "run-in-production.md").read_text()
    written = re.findall(rf"^ALTER TABLE {re.escape(new.written)} ADD COLUMN .*;$", page, re.MULTILINE)
    assert set(written) <= {f"{new.sql.add(column)};" for column in new.sql.columns}
    for version in VERSIONS:
        released = ReleasedTable(Database("psycopg2", {}), kind, name, version).create
        for column in new.sql.columns:
            if f" {column} " in released:
                assert f" {column} " in old.create or f"{new.sql.add(column)};" in written
