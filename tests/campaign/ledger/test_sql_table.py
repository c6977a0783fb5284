"""Names of tables, and the statements that make them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import SqlTable
from airflow_provider_omnichat.campaign.sql.written_table import DIALECTS, Dialect
from tests.support.sql_claims import CAMPAIGN, claims_of
from tests.support.sql_servers import Target


class TestTable:
    @pytest.mark.parametrize("dialect", DIALECTS)
    @pytest.mark.parametrize(
        "name",
        ["", "a b", 'x"; DROP TABLE y; --', "x`", "a.b.c", ".x", "x.", "1x", "x;", "é", "x" * 51, "x\n", "x'"],
    )
    def test_what_is_no_name_is_refused(self, dialect: Dialect, name: str) -> None:
        with pytest.raises(ValueError, match=r"must be named table or schema\.table"):
            SqlTable(name, dialect, "?")

    def test_other_databases_are_refused(self) -> None:
        with pytest.raises(ValueError, match="dialect"):
            SqlTable("x", "snowflake", "%s")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="placeholder"):
            SqlTable("x", "sqlite", ":1")
        assert get_args(Dialect) == DIALECTS

    def test_a_reserved_word_and_a_schema_are_names(self, ledger: Callable[..., SqlLedger], target: Target) -> None:
        schema = {"sqlite": "main", "postgresql": "public", "mysql": "ledger"}[target.dialect]
        campaign = uuid4().hex
        assert (
            ledger(table=f"{schema}.Select", campaign=campaign).claim(claims_of(1, campaign), CERTAINLY_NOT_SENT) == {}
        )
        assert len(ledger(table="Select", campaign=campaign).claim(claims_of(1, campaign), CERTAINLY_NOT_SENT)) == 1

    def test_a_ledger_that_would_be_gone_with_the_process_is_refused(self) -> None:
        for nowhere in ({"database": ":memory:"}, {"database": "file:", "uri": True}):
            sut = SqlLedger(Target("sqlite", "sqlite3", nowhere).database(), CAMPAIGN, "me")
            with pytest.raises(LedgerError, match="names no file"):
                sut.claim(claims_of(1), CERTAINLY_NOT_SENT)

    @pytest.mark.parametrize("cursor", ["RealDictCursor", "NamedTupleCursor"])
    def test_rows_that_come_as_dicts_are_read(self, postgresql_server: dict[str, Any], table: str, cursor: str) -> None:
        factory = getattr(pytest.importorskip("psycopg2.extras"), cursor)
        target = Target("postgresql", "psycopg2", {**postgresql_server, "cursor_factory": factory})
        sut = SqlLedger(target.database(), CAMPAIGN, "me", table)
        sut.claim(claims_of(2), CERTAINLY_NOT_SENT)
        assert len(sut.find(claims_of(2))) == 2
        assert sut.count_recent(["41790000000"], datetime.now(UTC) - timedelta(days=1)) == {"41790000000": 1}
        sut.close()
        audit = LedgerAudit(target.database(), table)
        assert [row.outcome for row in audit.rows(CAMPAIGN, order="outcome")] == [CLAIMED, CLAIMED]
        assert audit.reasons(CAMPAIGN) == {(CLAIMED, None): 2}
        assert audit.standings([CAMPAIGN])[CAMPAIGN]["me"].counts == {CLAIMED: 2}

    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_the_documentation_shows_the_table_as_it_is_made(self, dialect: Dialect) -> None:
        page = (Path(__file__).parents[3] / "docs" / "reference" / "ledger.md").read_text()
        (statement,) = re.findall(r"^```sql\n(CREATE TABLE .+?);\n```$", page, re.MULTILINE | re.DOTALL)
        options = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        assert (
            f"MySQL and MariaDB: names in backticks, `DATETIME(6)` for `TIMESTAMP(6)`, and `{options}` at the end."
            " SQLite: `TEXT` for `TIMESTAMP(6)`."
        ) in " ".join(page.split())
        written = {
            "postgresql": statement,
            "mysql": statement.replace('"', "`").replace("TIMESTAMP(6)", "DATETIME(6)") + options,
            "sqlite": statement.replace("TIMESTAMP(6)", "TEXT"),
        }
        assert SqlTable("omnichat_invites", dialect, "?").create() == written[dialect]
