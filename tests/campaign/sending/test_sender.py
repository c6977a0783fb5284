"""The sender: whatever goes wrong, each invite that was put ends once, and the tasks end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending import sender as sender_module
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Ended, Sender
from tests.support.pace_model import in_virtual_time
from tests.support.reasons import why
from tests.support.wire_server import ACCEPTED

OK = InviteAnswer.from_json(ACCEPTED)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def windows_close_by_the_same_clock(monkeypatch):
    monkeypatch.setattr(sender_module, "time", now)


class Client:
    """Plays what each number gets; counts what is sent."""

    def __init__(self, plays: Callable[[str, int], Any] = lambda to, attempt: OK) -> None:
        self._plays = plays
        self.sent: Counter[str] = Counter()

    async def send_once(self, invite: Invite) -> InviteAnswer:
        self.sent[invite.to] += 1
        given = self._plays(invite.to, self.sent[invite.to])
        if asyncio.iscoroutine(given):
            given = await given
        await asyncio.sleep(0)
        if isinstance(given, BaseException):
            raise given
        return given  # type: ignore[no-any-return]


def candidate(index: int, closes_at: float | None = None) -> Candidate:
    return Candidate(index, None, OmniInvite(str(index), "m", "l", "k", "t"), f"r{index}", str(index), closes_at)


def send(
    count: int,
    client: Any,
    work: Any = None,
    pacer: Callable[..., Pacer] = Pacer,
    closes_at: float | None = None,
    **given: Any,
) -> tuple[Sender, dict[int, Ended]]:
    """Put so many, do *work* with the sender, else wait for the end, in virtual time; check that each ended once."""
    ended: list[Ended] = []

    async def main() -> Sender:
        fields = {"concurrency": 4, "retry_budget": 1.0, "ended": ended.append, "clock": now, **given}
        sender = Sender(client, pacer(clock=now), **fields)
        sender.start()
        for index in range(count):
            sender.put(candidate(index, closes_at))
        async with asyncio.timeout(10):
            await (work(sender) if work else sender.finish())
            await sender.close()
        assert len(asyncio.all_tasks()) == 1
        return sender

    sender = in_virtual_time(main)
    assert sorted(one.candidate.position for one in ended) == list(range(count))
    return sender, {one.candidate.position: one for one in ended}


def outcomes(ended: dict[int, Ended]) -> dict[str, int]:
    return dict(Counter(str(one.outcome) for one in ended.values()))


def test_each_is_sent_once():
    client = Client()
    sender, ended = send(200, client)
    assert outcomes(ended) == {"accepted": 200}
    assert set(client.sent.values()) == {1}
    assert (sender.taken, sender.stop_reason) == (200, None)


def test_all_that_are_ready_leave_at_once_although_the_first_had_to_wait():
    """At the start most of them wait for a turn; were they to wait in a row ever after, one would leave in a round."""
    rounds = 0
    answers = asyncio.Event()

    class Rounds(Client):
        async def send_once(self, invite: Invite) -> InviteAnswer:
            self.sent[invite.to] += 1
            await answers.wait()
            return OK

    async def answer_all_at_once(sender: Sender) -> None:
        nonlocal answers, rounds
        finished = asyncio.create_task(sender.finish())
        while not finished.done():
            await asyncio.sleep(0)
            rounds += 1
            if rounds % 8 == 0:  # meanwhile all that can leave have left
                answered, answers = answers, asyncio.Event()
                answered.set()

    _, ended = send(3200, Rounds(), answer_all_at_once, concurrency=32)
    assert outcomes(ended) == {"accepted": 3200}
    assert rounds <= 8 * (100 + 20)


def test_an_error_of_the_client_that_nobody_foresaw_is_a_doubt_and_stops():
    client = Client(lambda to, attempt: ZeroDivisionError("x") if to == "5" else OK)
    sender, ended = send(200, client, concurrency=1)
    assert outcomes(ended) == {"accepted": 5, "unknown": 1, "not_sent": 194}
    assert sender.stop_reason is not None
    assert "please report it" in sender.stop_reason


@pytest.mark.parametrize("method", ["turn_at_once", "turn", "accepted", "refused", "unreachable"])
def test_an_error_of_the_pacer_loses_no_invite_and_hangs_nobody(method):
    class Broken(Pacer):
        pass

    def fail(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("x")

    setattr(Broken, method, fail)
    refusal = InviteNotSentError(why("no"), retryable=True, http_status=None if method == "unreachable" else 429)
    client = Client(lambda to, attempt: OK if method == "accepted" else refusal)
    _, ended = send(50, client, pacer=Broken)
    assert len(ended) == 50
    assert set(outcomes(ended)) <= {"unknown", "not_sent"}
    doubts = sum(client.sent.values()) if method in {"accepted", "refused", "unreachable"} else 0
    assert sum(one.outcome == "unknown" for one in ended.values()) == doubts


def test_only_what_was_certainly_not_taken_is_repeated():
    kinds = [
        InviteUnknownError(why("?")),
        InviteRejectedError(why("no")),
        OK,
        InviteNotSentError(why("busy"), retryable=True, http_status=429),
    ]
    client = Client(lambda to, attempt: kinds[int(to) % 4] if attempt == 1 else OK)
    _, ended = send(16, client, retry_budget=20.0)
    assert outcomes(ended) == {"unknown": 4, "rejected": 4, "accepted": 8}
    assert {int(to): times for to, times in client.sent.items()} == {n: 2 if n % 4 == 3 else 1 for n in range(16)}
    assert ended[3].attempts == 2


def test_abandon_ends_requests_that_do_not_end_as_doubts_and_the_rest_as_not_sent():
    client = Client(lambda to, attempt: asyncio.sleep(100, OK))

    async def work(sender: Sender) -> None:
        await asyncio.sleep(0.05)
        await sender.abandon(0.1)

    _, ended = send(50, client, work)
    assert outcomes(ended) == {"unknown": 4, "not_sent": 46}
    assert sum(client.sent.values()) == 4


def test_abandon_lets_requests_end_that_do():
    client = Client(lambda to, attempt: asyncio.sleep(0.1, OK))

    async def work(sender: Sender) -> None:
        await asyncio.sleep(0.05)
        await sender.abandon(2)

    _, ended = send(50, client, work)
    assert outcomes(ended) == {"accepted": 4, "not_sent": 46}


def test_abandon_while_everybody_waits_for_a_turn():
    client = Client(lambda to, attempt: InviteNotSentError(why("busy"), retryable=True, http_status=429, retry_after=5))

    async def work(sender: Sender) -> None:
        await asyncio.sleep(0.1)
        await sender.abandon(0.1)

    _, ended = send(50, client, work, retry_budget=60)
    assert outcomes(ended) == {"not_sent": 50}


def test_closing_with_work_left_begins_no_further_request_and_loses_none():
    client = Client(lambda to, attempt: asyncio.sleep(0.05, OK))

    async def work(sender: Sender) -> None:
        await asyncio.sleep(0.02)

    _, ended = send(50, client, work)
    assert outcomes(ended) == {"accepted": 4, "not_sent": 46}


def test_nineteen_doubts_and_an_answer_go_on_and_twenty_stop():
    client = Client(lambda to, attempt: OK if int(to) % 20 == 19 else InviteUnknownError(why("?")))
    sender, ended = send(100, client, concurrency=1)
    assert outcomes(ended) == {"unknown": 95, "accepted": 5}
    assert sender.stop_reason is None
    sender, ended = send(100, Client(lambda to, attempt: InviteUnknownError(why("?"))), concurrency=1)
    assert outcomes(ended) == {"unknown": 20, "not_sent": 80}


def test_nobody_is_sent_to_whose_window_has_closed_meanwhile():
    client = Client()
    sender, ended = send(50, client, pacer=partial(Pacer, 20.0), closes_at=0.6)
    assert 12 <= client.sent.total() <= 13
    assert outcomes(ended) == {"accepted": client.sent.total(), "held": 50 - client.sent.total()}
    assert sender.stop_reason is None


def test_a_refused_invite_is_not_tried_again_after_its_window_has_closed():
    refused = InviteNotSentError(why("429"), http_status=429, retryable=True, retry_after=0.5)
    client = Client(lambda to, attempt: refused)
    _, ended = send(1, client, closes_at=0.3, retry_budget=5.0)
    assert client.sent.total() == 1
    assert (ended[0].outcome, ended[0].attempts) == ("held", 1)


def test_a_refused_invite_waits_alone_and_holds_no_worker():
    refused = InviteNotSentError(why("429"), http_status=429, retryable=True, retry_after=0.5)
    order: list[str] = []
    moments: list[float] = []

    class Noting(Client):
        async def send_once(self, invite: Invite) -> InviteAnswer:
            order.append(invite.to)
            moments.append(now())
            return await super().send_once(invite)

    client = Noting(lambda to, attempt: refused if to == "0" and attempt == 1 else OK)
    _, ended = send(50, client, concurrency=1, retry_budget=20.0)
    assert outcomes(ended) == {"accepted": 50}
    assert order == [*map(str, range(50)), "0"]
    assert ended[0].attempts == 2
    assert 0.5 <= moments[-1] - moments[0] < 2


def test_refused_invites_that_wait_end_as_not_sent_at_once_when_sending_stops():
    refused = InviteNotSentError(why("429"), http_status=429, retryable=True, retry_after=5)
    client = Client(lambda to, attempt: refused if int(to) % 10 == 0 else OK)

    async def work(sender: Sender) -> None:
        await asyncio.sleep(0.5)
        sender.stop("enough")
        async with asyncio.timeout(0.5):
            await sender.finish()

    _, ended = send(30, client, work, retry_budget=20.0)
    assert outcomes(ended) == {"accepted": 27, "not_sent": 3}
    assert {str(ended[index].reason) for index in (0, 10, 20)} == {"429"}
    assert set(client.sent.values()) == {1}


def test_one_wait_longer_than_the_budget_stops_all():
    refused = InviteNotSentError(why("429"), http_status=429, retryable=True, retry_after=30)
    sender, ended = send(20, Client(lambda to, attempt: refused), concurrency=1, retry_budget=10.0)
    assert outcomes(ended) == {"not_sent": 20}
    assert sender.stop_reason is not None
    assert "asks to wait 30 seconds, longer than retry_budget" in sender.stop_reason
    assert sender.refusals == 1
