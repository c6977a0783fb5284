from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    LedgerError,
)
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_statements import SqlTable
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.campaign.sql import session as sql_database
from airflow_provider_omnichat.campaign.sql.dialect import DIALECTS, Dialect
from tests.support import sql_servers
from tests.support.reasons import why
from tests.support.sql_servers import Target

CAMPAIGN = "welcome-2026"
PROCESSES = multiprocessing.get_context("spawn")
ISOLATIONS = [  # of a driver: the database's own level, or another
    "sqlite3",
    "psycopg2",
    "psycopg2/repeatable read",
    pytest.param("psycopg2/serializable", marks=pytest.mark.slow),
    pytest.param("psycopg", marks=pytest.mark.slow),
    "pymysql",
    pytest.param("pymysql/READ COMMITTED", marks=pytest.mark.slow),
    pytest.param("pymysql/SERIALIZABLE", marks=pytest.mark.slow),
]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[dict[str, Any]]:
    with sql_servers.postgresql() as options:
        yield options


@pytest.fixture(scope="session")
def mariadb() -> Iterator[dict[str, Any]]:
    with sql_servers.mariadb() as options:
        yield options


def _target(name: str, request: pytest.FixtureRequest, folder: Path) -> Target:
    driver, _, isolation = name.partition("/")
    if driver == "sqlite3":
        return Target("sqlite", driver, {"database": str(folder / "ledger.db")})
    pytest.importorskip(driver)
    if driver == "pymysql":
        options = dict(request.getfixturevalue("mariadb"))
        if isolation:
            options["init_command"] = f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}"
        return Target("mysql", driver, options)
    options = dict(request.getfixturevalue("postgresql"))
    if isolation:
        options["options"] = "-c default_transaction_isolation=" + isolation.replace(" ", "\\ ")
    return Target("postgresql", driver, options)


