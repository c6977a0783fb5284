"""At most so many invites to one person in a period, over all campaigns of a ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, Ledger
from airflow_provider_omnichat.campaign.ledger.retake import doubts_among, still_in_doubt

_PERIOD = re.compile(r"\s*(\d{1,5})\s*(h|d|w)\s*", re.IGNORECASE)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_FORM = '(2, "7d"): at most two in seven days; the period in hours (h), days (d) or weeks (w)'


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most *most* invites to a person within *period*."""

    most: int
    period: timedelta

    @classmethod
    def of(cls, given: object) -> FrequencyCap | None:
        """Read ``(2, "7d")``, or the same with a timedelta; None for no cap. Anything else is a ValueError."""
        if given is None:
            return None
        if isinstance(given, list | tuple) and len(given) == 2:
            most, period = given
            length = period if isinstance(period, timedelta) else _period(period)
            if type(most) is int and most >= 1 and length is not None and length > timedelta(0):
                return cls(most, length)
        raise ValueError(f"max_per_recipient: must be like {_FORM}; not {given!r}")

    @property
    def reason(self) -> Reason:
        hours = self.period.total_seconds() / 3600
        period = f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
        text = f"has got {self.most} or more invites in the last {period} (max_per_recipient)"
        return Reason(ReasonCode.FREQUENCY_CAP, text)

    def over(self, counts: Mapping[str, int], claimed: int = 0) -> set[str]:
        """Return the numbers that get no more, of which *claimed* invites are the one in question."""
        return {number for number, count in counts.items() if count - claimed >= self.most}


class CountingLedger(Ledger, Protocol):
    """A ledger that knows what people got before, in other campaigns, too."""

    def count_recent(self, numbers: Collection[str], since: datetime) -> Mapping[str, int]:
        """Count invites that were sent, or may have been, by number; those without one may be left out."""


class CappedLedger:
    """
    A ledger whose :meth:`claim` keeps the cap: those over it are SUPPRESSED, or still in doubt.

    Claims are counted when they are in the table, so that two campaigns which claim the same person at the same moment
    see each other: the cap holds, and at worst both let go. A claim that is let go counts as not sent: a later try may
    send it if there is room by then. One that may have been sent before stays in doubt.
    """

    def __init__(
        self, ledger: CountingLedger, cap: FrequencyCap, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._ledger = ledger
        self._cap = cap
        self._now = now
        self.group_factor = ledger.group_factor
        self.id_key, self.repeated = ledger.id_key, ledger.repeated
        self.find = ledger.find
        self.record = ledger.record
        self.leave_in_doubt = ledger.leave_in_doubt
        self.settle = ledger.settle
        self.flush = ledger.flush
        self.close = ledger.close

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        doubts = doubts_among(self._ledger, claims) if IN_DOUBT.intersection(retake) else {}
        taken = self._ledger.claim(claims, retake)
        won = [claim for claim in claims if claim.recipient not in taken]
        counts = self._ledger.count_recent([claim.identity for claim in won], self._now() - self._cap.period)
        over = self._cap.over(counts, claimed=1)
        let_go = [claim.recipient for claim in won if claim.identity in over]
        if not let_go:
            return taken
        in_doubt = {name: still_in_doubt(doubts[name], self._cap.reason) for name in let_go if name in doubts}
        not_sent = Entry.now(Outcome.NOT_SENT, reason=self._cap.reason, attempts=0)
        self._ledger.record({**dict.fromkeys(let_go, not_sent), **in_doubt})
        self._ledger.flush()
        return {**taken, **dict.fromkeys(let_go, not_sent._replace(outcome=Outcome.SUPPRESSED)), **in_doubt}


def _period(given: object) -> timedelta | None:
    found = _PERIOD.fullmatch(given) if isinstance(given, str) else None
    return timedelta(**{_UNITS[found[2].lower()]: int(found[1])}) if found else None
