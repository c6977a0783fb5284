"""One invite that may have been sent stays in doubt until the vendor has answered for it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Ledger, LedgerError
from airflow_provider_omnichat.campaign.ledger.retake import Retake
from tests.support.ledger_homes import LATE, NEVER_ENDED, NOT_AGAIN, Home, accepted, claims, leave_open
from tests.support.played_batches import BUSY, LOCKED_OUT, LOST

INVITE = OmniInvite(LATE, "Hello <link>", "<link>", "KEY", "FACEBOOK")


def once(ledger: Ledger, given: Any, *, resend: bool = False) -> tuple[int, Any]:
    """Return how often it was sent, and the result."""
    sent: list[Invite] = []

    def send(invite: Invite) -> InviteAnswer:
        sent.append(invite)
        if isinstance(given, BaseException):
            raise given
        return accepted(invite.to)

    try:
        result: Any = send_at_most_once(INVITE, send=send, ledger=ledger, campaign="c", retake=Retake(resend=resend))
    except (InviteUnknownError, InviteNotSentError, LedgerError) as error:
        result = error
    return len(sent), result


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("refusal", [BUSY, LOCKED_OUT])
def test_a_single_invite_that_was_refused_now_stays_in_doubt(any_home, crashed, refusal):
    if crashed:
        any_home.ledger().claim(claims([LATE]), CERTAINLY_NOT_SENT)
    else:
        once(any_home.ledger(), LOST)
    _, told = once(any_home.ledger(), refusal, resend=True)
    assert isinstance(told, InviteNotSentError)  # of this try: Airflow may try again
    assert str(told) == f"{refusal}. An earlier try may have sent it, so it stays in doubt."
    assert (told.http_status, told.account_fault) == (refusal.http_status, refusal.account_fault)
    assert any_home.known() == {LATE: Outcome.UNKNOWN}
    sent, told = once(any_home.ledger(), None)
    assert sent == 0
    assert isinstance(told, InviteUnknownError)
    assert f"{NEVER_ENDED if crashed else LOST}. {NOT_AGAIN}{refusal}." in str(told)
    sent, told = once(any_home.ledger(), None, resend=True)
    assert (sent, told.earlier) == (1, False)
    assert once(any_home.ledger(), None, resend=True)[0] == 0


def test_a_single_invite_keeps_its_first_reason_over_all_later_tries(any_home):
    never = "It was to be sent again, and that try ended before it could say how"
    once(any_home.ledger(), LOST)
    for given, resend, words in (
        (None, False, f"{LOST}."),
        (BUSY, True, f"{LOST}. {NOT_AGAIN}{BUSY}."),
        (LOCKED_OUT, True, f"{LOST}. {NOT_AGAIN}{LOCKED_OUT}."),
        ("killed", True, f"{LOST}. {never}."),
        (LOST, True, f"{LOST}. It was sent again: {LOST}."),
        ("killed", True, f"{LOST}. {never}."),
    ):
        if given == "killed":
            leave_open(any_home, [LATE])
        else:
            once(any_home.ledger(), given, resend=resend)
        sent, told = once(any_home.ledger(), None)
        assert (sent, type(told)) == (0, InviteUnknownError)
        assert str(told).endswith(f" UTC. {words}")
    sent, told = once(any_home.ledger(), LOST, resend=True)
    assert (sent, str(told)) == (1, f"{LOST}. It was sent again: {LOST}")


def test_a_single_invite_whose_claim_failed_stays_in_doubt(any_home):
    once(any_home.ledger(), LOST)
    any_home.fail_next_claim()
    sent, told = once(any_home.ledger(), None, resend=True)
    assert (sent, type(told)) == (0, LedgerError)
    sent, told = once(any_home.ledger(), None)
    assert (sent, type(told)) == (0, InviteUnknownError)


def test_a_single_invite_that_was_never_in_doubt_is_free_after_a_refusal(any_home):
    for resend in (False, True):
        sent, told = once(any_home.ledger(), BUSY, resend=resend)
        assert (sent, str(told)) == (1, str(BUSY))
        assert any_home.known() == {LATE: Outcome.NOT_SENT}


def test_an_invite_that_another_task_is_sending_is_not_in_doubt(tmp_path):
    home = Home("sql", tmp_path)
    home.ledger("another task").claim(claims([LATE]), CERTAINLY_NOT_SENT)
    sent, told = once(home.ledger(), None)
    assert sent == 0
    assert isinstance(told, InviteNotSentError)
    assert "Another task of this campaign is sending it now" in str(told)
    home.close()
