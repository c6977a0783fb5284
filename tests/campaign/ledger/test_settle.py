"""A doubt that somebody has settled: sent never goes out again, not sent goes out once, and nothing else is touched."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.engine.recorder import result_of_earlier
from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    Ledger,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.settle import settled
from airflow_provider_omnichat.campaign.model.rows import Candidate
from tests.support.ledger_homes import Home, accepted

NOW = datetime(2026, 11, 27, 20, 30, tzinfo=UTC)
LOST = Reason(ReasonCode.READ_TIMEOUT, "no answer")
DOUBT = Entry(Outcome.UNKNOWN, NOW - timedelta(hours=2), reason=LOST, attempts=2)
SENT = Settlement(was_sent=True, by="ann", why="in the portal", at=NOW)
NOT_SENT = Settlement(was_sent=False, by="ann", why="not in the portal", at=NOW)
NUMBERS = [f"4179302{i:04d}" for i in range(4)]
CLAIMS = [Claim(recipient_key("c", number), number, f"C-{number[-1]}") for number in NUMBERS]
LATE, OPEN, DONE, FREE = CLAIMS


class TestEntry:
    def test_sent_is_accepted_and_not_sent_is_not_sent_and_both_keep_the_first_reason_and_the_time(self):
        for settlement, outcome in ((SENT, Outcome.ACCEPTED), (NOT_SENT, Outcome.NOT_SENT)):
            assert settled(DOUBT, settlement) == DOUBT._replace(outcome=outcome, settlement=settlement)

    def test_an_answer_that_was_found_is_kept(self):
        found = accepted("41793026727")
        assert settled(DOUBT, Settlement(True, "dag/run/task", "in the log", NOW, found)).answer == found

    @pytest.mark.parametrize(
        "outcome", [outcome for outcome in Outcome if outcome not in (Outcome.UNKNOWN, Outcome.INVALID)]
    )
    def test_what_is_not_in_doubt_is_refused_and_said_what_it_is(self, outcome):
        word = outcome.replace("_", " ")
        with pytest.raises(ValueError, match=f"is not in doubt: {word} since 2026-11-27 18:30 UTC"):
            settled(DOUBT._replace(outcome=outcome), NOT_SENT)

    def test_what_was_settled_is_not_settled_again(self):
        with pytest.raises(ValueError, match=r"is not in doubt: accepted since .*, settled by ann"):
            settled(settled(DOUBT, SENT), NOT_SENT)

    @pytest.mark.parametrize("settlement", [SENT, NOT_SENT])
    def test_a_claim_that_may_be_being_sent_is_refused_unless_nothing_runs(self, settlement):
        young = Entry(None, NOW - timedelta(minutes=59))
        with pytest.raises(ValueError, match="may be being sent right now: it was claimed at 2026-11-27 19:31 UTC"):
            settled(young, settlement)
        for entry, sure in ((young, True), (young._replace(at=NOW - timedelta(minutes=60)), False)):
            now = settled(entry, settlement, no_try_runs=sure)
            assert now.reason is not None
            assert now.reason.code == "claim_never_ended"

    def test_it_is_the_same_after_a_store(self):
        for settlement in (SENT, NOT_SENT):
            entry = settled(DOUBT, settlement)
            assert Entry.from_json(entry.to_json())._replace(attempts=2) == entry

    def test_a_result_row_says_who_when_why_and_what_the_doubt_was(self):
        candidate = Candidate(1, "C-0", OmniInvite(NUMBERS[0], "Hi <link>", "<link>", "KEY", "FACEBOOK"), *LATE[:2])
        row = result_of_earlier(candidate, settled(DOUBT, SENT))
        assert (row.outcome, row.reason and row.reason.code) == ("accepted", "settled_as_sent")
        assert row.error == "settled as sent: by ann at 2026-11-27 20:30 UTC, in the portal. It was in doubt: no answer"


def leave_doubts(home: Home) -> None:
    ledger = home.ledger()
    ledger.claim(CLAIMS[:3], CERTAINLY_NOT_SENT)
    ledger.record(
        {
            LATE.recipient: Entry.now(Outcome.UNKNOWN, reason=LOST),
            DONE.recipient: Entry.now(Outcome.REJECTED, reason=Reason(ReasonCode.REJECTED_BY_VENDOR, "no")),
        }
    )
    ledger.flush()
    ledger.close()


def claimed_by_a_later_try(home: Home) -> list[str | None]:
    taken = home.ledger().claim(CLAIMS, CERTAINLY_NOT_SENT)
    return [claim.key for claim in CLAIMS if claim.recipient not in taken]


def now(was_sent: bool) -> Settlement:
    return Settlement(was_sent, "ann", "as the portal says", datetime.now(UTC))


class TestLedgers:
    def test_sent_is_never_claimed_again_whatever_the_user_asks_for(self, any_home):
        leave_doubts(any_home)
        assert any_home.ledger().settle(CLAIMS, {LATE.recipient: now(True)}) == {}
        found = any_home.ledger().find(CLAIMS)[LATE.recipient]
        assert (found.outcome, found.settlement and found.settlement.by) == ("accepted", "ann")
        assert found.reason == LOST
        assert LATE.recipient in any_home.ledger().claim(CLAIMS, CERTAINLY_NOT_SENT | IN_DOUBT)

    def test_not_sent_is_claimed_once(self, any_home):
        leave_doubts(any_home)
        assert claimed_by_a_later_try(any_home) == ["C-3"]
        assert any_home.ledger().settle(CLAIMS, {LATE.recipient: now(False)}) == {}
        assert any_home.ledger().find(CLAIMS)[LATE.recipient].outcome == "not_sent"
        assert claimed_by_a_later_try(any_home) == ["C-0"]
        assert claimed_by_a_later_try(any_home) == []

    def test_what_was_claimed_again_and_left_open_is_in_doubt_once_more(self, any_home):
        leave_doubts(any_home)
        any_home.ledger().settle(CLAIMS, {LATE.recipient: now(False)})
        assert "C-0" in claimed_by_a_later_try(any_home)  # and its worker was killed
        any_home.ledger().leave_in_doubt(CLAIMS[:1])
        found = any_home.ledger().find(CLAIMS)[LATE.recipient]
        assert (found.outcome, found.settlement) == ("unknown", None)
        assert found.reason is not None
        assert (found.reason.code, found.reason.since) == ("claim_never_ended", "")
        assert claimed_by_a_later_try(any_home) == []
        any_home.ledger().settle(CLAIMS, {LATE.recipient: now(True)})
        assert any_home.ledger().find(CLAIMS)[LATE.recipient].outcome == "accepted"

    def test_what_is_not_in_doubt_or_may_be_being_sent_is_left_alone(self, any_home):
        leave_doubts(any_home)
        refused = any_home.ledger().settle(CLAIMS, {claim.recipient: now(False) for claim in (OPEN, DONE, FREE)})
        assert refused[OPEN.recipient].startswith("may be being sent right now")
        assert refused[DONE.recipient].startswith("is not in doubt: rejected since")
        assert refused[FREE.recipient] == "is not in this campaign"
        found = any_home.ledger().find(CLAIMS)
        assert [entry.outcome for entry in found.values()] == ["unknown", None, "rejected"]

    def test_a_doubt_that_this_try_has_left_is_settled_by_it(self, any_home):
        leave_doubts(any_home)
        later = any_home.ledger()
        later.claim(CLAIMS, CERTAINLY_NOT_SENT)
        later.leave_in_doubt([OPEN])
        assert later.settle(CLAIMS, {OPEN.recipient: now(True)}) == {}
        later.record({FREE.recipient: Entry.now(Outcome.ACCEPTED)})
        later.flush()
        for ledger in (later, any_home.ledger()):
            outcomes = [entry.outcome for entry in ledger.find(CLAIMS).values()]
            assert outcomes[:3] == ["unknown", "accepted", "rejected"]
        assert any_home.ledger().find(CLAIMS)[FREE.recipient].outcome == "accepted"

    def test_a_single_invite_that_was_settled_as_sent_is_green_and_sends_nothing(self, any_home):
        leave_doubts(any_home)
        any_home.ledger().settle(CLAIMS, {LATE.recipient: now(True)})
        done = send_at_most_once(invite(NUMBERS[0]), send=refuse, ledger=any_home.ledger(), campaign="c")
        assert (done.earlier, done.answer.to, done.answer.message_id) == (True, NUMBERS[0], "")
        assert str(done.reason).startswith("settled as sent: by ann at")

    @pytest.mark.parametrize("any_home", ["state store", "sql", "capped"], indirect=True)
    def test_a_single_invite_that_was_settled_as_not_sent_goes_out_once(self, any_home):
        leave_doubts(any_home)
        any_home.ledger().settle(CLAIMS, {LATE.recipient: now(False)})
        sent: list[str] = []

        def send(invite: Invite) -> InviteAnswer:
            sent.append(invite.to)
            return accepted(invite.to)

        for earlier in (False, True):
            done = send_at_most_once(invite(NUMBERS[0]), send=send, ledger=any_home.ledger(), campaign="c")
            assert (done.earlier, done.reason) == (earlier, None)
        assert sent == [NUMBERS[0]]


def invite(number: str) -> Invite:
    return OmniInvite(number, "Hi <link>", "<link>", "KEY", "FACEBOOK")


def refuse(_: Invite) -> InviteAnswer:
    raise AssertionError("nothing may be sent")


class TestRunningTry:
    """A try that ran after all says how it ended, over a settlement."""

    @pytest.mark.parametrize(
        ("was_sent", "ended", "outcome"),
        [
            (True, Outcome.ACCEPTED, "accepted"),
            (True, Outcome.UNKNOWN, "accepted"),
            (True, Outcome.REJECTED, "accepted"),
            (True, Outcome.NOT_SENT, "accepted"),
            (False, Outcome.ACCEPTED, "accepted"),
            (False, Outcome.UNKNOWN, "unknown"),
            (False, Outcome.REJECTED, "rejected"),
            (False, Outcome.NOT_SENT, "not_sent"),
        ],
    )
    def test_in_a_database(self, tmp_path, was_sent, ended, outcome):
        home = Home("sql", tmp_path)
        running = home.ledger()
        running.claim([OPEN], CERTAINLY_NOT_SENT)
        assert home.settle_though_it_runs(NUMBERS[1], now(was_sent)) == {}
        running.record({OPEN.recipient: Entry.now(ended, reason=LOST)})
        running.flush()
        assert home.ledger().find([OPEN])[OPEN.recipient].outcome == outcome

    @pytest.mark.parametrize(
        ("ended", "outcome"),
        [(Outcome.ACCEPTED, "accepted"), (Outcome.UNKNOWN, "unknown"), (Outcome.REJECTED, "rejected")],
    )
    @pytest.mark.parametrize("was_sent", [True, False])
    def test_in_a_journal_what_the_try_says_counts(self, tmp_path, was_sent, ended, outcome):
        home = Home("journal", tmp_path)
        running = home.ledger()
        running.claim([OPEN], CERTAINLY_NOT_SENT)
        other: Ledger = home.ledger()
        assert other.settle([OPEN], {OPEN.recipient: now(was_sent)}, no_try_runs=True) == {}  # type: ignore[call-arg]
        running.record({OPEN.recipient: Entry.now(ended, reason=LOST)})
        running.flush()
        assert home.ledger().find([OPEN])[OPEN.recipient].outcome == outcome


def test_many_settlements_are_kept_in_values_that_airflow_takes(tmp_path):
    home = Home("journal", tmp_path)
    numbers = [f"41793{i:06d}" for i in range(2500)]
    many = [Claim(recipient_key("c", number), number) for number in numbers]
    home.ledger().claim(many, CERTAINLY_NOT_SENT)
    again = home.ledger()
    again.leave_in_doubt(many)
    for part in (many[:1200], many[1200:]):
        assert again.settle(many, {claim.recipient: now(True) for claim in part}) == {}
    assert {entry.outcome for entry in home.ledger().find(many).values()} == {Outcome.ACCEPTED}
    assert max(len(json.dumps(value)) for value in home.store.values()) < 65_535


def test_a_single_invite_that_is_not_taken_after_it_was_settled_is_not_sent(tmp_path):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    home.ledger().settle(CLAIMS, {LATE.recipient: now(False)})

    def fail(_: Invite) -> InviteAnswer:
        raise InviteNotSentError(Reason(ReasonCode.RATE_LIMITED, "too many"))

    with pytest.raises(InviteNotSentError, match=r"^too many$"):
        send_at_most_once(invite(NUMBERS[0]), send=fail, ledger=home.ledger(), campaign="c")
    assert home.ledger().find(CLAIMS)[LATE.recipient].outcome == "not_sent"
