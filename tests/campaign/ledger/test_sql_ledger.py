from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    LedgerError,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.retake import Retake
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import SqlTable
from tests.support.reasons import why
from tests.support.sql_claims import CAMPAIGN, answer_of, claims_of
from tests.support.sql_servers import Target
from tests.support.sql_spies import Spied


class TestClaim:
    def test_free_recipients_are_claimed_and_known_afterwards_to_all(self, ledger: Callable[..., SqlLedger]) -> None:
        claims = claims_of(3)
        before = datetime.now(UTC)
        assert ledger().claim(claims, CERTAINLY_NOT_SENT) == {}
        after = datetime.now(UTC)

        mine = ledger().claim(claims, CERTAINLY_NOT_SENT)
        others = ledger("dag/another run/task/-1").claim(claims, CERTAINLY_NOT_SENT)

        assert set(mine) == set(others) == {claim.recipient for claim in claims}
        assert all(entry.outcome is None and entry.same_task for entry in mine.values())
        assert all(entry.outcome is None and not entry.same_task for entry in others.values())
        assert all(before <= entry.at <= after for entry in mine.values())

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

    # PostgreSQL compares texts exactly.
    @pytest.mark.parametrize("target", ["sqlite3", "pymysql"], indirect=True)
    def test_a_table_that_takes_two_campaigns_for_one_is_refused(
        self, ledger: Callable[..., SqlLedger], target: Target, table: str
    ) -> None:
        made = SqlTable(table, target.dialect, "?").create()
        loose = (
            ("utf8mb4_bin", "utf8mb4_general_ci") if target.dialect == "mysql" else ("(250)", "(250) COLLATE NOCASE")
        )
        target.run(made.replace(*loose))
        assert ledger(campaign="apfel").claim(claims_of(2, "apfel"), CERTAINLY_NOT_SENT) == {}
        other = "Äpfel" if target.dialect == "mysql" else "APFEL"
        others, found = claims_of(1, other), Settlement(True, "ann", "as the portal says", datetime.now(UTC))
        for work in (
            lambda sut: sut.claim(others, CERTAINLY_NOT_SENT),
            lambda sut: sut.find(others),
            lambda sut: sut.settle(others, {others[0].recipient: found}),
        ):
            with pytest.raises(LedgerError, match=f"'apfel' and '{other}' for one"):
                work(ledger(campaign=other))

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

    @pytest.mark.parametrize("write", [SqlLedger.flush, lambda sut: sut.claim(claims_of(2)[1:], CERTAINLY_NOT_SENT)])
    def test_what_was_recorded_is_durable_with_the_next_claim_or_flush(
        self, ledger: Callable[..., SqlLedger], write: Callable[[SqlLedger], object]
    ) -> None:
        sut = ledger()
        (claim, _) = claims_of(2)
        sut.claim([claim], CERTAINLY_NOT_SENT)
        sut.record({claim.recipient: Entry.now(Outcome.UNKNOWN, None, why("time-out"))})
        assert ledger().find([claim])[claim.recipient].outcome is None
        write(sut)
        assert ledger().find([claim])[claim.recipient].outcome is Outcome.UNKNOWN

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
        with pytest.raises(
            InviteUnknownError, match=r"In doubt since an earlier run of this campaign: monday at .*: read time"
        ):
            send_at_most_once(
                INVITE, send=never, ledger=ledger("tuesday"), campaign=CAMPAIGN, retake=Retake(resend=True)
            )

    def test_what_the_first_run_could_not_send_the_second_does(self, ledger: Callable[..., SqlLedger]) -> None:
        def refused(_: Invite) -> InviteAnswer:
            raise InviteNotSentError(why("429"))

        with pytest.raises(InviteNotSentError):
            send_at_most_once(INVITE, send=refused, ledger=ledger("monday"), campaign=CAMPAIGN)
        sent = send_at_most_once(
            INVITE, send=lambda invite: answer_of(invite.to), ledger=ledger("tuesday"), campaign=CAMPAIGN
        )
        assert not sent.earlier


INVITE = OmniInvite("41790000000", "Hello <link>", "<link>", "KEY", "FACEBOOK")


def never(_: Invite) -> InviteAnswer:
    raise AssertionError("nothing may be sent")


class TestThreads:
    def test_works_in_whatever_thread_it_is_used(self, ledger: Callable[..., SqlLedger]) -> None:
        sut = ledger()
        claims = claims_of(3)
        for claim in claims:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(sut.claim, [claim], CERTAINLY_NOT_SENT).result() == {}
        assert len(sut.find(claims)) == 3
        assert threading.active_count() < 20


def test_another_campaign_of_the_same_owner_is_found_if_it_may_have_sent(ledger: Callable[..., SqlLedger]) -> None:
    made = {name: ledger(campaign=name) for name in ("sent", "refused")}
    for name, outcome in [("sent", Outcome.UNKNOWN), ("refused", Outcome.NOT_SENT)]:
        claims = claims_of(2, name)
        assert made[name].claim(claims, CERTAINLY_NOT_SENT) == {}
        made[name].record({claim.recipient: Entry.now(outcome) for claim in claims})
        made[name].flush()
    assert made["refused"].other_campaign() == "sent"
    assert made["sent"].other_campaign() is None
    assert ledger("another owner", campaign="third").other_campaign() is None
    assert ledger(campaign="open").claim(claims_of(1, "open"), CERTAINLY_NOT_SENT) == {}
    assert made["sent"].other_campaign() == "open"
