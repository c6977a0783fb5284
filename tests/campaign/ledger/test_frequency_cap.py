"""No more than so many invites in so long, over all campaigns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.preview_campaign import lookup_in
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger, FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.rows import Candidate
from tests.support.reasons import why
from tests.support.row_checks import check
from tests.support.sql_servers import Target

NUMBERS = [f"4179{2_000_000 + i}" for i in range(6)]
TWICE_A_WEEK = FrequencyCap(2, timedelta(days=7))


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[[str], SqlLedger]:
    target = Target("sqlite", "sqlite3", {"database": str(tmp_path / "ledger.sqlite")})
    return lambda campaign: SqlLedger(target.database(), campaign, f"task of {campaign}")


def claims(campaign: str, numbers: list[str]) -> list[Claim]:
    return [Claim(recipient_key(campaign, number), number) for number in numbers]


def send(
    ledger: Any, campaign: str, numbers: list[str], outcome: Outcome = Outcome.ACCEPTED
) -> dict[str, Outcome | None]:
    """Claim, end as *outcome* what was won, and give what was not."""
    wanted = claims(campaign, numbers)
    taken = ledger.claim(wanted, CERTAINLY_NOT_SENT)
    ledger.record({one.recipient: Entry.now(outcome) for one in wanted if one.recipient not in taken})
    ledger.flush()
    return {one.identity: taken[one.recipient].outcome for one in wanted if one.recipient in taken}


@pytest.mark.parametrize(
    ("given", "cap"),
    [
        ((2, "7d"), TWICE_A_WEEK),
        ([1, "36h"], FrequencyCap(1, timedelta(hours=36))),
        ((3, " 2 W "), FrequencyCap(3, timedelta(weeks=2))),
        ((3, timedelta(minutes=5)), FrequencyCap(3, timedelta(minutes=5))),
        (None, None),
    ],
)
def test_a_cap_is_read_as_people_write_it(given, cap):
    assert FrequencyCap.of(given) == cap


@pytest.mark.parametrize(
    "given", [2, (2,), ("2", "7d"), (0, "7d"), (2, "7"), (2, "7m"), (2, "0d"), (True, "7d"), "2/7d"]
)
def test_a_cap_that_is_none_says_how_to_write_it(given):
    with pytest.raises(ValueError, match=r'max_per_recipient: must be like \(2, "7d"\)'):
        FrequencyCap.of(given)


def test_the_third_invite_within_the_period_is_left_out_over_campaigns(ledger):
    for campaign in ("one", "two"):
        assert send(CappedLedger(ledger(campaign), TWICE_A_WEEK), campaign, NUMBERS[:3]) == {}
    third = CappedLedger(ledger("three"), TWICE_A_WEEK)
    assert send(third, "three", NUMBERS) == dict.fromkeys(NUMBERS[:3], Outcome.SUPPRESSED)


def test_the_reason_says_the_rule(ledger):
    for campaign in ("one", "two"):
        send(ledger(campaign), campaign, NUMBERS[:1])
    (entry,) = (
        CappedLedger(ledger("three"), TWICE_A_WEEK).claim(claims("three", NUMBERS[:1]), CERTAINLY_NOT_SENT).values()
    )
    assert entry.same_task
    assert str(entry.reason) == "has got 2 or more invites in the last 7 days (max_per_recipient)"


def test_when_the_period_is_over_there_is_room_again_also_for_a_later_try_of_the_same_task(ledger):
    for campaign in ("one", "two"):
        send(ledger(campaign), campaign, NUMBERS[:1])
    third = ledger("three")
    assert send(CappedLedger(third, TWICE_A_WEEK), "three", NUMBERS[:1]) == {NUMBERS[0]: Outcome.SUPPRESSED}
    later = datetime.now(UTC) + timedelta(days=8)
    assert send(CappedLedger(third, TWICE_A_WEEK, lambda: later), "three", NUMBERS[:1]) == {}


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [(Outcome.ACCEPTED, True), (Outcome.UNKNOWN, True), (Outcome.REJECTED, False), (Outcome.NOT_SENT, False)],
)
def test_what_people_got_or_may_have_got_counts(ledger, outcome, counts):
    send(ledger("one"), "one", NUMBERS[:1], outcome)
    left = send(CappedLedger(ledger("two"), FrequencyCap(1, timedelta(days=1))), "two", NUMBERS[:1])
    assert left == ({NUMBERS[0]: Outcome.SUPPRESSED} if counts else {})


def test_a_claim_that_nobody_ended_counts(ledger):
    ledger("one").claim(claims("one", NUMBERS[:1]), CERTAINLY_NOT_SENT)
    left = send(CappedLedger(ledger("two"), FrequencyCap(1, timedelta(days=1))), "two", NUMBERS[:1])
    assert left == {NUMBERS[0]: Outcome.SUPPRESSED}


def test_the_own_claim_does_not_count_nor_does_the_same_campaign_send_twice(ledger):
    once = FrequencyCap(1, timedelta(days=1))
    assert send(CappedLedger(ledger("one"), once), "one", NUMBERS) == {}
    assert send(CappedLedger(ledger("one"), once), "one", NUMBERS) == dict.fromkeys(NUMBERS, Outcome.ACCEPTED)


def test_a_claim_that_is_retaken_counts_once(ledger):
    once = FrequencyCap(1, timedelta(days=1))
    assert send(CappedLedger(ledger("one"), once), "one", NUMBERS, Outcome.UNKNOWN) == {}
    again = CappedLedger(ledger("one"), once)
    assert again.claim(claims("one", NUMBERS), CERTAINLY_NOT_SENT | IN_DOUBT) == {}


@pytest.mark.parametrize("ended", [True, False])
def test_what_may_have_been_sent_stays_in_doubt_when_the_cap_keeps_it_from_being_sent_again(ledger, ended):
    once = FrequencyCap(1, timedelta(days=1))
    wanted = claims("one", NUMBERS[:1])
    first = ledger("one")
    first.claim(wanted, CERTAINLY_NOT_SENT)
    if ended:
        first.record({wanted[0].recipient: Entry.now(Outcome.UNKNOWN, reason=why("timed out"))})
        first.flush()
    send(ledger("two"), "two", NUMBERS[:1])
    (told,) = CappedLedger(ledger("one"), once).claim(wanted, CERTAINLY_NOT_SENT | IN_DOUBT).values()
    assert told.outcome is Outcome.UNKNOWN
    (kept,) = ledger("one").claim(wanted, CERTAINLY_NOT_SENT).values()
    assert kept.outcome is Outcome.UNKNOWN
    before = "timed out" if ended else "An earlier try was about to send this invite and ended before it could say how"
    assert str(kept.reason) == str(told.reason) == f"{before}. It was to be sent again and was not: {once.reason}"


def test_two_campaigns_at_the_same_moment_do_not_both_get_the_last_place(ledger):
    once = FrequencyCap(1, timedelta(days=1))
    for attempt in range(20):
        numbers = [f"4178{attempt:03}{i:04}" for i in range(30)]
        together = Barrier(2)
        won: dict[str, set[str]] = {}

        def race(name: str, numbers: list[str] = numbers, together: Barrier = together, won: Any = won) -> None:
            capped = CappedLedger(ledger(name), once)
            capped.find(claims(name, numbers[:1]))
            together.wait()
            taken = capped.claim(claims(name, numbers), CERTAINLY_NOT_SENT)
            won[name] = {one.identity for one in claims(name, numbers) if one.recipient not in taken}
            capped.close()

        racers = [Thread(target=race, args=(f"{name} {attempt}",)) for name in ("a", "b")]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        one, other = won.values()
        assert not one & other


def test_a_dry_run_knows_whom_the_ledger_would_leave_out_and_claims_nobody(ledger):
    for campaign in ("one", "two"):
        send(ledger(campaign), campaign, NUMBERS[:2])
    send(ledger("three"), "three", NUMBERS[2:3])
    send(ledger("three"), "three", NUMBERS[3:4], Outcome.NOT_SENT)  # would be sent by another try, and is no duplicate
    candidates = [
        one for one in check([{"to": number} for number in NUMBERS], campaign="three") if isinstance(one, Candidate)
    ]
    lookup = lookup_in(ledger("three"), TWICE_A_WEEK)
    for _ in range(2):
        found = {
            one.invite.to: refusal.outcome for one in candidates if (refusal := lookup(candidates).get(one.recipient))
        }
        assert found == {
            NUMBERS[0]: Outcome.SUPPRESSED,
            NUMBERS[1]: Outcome.SUPPRESSED,
            NUMBERS[2]: Outcome.DUPLICATE,
        }