@pytest.fixture(params=["sqlite3", "psycopg2", "psycopg", "pymysql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return _target(request.param, request, tmp_path)


@pytest.fixture(params=ISOLATIONS)
def any_isolation(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return _target(request.param, request, tmp_path)


@pytest.fixture
def table() -> str:
    return f"invites_{uuid4().hex[:8]}"


@pytest.fixture
def ledger(target: Target, table: str) -> Iterator[Callable[..., SqlLedger]]:
    """Make a ledger; its connections are closed after the test."""
    made: list[SqlLedger] = []

    def make(
        owner: str = "dag/run/task/-1",
        campaign: str = CAMPAIGN,
        table: str = table,
        wrapped: Callable[[Any], Any] = lambda connection: connection,
    ) -> SqlLedger:
        made.append(SqlLedger(target.database(wrapped), campaign, owner, table))
        return made[-1]

    yield make
    for one in made:
        one.close()


def claims_of(count: int, campaign: str = CAMPAIGN, first: int = 41790000000) -> list[Claim]:
    numbers = [str(first + position) for position in range(count)]
    return [Claim(recipient_key(campaign, number), number, f"customer-{number[-4:]}") for number in numbers]


def answer_of(number: str = "41790000000", group: int = 1, **fields: Any) -> InviteAnswer:
    status = {"groupId": group, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED", "description": "Sent"}
    return InviteAnswer.from_json(
        {"to": number, "messageCount": 2, "messageId": f"id-{number}", "status": status, "more": [1], **fields}
    )


class TestClaim:
    def test_free_recipients_are_claimed_and_known_afterwards_to_all(self, ledger: Callable[..., SqlLedger]) -> None:
        claims = claims_of(3)
        assert ledger().claim(claims, CERTAINLY_NOT_SENT) == {}

        mine = ledger().claim(claims, CERTAINLY_NOT_SENT)
        others = ledger("dag/another run/task/-1").claim(claims, CERTAINLY_NOT_SENT)

        assert set(mine) == set(others) == {claim.recipient for claim in claims}
        assert all(entry.outcome is None and entry.same_task for entry in mine.values())
        assert all(entry.outcome is None and not entry.same_task for entry in others.values())
        assert all(abs(entry.at - datetime.now(UTC)) < timedelta(seconds=20) for entry in mine.values())

    def test_a_block_gets_what_is_free_of_it(self, ledger: Callable[..., SqlLedger]) -> None:
        claims = claims_of(10)
        ledger("another").claim(claims[3:5], CERTAINLY_NOT_SENT)
        taken = ledger().claim(claims, CERTAINLY_NOT_SENT)
        assert set(taken) == {claim.recipient for claim in claims[3:5]}
        assert ledger("a third").claim(claims, CERTAINLY_NOT_SENT).keys() == {claim.recipient for claim in claims}

    def test_another_campaign_is_another_ledger(self, ledger: Callable[..., SqlLedger]) -> None:
        ledger().claim(claims_of(2), CERTAINLY_NOT_SENT)
        for other in ("Welcome-2026", "welcome-2026 ", "welcome-2026\n", "w\u00e9lcome-2026", "we\u0301lcome-2026"):
            assert ledger(campaign=other).claim(claims_of(2, other), CERTAINLY_NOT_SENT) == {}

    def test_names_longer_than_the_column_are_still_told_apart(self, ledger: Callable[..., SqlLedger]) -> None:
        long = "/".join(["d" * 250, "r" * 250, "t" * 250])
        assert ledger(long + "1", long + "1").claim(claims_of(1, long + "1"), CERTAINLY_NOT_SENT) == {}
        assert ledger(long + "2", long + "2").claim(claims_of(1, long + "2"), CERTAINLY_NOT_SENT) == {}
        (entry,) = ledger(long + "1", long + "1").claim(claims_of(1, long + "1"), CERTAINLY_NOT_SENT).values()
        assert entry.same_task
        (entry,) = ledger(long + "2", long + "1").claim(claims_of(1, long + "1"), CERTAINLY_NOT_SENT).values()
        assert not entry.same_task

    def test_a_block_of_thousands_is_one_transaction_and_so_are_its_outcomes(
        self, ledger: Callable[..., SqlLedger], table: str
    ) -> None:
        commits = []
        sut = ledger(wrapped=lambda connection: Spied(connection, on_commit=lambda _: commits.append(1)))
        sut.find(claims_of(1))
        commits.clear()
        claims = claims_of(4000)
        assert sut.claim(claims, CERTAINLY_NOT_SENT) == {}
        sut.record({claim.recipient: Entry.now(Outcome.ACCEPTED, answer_of(claim.identity)) for claim in claims})
        assert len(commits) == 1
        sut.flush()
        assert len(commits) == 2
        found = ledger().find(claims)
        assert all(found[claim.recipient].answer.message_id == f"id-{claim.identity}" for claim in claims)  # type: ignore[union-attr]

    def test_no_claims_is_no_work(self, ledger: Callable[..., SqlLedger]) -> None:
        commits: list[int] = []
        sut = ledger(wrapped=lambda connection: Spied(connection, on_commit=lambda _: commits.append(1)))
        assert sut.claim([], CERTAINLY_NOT_SENT) == {}
        assert commits == []

    def test_texts_that_databases_do_not_take_do_not_stop_the_batch(self, ledger: Callable[..., SqlLedger]) -> None:
        sut = ledger()
        claim = Claim("r", "41790000000", "a\x00b \ud800 '; DROP TABLE x; -- \U0001f600")
        sut.claim([claim], CERTAINLY_NOT_SENT)
        answer = answer_of(messageId="x" * 300, messageCount=2**40, odd="\x00\ud800")
        sut.record({"r": Entry.now(Outcome.ACCEPTED, answer, why("why\x00 %s ? \U0001f600"))})
        sut.flush()
        kept = ledger().find([claim])["r"]
        assert kept.answer is not None
        assert kept.answer.message_id == "x" * 300
        assert kept.answer.raw["odd"] == "\x00\ud800"
        assert str(kept.reason) == "why\N{REPLACEMENT CHARACTER} %s ? \U0001f600"


class TestRecord:
    def test_the_whole_answer_comes_back(self, ledger: Callable[..., SqlLedger]) -> None:
        sut = ledger()
        (claim,) = claims_of(1)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        entry = Entry.now(Outcome.ACCEPTED, answer_of(), None, attempts=3)
        sut.record({claim.recipient: entry})
        sut.flush()

        kept = ledger().claim([claim], CERTAINLY_NOT_SENT)[claim.recipient]

        assert kept.outcome is Outcome.ACCEPTED
        assert kept.at == entry.at
        assert kept.attempts == 3
        assert kept.answer is not None
        assert {"to": claim.identity, **kept.answer.to_json()} == answer_of().to_json()

    def test_the_row_is_the_audit_trail(self, ledger: Callable[..., SqlLedger], target: Target, table: str) -> None:
        sut = ledger()
        (claim,) = claims_of(1)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        assert target.run(f"SELECT outcome, ended_at FROM {table}") == [(None, None)]
        sut.record({claim.recipient: Entry.now(Outcome.REJECTED, answer_of(group=5), why("refused"), attempts=2)})
        sut.flush()
        columns = (
            "campaign, recipient, row_key, outcome, message_id, status_group, status_id, status_name, message_count,"
            " attempts, error, claimed_by"
        )
        assert target.run(f"SELECT {columns} FROM {table}") == [
            (
                *(CAMPAIGN, claim.identity, claim.key, "rejected", "id-41790000000", 5, 26, "PENDING_ACCEPTED"),
                *(2, 2, "refused", "dag/run/task/-1"),
            )
        ]

    def test_times_are_utc_whatever_the_zone(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        sut = ledger()
        (claim,) = claims_of(1)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        at = datetime.fromisoformat("2026-03-29T01:30:00.000001+05:30")
        sut.record({claim.recipient: Entry(Outcome.NOT_SENT, at)})
        sut.flush()
        assert ledger().find([claim])[claim.recipient].at == at
        assert str(target.run(f"SELECT ended_at FROM {table}")[0][0]) == "2026-03-28 20:00:00.000001"

    def test_what_was_recorded_is_durable_with_the_next_flush(self, ledger: Callable[..., SqlLedger]) -> None:
        sut = ledger()
        first, second = claims_of(2)
        sut.claim([first], CERTAINLY_NOT_SENT)
        sut.record({first.recipient: Entry.now(Outcome.UNKNOWN, None, why("time-out"))})
        sut.claim([second], CERTAINLY_NOT_SENT)  # nobody waits for outcomes when senders wait for claims
        assert ledger().find([first])[first.recipient].outcome is None
        sut.flush()
        assert ledger().find([first])[first.recipient].outcome is Outcome.UNKNOWN

    def test_an_outcome_of_something_never_claimed_is_refused(self, ledger: Callable[..., SqlLedger]) -> None:
        with pytest.raises(LedgerError, match="1 outcomes are of invites that were not claimed"):
            ledger().record({"stranger": Entry.now(Outcome.ACCEPTED)})

    def test_a_deleted_row_is_written_again_when_the_invite_went_out(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        sut = ledger()
        (claim,) = claims_of(1)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        target.run(f"DELETE FROM {table}")
        sut.record({claim.recipient: Entry.now(Outcome.ACCEPTED, answer_of())})
        sut.flush()
        assert ledger().claim([claim], CERTAINLY_NOT_SENT)[claim.recipient].outcome is Outcome.ACCEPTED

    @pytest.mark.parametrize(
        ("late", "then", "kept"),
        [
            (Outcome.NOT_SENT, None, None),
            (Outcome.UNKNOWN, None, None),
            (Outcome.ACCEPTED, None, Outcome.ACCEPTED),
            (Outcome.ACCEPTED, Outcome.NOT_SENT, Outcome.ACCEPTED),
            (Outcome.NOT_SENT, Outcome.UNKNOWN, Outcome.UNKNOWN),
        ],
    )
    def test_a_worker_that_was_given_up_can_only_add_that_it_was_accepted(
        self, ledger: Callable[..., SqlLedger], late: Outcome, then: Outcome | None, kept: Outcome | None
    ) -> None:
        (claim,) = claims_of(1)
        zombie = ledger()
        zombie.claim([claim], CERTAINLY_NOT_SENT)
        retry = ledger()
        assert retry.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT) == {}

        zombie.record({claim.recipient: Entry.now(late)})
        zombie.flush()
        if then is not None:
            retry.record({claim.recipient: Entry.now(then)})
            retry.flush()

        assert ledger().find([claim])[claim.recipient].outcome is kept


class TestRetake:
    def ended(self, sut: SqlLedger, outcome: Outcome | None) -> Claim:
        (claim,) = claims_of(1)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        if outcome is not None:
            sut.record({claim.recipient: Entry.now(outcome, answer_of(), why("why"))})
            sut.flush()
        return claim

    @pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.HELD])
    @pytest.mark.parametrize("owner", ["dag/run/task/-1", "another"])
    def test_what_was_certainly_not_sent_is_anybodys(
        self, ledger: Callable[..., SqlLedger], outcome: Outcome, owner: str, target: Target, table: str
    ) -> None:
        claim = self.ended(ledger(), outcome)
        assert ledger(owner).claim([claim], CERTAINLY_NOT_SENT) == {}
        kept = ledger(owner).claim([claim], CERTAINLY_NOT_SENT)[claim.recipient]
        assert kept.outcome is None
        assert kept.same_task
        assert kept.reason is None
        assert kept.answer is None
        assert target.run(f"SELECT message_id, status_id, ended_at FROM {table}") == [(None, None, None)]

    @pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, None])
    def test_everything_else_is_kept(self, ledger: Callable[..., SqlLedger], outcome: Outcome | None) -> None:
        claim = self.ended(ledger(), outcome)
        for owner in ("dag/run/task/-1", "another"):
            assert ledger(owner).claim([claim], CERTAINLY_NOT_SENT)[claim.recipient].outcome is outcome

    @pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, None])
    def test_doubt_is_retaken_only_by_the_same_task_and_only_on_request(
        self, ledger: Callable[..., SqlLedger], outcome: Outcome | None
    ) -> None:
        claim = self.ended(ledger(), outcome)
        kept = ledger("another").claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT)[claim.recipient]
        assert kept.outcome is outcome
        assert not kept.same_task
        assert ledger().claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT) == {}

    def test_only_what_was_asked_for_is_retaken(self, ledger: Callable[..., SqlLedger]) -> None:
        claim = self.ended(ledger(), Outcome.NOT_SENT)
        assert claim.recipient in ledger().claim([claim], [])
        assert claim.recipient in ledger().claim([claim], [Outcome.HELD])
        assert claim.recipient in ledger().claim([claim], [None])
        assert ledger().claim([claim], [Outcome.NOT_SENT]) == {}

    def test_an_open_claim_of_a_twin_that_began_earlier_or_later_is_not_taken_from_it(
        self, ledger: Callable[..., SqlLedger]
    ) -> None:
        first, second = ledger(), ledger()
        (claim,) = claims_of(1)
        assert first.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT) == {}
        assert claim.recipient in second.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT)
        assert claim.recipient in first.claim([claim], CERTAINLY_NOT_SENT | IN_DOUBT)


