"""Which claims are taken again, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.retake import Retake, claim, still_in_doubt
from tests.support.ledger_homes import FREE, LAST, LATE, NOT_AGAIN, NUMBERS, OPEN, Home, claims, leave_doubts
from tests.support.reasons import why


def test_only_what_was_in_doubt_is_returned_as_doubt(any_home):
    leave_doubts(any_home)
    ledger = any_home.ledger()
    ended = claims(NUMBERS[2:4])
    ledger.claim(ended, CERTAINLY_NOT_SENT)
    ledger.record({one.recipient: Entry.now(Outcome.NOT_SENT) for one in ended})
    ledger.flush()
    taken, doubts = claim(any_home.ledger(), claims(NUMBERS), Retake(resend=False))
    assert {entry.outcome for entry in taken.values()} == {Outcome.UNKNOWN, None}
    assert doubts == {}
    # As if killed: these are all open now.
    taken, doubts = claim(any_home.ledger(), claims(NUMBERS), Retake(resend=True))
    assert taken == {}
    told = {one.identity: doubts[one.recipient].outcome for one in claims(NUMBERS) if one.recipient in doubts}
    assert told == {LATE: Outcome.UNKNOWN, OPEN: None, FREE: None, LAST: None, **dict.fromkeys(NUMBERS[4:])}


def test_a_doubt_that_another_run_of_this_task_leaves_while_this_one_claims_is_not_taken_from_it(tmp_path):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    (third,) = claims([FREE])
    ours, rival = home.ledger(), home.ledger()
    real = ours.find

    def find(wanted: Sequence[Claim]) -> Mapping[str, Entry]:
        found = real(wanted)
        rival.claim([third], CERTAINLY_NOT_SENT)
        rival.record({third.recipient: Entry.now(Outcome.UNKNOWN, reason=why("the rival's"))})
        rival.flush()
        return found

    ours.find = find  # type: ignore[assignment, method-assign]
    taken, doubts = claim(ours, claims(NUMBERS), Retake(resend=True))
    assert {recipient: entry.reason for recipient, entry in taken.items()} == {third.recipient: why("the rival's")}
    assert len(doubts) == 2
    home.close()


def test_a_doubt_of_another_run_is_left_to_it(tmp_path):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    taken, doubts = claim(home.ledger("dag/another run/task"), claims(NUMBERS), Retake(resend=True))
    assert len(taken) == 2
    assert doubts == {}
    home.close()


def test_what_another_run_says_was_not_sent_is_not_in_doubt_for_this_one(tmp_path):
    home = Home("sql", tmp_path)
    (free,) = claims([FREE])
    ours, other = home.ledger(), home.ledger("dag/another run/task")
    other.claim([free], CERTAINLY_NOT_SENT)
    real = ours.find

    def find(wanted: Sequence[Claim]) -> Mapping[str, Entry]:
        found = real(wanted)  # while the other is sending
        other.record({free.recipient: Entry.now(Outcome.NOT_SENT)})
        other.flush()
        return found

    ours.find = find  # type: ignore[assignment, method-assign]
    assert claim(ours, [free], Retake(resend=True)) == ({}, {})
    home.close()


def test_what_another_run_of_this_task_is_sending_is_neither_claimed_nor_in_doubt(tmp_path):
    home = Home("sql", tmp_path)
    ours, rival = home.ledger(), home.ledger()
    rival.claim(claims([FREE]), CERTAINLY_NOT_SENT)
    taken, doubts = claim(ours, claims([FREE]), Retake(resend=True))
    assert [entry.outcome for entry in taken.values()] == [None]
    assert doubts == {}
    home.close()


def test_a_reason_says_what_was_before_and_what_kept_it_and_does_not_grow():
    doubt = Entry.now(Outcome.UNKNOWN, reason=why("no answer came."))
    first = still_in_doubt(doubt, why("one"))
    assert str(first.reason) == f"no answer came. {NOT_AGAIN}one"
    second = still_in_doubt(first, why("two"))
    assert second == doubt._replace(reason=why("no answer came.")._replace(since=f"{NOT_AGAIN}two"))
    assert str(second.reason) == f"no answer came. {NOT_AGAIN}two"
    never_ended = still_in_doubt(Entry.now(None), why("one"))
    assert (never_ended.outcome, never_ended.attempts) == (Outcome.UNKNOWN, 0)
