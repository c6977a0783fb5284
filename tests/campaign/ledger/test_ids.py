"""What a ledger keeps so that the ids of its messages stay the same, and what it knows of one that was sent."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import Retake, claim
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.ledger_homes import LATE, Home, claims
from tests.support.reasons import why
from tests.support.sql_servers import Target

ID, OTHER = f"{'a' * 32}-{'b' * 8}", f"{'a' * 32}-{'c' * 8}"


def named(message_id: str | None = ID) -> Claim:
    return claims([LATE])[0]._replace(message_id=message_id)


def test_the_key_is_made_once_and_found_by_every_later_try(any_home: Home):
    key = any_home.ledger().id_key()
    assert len(key) == 16
    assert any_home.ledger().id_key() == key
    assert any_home.known() == {}


def test_what_is_claimed_again_while_it_is_in_doubt_is_known_as_repeated_to_a_later_try(any_home: Home):
    first = any_home.ledger()
    assert first.claim([named()], CERTAINLY_NOT_SENT) == {}
    (claimed,) = any_home.ledger().find([named()]).values()
    first.record({named().recipient: Entry.now(Outcome.UNKNOWN, reason=why("no answer"), message_id=ID)})
    assert not claimed.was_repeated
    assert any_home.ledger().repeated() == 0
    again = claim(first, [named()._replace(again=True)], Retake(seconds=60))
    assert again.taken == {}
    assert set(again.doubts) == {named().recipient}
    (known,) = any_home.ledger().find([named()]).values()
    assert known.claimed_at == claimed.claimed_at
    is_of_many = any_home.kind != "state store"
    assert known.was_repeated is is_of_many
    assert any_home.ledger().repeated() == int(is_of_many)
    first.record({named().recipient: Entry.now(Outcome.UNKNOWN, reason=why("no answer"), message_id=ID)})
    first.flush()
    later = any_home.ledger()
    assert later.repeated() == int(is_of_many)
    found = Settlement(was_sent=True, by="look-up", why="found in the log", at=datetime.now(UTC))
    assert later.settle([named()], {named().recipient: found}) == {}
    assert any_home.ledger().repeated() == 0


def test_tasks_that_ask_at_once_get_the_same_key_which_no_list_or_count_shows(
    ledger: Callable[..., SqlLedger], target: Target, table: str
) -> None:
    made = [ledger(f"dag/{run}/task") for run in range(4)]
    with ThreadPoolExecutor(4) as threads:
        keys = set(threads.map(lambda each: each.id_key(), made))
    assert len(keys) == 1
    assert LedgerAudit(target.database(), table).campaigns() == []
    assert made[0].other_campaign() is None


@pytest.mark.parametrize("ended", [Outcome.UNKNOWN, None])
def test_the_id_and_the_first_claim_are_known_of_what_may_have_been_sent(any_home: Home, ended: Outcome | None):
    begin = datetime.now(UTC) - timedelta(seconds=1)
    first = any_home.ledger()
    assert first.claim([named()], CERTAINLY_NOT_SENT) == {}
    if ended is not None:
        first.record({named().recipient: Entry.now(ended, reason=why("no answer"), message_id=ID)})
        first.flush()
    for _ in range(2):  # claimed again, and killed again
        (known,) = any_home.ledger().find([named()]).values()
        assert known.message_id == ID
        assert known.claimed_at is not None
        assert begin - timedelta(seconds=1) <= known.claimed_at <= datetime.now(UTC)
        first_at = known.claimed_at
        assert claim(any_home.ledger(), [named()._replace(again=True)], Retake(seconds=60)).taken == {}
    (known,) = any_home.ledger().find([named()]).values()
    assert known.claimed_at == first_at
    assert known.outcome is None


def test_what_is_sent_under_another_id_is_known_by_that(any_home: Home):
    any_home.ledger().claim([named()], CERTAINLY_NOT_SENT)
    assert any_home.ledger().claim([named(OTHER)], CERTAINLY_NOT_SENT | IN_DOUBT) == {}
    (known,) = any_home.ledger().find([named(OTHER)]).values()
    assert known.message_id == OTHER


def test_what_is_left_in_doubt_keeps_the_id_that_it_had(any_home: Home):
    any_home.ledger().claim([named(None)], CERTAINLY_NOT_SENT)
    later = any_home.ledger()
    later.leave_in_doubt([named()])
    (known,) = any_home.ledger().find([named()]).values()
    assert (known.outcome, known.message_id) == (Outcome.UNKNOWN, None)


NOW = datetime.now(UTC)
DOUBT = Entry(Outcome.UNKNOWN, NOW, reason=why("no answer"), claimed_at=NOW, message_id=ID)


@pytest.mark.parametrize(
    ("entry", "retake", "is_taken"),
    [
        (DOUBT, Retake(seconds=3600), True),
        (DOUBT._replace(outcome=None), Retake(seconds=3600), True),
        (DOUBT, Retake(), False),
        (DOUBT._replace(same_task=False), Retake(seconds=3600), False),
        (DOUBT._replace(message_id=OTHER), Retake(seconds=3600), False),
        (DOUBT._replace(message_id=None), Retake(seconds=3600), False),
        (DOUBT._replace(claimed_at=NOW - timedelta(seconds=3600)), Retake(seconds=3600), False),
        (DOUBT._replace(claimed_at=None), Retake(seconds=3600), False),
        (DOUBT._replace(reason=why("refused", ReasonCode.ID_TAKEN)), Retake(seconds=3600), False),
        (DOUBT._replace(outcome=Outcome.ACCEPTED), Retake(True, 3600), False),
        (DOUBT._replace(message_id=OTHER), Retake(resend=True), True),
    ],
)
def test_only_the_same_request_is_repeated_and_only_in_time(entry, retake, is_taken):
    assert retake.takes(named(), entry) is is_taken