class TestFind:
    def test_finds_without_claiming(self, ledger: Callable[..., SqlLedger]) -> None:
        claims = claims_of(3)
        assert ledger().find(claims) == {}
        assert ledger().find([]) == {}
        ledger("another").claim(claims[:1], CERTAINLY_NOT_SENT)
        found = ledger().find(claims)
        assert list(found) == [claims[0].recipient]
        assert not found[claims[0].recipient].same_task
        assert ledger().claim(claims[1:], CERTAINLY_NOT_SENT) == {}


class TestCountRecent:
    def test_counts_what_people_got_or_may_have_got_over_all_campaigns(self, ledger: Callable[..., SqlLedger]) -> None:
        now = datetime.now(UTC)
        number = "41790000000"
        ends = {
            "a": Entry.now(Outcome.ACCEPTED),
            "b": Entry.now(Outcome.UNKNOWN),
            "c": None,
            "d": Entry.now(Outcome.REJECTED),
            "e": Entry.now(Outcome.NOT_SENT),
            "f": Entry(Outcome.ACCEPTED, now - timedelta(days=8)),
        }
        for campaign, entry in ends.items():
            sut = ledger(campaign=campaign)
            sut.claim(claims_of(1, campaign), CERTAINLY_NOT_SENT)
            if entry is not None:
                sut.record({recipient_key(campaign, number): entry})
                sut.flush()

        sut = ledger()
        assert sut.count_recent([number, "41799999999"], now - timedelta(days=7)) == {number: 3}
        assert sut.count_recent([number], now - timedelta(days=9)) == {number: 4}
        assert sut.count_recent([number], now + timedelta(days=1)) == {}
        assert sut.count_recent([], now) == {}
        many = [claim.identity for claim in claims_of(2500)]
        assert sut.count_recent(many, now - timedelta(days=7)) == {number: 3}


