"""What an earlier try may have sent stays in doubt until the vendor has answered for it, in every ledger."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.batch import Batch
from airflow_provider_omnichat.campaign.engine.patience import Patience
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Pace, Records
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.single import send_at_most_once
from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.engine.worker_thread import WorkerThread
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger, FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import (
    CERTAINLY_NOT_SENT,
    IN_DOUBT,
    Claim,
    Entry,
    Ledger,
    LedgerError,
)
from airflow_provider_omnichat.campaign.ledger.retake import claim, still_in_doubt
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.campaign.results.sink import NoResults
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from tests.campaign.checks.test_row_checker import gate
from tests.campaign.ledger.test_sql_ledger import Spied
from tests.campaign.ledger.test_task_state_journal import Store
from tests.support.reasons import why
from tests.support.sql_servers import Target
from tests.support.wire_server import ACCEPTED

NUMBERS = [f"4179{2_000_000 + i}" for i in range(8)]
ROOMY = FrequencyCap(100, timedelta(days=1))
LOST = InviteUnknownError(why("The invite may have been sent, or not: no answer came"))
BUSY = InviteNotSentError(why("The invite was not sent: HTTP 429"), http_status=429, retryable=True)
LOCKED_OUT = InviteNotSentError(why("The invite was not sent: HTTP 401"), http_status=401, account_fault=True)
REFUSED = InviteRejectedError(why("The vendor rejected the invite"), http_status=200)
NEVER_ENDED = "An earlier try was about to send this invite and ended before it could say how"
NOT_AGAIN = "It was to be sent again and was not: "


def accepted(to: str) -> InviteAnswer:
    return InviteAnswer.from_json({**ACCEPTED, "to": to})


def claims(numbers: Sequence[str]) -> list[Claim]:
    return [Claim(recipient_key("c", number), number) for number in numbers]


class Home:
    """
    Where a ledger lives, from try to try.

    :param kind: of the ledger.
    :param folder: for a database.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.store = Store()
        self._target = Target("sqlite", "sqlite3", {"database": str(folder / "ledger.sqlite")})
        self._failing = 0
        self._made: list[Ledger] = []

    def ledger(self, owner: str = "dag/run/task") -> Ledger:
        """Open it, as a new try does."""
        if self.kind == "journal":
            made: Ledger = StateStoreJournal(self.store, "c")
        elif self.kind == "state store":
            made = StateStoreLedger(self.store)
        else:
            sql = SqlLedger(self._target.database(self._spied), "c", owner)
            made = CappedLedger(sql, ROOMY) if self.kind == "capped" else sql
        self._made.append(made)
        return made

    def fail_next_claim(self) -> None:
        """Let a claim fail before it arrives."""
        self._failing = 2  # a database gets a second chance, on a new connection
        if self.kind in ("journal", "state store"):
            real = self.store.set

            def fail(key: str, value: Any, **_: Any) -> None:
                if key.endswith(":count"):
                    return real(key, value)
                self.store.set = real  # type: ignore[method-assign]
                raise ConnectionError("no connection")

            self.store.set = fail  # type: ignore[method-assign]

    def known(self, numbers: Sequence[str] = NUMBERS) -> dict[str, Outcome | None]:
        """What another try finds, by number."""
        found = self.ledger().find(claims(numbers))
        return {one.identity: found[one.recipient].outcome for one in claims(numbers) if one.recipient in found}

    def close(self) -> None:
        for one in self._made:
            one.close()

    def _spied(self, connection: Any) -> Any:
        def refuse(sql: str, _: Any) -> None:
            if self._failing and "DO NOTHING" in sql:
                self._failing -= 1
                raise OSError("disk full")

        return Spied(connection, refuse)


class Rows(NoResults):
    """Keeps result rows as they come."""

    def __init__(self) -> None:
        self.by_number: dict[str, list[Result]] = defaultdict(list)

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        for _, result in results:
            self.by_number[result.to].append(result)


class Vendor:
    """
    A client that plays what each number meets, and remembers what it was asked for.

    :param plays: an answer or an error by number; accepted where there is none.
    """

    def __init__(self, plays: Callable[[str], Any]) -> None:
        self._plays = plays
        self.asked: list[str] = []

    async def __aenter__(self) -> Vendor:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send_once(self, invite: Invite) -> InviteAnswer:
        self.asked.append(invite.to)
        await asyncio.sleep(0)
        given = self._plays(invite.to)
        if isinstance(given, BaseException):
            raise given
        return given or accepted(invite.to)


@dataclass
class Tried:
    """How a try of a batch went."""

    report: CampaignReport
    asked: list[str]
    rows: Mapping[str, list[Result]]

    def outcomes(self) -> dict[str, str]:
        """By number; each has one row."""
        assert {number: len(rows) for number, rows in self.rows.items() if len(rows) != 1} == {}
        return {number: str(rows[0].outcome) for number, rows in self.rows.items()}


@dataclass
class Closing:
    """A rule by which the window of these numbers closes before their turn comes."""

    numbers: Sequence[str] = field(default_factory=list)

    def check(self, candidate: Candidate, _: Mapping[str, Any]) -> Candidate:
        return candidate._replace(closes_at=1.0) if candidate.invite.to in self.numbers else candidate


