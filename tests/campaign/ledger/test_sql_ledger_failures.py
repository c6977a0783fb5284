"""A database that fails at any moment, or is not what it should be."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry, LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import SqlTable
from airflow_provider_omnichat.campaign.sql import session as sql_database
from tests.support.sql_claims import CAMPAIGN, answer_of, claims_of
from tests.support.sql_servers import Target
from tests.support.sql_spies import Spied


class TestFailures:
    def test_a_block_that_fails_half_way_claims_nothing(self, ledger: Callable[..., SqlLedger]) -> None:
        claims = claims_of(3000)
        inserts: list[str] = []

        def fail_at_the_third(sql: str, _: Any) -> None:
            if sql.startswith("INSERT"):
                inserts.append(sql)
                if len(inserts) % 3 == 0:
                    raise OSError("disk full")

        with pytest.raises(LedgerError, match="cannot be written"):
            ledger(wrapped=lambda connection: Spied(connection, fail_at_the_third)).claim(claims, CERTAINLY_NOT_SENT)
        assert len(inserts) == 6, "once more on a new connection, then the end"
        assert ledger().find(claims) == {}

    def test_outcomes_that_could_not_be_written_are_kept_for_the_next_flush(
        self, ledger: Callable[..., SqlLedger]
    ) -> None:
        down: list[str] = []

        def fail(sql: str, _: Any) -> None:
            if down:
                raise OSError(down[0])

        sut = ledger(wrapped=lambda connection: Spied(connection, fail))
        first, second = claims_of(2)
        sut.claim([first], CERTAINLY_NOT_SENT)
        sut.record({first.recipient: Entry.now(Outcome.ACCEPTED, answer_of())})
        down.append("down")
        with pytest.raises(LedgerError):
            sut.claim([second], CERTAINLY_NOT_SENT)
        with pytest.raises(LedgerError):
            sut.flush()
        down.clear()
        sut.flush()
        found = ledger().find([first, second])
        assert found[first.recipient].outcome is Outcome.ACCEPTED
        assert second.recipient not in found

    def test_a_text_that_the_connection_cannot_write_is_no_outage(self, ledger: Callable[..., SqlLedger]) -> None:
        def fail(sql: str, _: Any) -> None:
            if sql.startswith("INSERT"):
                raise UnicodeEncodeError("latin-1", "日本", 0, 1, "ordinal not in range")

        with pytest.raises(LedgerError, match=r"\(UnicodeEncodeError\).* UTF-8") as raised:
            ledger(wrapped=lambda connection: Spied(connection, fail)).claim(claims_of(1), CERTAINLY_NOT_SENT)
        assert not raised.value.is_outage

    def test_a_lost_answer_to_a_commit_that_arrived_is_found_out(self, ledger: Callable[..., SqlLedger]) -> None:
        claims = claims_of(50)
        ledger("another").claim(claims[:5], CERTAINLY_NOT_SENT)
        losses = ["once"]

        def lose() -> None:
            if losses:
                losses.pop()
                raise ConnectionError("connection lost")

        sut = ledger(wrapped=lambda connection: Spied(connection, after_commit=lose))
        assert set(sut.claim(claims, CERTAINLY_NOT_SENT)) == {claim.recipient for claim in claims[:5]}
        assert losses == []
        losses.append("again")
        sut.record({claim.recipient: Entry.now(Outcome.ACCEPTED, answer_of(claim.identity)) for claim in claims[5:]})
        sut.flush()
        found = ledger().find(claims)
        assert sum(entry.outcome is Outcome.ACCEPTED for entry in found.values()) == 45

    def test_a_commit_of_which_nobody_can_tell_whether_it_arrived_is_an_error_and_not_free(
        self, ledger: Callable[..., SqlLedger]
    ) -> None:
        claims = claims_of(50)

        def lose() -> None:
            raise ConnectionError("connection lost")

        with pytest.raises(LedgerError, match="ConnectionError"):
            ledger(wrapped=lambda connection: Spied(connection, after_commit=lose)).claim(claims, CERTAINLY_NOT_SENT)
        later = ledger().claim(claims, CERTAINLY_NOT_SENT)
        assert len(later) == 50
        assert all(entry.outcome is None and entry.same_task for entry in later.values())

    def test_a_commit_that_did_not_arrive_leaves_nothing(self, ledger: Callable[..., SqlLedger]) -> None:
        def lose(_: Callable[[], None]) -> None:
            raise ConnectionError("connection lost")

        with pytest.raises(LedgerError):
            ledger(wrapped=lambda connection: Spied(connection, on_commit=lose)).claim(
                claims_of(50), CERTAINLY_NOT_SENT
            )
        assert ledger().claim(claims_of(50), CERTAINLY_NOT_SENT) == {}

    def test_a_time_out_of_the_task_in_the_middle_is_not_committed_by_the_next_call(
        self, ledger: Callable[..., SqlLedger]
    ) -> None:
        class TaskTimeout(BaseException):
            pass

        seen: list[str] = []

        def time_out(sql: str, _: Any) -> None:
            seen.append(sql.partition(" ")[0])
            if seen.count("INSERT") == 1 and seen[-1] == "SELECT":
                raise TaskTimeout

        sut = ledger(wrapped=lambda connection: Spied(connection, time_out))
        first, second = claims_of(2)
        with pytest.raises(TaskTimeout):
            sut.claim([first], CERTAINLY_NOT_SENT)
        assert sut.claim([second], CERTAINLY_NOT_SENT) == {}
        assert list(ledger().find([first, second])) == [second.recipient]

    def test_a_connection_that_broke_while_idle_is_made_anew_and_the_ledger_is_not_empty(
        self, ledger: Callable[..., SqlLedger]
    ) -> None:
        connections: list[Any] = []

        def keep(connection: Any) -> Any:
            connections.append(connection)
            return connection

        sut = ledger(wrapped=keep)
        first, second = claims_of(2)
        sut.claim([first], CERTAINLY_NOT_SENT)
        connections[-1].close()
        made = len(connections)
        taken = sut.claim([first, second], CERTAINLY_NOT_SENT)
        assert list(taken) == [first.recipient]
        assert len(connections) == made + 1

    @pytest.mark.parametrize("target", ["psycopg2", "psycopg", "pymysql"], indirect=True)
    def test_a_connection_that_the_server_ended_is_made_anew(self, target: Target, table: str) -> None:
        statement = {
            "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
            "mysql": "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE id <> CONNECTION_ID()",
        }[target.dialect]
        sut = SqlLedger(target.database(), CAMPAIGN, "me", table)
        first, second = claims_of(2)
        sut.claim([first], CERTAINLY_NOT_SENT)
        sut.record({first.recipient: Entry.now(Outcome.UNKNOWN)})
        for (kill,) in target.run(statement + (" AND user = 'root'" if target.dialect == "mysql" else "")):
            if target.dialect == "mysql":
                target.run(kill)
        sut.flush()
        taken = sut.claim([first, second], CERTAINLY_NOT_SENT)
        assert {recipient: entry.outcome for recipient, entry in taken.items()} == {first.recipient: Outcome.UNKNOWN}
        sut.close()

    def test_a_database_that_is_gone_is_an_error_and_not_an_empty_ledger(self, target: Target) -> None:
        def gone() -> Any:
            raise OSError("no route to host for 41797778899")

        sut = SqlLedger(sql_database.SqlDatabase(gone, target.dialect, "?"), CAMPAIGN, "me")
        for call in (
            lambda: sut.claim(claims_of(1), CERTAINLY_NOT_SENT),
            lambda: sut.find(claims_of(1)),
            lambda: sut.count_recent(["41790000000"], datetime.now(UTC)),
        ):
            with pytest.raises(LedgerError, match=r"cannot be reached \(OSError\); nothing more is sent") as caught:
                call()
            assert "4179777" not in "".join(traceback.format_exception(caught.value))

    def test_a_refused_row_names_no_number(self, ledger: Callable[..., SqlLedger], target: Target, table: str) -> None:
        ledger().find(claims_of(1))
        bad = claims_of(1, first=41794445566)[0]
        if target.dialect == "sqlite":
            target.run(
                f"CREATE TRIGGER t BEFORE INSERT ON {table} WHEN NEW.recipient = '{bad.identity}'"
                f" BEGIN SELECT RAISE(ABORT, 'refused {bad.identity}'); END"
            )
        else:
            target.run(f"ALTER TABLE {table} ADD CONSTRAINT {table}_c CHECK (recipient <> '{bad.identity}')")
        with pytest.raises(LedgerError, match=r"cannot be written \(\w+") as caught:
            ledger().claim([*claims_of(3), bad], CERTAINLY_NOT_SENT)
        shown = "".join(traceback.format_exception(caught.value))
        assert bad.identity not in shown
        assert "41790000000" not in shown
        assert caught.value.__context__ is None
        assert ledger().find(claims_of(3)) == {}

    def test_a_row_that_cannot_be_read_is_an_error(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        claims = claims_of(1)
        ledger().claim(claims, CERTAINLY_NOT_SENT)
        for change in ("outcome = 'sent'", "outcome = 'accepted', answer = 'no JSON'", "answer = '{}'"):
            target.run(f"UPDATE {table} SET {change}")
            with pytest.raises(LedgerError, match="a row of this campaign that cannot be read"):
                ledger().claim(claims, CERTAINLY_NOT_SENT)

    def test_an_outcome_set_by_hand_is_taken(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        claims = claims_of(1)
        ledger().claim(claims, CERTAINLY_NOT_SENT)
        target.run(f"UPDATE {table} SET outcome = 'not_sent'")
        assert ledger("another").claim(claims, CERTAINLY_NOT_SENT) == {}

    def test_a_table_that_is_none_of_ours_is_refused(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        target.run(f"CREATE TABLE {table} (campaign VARCHAR(10), recipient VARCHAR(10))")
        with pytest.raises(LedgerError, match=f"{table} lacks the columns row_key, .*It is not a ledger table"):
            ledger().claim(claims_of(1), CERTAINLY_NOT_SENT)
        assert target.run(f"SELECT * FROM {table}") == []

    @pytest.mark.parametrize("target", ["psycopg2"], indirect=True)
    def test_who_was_moved_to_a_child_table_is_not_claimed_anew(
        self, target: Target, table: str, ledger: Callable[..., SqlLedger]
    ) -> None:
        sut, claims = ledger(), claims_of(3)
        sut.claim(claims, CERTAINLY_NOT_SENT)
        sut.record({claim.recipient: Entry.now(Outcome.ACCEPTED) for claim in claims})
        sut.flush()
        target.run(f"CREATE TABLE {table}_2025 () INHERITS ({table})")
        moved = f"WITH moved AS (DELETE FROM ONLY {table} RETURNING *) INSERT INTO {table}_2025 SELECT * FROM moved"
        target.run(moved)
        with pytest.raises(LedgerError, match="has a recipient twice"):
            ledger("another").claim(claims, CERTAINLY_NOT_SENT)

    def test_a_table_without_the_key_claims_nothing_twice(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        target.run(SqlTable(table, target.dialect, "?").create().replace("PRIMARY KEY (recipient, campaign)", "x INT"))
        if target.dialect == "mysql":  # the others refuse the statement
            assert ledger().claim(claims_of(3), CERTAINLY_NOT_SENT) == {}
        with pytest.raises(LedgerError):
            ledger().claim(claims_of(3), CERTAINLY_NOT_SENT)

    # MySQL alone can be told to cut values short.
    @pytest.mark.parametrize("target", ["pymysql"], indirect=True)
    def test_a_number_that_is_cut_short_is_not_taken_for_claimed(self, target: Target, table: str) -> None:
        lax = Target("mysql", target.driver, {**target.options, "init_command": "SET sql_mode = ''"})
        sut = SqlLedger(lax.database(), CAMPAIGN, "me", table)
        with pytest.raises(LedgerError, match="1 claims were not found"):
            sut.claim([Claim("r", "4" * 40)], CERTAINLY_NOT_SENT)
        sut.close()

    @pytest.mark.parametrize("target", ["psycopg2", "psycopg", "pymysql"], indirect=True)
    def test_the_error_names_the_rights_that_a_user_lacks(self, target: Target, table: str) -> None:
        user = f"user_{table}"
        options = {**target.options, "user": user}
        if target.dialect == "mysql":
            options |= {"password": "x", "database": None}
            user, name = f"{user}@localhost", f"ledger.{table}"
            target.run(f"CREATE USER {user} IDENTIFIED BY 'x'")
        else:
            name = f"public.{table}"
            target.run(f"CREATE ROLE {user} LOGIN")
        limited = Target(target.dialect, target.driver, options)
        rights = "needs the rights to select, insert and update"
        with pytest.raises(LedgerError, match=rights):
            SqlLedger(limited.database(), CAMPAIGN, "me", name).claim(claims_of(1), CERTAINLY_NOT_SENT)
        SqlLedger(target.database(), CAMPAIGN, "me", name).claim(claims_of(1), CERTAINLY_NOT_SENT)
        target.run(f"GRANT SELECT ON {name} TO {user}")
        reader = SqlLedger(limited.database(), CAMPAIGN, "me", name)
        assert len(reader.find(claims_of(2))) == 1
        with pytest.raises(LedgerError, match=rights):
            reader.claim(claims_of(2), CERTAINLY_NOT_SENT)
        reader.close()

    def test_a_read_only_database_can_be_read_and_not_claimed_in(self, tmp_path: Path) -> None:
        path = tmp_path / "ledger.db"
        writer = SqlLedger(Target("sqlite", "sqlite3", {"database": str(path)}).database(), CAMPAIGN, "me")
        writer.claim(claims_of(1), CERTAINLY_NOT_SENT)
        writer.close()
        target = Target("sqlite", "sqlite3", {"database": f"file:{path}?mode=ro", "uri": True})
        sut = SqlLedger(target.database(), CAMPAIGN, "me")
        assert len(sut.find(claims_of(2))) == 1
        with pytest.raises(LedgerError, match=r"SQLITE_READONLY\); .*The SQLite file may only be read: .* mode=ro$"):
            sut.claim(claims_of(2), CERTAINLY_NOT_SENT)
        sut.close()

    def test_a_database_that_stays_locked_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql_database, "CONFLICT_SECONDS", 0.1)
        path = str(tmp_path / "ledger.db")
        sut = SqlLedger(Target("sqlite", "sqlite3", {"database": path}).database(), CAMPAIGN, "me")
        sut.find(claims_of(1))
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="OperationalError SQLITE_BUSY"):
            sut.claim(claims_of(1), CERTAINLY_NOT_SENT)
        blocker.execute("ROLLBACK")
        assert sut.claim(claims_of(1), CERTAINLY_NOT_SENT) == {}
        blocker.close()
        sut.close()