class TestOnce:
    def test_the_second_run_gives_the_firsts_answer_and_sends_nothing(self, ledger: Callable[..., SqlLedger]) -> None:
        sent: list[Invite] = []

        def send(invite: Invite) -> InviteAnswer:
            sent.append(invite)
            return answer_of(invite.to)

        results = [
            send_at_most_once(INVITE, send=send, ledger=ledger(f"dag/{run}/task/-1"), campaign=CAMPAIGN)
            for run in ("monday", "tuesday")
        ]
        assert len(sent) == 1
        assert [one.earlier for one in results] == [False, True]
        assert results[0].answer.to_json() == results[1].answer.to_json() == answer_of(INVITE.to).to_json()

    def test_doubt_of_another_run_is_not_resent(self, ledger: Callable[..., SqlLedger]) -> None:
        def breaks(_: Invite) -> InviteAnswer:
            raise InviteUnknownError(why("read time-out"))

        with pytest.raises(InviteUnknownError):
            send_at_most_once(INVITE, send=breaks, ledger=ledger("monday"), campaign=CAMPAIGN)
        with pytest.raises(InviteUnknownError, match="Already in doubt"):
            send_at_most_once(INVITE, send=never, ledger=ledger("tuesday"), campaign=CAMPAIGN, resend_unknown=True)

    def test_what_the_first_run_could_not_send_the_second_does(self, ledger: Callable[..., SqlLedger]) -> None:
        def refused(_: Invite) -> InviteAnswer:
            raise InviteNotSentError(why("429"))

        with pytest.raises(InviteNotSentError):
            send_at_most_once(INVITE, send=refused, ledger=ledger("monday"), campaign=CAMPAIGN)
        sent = send_at_most_once(
            INVITE, send=lambda invite: answer_of(invite.to), ledger=ledger("tuesday"), campaign=CAMPAIGN
        )
        assert not sent.earlier


