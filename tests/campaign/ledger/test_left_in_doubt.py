"""An open claim becomes unknown when a later try finds it: no campaign stays at "claimed" for ever."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.errors import InviteUnknownError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry
from tests.support.ledger_homes import Home

NUMBERS = [f"4179302{i:04d}" for i in range(4)]
CLAIMS = [Claim(recipient_key("c", number), number, f"C-{number[-1]}") for number in NUMBERS]
LOST = Reason(ReasonCode.READ_TIMEOUT, "no answer")


@pytest.fixture(params=["journal", "state store", "sql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return Home(request.param, tmp_path)


def test_an_open_claim_becomes_unknown_and_says_why(home):
    first = home.ledger()
    first.claim(CLAIMS, CERTAINLY_NOT_SENT)
    first.record({CLAIMS[0].recipient: Entry.now(Outcome.ACCEPTED), CLAIMS[1].recipient: Entry.now(Outcome.NOT_SENT)})
    first.flush()
    first.close()
    later = home.ledger()
    for _ in range(2):
        later.leave_in_doubt(CLAIMS)
    found = home.ledger().find(CLAIMS)
    assert [found[claim.recipient].outcome for claim in CLAIMS] == ["accepted", "not_sent", "unknown", "unknown"]
    reason = found[CLAIMS[2].recipient].reason
    assert reason is not None
    assert (reason.code, reason.since) == ("claim_never_ended", "")
    # It is a doubt as any other: kept, unless somebody says that it shall be sent again.
    again = home.ledger()
    assert set(again.claim(CLAIMS[2:], CERTAINLY_NOT_SENT)) == {claim.recipient for claim in CLAIMS[2:]}
    assert again.claim(CLAIMS[2:], CERTAINLY_NOT_SENT | IN_DOUBT) == {}


def test_a_doubt_that_was_claimed_again_keeps_its_first_reason(home):
    first = home.ledger()
    first.claim(CLAIMS[:1], CERTAINLY_NOT_SENT)
    first.record({CLAIMS[0].recipient: Entry.now(Outcome.UNKNOWN, reason=LOST)})
    first.flush()
    home.ledger().claim(CLAIMS[:1], CERTAINLY_NOT_SENT | IN_DOUBT)
    home.ledger().leave_in_doubt(CLAIMS[:1])
    reason = home.ledger().find(CLAIMS[:1])[CLAIMS[0].recipient].reason
    assert reason is not None
    assert (reason.code, reason.text) == ("read_timeout", "no answer")
    assert reason.since == "It was to be sent again, and that try ended before it could say how"


def test_in_a_database_only_what_is_older_and_of_this_task_is_ended_and_its_outcome_still_counts(tmp_path):
    home = Home("sql", tmp_path)
    later = home.ledger()
    rival, other = home.ledger(), home.ledger("dag/run/other")
    rival.claim(CLAIMS[:1], CERTAINLY_NOT_SENT)  # since the later one began
    other.claim(CLAIMS[1:2], CERTAINLY_NOT_SENT)
    later.leave_in_doubt(CLAIMS)
    assert {entry.outcome for entry in home.ledger().find(CLAIMS).values()} == {None}
    home.ledger().leave_in_doubt(CLAIMS)
    assert home.ledger().find(CLAIMS)[CLAIMS[0].recipient].outcome == "unknown"
    assert home.ledger().find(CLAIMS)[CLAIMS[1].recipient].outcome is None
    rival.record({CLAIMS[0].recipient: Entry.now(Outcome.NOT_SENT)})  # it lived on after all, and knows
    rival.flush()
    (row,) = sqlite3.connect(tmp_path / "ledger.sqlite").execute(
        "SELECT outcome, reason_code, since FROM omnichat_invites WHERE row_key = 'C-0'"
    )
    assert row == ("not_sent", None, None)


def test_a_single_invite_that_nobody_ended_becomes_unknown_too(home):
    home.ledger().claim(CLAIMS[:1], CERTAINLY_NOT_SENT)
    sent: list[Invite] = []
    invite = OmniInvite(NUMBERS[0], "Hi <link>", "<link>", "KEY", "FACEBOOK")
    for _ in range(2):
        with pytest.raises(InviteUnknownError, match="ended before it could say how"):
            send_at_most_once(invite, send=sent.append, ledger=home.ledger(), campaign="c")  # type: ignore[arg-type]
        assert home.ledger().find(CLAIMS[:1])[CLAIMS[0].recipient].outcome == "unknown"
    assert sent == []