def attempt(
    make_ledger: Callable[[], Ledger],
    plays: Callable[[str], Any] = lambda to: None,
    *,
    numbers: Sequence[str] = NUMBERS,
    resend: bool = False,
    closing: Sequence[str] = (),
    meanwhile: Callable[[Batch], Any] | None = None,
) -> Tried:
    """Send the list in one try, one invite at a time, through the real batch."""
    rows, vendor = Rows(), Vendor(plays)

    report = CampaignReport()
    plan = CampaignPlan(
        "c", pace=Pace(concurrency=1, retry_budget=0, resend_unknown=resend), records=Records(make_ledger, rows)
    )

    async def main() -> None:
        reader, writer = WorkerThread("reader"), WorkerThread("writer")
        log, pacer = logging.getLogger(__name__), Pacer()
        storage = await writer.call(Storage.open, plan, report, Patience(0, pacer.hold, log))
        batch = Batch(plan, storage, vendor, pacer, report, reader, writer)  # type: ignore[arg-type]
        if meanwhile is not None:
            meanwhile(batch)
        checked = gate(rules=[Closing(closing)]).checked(rows_of_list([{"to": f"+{number}"} for number in numbers]))
        async with asyncio.timeout(20):
            await batch.run(checked, log, StopSignal())
        reader.close()
        writer.close()

    asyncio.run(main())
    return Tried(report, vendor.asked, rows.by_number)