INVITE = Invite("41790000000", "Hello <link>", "<link>", "KEY", "FACEBOOK")


def never(_: Invite) -> InviteAnswer:
    raise AssertionError("nothing may be sent")


class Spied:
    """A connection that fails where it is told to."""

    def __init__(
        self,
        connection: Any,
        on_execute: Callable[[str, Any], None] = lambda sql, parameters: None,
        on_commit: Callable[[Callable[[], None]], None] = lambda commit: None,
        after_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.__dict__.update(
            real=connection, on_execute=on_execute, on_commit=on_commit, after_commit=after_commit, writing=False
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.real, name, value)

    def cursor(self) -> Any:
        return SpiedCursor(self, self.real.cursor())

    def commit(self) -> None:
        writing = self.writing
        if writing:
            self.on_commit(self.real.commit)
        self.real.commit()
        self.__dict__["writing"] = False
        if writing:
            self.after_commit()


class SpiedCursor:
    def __init__(self, connection: Spied, cursor: Any) -> None:
        self.connection = connection
        self.real = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith(("INSERT", "UPDATE")):
            self.connection.__dict__["writing"] = True
        self.connection.on_execute(sql, parameters)
        return self.real.execute(sql, parameters)


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

        strike = [True]

        def time_out(sql: str, _: Any) -> None:
            if sql.startswith("SELECT recipient") and strike:
                strike.pop()
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

    def test_a_connection_that_the_server_ended_is_made_anew(self, target: Target, table: str) -> None:
        statement = {
            "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
            "mysql": "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE id <> CONNECTION_ID()",
        }.get(target.dialect)
        if statement is None:
            pytest.skip("SQLite has no server")
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
        with pytest.raises(LedgerError, match=f"{table} cannot be found or made .*has the columns"):
            ledger().claim(claims_of(1), CERTAINLY_NOT_SENT)
        assert target.run(f"SELECT * FROM {table}") == []

    def test_a_table_without_the_key_claims_nothing_twice(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        target.run(SqlTable(table, target.dialect, "?").create().replace("PRIMARY KEY (recipient, campaign)", "x INT"))
        if target.dialect == "mysql":  # the others refuse the statement
            assert ledger().claim(claims_of(3), CERTAINLY_NOT_SENT) == {}
        with pytest.raises(LedgerError):
            ledger().claim(claims_of(3), CERTAINLY_NOT_SENT)

    def test_a_number_that_is_cut_short_is_not_taken_for_claimed(self, target: Target, table: str) -> None:
        if target.dialect != "mysql":
            pytest.skip("only MySQL can be told to cut values short")
        lax = Target("mysql", target.driver, {**target.options, "init_command": "SET sql_mode = ''"})
        sut = SqlLedger(lax.database(), CAMPAIGN, "me", table)
        with pytest.raises(LedgerError, match="1 claims were not found"):
            sut.claim([Claim("r", "4" * 40)], CERTAINLY_NOT_SENT)
        sut.close()

    def test_a_user_without_rights_gets_told_which(self, target: Target, table: str) -> None:
        if target.dialect == "sqlite":
            pytest.skip("SQLite has no users; see the read-only database")
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


class TestThreads:
    def test_works_in_whatever_thread_it_is_used(self, ledger: Callable[..., SqlLedger]) -> None:
        sut = ledger()
        claims = claims_of(3)
        for claim in claims:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(sut.claim, [claim], CERTAINLY_NOT_SENT).result() == {}
        assert len(sut.find(claims)) == 3
        assert threading.active_count() < 20


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

    def test_rows_that_come_as_dicts_are_read(self, postgresql: dict[str, Any], table: str) -> None:
        extras = pytest.importorskip("psycopg2.extras")
        target = Target("postgresql", "psycopg2", {**postgresql, "cursor_factory": extras.RealDictCursor})
        sut = SqlLedger(target.database(), CAMPAIGN, "me", table)
        sut.claim(claims_of(2), CERTAINLY_NOT_SENT)
        assert len(sut.find(claims_of(2))) == 2
        assert sut.count_recent(["41790000000"], datetime.now(UTC) - timedelta(days=1)) == {"41790000000": 1}
        sut.close()

    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_the_documentation_shows_the_table_as_it_is_made(self, dialect: Dialect) -> None:
        page = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text()
        assert f"{SqlTable('omnichat_invites', dialect, '?').create()};\n" in page


# With other processes


def _race(
    target: Target, table: str, owners: Sequence[str], rounds: int, size: int, retake: frozenset[Outcome | None]
) -> list[list[set[str]]]:
    """Let processes claim the same lists at the same moments; give what each won in each round."""
    barrier = PROCESSES.Barrier(len(owners))
    answers = PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_racer, args=(target, table, owner, rounds, size, retake, barrier, answers, place))
        for place, owner in enumerate(owners)
    ]
    for process in processes:
        process.start()
    won = dict(answers.get(timeout=300) for _ in processes)
    for process in processes:
        process.join(30)
    failures = [value for value in won.values() if isinstance(value, str)]
    assert not failures, failures
    return [won[place] for place in range(len(owners))]


