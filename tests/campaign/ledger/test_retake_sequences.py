"""Any sequence of tries, each of which may be killed: nobody is sent to twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Ledger, LedgerError
from tests.support.ledger_homes import NUMBERS
from tests.support.played_batches import BUSY, LOCKED_OUT, LOST, REFUSED, attempt


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
        function = getattr(self._ledger, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._life.goes_on():
                raise LedgerError("killed")
            return function(*args, **kwargs)

        return call

    def close(self) -> None:
        self._ledger.close()


class Truth:
    """What the vendor knows of each number, and the judge of each request."""

    def __init__(self, chance: random.Random) -> None:
        self.maybe_reached: set[str] = set()  # a request left, and it is not known that an answer was written down
        self.answered: set[str] = set()
        self._chance = chance

    def plays_of(self, resend: bool, killed: bool, life: Life) -> Callable[[str], Any]:
        """Return what a try meets."""
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
