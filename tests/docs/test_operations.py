"""The SQL and the commands for operators are run; the rights granted are enough for the ledger, and no more."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import ID_KEY
from airflow_provider_omnichat.cli.__main__ import main
from tests.support import sql_servers
from tests.support.folders import ROOT
from tests.support.sql_servers import Target

PAGE = (ROOT / "docs" / "how-to" / "run-in-production.md").read_text()
DOUBTS = (ROOT / "docs" / "how-to" / "settle-doubts.md").read_text()
CAMPAIGN = "welcome-2026"
SENT, NOT_SENT = "41793026727", "41793026728"


@pytest.fixture(params=["postgresql", "mysql"])
def owner(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The owner of a database with the tables that the page speaks of, and two invites in doubt."""
    if request.param == "mysql":
        pytest.importorskip("pymysql")
        with sql_servers.mariadb() as options:
            owner = with_tables(Target("mysql", "pymysql", options))
            # A new MariaDB has a user without a name, who comes before 'name'@'%' for whoever is on this machine.
            owner.run("DELETE FROM mysql.global_priv WHERE User = ''")
            owner.run("FLUSH PRIVILEGES")
            yield owner
    else:
        pytest.importorskip("psycopg2")
        with sql_servers.postgresql() as options:
            yield with_tables(Target("postgresql", "psycopg2", options))


def with_tables(owner: Target) -> Target:
    claims = [claim_of(SENT), claim_of(NOT_SENT)]
    claim_and_end(owner, claims, CAMPAIGN, Outcome.UNKNOWN)
    owner.run("UPDATE omnichat_invites SET reason_code = 'claim_never_ended'")
    owner.run("CREATE TABLE invited (batch VARCHAR(250))")
    return owner


def claim_of(number: str, campaign: str = CAMPAIGN) -> Claim:
    return Claim(recipient_key(campaign, number), number, f"customer-{number[-4:]}")


def claim_and_end(user: Target, claims: list[Claim], campaign: str, outcome: Outcome) -> None:
    ledger = SqlLedger(user.database(), campaign, "dag/run/task/-1")
    ledger.claim(claims, CERTAINLY_NOT_SENT)
    ledger.record({claim.recipient: Entry.now(outcome) for claim in claims})
    ledger.flush()
    ledger.close()


def statements(owner: Target, *kinds: str) -> list[str]:
    """Give the page's statements for this database, or for all, that begin with these words."""
    own, other = ("MySQL", "PostgreSQL") if owner.dialect == "mysql" else ("PostgreSQL", "MySQL")
    before, *blocks = re.split(r"\n *```(?:sql)?\n", PAGE)
    found = []
    for sql, after in zip(blocks[::2], blocks[1::2], strict=True):
        introduction, before = before.strip().splitlines()[-1:], after
        if any(own in line or other not in line for line in introduction or [own]):
            found += [statement.strip() for statement in sql.split(";")]
    return [statement for statement in found if statement.startswith(kinds)]


def outcomes(owner: Target) -> dict[str, str]:
    return {
        str(number): str(outcome) for number, outcome in owner.run("SELECT recipient, outcome FROM omnichat_invites")
    }


def test_the_runbooks_commands_list_the_doubts_and_settle_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Target("sqlite", "sqlite3", {"database": str(tmp_path / "ledger.sqlite")})
    with_tables(ledger)
    connection = {"conn_type": "sqlite", "host": ledger.options["database"]}
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_LEDGER", json.dumps(connection))
    (named,) = re.findall(r"export (OMNICHAT_LEDGER_CONN_ID)=(\w+)", DOUBTS)
    monkeypatch.setenv(*named)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    runbook = DOUBTS.partition("\n## A runbook for doubts\n")[2]
    commands = re.findall(r"^ *omnichat-ledger (.*)", runbook, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["status", "doubts", "doubts", "settle", "settle"]
    for command in commands:
        assert main(shlex.split(command.partition(" > ")[0])) == 0
    shown = capsys.readouterr().out
    assert "2  in doubt  claim_never_ended" in shown
    assert f"customer-6727,{SENT},unknown,claim_never_ended" in shown
    assert outcomes(ledger) == {SENT: "accepted", NOT_SENT: "not_sent"}


def test_a_campaign_that_ended_long_ago_is_deleted_whole_and_no_other(owner: Target) -> None:
    (delete,) = statements(owner, "DELETE")
    id_key = id_key_of(owner)
    owner.run("UPDATE omnichat_invites SET claimed_at = '2020-01-01 00:00:00' WHERE recipient = ?", SENT)
    owner.run(delete)
    assert set(outcomes(owner)) == {SENT, NOT_SENT, ID_KEY}
    owner.run("UPDATE omnichat_invites SET claimed_at = '2020-01-01 00:00:00'")
    owner.run(delete)
    assert outcomes(owner).keys() == {ID_KEY}
    assert id_key_of(owner) == id_key, "the next run would send under other ids"


def id_key_of(owner: Target) -> bytes:
    with closing(SqlLedger(owner.database(), CAMPAIGN, "dag/run/task/-1")) as ledger:
        return ledger.id_key()


def test_the_rights_are_enough_for_the_ledger_and_do_not_delete(owner: Target) -> None:
    for statement in statements(owner, "CREATE", "GRANT"):
        owner.run(statement.replace("%", "%%"))  # for the driver, a % begins a parameter
    user = Target(owner.dialect, owner.driver, {**owner.options, "user": "omnichat_ledger", "password": "change-me"})
    number = "41793026729"
    claim_and_end(user, [claim_of(number, "another")], "another", Outcome.ACCEPTED)
    assert outcomes(owner)[number] == "accepted"
    with pytest.raises(Exception, match=r"(?i)denied"):
        user.run("DELETE FROM omnichat_invites")