@pytest.fixture(params=["journal", "sql", "capped"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Home(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["journal", "state store", "sql", "capped"])
def any_home(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Home(request.param, tmp_path)
    yield made
    made.close()


LATE, OPEN, FREE, LAST = NUMBERS[:4]


def leave_doubts(home: Home) -> None:
    """Two that may have been sent: one of which no answer came, and one that a crash left open."""
    ledger = home.ledger()
    late, opened = claims([LATE, OPEN])
    ledger.claim([late, opened], CERTAINLY_NOT_SENT)
    ledger.record({late.recipient: Entry.now(Outcome.UNKNOWN, reason=why("no answer came."))})
    ledger.flush()


def stop_at_once(batch: Batch) -> None:
    """Stop the sending when the first block has been claimed and before its first request leaves."""
    real = batch._sender.put

    def put(candidate: Candidate) -> None:
        batch._sender.stop("the task was stopped")
        real(candidate)

    batch._sender.put = put  # type: ignore[method-assign]


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
        assert (other.asked, other.outcomes()) == ([], {LATE: "duplicate", OPEN: "duplicate"})
    home.close()


def test_abandoned_in_the_middle_leaves_doubts_in_doubt(home):
    leave_doubts(home)
    tasks: list[Any] = []

    def abandon(batch: Batch) -> None:
        real = batch._sender.put

        def put(candidate: Candidate) -> None:
            real(candidate)
            if not tasks:
                tasks.append(asyncio.get_running_loop().create_task(batch._sender.abandon(0)))

        batch._sender.put = put  # type: ignore[method-assign]

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


def test_doubts_that_come_up_after_the_sending_has_stopped_are_told_as_doubts_that_are_to_be_sent_yet(home):
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
        assert after == before._replace(reason=why("status 29")._replace(since=f"{NOT_AGAIN}{BUSY}"))
    home.close()


def leave_open(home: Home, numbers: Sequence[str]) -> None:
    """Take doubts again and end before it can be said how, as a killed worker does."""
    assert claim(home.ledger(), claims(numbers), resend_unknown=True).taken == {}


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


# one invite

INVITE = Invite(LATE, "Hello <link>", "<link>", "KEY", "FACEBOOK")


def once(ledger: Ledger, given: Any, *, resend: bool = False) -> tuple[int, Any]:
    """Give how often it was sent, and what came of it."""
    sent: list[Invite] = []

    def send(invite: Invite) -> InviteAnswer:
        sent.append(invite)
        if isinstance(given, BaseException):
            raise given
        return accepted(invite.to)

    try:
        result: Any = send_at_most_once(INVITE, send=send, ledger=ledger, campaign="c", resend_unknown=resend)
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


# the claim


def test_only_what_was_in_doubt_is_told_to_be(any_home):
    leave_doubts(any_home)
    ledger = any_home.ledger()
    ended = claims(NUMBERS[2:4])
    ledger.claim(ended, CERTAINLY_NOT_SENT)
    ledger.record({one.recipient: Entry.now(Outcome.NOT_SENT) for one in ended})
    ledger.flush()
    taken, doubts = claim(any_home.ledger(), claims(NUMBERS), resend_unknown=False)
    assert {entry.outcome for entry in taken.values()} == {Outcome.UNKNOWN, None}
    assert doubts == {}
    # As if killed: these are all open now.
    taken, doubts = claim(any_home.ledger(), claims(NUMBERS), resend_unknown=True)
    assert taken == {}
    told = {one.identity: doubts[one.recipient].outcome for one in claims(NUMBERS) if one.recipient in doubts}
    assert told == {LATE: Outcome.UNKNOWN, OPEN: None, FREE: None, LAST: None, **dict.fromkeys(NUMBERS[4:])}


def test_a_doubt_that_a_twin_leaves_while_this_one_claims_is_not_taken_from_it(tmp_path):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    (third,) = claims([FREE])
    ours, twin = home.ledger(), home.ledger()
    real = ours.find

    def find(wanted: Sequence[Claim]) -> Mapping[str, Entry]:
        found = real(wanted)
        twin.claim([third], CERTAINLY_NOT_SENT)
        twin.record({third.recipient: Entry.now(Outcome.UNKNOWN, reason=why("the twin's"))})
        twin.flush()
        return found

    ours.find = find  # type: ignore[assignment, method-assign]
    taken, doubts = claim(ours, claims(NUMBERS), resend_unknown=True)
    assert {recipient: entry.reason for recipient, entry in taken.items()} == {third.recipient: why("the twin's")}
    assert len(doubts) == 2
    home.close()


def test_a_doubt_of_another_run_is_left_to_it(tmp_path):
    home = Home("sql", tmp_path)
    leave_doubts(home)
    taken, doubts = claim(home.ledger("dag/another run/task"), claims(NUMBERS), resend_unknown=True)
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
    assert claim(ours, [free], resend_unknown=True) == ({}, {})
    home.close()


def test_what_a_twin_is_sending_is_neither_claimed_nor_told_to_be(tmp_path):
    home = Home("sql", tmp_path)
    ours, twin = home.ledger(), home.ledger()
    twin.claim(claims([FREE]), CERTAINLY_NOT_SENT)
    taken, doubts = claim(ours, claims([FREE]), resend_unknown=True)
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
    assert still_in_doubt(Entry.now(None), why("one")).outcome is Outcome.UNKNOWN


# any sequence of tries


class Life:
    """Of the process of one try: after so many steps, nothing that it does has an effect any more."""

    def __init__(self, steps: float) -> None:
        self._left = steps

    def goes_on(self) -> bool:
        self._left -= 1
        return self._left >= 0


class Mortal:
    """A ledger that is used by a process that may be killed."""

    def __init__(self, ledger: Ledger, life: Life) -> None:
        self._ledger = ledger
        self._life = life

    def __getattr__(self, name: str) -> Any:
        if not self._life.goes_on():
            raise LedgerError("killed")
        return getattr(self._ledger, name)

    def close(self) -> None:
        self._ledger.close()


class Truth:
    """What the vendor knows of each number, and the judge of each request."""

    def __init__(self, chance: random.Random) -> None:
        self.maybe_reached: set[str] = set()  # a request left, and it is not known that an answer was written down
        self.answered: set[str] = set()
        self._chance = chance

    def plays_of(self, resend: bool, killed: bool, life: Life) -> Callable[[str], Any]:
        """Give what a try meets."""
        doubts, answered = frozenset(self.maybe_reached), frozenset(self.answered)

        def play(to: str) -> Any:
            if not life.goes_on():
                return LOCKED_OUT  # nothing leaves a process that is gone
            assert to not in answered
            assert resend or to not in doubts
            given = self._chance.choices([None, LOST, REFUSED, BUSY, LOCKED_OUT], [3, 3, 1, 1, 1])[0]
            if given in (BUSY, LOCKED_OUT):
                return given
            if killed or given is LOST:
                self.maybe_reached.add(to)
            else:
                self.settle({to})
            return given

        return play

    def settle(self, numbers: set[str]) -> None:
        """Their answer is known and written down."""
        self.answered |= numbers
        self.maybe_reached -= numbers


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nobody_who_may_have_been_reached_is_sent_to_unless_that_try_said_so(home, seed):
    chance = random.Random(seed)
    truth = Truth(chance)
    kinds: Counter[str] = Counter()
    for _ in range(24):
        resend, killed = chance.random() < 0.5, chance.random() < 0.3
        life = Life(chance.randint(0, 30) if killed else float("inf"))
        if chance.random() < 0.15:
            home.fail_next_claim()
        tried = attempt(
            lambda life=life: Mortal(home.ledger(), life),  # type: ignore[misc]
            truth.plays_of(resend, killed, life),
            resend=resend,
            closing=chance.sample(NUMBERS, chance.choice([0, 0, 3, 8])),
        )
        if tried.report.stop_reason:  # an assertion in the client would be taken for a bug of the provider
            assert "please report it" not in tried.report.stop_reason
        found = home.known()
        if killed:
            kinds["killed"] += 1
            truth.settle({one for one in NUMBERS if found.get(one) in (Outcome.ACCEPTED, Outcome.REJECTED)})
        elif tried.report.failure is not None:
            kinds["failed"] += 1
        else:
            kinds["resent" if resend else "held"] += 1
            told = tried.outcomes()
            assert truth.maybe_reached <= {number for number, outcome in told.items() if outcome == "unknown"}
            assert truth.answered == {number for number, outcome in told.items() if outcome in {"accepted", "rejected"}}
        assert {number for number in truth.maybe_reached if found[number] not in IN_DOUBT} == set()
    assert kinds.keys() >= {"killed", "resent", "held"}
