"""Who is in doubt in a task's state store, as a page sees it, and as the next try does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger import interface, task_state, task_state_format, task_state_journal
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    LedgerError,
    Settlement,
)
from airflow_provider_omnichat.campaign.ledger.retake import Retake, reason_of, still_in_doubt
from airflow_provider_omnichat.campaign.ledger.retake import claim as claim_again
from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import HASH_DIGITS, doubts_in_store, settle_in_store
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from tests.support.ledger_homes import NEVER_ENDED, NUMBERS, accepted, claims
from tests.support.reasons import why
from tests.support.state_store import ListedStore, Store

LOST, BROKEN = why("no answer came"), why("the line broke", ReasonCode.CONNECTION_BROKEN)
SENT_AT = datetime(2026, 3, 4, 10, 15, tzinfo=UTC)
AGAIN = CERTAINLY_NOT_SENT | IN_DOUBT


class Clock(datetime):
    """In place of ``datetime``: goes forward when the test says so."""

    at = SENT_AT

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    for module in (interface, task_state, task_state_journal):
        monkeypatch.setattr(module, "datetime", Clock)
    return Clock


@pytest.fixture
def store() -> Store:
    return Store()


def played(store: Store, outcomes: Sequence[Outcome | None], reason: Reason | None = LOST, retake: Any = AGAIN) -> None:
    """One try: claims everybody it may, and records how they ended; None for nothing, as a crash does."""
    journal = StateStoreJournal(store, "c")
    block = claims(NUMBERS[: len(outcomes)])
    taken = journal.claim(block, retake)
    ended = {
        claim.recipient: Entry.now(outcome, reason=None if outcome is Outcome.ACCEPTED else reason)
        for claim, outcome in zip(block, outcomes, strict=True)
        if outcome is not None and claim.recipient not in taken
    }
    journal.record(ended)
    journal.flush()


def doubts(store: Store, most: int = 100) -> dict[str, tuple[str, bool]]:
    """Reason, and whether it is open, by number."""
    names = {claim.recipient[:HASH_DIGITS]: claim.identity for claim in claims(NUMBERS)}
    found = islice(doubts_in_store(ListedStore(store), "c"), most)
    return {names[doubt.recipient]: (str(doubt.reason), doubt.is_open) for doubt in found}


def settle(store: Store, number: str, was_sent: bool) -> str | None:
    (claim,) = claims([number])
    settlement = Settlement(was_sent, "ann", "as the portal says", datetime.now(UTC))
    name = claim.recipient[:HASH_DIGITS]
    return settle_in_store(ListedStore(store), "c", {name: settlement}).get(name)


class TestBatch:
    def test_doubts_and_open_claims_are_listed_with_reasons_and_others_are_not(self, store: Store) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        every = [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.REJECTED, None, Outcome.NOT_SENT, Outcome.HELD]
        played(store, every)
        assert doubts(store) == {NUMBERS[1]: ("no answer came", False), NUMBERS[3]: (NEVER_ENDED, True)}
        for doubt in list(doubts_in_store(ListedStore(store), "c")):
            assert before <= doubt.at <= datetime.now(UTC)
            assert not any(number in str(doubt) for number in NUMBERS)

    def test_whose_they_are_and_when_they_may_have_been_sent_outlives_every_later_try(
        self, store: Store, clock: type[Clock]
    ) -> None:
        """A worker is killed; then the task is cleared, sends again those in doubt, and its window closes."""
        block = [each._replace(key=f"customer-{n}") for n, each in enumerate(claims(NUMBERS[:3]))]
        clock.at = SENT_AT
        first = StateStoreJournal(store, "c")
        first.claim(block, CERTAINLY_NOT_SENT)
        first.record({block[0].recipient: Entry.now(Outcome.UNKNOWN, reason=LOST)})
        first.flush()
        clock.at = SENT_AT + timedelta(days=1)
        StateStoreJournal(store, "c").leave_in_doubt(block[1:2])
        clock.at = SENT_AT + timedelta(days=2)
        third = StateStoreJournal(store, "c")
        claimed = claim_again(third, block, Retake(resend=True))
        assert len(claimed.doubts) == 3
        third.record({name: still_in_doubt(doubt, LOST) for name, doubt in list(claimed.doubts.items())[:2]})
        third.flush()
        found = list(doubts_in_store(ListedStore(store), "c"))
        assert [(doubt.key, doubt.number, doubt.at) for doubt in found] == [
            (f"customer-{n}", mask_number(number), SENT_AT) for n, number in enumerate(NUMBERS[:3])
        ]
        kept, _, again = StateStoreJournal(store, "c").find(block).values()
        assert (kept.claimed_at, kept.at) == (SENT_AT, SENT_AT)
        assert (again.claimed_at, again.at) == (SENT_AT, SENT_AT + timedelta(days=2)), "it may have been sent at either"

    def test_what_was_settled_as_not_sent_is_sent_at_another_time(self, store: Store, clock: type[Clock]) -> None:
        clock.at = SENT_AT
        played(store, [Outcome.UNKNOWN])
        settle(store, NUMBERS[0], was_sent=False)
        clock.at = SENT_AT + timedelta(days=1)
        played(store, [None], retake=CERTAINLY_NOT_SENT)
        (doubt,) = list(doubts_in_store(ListedStore(store), "c"))
        assert doubt.at == SENT_AT + timedelta(days=1)

    def test_a_doubt_without_room_for_its_reason_was_not_open(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN], reason=None)
        assert doubts(store) == {NUMBERS[0]: ("An earlier try may have sent this invite", False)}

    def test_another_campaign_has_other_doubts(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN])
        assert list(doubts_in_store(ListedStore(store), "other")) == []

    def test_no_more_are_given_than_are_asked_for(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN] * 5)
        assert [len(doubts(store, most)) for most in (0, 3, 5)] == [0, 3, 5]

    def test_what_became_of_it_later_counts(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN])
        played(store, [Outcome.ACCEPTED, Outcome.UNKNOWN, None], reason=BROKEN)
        assert doubts(store) == {
            NUMBERS[1]: ("the line broke", False),
            NUMBERS[2]: ("no answer came. It was to be sent again, and that try ended before it could say how", True),
        }

    def test_a_claim_that_failed_and_was_made_again_counts_once(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN])
        journal, block = StateStoreJournal(store, "c"), claims(NUMBERS[:1])
        store.fails_at = {store.calls + 3: "before"}  # counted, that was read back, and not written
        with pytest.raises(LedgerError):
            journal.claim(block, AGAIN)
        journal.claim(block, AGAIN)
        journal.record({block[0].recipient: Entry.now(Outcome.ACCEPTED)})
        journal.flush()
        assert doubts(store) == {}

    def test_a_value_that_was_counted_and_never_written_is_nobody(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN])
        (count,) = (key for key in store if key.endswith(":count"))
        store[count] = 2
        assert set(doubts(store)) == {NUMBERS[0]}

    @pytest.mark.parametrize("broken", ["many", {"a": 1}, 1.5])
    def test_what_is_no_journal_is_an_error_and_not_nobody(self, store: Store, broken: Any) -> None:
        played(store, [Outcome.UNKNOWN])
        (count,) = (key for key in store if key.endswith(":count"))
        store[count] = broken
        with pytest.raises(LedgerError, match="something other than this batch's journal"):
            doubts(store)

    def test_a_missing_part_is_an_error_and_not_nobody(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN])
        played(store, [Outcome.UNKNOWN])
        del store[next(key for key in store if key.endswith(":0"))]
        with pytest.raises(LedgerError, match="cannot be read"):
            doubts(store)


class TestSettle:
    @pytest.mark.parametrize("was_sent", [True, False])
    @pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, None])
    def test_the_next_try_sends_what_was_not_sent_and_nothing_else(
        self, store: Store, was_sent: bool, outcome: Outcome | None
    ) -> None:
        played(store, [outcome, Outcome.UNKNOWN])
        assert settle(store, NUMBERS[0], was_sent) is None
        assert set(doubts(store)) == {NUMBERS[1]}
        taken = StateStoreJournal(store, "c").claim(claims(NUMBERS[:3]), CERTAINLY_NOT_SENT)
        assert [claim.recipient in taken for claim in claims(NUMBERS[:3])] == [was_sent, True, False]

    def test_what_is_claimed_again_and_lost_again_is_in_doubt_anew(self, store: Store) -> None:
        played(store, [Outcome.UNKNOWN])
        settle(store, NUMBERS[0], was_sent=False)
        played(store, [Outcome.UNKNOWN], BROKEN, retake=CERTAINLY_NOT_SENT)
        assert doubts(store) == {NUMBERS[0]: ("the line broke", False)}
        assert settle(store, NUMBERS[0], was_sent=True) is None
        assert doubts(store) == {}

    def test_what_a_running_try_records_after_it_is_newer(self, store: Store) -> None:
        journal, block = StateStoreJournal(store, "c"), claims(NUMBERS[:2])
        journal.claim(block, AGAIN)
        assert settle(store, NUMBERS[0], was_sent=False) is None  # by somebody who said that no try runs
        journal.record({block[0].recipient: Entry.now(Outcome.UNKNOWN, reason=LOST)})
        journal.flush()
        assert doubts(store) == {NUMBERS[0]: ("no answer came", False), NUMBERS[1]: (NEVER_ENDED, True)}

    def test_what_is_not_in_doubt_is_refused(self, store: Store) -> None:
        played(store, [Outcome.ACCEPTED, Outcome.UNKNOWN])
        assert str(settle(store, NUMBERS[0], was_sent=False)).startswith("is not in doubt: accepted")
        assert settle(store, NUMBERS[2], was_sent=False) == "is not in this campaign"
        settle(store, NUMBERS[1], was_sent=False)
        assert "settled by ann" in str(settle(store, NUMBERS[1], was_sent=True))


class TestSingle:
    def left(self, store: Store, outcome: Outcome | None) -> Claim:
        (claim,) = claims(NUMBERS[:1])
        ledger = StateStoreLedger(store)
        ledger.claim([claim], CERTAINLY_NOT_SENT)
        if outcome:
            answer = accepted(NUMBERS[0]) if outcome is Outcome.ACCEPTED else None
            ledger.record({claim.recipient: Entry.now(outcome, answer, reason=None if answer else LOST)})
        return claim

    @pytest.mark.parametrize(
        ("outcome", "reason"), [(Outcome.UNKNOWN, "no answer came"), (None, NEVER_ENDED), (Outcome.ACCEPTED, None)]
    )
    def test_it_is_listed_by_its_whole_key(self, store: Store, outcome: Outcome | None, reason: str | None) -> None:
        claim = self.left(store, outcome)
        found = list(doubts_in_store(ListedStore(store), "c"))
        expected = [(claim.recipient, reason, outcome is None)] if reason else []
        assert [(doubt.recipient, str(doubt.reason), doubt.is_open) for doubt in found] == expected

    def test_whose_it_is_and_when_it_may_have_been_sent_outlives_every_later_try(
        self, store: Store, clock: type[Clock]
    ) -> None:
        (block,) = claims(NUMBERS[:1])
        clock.at = SENT_AT
        first = StateStoreLedger(store)
        first.claim([block], CERTAINLY_NOT_SENT)
        clock.at = SENT_AT + timedelta(minutes=2)
        first.record({block.recipient: Entry.now(Outcome.UNKNOWN, reason=LOST)})
        clock.at = SENT_AT + timedelta(days=1)
        second = StateStoreLedger(store)
        doubts = claim_again(second, [block], Retake(resend=True)).doubts
        second.record({name: still_in_doubt(doubt, BROKEN) for name, doubt in doubts.items()})
        (doubt,) = list(doubts_in_store(ListedStore(store), "c"))
        assert (doubt.key, doubt.number, doubt.at) == (None, mask_number(NUMBERS[0]), SENT_AT)
        assert NUMBERS[0] not in str(store)
        second.record({block.recipient: Entry.now(Outcome.ACCEPTED, accepted(NUMBERS[0]))})
        assert mask_number(NUMBERS[0]) not in str(store), "of what has ended, nobody is named"

    @pytest.mark.parametrize("junk", [[], [None], "x", 7, [None, None, 1, 1e99]], ids=str)
    def test_a_name_that_cannot_be_read_is_an_error(self, store: Store, junk: Any) -> None:
        claim = self.left(store, Outcome.UNKNOWN)
        (key,) = store
        store[key]["person"] = junk or "nobody"
        with pytest.raises(LedgerError, match="cannot be read"):
            StateStoreLedger(store).find([claim])

    @pytest.mark.parametrize("was_sent", [True, False])
    def test_it_is_settled(self, store: Store, was_sent: bool) -> None:
        claim = self.left(store, Outcome.UNKNOWN)
        settlement = Settlement(was_sent, "ann", "as the portal says", datetime.now(UTC))
        assert settle_in_store(ListedStore(store), "c", {claim.recipient: settlement}) == {}
        assert list(doubts_in_store(ListedStore(store), "c")) == []
        assert (claim.recipient in StateStoreLedger(store).claim([claim], CERTAINLY_NOT_SENT)) is was_sent


class History:
    """What happens to a store, from try to try, with people who settle in between."""

    def __init__(self) -> None:
        self.store = Store()
        self.was_settled = False
        self.journal = StateStoreJournal(self.store, "c")
        self.claimed: dict[str, Claim | None] = {}  # of this try, which claims nobody twice; None once it has ended

    def claim(self, places: list[int], retake: Any, failing: int) -> None:
        if self.was_settled:  # by somebody who said that no try runs: what this one still records counts, and no more
            return
        block = [claims([NUMBERS[place]])[0] for place in places]
        block = [claim for claim in block if claim.recipient not in self.claimed]
        self.store.fails_at = {self.store.calls + failing: "before"} if failing else {}
        with suppress(LedgerError):
            taken = self.journal.claim(block, retake)
            self.claimed |= {claim.recipient: claim for claim in block if claim.recipient not in taken}
        self.store.fails_at = {}

    def record(self, places: list[int], outcome: Outcome, reason: Reason | None) -> None:
        for (claim,) in (claims([NUMBERS[place]]) for place in places):
            if self.claimed.get(claim.recipient):
                self.claimed[claim.recipient] = None
                self.journal.record({claim.recipient: Entry.now(outcome, reason=reason)})

    def settle(self, places: list[int], was_sent: bool) -> None:
        self.was_settled = True
        for place in places:
            settle(self.store, NUMBERS[place], was_sent)

    def next_try(self, is_doubting: bool) -> None:
        self.journal, self.claimed, self.was_settled = StateStoreJournal(self.store, "c"), {}, False
        if is_doubting:
            self.journal.leave_in_doubt(claims(NUMBERS))

    def check(self) -> None:
        known = StateStoreJournal(self.store, "c").find(claims(NUMBERS))
        expected = {
            recipient[:HASH_DIGITS]: (reason_of(entry), entry.outcome is None, entry.claimed_at)
            for recipient, entry in known.items()
            if entry.outcome in IN_DOUBT
        }
        found = list(doubts_in_store(ListedStore(self.store), "c"))
        assert {doubt.recipient: (doubt.reason, doubt.is_open, doubt.at) for doubt in found} == expected
        assert len(found) == len(expected)


PLACES = st.lists(st.integers(0, len(NUMBERS) - 1), unique=True, min_size=1, max_size=4)
ENDS = [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN, Outcome.UNKNOWN]
STEPS = st.one_of(
    st.tuples(
        st.just(History.claim),
        PLACES,
        st.sampled_from([CERTAINLY_NOT_SENT, AGAIN, AGAIN]),
        st.sampled_from([0, 0, 1, 2]),
    ),
    st.tuples(st.just(History.record), PLACES, st.sampled_from(ENDS), st.sampled_from([None, LOST, BROKEN])),
    st.tuples(st.just(History.settle), PLACES, st.booleans()),
    st.tuples(st.just(History.next_try), st.booleans()),
    st.tuples(st.just(lambda history: history.journal.flush())),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=14), st.sampled_from([2, 3, 5, 4000]))
def test_a_page_and_the_next_try_agree_whatever_happened(steps: list[Any], in_a_value: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_state_format, "CHUNK_INVITES", in_a_value)
        history = History()
        for step, *arguments in steps:
            step(history, *arguments)
            history.check()
