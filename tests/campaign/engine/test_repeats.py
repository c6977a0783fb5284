"""Repeats of invites in doubt: while others are sent, one at a time until one is recognised, and every wait ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import sleep, time
from typing import Any

import pytest

from airflow_provider_omnichat.api import event_loop
from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.checks.invite import InviteDefaults
from airflow_provider_omnichat.campaign.checks.text import LinkTemplate, MessageTemplate
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Pace, Records, Rules
from airflow_provider_omnichat.campaign.engine.process import StopSignal
from airflow_provider_omnichat.campaign.engine.repeats import Doubt, Repeats
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Entry, Ledger, NoLedger
from airflow_provider_omnichat.campaign.ledger.retake import Retake, claim
from airflow_provider_omnichat.campaign.model.message_ids import MessageIds
from airflow_provider_omnichat.campaign.model.rows import Candidate, Wait
from tests.support.ledger_homes import Home
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.planned_campaigns import Listed, plan
from tests.support.reasons import why
from tests.support.sms_server import DELIVERED, DUPLICATE, SmsServer

NUMBERS = [f"4179{2_000_000 + i}" for i in range(30)]
HOUR = 3600.0
OPENS_AT = datetime(2100, 1, 1, 8, tzinfo=UTC)


def client_of(server: SmsServer) -> AsyncOmnichatClient:
    extra = {"idempotent_sending": True, "idempotency_grace": 2 * HOUR, "log_delay": HOUR, "timeout": 60}
    fields = {"host": server.url, "login": "u", "password": "p", "schema": None, "port": None}
    return AsyncOmnichatClient(Account.from_fields(**fields, extra=extra))  # type: ignore[arg-type]


def planned(
    server: SmsServer,
    client: AsyncOmnichatClient,
    ledger: Callable[[], Ledger],
    text: str = "Hi {name}, follow us: <link>",
    rules: Rules = Rules(),  # noqa: B008 - frozen
    **given: Any,
) -> CampaignPlan:
    link = LinkTemplate("https://t.me/acme_bot?start={id}")
    known = {"repeat_seconds": client.account.repeat_seconds, "log_delay": client.account.log_delay}
    pace = Pace(concurrency=1, **{**known, **given})
    invites = InviteDefaults(MessageTemplate(text), link=link, account=server.url)
    return plan(invite=invites, pace=pace, records=Records(ledger), rules=rules)


def run(
    server: SmsServer,
    source: Listed,
    stop: StopSignal | None = None,
    ledger: Callable[[], Ledger] = NoLedger,
    **given: Any,
) -> CampaignReport:
    client, log = client_of(server), logging.getLogger(__name__)
    the_plan = planned(server, client, ledger, **given)
    return send_campaign(the_plan, source, client=client, log=log, stop=stop or StopSignal())


def requests(server: SmsServer) -> Counter[str]:
    return Counter(body["messages"][0]["destinations"][0]["to"] for body in server.requests)


def test_an_invite_in_doubt_is_repeated_while_the_list_is_still_being_read():
    with SmsServer("late", "drop-after", "drop-before") as server:
        both = lambda: requests(server)[NUMBERS[0]] == requests(server)[NUMBERS[1]] == 2  # noqa: E731
        report = run(server, Listed(*NUMBERS[:4], before_the_last=lambda: wait_until(both)))
    assert report.tally.counts[Outcome.ACCEPTED] == report.tally.rows == 4
    assert set(server.sms.values()) == {1}


@pytest.mark.parametrize("logs_status", [200, 503], ids=["logs that have nothing", "logs that fail"])
def test_a_task_that_waits_for_the_logs_ends_when_it_is_stopped(logs_status):
    stop = StopSignal()
    with SmsServer("late", "drop-before", "drop-before", logs_status=logs_status) as server:

        def stop_once_asked() -> None:
            wait_until(lambda: any("logs" in path for path in server.paths))
            stop.set()

        stopping = threading.Thread(target=stop_once_asked)
        stopping.start()
        report = run(server, Listed(*NUMBERS[:4]), stop)
        stopping.join(PATIENCE_SECONDS)
    assert report.was_stopped
    assert report.tally.rows == report.read
    assert report.tally.counts[Outcome.UNKNOWN] == 2
    assert sum(requests(server).values()) <= 4


def test_where_sending_stops_nothing_is_repeated_and_every_row_has_its_outcome():
    with SmsServer("late", *["drop-after"] * 2, 401) as server:
        report = run(server, Listed(*NUMBERS))
    assert "401" in str(report.stop_reason)
    counts = report.tally.counts
    assert (report.tally.rows, counts[Outcome.ACCEPTED] + counts[Outcome.NOT_SENT]) == (30, 30)


def test_a_list_that_breaks_when_a_repeat_is_chosen_leaves_one_row_for_it(monkeypatch):
    is_chosen, choose = threading.Event(), Repeats.next

    async def chosen(*given: Any) -> Sequence[Doubt]:
        if found := await choose(*given):
            is_chosen.set()
            sleep(0.2)  # noqa: ASYNC251 - the list breaks before the next commit
        return found

    def broken() -> None:
        is_chosen.wait(PATIENCE_SECONDS)
        raise RuntimeError

    monkeypatch.setattr(Repeats, "next", chosen)
    with SmsServer("late", "drop-after") as server:
        report = run(server, Listed(*NUMBERS[:4], before_the_last=broken))
    assert report.failure is not None
    assert report.tally.rows == report.read == 3
    assert report.tally.counts[Outcome.UNKNOWN] == 1


@pytest.mark.slow
def test_a_repeat_whose_turn_comes_too_late_is_not_sent_and_not_taken_for_one_outside_a_send_window():
    with SmsServer("late", "drop-before") as server:
        report = run(server, Listed(NUMBERS[0]), rate_limit=0.4, repeat_seconds=1.5, log_delay=0.1)
    assert len(server.requests) == 1
    assert report.tally.counts[Outcome.UNKNOWN] == 1
    assert "send window" not in report.tally.causes(Outcome.UNKNOWN)


def test_a_grace_period_that_is_shorter_than_a_time_out_begins_with_the_request():
    with SmsServer("late", "drop-after") as server:
        report = run(server, Listed(NUMBERS[0]), repeat_seconds=5.0)
    assert report.tally.counts[Outcome.ACCEPTED] == 1
    assert len(server.requests) == 2


def leave_in_doubt(home: Home, server: SmsServer, numbers: Sequence[str], repeated: Collection[str]) -> dict[str, str]:
    """Leave invites as a killed try does, which had repeated some of them; return their ids by number."""
    with Listed(*numbers).open(reads_twice=False) as rows:
        ledger, checker = home.ledger(), planned(server, client_of(server), home.ledger).row_checker()
        checker.rules = [MessageIds(ledger.id_key(), "c")]
        claims = [Claim.of(each) for each in checker.checked(rows) if isinstance(each, Candidate)]
    assert claim(ledger, claims, Retake()).taken == {}
    ledger.record({each.recipient: Entry.now(Outcome.UNKNOWN, reason=why("no answer")) for each in claims})
    again = [each._replace(again=True) for each in claims if each.identity in repeated]
    assert claim(ledger, again, Retake(seconds=HOUR)).taken == {}
    ledger.flush()
    return {each.identity: str(each.message_id) for each in claims}


@pytest.mark.parametrize("kind", ["sql", "journal"])
def test_once_an_earlier_repeat_is_seen_to_be_recognised_what_was_repeated_is_so_again_at_once(kind, tmp_path):
    home, numbers = Home(kind, tmp_path), NUMBERS[:2]
    with SmsServer() as server:
        ids = leave_in_doubt(home, server, numbers, numbers)
        server.rows += [row(ids[numbers[0]], status) for status in (DUPLICATE, DELIVERED)]
        report = run(server, Listed(*numbers), ledger=home.ledger)
    assert report.tally.counts[Outcome.ACCEPTED] == 2
    assert server.sms == {NUMBERS[0]: 1, NUMBERS[1]: 1}
    home.close()


class Shut:
    """A rule by which the window of the last number is shut."""

    def check(self, candidate: Candidate, _: Mapping[str, Any]) -> Candidate:
        return candidate._replace(wait=Wait(OPENS_AT, "later")) if candidate.invite.to == NUMBERS[-1] else candidate


@pytest.mark.parametrize("before", [0, 12], ids=["alone", "after many that are decided"])
@pytest.mark.parametrize(
    ("on_unknown", "repeat_seconds", "waits"),
    [("lookup", HOUR, True), ("lookup", None, False), ("resend", 0.001, True)],
)
def test_a_doubt_outside_the_send_window_waits_to_be_sent_again_or_is_looked_up(
    on_unknown, repeat_seconds, waits, before, tmp_path
):
    home, numbers, last = Home("sql", tmp_path), NUMBERS[:before], NUMBERS[-1]
    with SmsServer() as server:
        run(server, Listed(*numbers), ledger=home.ledger)
        ids = leave_in_doubt(home, server, [last], [last])
        server.rows += [row(ids[last])]
        options = {"on_unknown": on_unknown, "log_delay": 0.0, "repeat_seconds": repeat_seconds}
        report = run(server, Listed(*numbers, last), ledger=home.ledger, rules=Rules(own=(Shut(),)), **options)
    assert len(server.requests) == before
    assert (report.tally.counts[Outcome.UNKNOWN], report.opens_at) == ((1, OPENS_AT) if waits else (0, None))
    home.close()


@pytest.mark.parametrize("kind", ["sql", "journal"])
def test_what_an_earlier_try_has_repeated_is_looked_at_first_wherever_it_is_in_the_list(kind, tmp_path):
    home, numbers = Home(kind, tmp_path), NUMBERS[:2]
    with SmsServer("ignored") as server:
        ids = leave_in_doubt(home, server, numbers, numbers[1:])
        server.rows += [row(ids[number]) for number in (*numbers, numbers[1])]
        report = run(server, Listed(*numbers, before_the_last=lambda: sleep(1)), ledger=home.ledger)
    assert "idempotent sending is not enabled" in str(report.failure)
    assert server.requests == []
    home.close()


def doubt(message_id: str, asked: timedelta = timedelta(0)) -> Doubt:
    entry = Entry(Outcome.UNKNOWN, datetime.now(UTC) - asked, message_id=message_id)
    return Doubt(Candidate(1, None, None, "r", NUMBERS[0]), entry)  # type: ignore[arg-type]


def row(message_id: str, status: dict[str, Any] = DELIVERED) -> dict[str, Any]:
    return {"messageId": message_id, "destination": NUMBERS[0], "status": status}


@pytest.mark.parametrize(
    ("rows", "repeated", "chosen"),
    [
        ([row("b")], {}, ["b"]),
        ([], {}, ["old"]),
        ([row("b")], {"a": None}, []),
        ([row("a"), row("b")], {"a": None}, ["a"]),
        ([row("a"), row("b")], {"a": 60}, []),
        ([row("b")], {"a": HOUR}, []),
        ([row("b")], {"x": None}, []),
        ([row("x"), row("x", DUPLICATE)], {"x": None}, ["a", "b", "old"]),
    ],
    ids=[
        "one that the logs have",
        "else one that they should have by now",
        "none while the logs may not show what became of a repeat",
        "but that one may be repeated again",
        "unless an earlier try has repeated it",
        "nor in the look at which that ends",
        "whatever it was",
        "all once one is recognised",
    ],
)
def test_which_invite_is_repeated_next(rows, repeated, chosen):
    async def main(server: SmsServer) -> list[str]:
        async with client_of(server) as client:
            repeats = Repeats(client, HOUR)
            for message_id, seconds in repeated.items():
                repeats.note(message_id, seconds and time() - seconds)
            due = [doubt("a"), doubt("b"), doubt("old", timedelta(hours=2))]
            return [each.message_id for each in await repeats.next(due, True)]

    with SmsServer() as server:
        server.rows += rows
        assert event_loop.run(main(server)) == chosen


def test_a_repeat_that_is_learned_of_while_the_logs_are_read_is_looked_at_next():
    async def main(server: SmsServer) -> None:
        async with client_of(server) as client:
            repeats = Repeats(client, HOUR)
            for name in "abc":
                repeats.note(f"{name}-{'x' * 1500}", 1.0)  # of which a request takes one
            reading = asyncio.create_task(repeats.next([], True))
            await asyncio.sleep(0)
            repeats.note("learned", 1.0)
            await reading
            assert list(repeats.unproved) == ["learned"]

    with SmsServer() as server:
        event_loop.run(main(server))


def test_nothing_is_repeated_after_two_messages_under_one_id_that_the_vendor_has_not_refused():
    async def main(server: SmsServer) -> None:
        async with client_of(server) as client:
            repeats = Repeats(client, HOUR)
            repeats.note("a", 1.0)
            assert list(await repeats.next([doubt("b")], True)) == []
            assert "two messages under one id" in str(repeats.refusal)

    with SmsServer() as server:
        server.rows += [row("a", {"groupId": 1, "id": 7}), row("a", {"groupId": 1, "id": 7})]
        event_loop.run(main(server))


def test_an_invite_with_another_text_that_was_not_sent_is_looked_up_by_the_id_of_the_earlier_one(tmp_path):
    home = Home("sql", tmp_path)
    with SmsServer("late", 429) as server:
        ids = leave_in_doubt(home, server, NUMBERS[:1], NUMBERS[:1])
        server.rows.append(row(ids[NUMBERS[0]]))
        given: dict[str, Any] = {
            "text": "Hello {name}: <link>",
            "on_unknown": "resend",
            "retry_budget": 0.0,
            "log_delay": 1.0,
        }
        report = run(server, Listed(NUMBERS[0]), ledger=home.ledger, **given)
    assert len(server.requests) == 1
    assert report.tally.counts[Outcome.ACCEPTED] == report.tally.rows == 1
    home.close()


def test_a_task_that_is_stopped_while_a_doubt_is_settled_has_a_row_for_it(tmp_path):
    home, stop = Home("sql", tmp_path), StopSignal()

    def opened() -> Ledger:
        ledger = home.ledger()
        settle = ledger.settle

        def stopped(*given: Any) -> Any:
            stop.set()
            sleep(0.5)  # the campaign hears of it
            return settle(*given)

        ledger.settle = stopped  # type: ignore[method-assign, assignment]
        return ledger

    with SmsServer("late", "drop-after") as server:
        options: dict[str, Any] = {"repeat_seconds": None, "log_delay": 0.0}
        assert run(server, Listed(NUMBERS[0]), ledger=home.ledger, **options).tally.counts[Outcome.UNKNOWN] == 1
        report = run(server, Listed(NUMBERS[0]), stop, opened, on_unknown="lookup", **options)
    assert report.was_stopped
    assert report.tally.rows == report.read == 1
    home.close()
