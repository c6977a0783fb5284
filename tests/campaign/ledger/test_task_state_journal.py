"""The journal of a batch in a state store: what a crash or a failure at any write leaves to the next try."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.ledger import task_state_format
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry, LedgerError
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import doubts_in_store
from airflow_provider_omnichat.campaign.ledger.task_state_format import CHUNK_INVITES
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from tests.support.reasons import why
from tests.support.state_store import ListedStore, Store


def claims(*numbers: int) -> list[Claim]:
    return [Claim(recipient_key("c", str(n)), str(n)) for n in numbers]


def entries(outcome: Outcome, *numbers: int) -> dict[str, Entry]:
    return {one.recipient: Entry.now(outcome) for one in claims(*numbers)}


def known(store: Store, count: int) -> dict[int, Outcome | None]:
    """What the next try finds."""
    found = StateStoreJournal(store, "c").find(claims(*range(count)))
    names = {one.recipient: int(one.identity) for one in claims(*range(count))}
    return {names[recipient]: entry.outcome for recipient, entry in found.items()}


def test_what_was_claimed_and_what_was_recorded_is_found_by_the_next_try():
    store = Store()
    journal = StateStoreJournal(store, "c")
    assert journal.claim(claims(*range(6)), CERTAINLY_NOT_SENT) == {}
    for number, outcome in enumerate([Outcome.ACCEPTED, Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN]):
        journal.record(entries(outcome, number))
    journal.flush()
    assert known(store, 7) == {
        **{0: Outcome.ACCEPTED, 1: Outcome.REJECTED, 2: Outcome.NOT_SENT, 3: Outcome.UNKNOWN},
        **{4: None, 5: None},
    }
    second = StateStoreJournal(store, "c")
    assert len(second.claim(claims(*range(7)), CERTAINLY_NOT_SENT)) == 5
    third = StateStoreJournal(store, "c")
    assert set(third.claim(claims(*range(7)), CERTAINLY_NOT_SENT | IN_DOUBT)) == {one.recipient for one in claims(0, 1)}


def test_another_campaign_has_a_journal_of_its_own():
    store = Store()
    StateStoreJournal(store, "c").claim(claims(1), CERTAINLY_NOT_SENT)
    assert StateStoreJournal(store, "d").find(claims(1)) == {}


def people(count: int) -> list[Claim]:
    numbers = [f"4179{i:07d}" for i in range(count)]
    return [Claim(recipient_key("c", number), number, f"customer-{number[4:]}") for number in numbers]


def test_an_invite_that_ended_takes_less_than_fifteen_bytes_and_one_in_doubt_has_key_and_masked_number():
    store, block = Store(), 400
    many = people(30 * block)
    journal = StateStoreJournal(store, "c")
    for start in range(0, len(many), block):
        claimed = many[start : start + block]
        journal.claim(claimed, CERTAINLY_NOT_SENT)
        assert all(len(json.dumps(value)) <= 65_535 for value in store.values())
        journal.record({one.recipient: Entry.now(Outcome.ACCEPTED) for one in claimed})
    journal.flush()
    assert len(json.dumps(store)) / len(many) < 15
    assert "customer" not in str(store), "of what has ended, nobody is named"
    assert len(store) <= 8
    assert len(StateStoreJournal(store, "c").find(many)) == len(many)


def test_a_store_full_of_doubts_names_all_of_them_and_no_value_is_too_large():
    store, many = Store(), people(4500)
    journal = StateStoreJournal(store, "c")
    journal.claim(many, CERTAINLY_NOT_SENT)
    journal.record({one.recipient: Entry.now(Outcome.UNKNOWN, reason=why("no answer came")) for one in many[::2]})
    journal.flush()
    assert all(len(json.dumps(value)) <= 65_535 for value in store.values())
    assert len(json.dumps(store)) / len(many) < 75
    found = doubts_in_store(ListedStore(store), "c")
    assert {(doubt.key, doubt.number) for doubt in found} == {(one.key, mask_number(one.identity)) for one in many}
    text = json.dumps(store)
    assert not any(one.identity in text or one.recipient in text for one in many)


def test_the_longest_keys_make_no_value_too_large():
    store = Store()
    many = [one._replace(key="\U0001f600" * 500) for one in people(300)]
    StateStoreJournal(store, "c").claim(many, CERTAINLY_NOT_SENT)
    assert all(len(json.dumps(value)) <= 65_535 for value in store.values())
    assert {doubt.key for doubt in doubts_in_store(ListedStore(store), "c")} == {"\U0001f600" * 59 + "…"}


def test_reasons_of_doubts_do_not_make_a_value_larger_than_airflow_takes():
    store = Store()
    many = claims(*range(CHUNK_INVITES))
    journal = StateStoreJournal(store, "c")
    journal.claim(many, CERTAINLY_NOT_SENT)
    texts = ["no answer came", *(f"{n} \u2019" * 60 for n in range(100)), "x" * 5000]
    for n, one in enumerate(many):
        reason = texts[n] if n < len(texts) else "no answer came"
        journal.record({one.recipient: Entry.now(Outcome.UNKNOWN, reason=why(reason))})
    journal.flush()
    assert all(len(json.dumps(value)) <= 65_535 for value in store.values())
    found = StateStoreJournal(store, "c").find(many)
    assert {entry.outcome for entry in found.values()} == {Outcome.UNKNOWN}
    told = [reason and reason.text for one in many for reason in [found[one.recipient].reason]]
    assert told[:5] == texts[:5]
    assert set(told[len(texts) :]) == {"no answer came"}
    assert None in told, "those for which there is no room are in doubt without a reason"


def test_a_reason_without_room_leaves_the_first_one():
    store = Store()
    journal = StateStoreJournal(store, "c")
    journal.claim(claims(*range(30)), CERTAINLY_NOT_SENT)
    journal.record(
        {
            one.recipient: Entry.now(Outcome.UNKNOWN, reason=why(f"no answer {n % 20}"))
            for n, one in enumerate(claims(*range(30)))
        }
    )
    journal.flush()
    later = StateStoreJournal(store, "c")
    later.claim(claims(*range(30)), CERTAINLY_NOT_SENT | IN_DOUBT)
    for n, one in enumerate(claims(*range(30))):
        reason = why(f"no answer {n % 20}")._replace(since=f"It was to be sent again and was not: {n}")
        later.record({one.recipient: Entry.now(Outcome.UNKNOWN, reason=reason)})
    later.flush()
    found = StateStoreJournal(store, "c").find(claims(*range(30)))
    for n, one in enumerate(claims(*range(30))):
        assert str(found[one.recipient].reason).startswith(f"no answer {n % 20}")


def test_a_crash_between_the_count_and_a_part_can_be_met_again_and_again():
    store = Store()
    journal = StateStoreJournal(store, "c")
    journal.claim(claims(1), CERTAINLY_NOT_SENT)
    for number in range(2, 6):
        count_key = next(key for key in store if key.endswith(":count"))
        store[count_key] += 1  # the count was written, the part was not
        journal = StateStoreJournal(store, "c")
        journal.claim(claims(number), CERTAINLY_NOT_SENT)
    assert known(store, 6) == dict.fromkeys(range(1, 6))


def test_a_part_that_is_gone_is_no_empty_part():
    store = Store()
    for number in range(3):
        StateStoreJournal(store, "c").claim(claims(number), CERTAINLY_NOT_SENT)
    del store[sorted(store)[0]]
    with pytest.raises(LedgerError, match="cannot be read"):
        StateStoreJournal(store, "c")


@pytest.mark.parametrize(
    "junk",
    [
        {},
        [],
        "x",
        7,
        {"hashes": "?", "outcomes": "."},
        {"hashes": "", "outcomes": "."},
        {"hashes": "QUFBQUFBQUFBQQ==", "outcomes": "z"},
        {"hashes": "QUFBQUFBQUFBQQ==", "outcomes": "u", "people": {}},
        {"hashes": "QUFBQUFBQUFBQQ==", "outcomes": "u", "people": {"0": [None, None, 1, 1e99]}},
    ],
    ids=str,
)
def test_a_part_that_cannot_be_read_stops_the_batch(junk):
    store = Store()
    for number in range(2):
        StateStoreJournal(store, "c").claim(claims(number), CERTAINLY_NOT_SENT)
    store[sorted(store)[0]] = junk
    with pytest.raises(LedgerError):
        StateStoreJournal(store, "c")


@pytest.mark.parametrize("how", ["before", "after", "dropped"])
@pytest.mark.parametrize("at", range(1, 10))
def test_whatever_call_fails_no_one_who_may_have_been_sent_is_free_for_the_next_try(at, how):
    """A block is sent only after its claim came back; each failure stops the batch, as it does in the batch."""
    store = Store()
    store.fails_at = {at: how}
    sent: set[int] = set()
    ended: set[int] = set()
    stopped = False
    try:
        journal = StateStoreJournal(store, "c")
        for block in ([0, 1], [2, 3], [4, 5]):
            journal.claim(claims(*block), CERTAINLY_NOT_SENT)
            sent |= set(block)
            journal.record(entries(Outcome.ACCEPTED, *block))
            ended |= set(block)
        journal.flush()
    except LedgerError:
        stopped = True
        store.fails_at = {}
        with suppress(UnboundLocalError):
            journal.flush()  # what the batch does at its end
    store.fails_at = {}
    found = known(store, 6)
    if how != "dropped":
        assert sent <= set(found)
        assert {number for number in ended if found[number] is not Outcome.ACCEPTED} == set()
        assert {number for number, outcome in found.items() if outcome is None} == set()
    elif at in (2, 4):  # the first writes are read back
        assert stopped
    assert {found.get(number) for number in range(6) if number not in sent} <= {None, Outcome.NOT_SENT}


def test_a_claim_that_failed_leaves_no_one_in_doubt_if_the_store_comes_back():
    store = Store()
    journal = StateStoreJournal(store, "c")
    journal.claim(claims(0), CERTAINLY_NOT_SENT)
    store.fails_at = {store.calls + 1: "after"}
    with pytest.raises(LedgerError):
        journal.claim(claims(1, 2), CERTAINLY_NOT_SENT)
    journal.flush()
    assert known(store, 3) == {0: None, 1: Outcome.NOT_SENT, 2: Outcome.NOT_SENT}


def test_senders_wait_for_one_write_a_block():
    store = Store()
    journal = StateStoreJournal(store, "c")
    calls = []
    for start in range(0, 12000, 500):
        block = range(start, start + 500)
        before = store.calls
        journal.claim(claims(*block), CERTAINLY_NOT_SENT)
        calls.append(store.calls - before)
        journal.record(entries(Outcome.ACCEPTED, *block))
        journal.flush()
    assert calls == [4, *[1] * 23]  # at first, what was written is read back
    assert set(known(store, 12000).values()) == {Outcome.ACCEPTED}


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_claim_that_failed_leaves_what_was_in_doubt_in_doubt(how):
    store = Store()
    first = StateStoreJournal(store, "c")
    first.claim(claims(0, 1, 2, 3), CERTAINLY_NOT_SENT)
    first.record({**entries(Outcome.UNKNOWN, 0), **entries(Outcome.NOT_SENT, 2), **entries(Outcome.HELD, 3)})
    first.flush()
    second = StateStoreJournal(store, "c")
    store.fails_at = {store.calls + 3: how}  # the count arrives, and is seen
    with pytest.raises(LedgerError):
        second.claim(claims(0, 1, 2, 3, 4), CERTAINLY_NOT_SENT | IN_DOUBT)
    second.flush()
    left = known(store, 5)
    assert left == {0: Outcome.UNKNOWN, 1: None, 2: Outcome.NOT_SENT, 3: Outcome.HELD, 4: Outcome.NOT_SENT}


def test_the_next_try_knows_why_an_invite_was_rejected_and_refusals_leave_room_for_doubts():
    store = Store()
    journal = StateStoreJournal(store, "c")
    refused, doubted = claims(*range(30)), claims(*range(30, 40))
    journal.claim([*refused, *doubted], CERTAINLY_NOT_SENT)
    for n, each in enumerate(refused):
        reason = why(f"refused {n}")._replace(status=f"REJECTED_{n}")
        journal.record({each.recipient: Entry.now(Outcome.REJECTED, reason=reason)})
    for n, each in enumerate(doubted):
        journal.record({each.recipient: Entry.now(Outcome.UNKNOWN, reason=why(f"no answer {n}"))})
    journal.flush()
    found = StateStoreJournal(store, "c").find([*refused, *doubted])
    assert {entry.outcome for entry in (found[each.recipient] for each in refused)} == {Outcome.REJECTED}
    first = found[refused[3].recipient].reason
    assert first is not None
    assert (first.text, first.status) == ("refused 3", "REJECTED_3")
    assert [str(found[each.recipient].reason) for each in doubted] == [f"no answer {n}" for n in range(10)]


@pytest.mark.parametrize("block", [2, 3])
def test_a_claim_that_fails_in_between_leaves_nothing_that_cannot_be_read(monkeypatch, block):
    monkeypatch.setattr(task_state_format, "CHUNK_INVITES", 2)
    store = Store()
    journal = StateStoreJournal(store, "c")
    journal.claim(claims(0), CERTAINLY_NOT_SENT)
    again = claims(*range(1, 1 + block))
    store.fails_at = {store.calls + 2: "before"}  # of two, the value after its count; of three, the second count
    with pytest.raises(LedgerError):
        journal.claim(again, CERTAINLY_NOT_SENT)
    assert known(store, 4) == {0: None}
    journal.claim(again, CERTAINLY_NOT_SENT)
    assert known(store, 1 + block) == dict.fromkeys(range(1 + block)), "a crash came before the next flush"
    journal.flush()
    assert known(store, 1 + block) == dict.fromkeys(range(1 + block))