def _racer(
    target: Target,
    table: str,
    owner: str,
    rounds: int,
    size: int,
    retake: frozenset[Outcome | None],
    barrier: Any,
    answers: Any,
    place: int,
) -> None:
    chance = random.Random(place)
    won = []
    try:
        for number in range(rounds):
            campaign = f"round {number}"
            claims = claims_of(size, campaign)
            chance.shuffle(claims)
            block = chance.choice((size, size // 3, 7))
            ledger = SqlLedger(target.database(), campaign, owner, table)
            barrier.wait(60)
            free: set[str] = set()
            for start in range(0, size, block):
                part = claims[start : start + block]
                taken = ledger.claim(part, retake)
                got = {claim.recipient for claim in part} - set(taken)
                ledger.record({recipient: Entry.now(Outcome.ACCEPTED, answer_of()) for recipient in got})
                free |= got
            ledger.flush()
            ledger.close()
            won.append(free)
        answers.put((place, won))
    except BaseException as error:
        answers.put((place, "".join(traceback.format_exception(error))))
        barrier.abort()


def _deadlocks(target: Target) -> object:
    if target.dialect != "postgresql":
        return None
    return target.run("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def _assert_each_won_once(won: list[list[set[str]]], rounds: int, size: int) -> None:
    for number in range(rounds):
        everybody = [recipient for process in won for recipient in process[number]]
        assert len(everybody) == size, f"round {number}: {len(everybody)} claims of {size} recipients"
        assert len(set(everybody)) == size


@pytest.mark.parametrize("scale", [1, pytest.param(10, marks=pytest.mark.slow)])
class TestRaces:
    def test_tasks_that_race_for_the_same_list_never_both_get_one(
        self, any_isolation: Target, table: str, scale: int
    ) -> None:
        rounds = 6 * scale
        before = _deadlocks(any_isolation)
        won = _race(any_isolation, table, ["a", "b", "c"], rounds, 150, CERTAINLY_NOT_SENT)
        _assert_each_won_once(won, rounds, 150)
        assert _deadlocks(any_isolation) == before, "each costs a second, and a block that is written again"
        rows = any_isolation.run(f"SELECT COUNT(*) FROM {table} WHERE outcome = 'accepted'")
        assert rows == [(rounds * 150,)]

    @pytest.mark.parametrize("before", [Outcome.NOT_SENT, None])
    def test_what_may_be_taken_again_is_taken_again_by_one(
        self, any_isolation: Target, table: str, before: Outcome | None, scale: int
    ) -> None:
        rounds = 4 * scale
        for number in range(rounds):
            campaign = f"round {number}"
            ledger = SqlLedger(any_isolation.database(), campaign, "the same task", table)
            claims = claims_of(60, campaign)
            ledger.claim(claims, CERTAINLY_NOT_SENT)
            if before is not None:
                ledger.record({claim.recipient: Entry.now(before) for claim in claims})
            ledger.flush()
            ledger.close()
        owners = ["the same task"] * 3 if before is None else ["a", "b", "c"]
        won = _race(any_isolation, table, owners, rounds, 60, CERTAINLY_NOT_SENT | IN_DOUBT)
        _assert_each_won_once(won, rounds, 60)


def _claim_until_killed(target: Target, table: str, said: Any, moment: str) -> None:
    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    inserts: list[int] = []

    def die_at_the_second_insert(sql: str, _: Any) -> None:
        inserts.extend([1] * sql.startswith("INSERT"))
        if len(inserts) == 2:
            die()

    spies: Mapping[str, dict[str, Any]] = {
        "between two inserts": {"on_execute": die_at_the_second_insert},
        "before the commit": {"on_commit": die},
        "after the commit": {"after_commit": die},
        "at random": {},
    }
    ledger = SqlLedger(
        target.database(lambda connection: Spied(connection, **spies[moment])), CAMPAIGN, "the same task", table
    )
    claims = claims_of(6000)
    size = 2000 if moment != "at random" else 60
    for start in range(0, len(claims), size):
        part = claims[start : start + size]
        assert ledger.claim(part, CERTAINLY_NOT_SENT) == {}
        said.send([claim.recipient for claim in part])
        ledger.record({claim.recipient: Entry.now(Outcome.ACCEPTED, answer_of()) for claim in part[::2]})
    time.sleep(60)


class TestKilled:
    def killed(self, target: Target, table: str, moment: str, after: float | None) -> set[str]:
        """Kill a process that claims; give what it was told to have."""
        heard, said = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_claim_until_killed, args=(target, table, said, moment))
        process.start()
        said.close()
        told: set[str] = set()
        try:
            if after is not None:
                told.update(heard.recv())
                time.sleep(after)
                process.kill()
            while True:
                told.update(heard.recv())
        except EOFError:
            process.join(30)
        assert process.exitcode == -signal.SIGKILL
        return told

    @pytest.mark.parametrize(
        ("moment", "claimed"), [("between two inserts", 0), ("before the commit", 0), ("after the commit", 2000)]
    )
    def test_a_block_is_claimed_whole_or_not_at_all(
        self, target: Target, table: str, moment: str, claimed: int
    ) -> None:
        assert self.killed(target, table, moment, None) == set()
        sut = SqlLedger(target.database(), CAMPAIGN, "the same task", table)
        taken = sut.claim(claims_of(6000), CERTAINLY_NOT_SENT)
        sut.close()
        assert len(taken) == claimed
        assert all(entry.outcome is None and entry.same_task for entry in taken.values())

    @pytest.mark.parametrize("after", [0.0, 0.02, 0.07])
    def test_nothing_that_a_killed_task_claimed_is_lost(self, target: Target, table: str, after: float) -> None:
        told = self.killed(target, table, "at random", after)
        claims = claims_of(6000)
        sut = SqlLedger(target.database(), CAMPAIGN, "the same task", table)
        taken = sut.claim(claims, CERTAINLY_NOT_SENT)
        sut.close()
        assert told <= set(taken)
        assert len(taken) - len(told) in (0, 60), "at most the block whose claim had not returned"
        assert all(entry.same_task and entry.outcome in (None, Outcome.ACCEPTED) for entry in taken.values())
        other = SqlLedger(target.database(), CAMPAIGN, "another", table)
        assert len(other.claim(claims, CERTAINLY_NOT_SENT | IN_DOUBT)) == 6000
        other.close()
