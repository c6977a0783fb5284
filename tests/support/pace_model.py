"""The real sender and pacer, and servers that limit or refuse, in virtual time: minutes take moments."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import InviteNotSentError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Sender
from tests.support.reasons import why
from tests.support.wire_server import ACCEPTED

# Of each answer, from half to one and a half times so much: with one and the same for all, tasks would beat in time,
# and always the same of them would find the bucket empty.
LATENCY = 0.02
CONCURRENCY = 32

OK = "ok"
UNREACHABLE = "unreachable"
REFUSED = "refused"
BY_CHANCE = "refused by chance"
Answer = tuple[str, float | None]
Server = Callable[[float], Answer]

_ANSWER = InviteAnswer.from_json(ACCEPTED)
_INVITE = OmniInvite("41793026727", "m", "l", "k", "t")
_CANDIDATE = Candidate(1, None, _INVITE, "r", "41793026727")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits: when nothing is ready, the clock jumps to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(self.Jump(self))

    def time(self) -> float:
        return self.now

    class Jump(selectors.DefaultSelector):
        def __init__(self, loop: VirtualLoop) -> None:
            super().__init__()
            self._loop = loop

        def select(self, timeout: float | None = None) -> list[Any]:
            assert timeout is not None, "everybody waits and no timer is set"
            # A timer must not be missed by rounding.
            self._loop.now += timeout + 1e-9 if timeout > 0 else 0.0
            return []


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, Any]], seed: int = 1) -> Any:
    random.seed(seed)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


class Task:
    """A sender whose queue never runs dry before all *invites* are sent."""

    def __init__(
        self,
        server: Server,
        invites: int | None = None,
        rate_limit: float | None = None,
        workers: int = CONCURRENCY,
        pacer: Pacer | None = None,
    ) -> None:
        self.clock = asyncio.get_running_loop().time
        self.pacer = pacer or Pacer(rate_limit, clock=self.clock)
        self.sent: list[float] = []
        self.answers: list[tuple[float, str]] = []
        self._server = server
        self._left = 10**9 if invites is None else invites
        self._workers = workers
        self.sender = Sender(
            cast("AsyncOmnichatClient", self),
            self.pacer,
            concurrency=workers,
            retry_budget=1e9,
            ended=lambda _ended: self._fill(),
            clock=self.clock,
        )

    async def run(self, seconds: float = 300.0) -> None:
        """Send for so long, or until all invites are sent."""
        timer = asyncio.get_running_loop().call_later(seconds, self.sender.stop, "it was long enough")
        self.sender.start()
        self._fill()
        await self.sender.finish()
        await self.sender.close()
        timer.cancel()

    def _fill(self) -> None:
        while self._left and self.sender.ahead < self._workers and not self.sender.stopped.is_set():
            self._left -= 1
            self.sender.put(_CANDIDATE)

    async def send_once(self, invite: Invite) -> InviteAnswer:
        """Play the client."""
        self._fill()
        self.sent.append(self.clock())
        one_way = LATENCY / 2 * random.uniform(0.5, 1.5)
        await asyncio.sleep(one_way)
        kind, retry_after = self._server(self.clock())
        await asyncio.sleep(one_way)
        self.answers.append((self.clock(), kind))
        if kind == OK:
            return _ANSWER
        status = None if kind == UNREACHABLE and retry_after is None else 503 if kind == UNREACHABLE else 429
        raise InviteNotSentError(why(kind), http_status=status, retry_after=retry_after, retryable=True)

    def count(self, kind: str, begin: float = 0.0, end: float = 1e9) -> int:
        return sum(1 for at, was in self.answers if was == kind and begin <= at < end)

    def refused_share(self, begin: float = 0.0, end: float = 1e9) -> float:
        refused = self.count(REFUSED, begin, end)
        return refused / max(1, refused + self.count(OK, begin, end))

    @property
    def ended(self) -> float:
        return max(at for at, kind in self.answers if kind == OK)


def token_bucket(limit: Callable[[float], float] | float, retry_after: float | None = None) -> Server:
    """So many a second, and as many again at once after a quiet second."""
    limit_at = limit if callable(limit) else lambda _now: limit
    state = {"tokens": limit_at(0.0), "filled": 0.0}

    def server(now: float) -> Answer:
        state["tokens"] = min(limit_at(now), state["tokens"] + (now - state["filled"]) * limit_at(now))
        state["filled"] = now
        if state["tokens"] < 1:
            return REFUSED, retry_after
        state["tokens"] -= 1
        return OK, None

    return server


def fixed_window(limit: int, retry_after: float | None = None) -> Server:
    """So many in each second of the server's clock."""
    taken: dict[int, int] = {}

    def server(now: float) -> Answer:
        second = int(now + 0.37)
        taken[second] = taken.get(second, 0) + 1
        return (OK, None) if taken[second] <= limit else (REFUSED, retry_after)

    return server


def sliding_window(limit: int, retry_after: float | None = None) -> Server:
    """So many in any second."""
    taken: deque[float] = deque()

    def server(now: float) -> Answer:
        while taken and taken[0] <= now - 1:
            taken.popleft()
        if len(taken) >= limit:
            return REFUSED, retry_after
        taken.append(now)
        return OK, None

    return server


def by_chance(share: float, retry_after: float | None = None, seed: int = 7, server: Server | None = None) -> Server:
    """Refuse so many whatever the pace; the others meet *server*."""
    chance = random.Random(seed)

    def answer(now: float) -> Answer:
        if chance.random() < share:
            return BY_CHANCE, retry_after
        return server(now) if server else (OK, None)

    return answer


def without_connection(begin: float, end: float) -> Server:
    return lambda now: (UNREACHABLE, None) if begin <= now < end else (OK, None)


def accept(_now: float) -> Answer:
    return OK, None
