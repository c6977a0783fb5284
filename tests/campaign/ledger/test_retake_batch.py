"""What an earlier try of a batch may have sent stays in doubt until the vendor has answered for it, in every ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteUnknownError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.batch import Batch
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Entry, LedgerError
from airflow_provider_omnichat.campaign.model.rows import Candidate
from tests.support.ledger_homes import (
    FREE,
    LAST,
    LATE,
    NEVER_ENDED,
    NOT_AGAIN,
    NUMBERS,
    OPEN,
    Home,
    accepted,
    claims,
    leave_doubts,
    leave_open,
)
from tests.support.played_batches import BUSY, LOCKED_OUT, LOST, REFUSED, Tried, attempt
from tests.support.reasons import why
from tests.support.wire_server import ACCEPTED


def stop_at_once(batch: Batch) -> None:
    """Stop the sending when the first block has been claimed and before its first request leaves."""
    real = batch.sender.put

    def put(candidate: Candidate) -> None:
        batch.sender.stop("the task was stopped")
        real(candidate)

    batch.sender.put = put  # type: ignore[method-assign]


KEPT: dict[str, dict[str, Any]] = {
    "held": {"closing": NUMBERS},
    "stopped before the request": {"meanwhile": stop_at_once},
    "refused for now": {"plays": lambda to: BUSY},
    "refused for good": {"plays": lambda to: LOCKED_OUT},
}


@pytest.mark.parametrize("kept_by", KEPT)
def test_what_was_to_be_sent_again_and_was_not_stays_in_doubt(home, kept_by):
    leave_doubts(home)
    second = attempt(home.ledger, numbers=NUMBERS[:4], resend=True, **KEPT[kept_by])
    assert second.report.failure is None
    sure = "held" if kept_by == "held" else "not_sent"
    assert second.outcomes() == {LATE: "unknown", OPEN: "unknown", FREE: sure, LAST: sure}
    assert second.report.tally.counts[Outcome.UNKNOWN] == 2
    assert second.report.tally.due == {**{Outcome.NOT_SENT: 0, Outcome.HELD: 0}, Outcome(sure): 4}
    why = str(second.rows[FREE][0].error)
    for number, before in ((LATE, "no answer came"), (OPEN, NEVER_ENDED)):
        told = str(second.rows[number][0].error)
        assert told.startswith(f"{before}. {NOT_AGAIN}")
        assert told.endswith(why) or kept_by.startswith("refused")
    assert home.known()[LATE] is Outcome.UNKNOWN

    third = attempt(home.ledger, numbers=NUMBERS[:4])
    assert sorted(third.asked) == [FREE, LAST]
    assert third.outcomes() == {LATE: "unknown", OPEN: "unknown", FREE: "accepted", LAST: "accepted"}

    last = attempt(home.ledger, numbers=NUMBERS[:4], resend=True)
    assert sorted(last.asked) == [LATE, OPEN]
    assert set(last.outcomes().values()) == {"accepted"}
    assert attempt(home.ledger, numbers=NUMBERS[:4], resend=True).asked == []


@pytest.mark.parametrize("kept_by", KEPT)
def test_another_run_does_not_send_what_stays_in_doubt(tmp_path, kept_by):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    attempt(home.ledger, numbers=NUMBERS[:2], resend=True, **KEPT[kept_by])
    for resend in (False, True):
        other = attempt(lambda: home.ledger("dag/another run/task"), numbers=NUMBERS[:2], resend=resend)
        assert (other.asked, other.outcomes()) == ([], {LATE: "unknown", OPEN: "unknown"})
    home.close()


def test_abandoned_in_the_middle_leaves_doubts_in_doubt(home):
    leave_doubts(home)
    tasks: list[Any] = []

    def abandon(batch: Batch) -> None:
        real = batch.sender.put

        def put(candidate: Candidate) -> None:
            real(candidate)
            if not tasks:
                tasks.append(asyncio.get_running_loop().create_task(batch.sender.abandon(0)))

        batch.sender.put = put  # type: ignore[method-assign]

    attempt(home.ledger, numbers=NUMBERS[:4], resend=True, meanwhile=abandon)
    assert tasks
    left = home.known()
    third = attempt(home.ledger, numbers=NUMBERS[:4])
    assert {left[LATE], left[OPEN]} <= {Outcome.UNKNOWN, Outcome.ACCEPTED, None}
    assert not {LATE, OPEN} & set(third.asked)


def test_a_claim_that_failed_leaves_doubts_in_doubt(home):
    leave_doubts(home)
    home.fail_next_claim()
    second = attempt(home.ledger, numbers=NUMBERS[:4], resend=True)
    assert isinstance(second.report.failure, LedgerError)
    assert second.asked == []
    assert {home.known().get(number) for number in (LATE, OPEN)} <= {Outcome.UNKNOWN, None}
    third = attempt(home.ledger, numbers=NUMBERS[:4])
    assert not {LATE, OPEN} & set(third.asked)


def test_doubts_that_come_up_after_sending_has_stopped_stay_doubts_that_the_next_try_sends(home):
    many = [f"4179{3_000_000 + i}" for i in range(40)]
    ledger = home.ledger()
    ledger.claim(claims(many), CERTAINLY_NOT_SENT)
    ledger.flush()
    second = attempt(home.ledger, lambda to: LOCKED_OUT, numbers=many, resend=True)
    assert len(second.asked) == 1
    assert Counter(second.outcomes().values()) == {"unknown": 40}
    assert second.report.tally.due[Outcome.NOT_SENT] == 40
    assert "Sending was stopped: The invite was not sent: HTTP 401" in str(second.rows[many[-1]][0].error)
    assert attempt(home.ledger, numbers=many).asked == []


def test_an_answer_settles_a_doubt(home):
    leave_doubts(home)
    second = attempt(home.ledger, lambda to: REFUSED if to == LATE else None, numbers=NUMBERS[:2], resend=True)
    assert second.outcomes() == {LATE: "rejected", OPEN: "accepted"}
    assert home.known() == {LATE: Outcome.REJECTED, OPEN: Outcome.ACCEPTED}


def test_the_answer_and_the_time_of_the_doubt_are_kept(tmp_path):
    home = Home("sql", tmp_path)
    (late,) = claims([LATE])
    first = home.ledger()
    first.claim([late], CERTAINLY_NOT_SENT)
    first.record({late.recipient: Entry.now(Outcome.UNKNOWN, accepted(LATE), why("status 29"), attempts=3)})
    first.flush()
    before = home.ledger().find([late])[late.recipient]
    for _ in range(2):  # the reason does not grow from try to try
        second = attempt(home.ledger, lambda to: BUSY, numbers=[LATE], resend=True)
        (row,) = second.rows[LATE]
        assert row.message_id == ACCEPTED["messageId"]
        after = home.ledger().find([late])[late.recipient]
        assert after._replace(claimed_at=before.claimed_at) == before._replace(
            reason=why("status 29")._replace(since=f"{NOT_AGAIN}{BUSY}"), was_repeated=True
        )
    home.close()


def reasons(tried: Tried) -> dict[str, str]:
    assert set(tried.outcomes().values()) == {"unknown"}
    return {number: str(rows[0].error) for number, rows in tried.rows.items()}


def test_a_doubt_keeps_its_first_reason_over_all_later_tries(home):
    lost = {
        number: InviteUnknownError(why(f"The invite may have been sent, or not: {number[-1]}.")) for number in NUMBERS
    }
    first = {number: str(lost[number]).rstrip(".") for number in NUMBERS}
    attempt(home.ledger, lost.get)
    for _ in range(2):
        held = attempt(home.ledger)
        assert (held.asked, reasons(held)) == ([], {number: str(error) for number, error in lost.items()})
    for _ in range(2):
        busy = attempt(home.ledger, lambda to: BUSY, resend=True)
        assert all(text.startswith(f"{first[number]}. {NOT_AGAIN}") for number, text in reasons(busy).items())
        assert all(text.count("again") == 1 for text in reasons(busy).values())
        later = reasons(
            attempt(home.ledger)
        )  # what was not claimed any more, because sending had stopped, is as it was
        assert all(text in (reasons(busy)[number], str(lost[number])) for number, text in later.items())
    for _ in range(2):
        leave_open(home, NUMBERS)
        never = "It was to be sent again, and that try ended before it could say how"
        assert reasons(attempt(home.ledger)) == {number: f"{text}. {never}" for number, text in first.items()}
    closed = attempt(home.ledger, resend=True, closing=NUMBERS)
    assert set(reasons(closed)) == set(NUMBERS)
    assert all(text.startswith(f"{first[number]}. {NOT_AGAIN}the send") for number, text in reasons(closed).items())
    for _ in range(2):
        again = attempt(home.ledger, lambda to: LOST, resend=True)
        assert reasons(again) == {number: f"{text}. It was sent again: {LOST}" for number, text in first.items()}
        assert reasons(attempt(home.ledger)) == reasons(again)
    for _ in range(2):  # and in the end it has none
        last = attempt(home.ledger, resend=True)
        assert set(last.outcomes().values()) == {"accepted"}
        assert {row.error for (row,) in last.rows.values()} == {None}


def test_a_claim_that_fails_and_a_stop_leave_the_first_reason(home):
    attempt(home.ledger, lambda to: LOST, numbers=[LATE])
    home.fail_next_claim()
    assert attempt(home.ledger, numbers=NUMBERS[:2], resend=True).report.failure is not None
    assert reasons(attempt(home.ledger, numbers=[LATE]))[LATE].startswith(str(LOST))
    attempt(home.ledger, numbers=NUMBERS[:2], resend=True, meanwhile=stop_at_once)
    assert reasons(attempt(home.ledger, numbers=[LATE]))[LATE].startswith(f"{LOST}. {NOT_AGAIN}")


def test_an_invite_that_was_certainly_not_sent_has_no_old_reason_when_it_comes_into_doubt(home):
    for play in (lambda to: BUSY, lambda to: LOST):
        attempt(home.ledger, play, numbers=[LATE])
    assert reasons(attempt(home.ledger, numbers=[LATE])) == {LATE: str(LOST)}
    other = Home(home.kind, home.folder / "other")
    attempt(other.ledger, lambda to: BUSY, numbers=[LATE])
    other.ledger().claim(claims([LATE]), CERTAINLY_NOT_SENT)
    assert reasons(attempt(other.ledger, numbers=[LATE])) == {LATE: NEVER_ENDED}
    other.close()
